//! Rows of the family `embed`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    Vec::new()
}
