//! Rows of the family `gemm`.

use rocmforge_quant::GgmlType;

use super::{Module, type_slug, weight_types};

const EXACT: [&str; 2] = ["exact_16x64", "exact_64x64"];

pub(super) fn rows() -> Vec<Module> {
    let others = [
        Module::new("gemm/group", "gemm/group.hip").kernels(["group_pairs"]),
        Module::new("gemm/reduce", "gemm/reduce.hip").kernels(["reduce_splits"]),
        Module::new("gemm/mma_check", "gemm/mma_check.hip").kernels(["mma_half", "mma_bhalf"]),
    ];
    weight_types().map(matrix_unit).chain(weight_types().filter_map(exact)).chain(others).collect()
}

/// The products on the matrix units; in f32 for f32, which they do not take.
fn matrix_unit(ty: GgmlType) -> Module {
    match ty {
        GgmlType::F32 => Module::of_type("gemm", "gemm/exact.hip", ty).kernels(EXACT),
        _ => Module::of_type("gemm", "gemm/gemm.hip", ty).kernels([
            "gemm_16x64",
            "gemm_32x64",
            "gemm_64x128",
            "gemm_128x128",
        ]),
    }
}

/// The products in f32.
fn exact(ty: GgmlType) -> Option<Module> {
    let mut module = Module::of_type("gemm", "gemm/exact.hip", ty).kernels(EXACT);
    module.name = format!("gemm_exact/{}", type_slug(ty));
    (ty != GgmlType::F32).then_some(module)
}
