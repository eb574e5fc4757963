//! Rows of the family `route`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    Vec::new()
}
