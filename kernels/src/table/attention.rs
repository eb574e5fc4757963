//! Rows of the family `attention`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    Vec::new()
}
