//! Rows of the family `matvec`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    Vec::new()
}
