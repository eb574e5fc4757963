//! Rows of the family `norm`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    let kernels = ["norm_rows1", "norm_rows2", "norm_rows4", "norm_long", "norm_groups"];
    vec![Module::new("norm/norm", "norm/norm.hip").kernels(kernels).hot()]
}
