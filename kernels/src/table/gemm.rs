//! Rows of the family `gemm`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    Vec::new()
}
