//! Rows of the family `weights`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    Vec::new()
}
