//! Rows of the family `sample`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    Vec::new()
}
