//! Rows of the family `sample`.

use super::Module;

pub(super) fn rows() -> Vec<Module> {
    let kernels = ["sample_scan", "sample_cut", "sample_weigh", "sample_draw", "nan_guard"];
    vec![Module::new("sample/sample", "sample/sample.hip").kernels(kernels)]
}
