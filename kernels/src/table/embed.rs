//! Rows of the family `embed`.

use super::{Module, weight_types};

pub(super) fn rows() -> Vec<Module> {
    weight_types().map(|ty| Module::of_type("embed", "embed/embed.hip", ty).kernels(["embed"])).collect()
}
