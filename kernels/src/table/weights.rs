//! Rows of the family `weights`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    vec![Module::new("weights/split_planes", "weights/split_planes.hip").kernels(["split_planes"])]
}
