//! Rows of the family `matvec`: products of a few columns, with 8-bit and with f32 activations.

use rocmforge_quant::GgmlType;

use super::{Module, weight_types};

const BYTES: [&str; 9] =
    ["matvec_1", "matvec_2", "matvec_3", "matvec_4", "matvec_5", "matvec_6", "matvec_7", "matvec_8", "matvec_experts"];
const EXACT: [&str; 4] = ["exact_1", "exact_2", "exact_4", "exact_experts"];

/// The module of f32 activations: the only one of a float type, and a second one of a block type.
fn exact(family: &str, ty: GgmlType) -> Module {
    let module = Module::of_type(family, "matvec/exact.hip", ty).kernels(EXACT);
    if ty.is_quantized() { module } else { module.kernels(["exact_8", "exact_any"]).hot() }
}

pub(super) fn rows() -> Vec<Module> {
    let bytes = |ty| Module::of_type("matvec", "matvec/matvec.hip", ty).kernels(BYTES).hot();
    let decode = weight_types().map(|ty| if ty.is_quantized() { bytes(ty) } else { exact("matvec", ty) });
    decode.chain(weight_types().filter(|ty| ty.is_quantized()).map(|ty| exact("exact", ty))).collect()
}
