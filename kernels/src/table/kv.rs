//! Rows of the family `kv`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    Vec::new()
}
