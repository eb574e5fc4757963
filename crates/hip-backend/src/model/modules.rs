//! Names of the kernel modules that a model uses, so that missing ones are compiled together.
//!
//! A name too few costs time at the first start, since the module is then compiled when it is loaded; a name too many
//! compiles in vain.

use rocmforge_attention::AttentionSpec;
use rocmforge_kernels::{modules, type_slug};
use rocmforge_program::backend::KvType;
use rocmforge_quant::GgmlType;

use super::tools::gemm_form;
use crate::ops::GemmForm;

/// What every model uses.
const ALWAYS: [&str; 8] = [
    "elementwise/gate",
    "elementwise/maps",
    "gemm/group",
    "gemm/reduce",
    "norm/norm",
    "route/route",
    "sample/sample",
    "weights/split_planes",
];

/// Modules of the ops over matrices of these types and lengths of rows.
pub(super) fn of_model(matrices: &[(GgmlType, usize)], is_exact: bool) -> Vec<String> {
    let of_matrix = |&(ty, cols): &(GgmlType, usize)| {
        let is_exact_gemm = gemm_form(ty, cols, is_exact) == GemmForm::F32 && ty != GgmlType::F32;
        let gemm = if is_exact_gemm { "gemm_exact" } else { "gemm" };
        let matvec = if is_exact && ty.is_quantized() { "exact" } else { "matvec" };
        ["embed", matvec, gemm].map(|family| format!("{family}/{}", type_slug(ty)))
    };
    ALWAYS.map(String::from).into_iter().chain(matrices.iter().flat_map(of_matrix)).collect()
}

/// Modules of a cache of a type and of the attention over it, where all tokens attend one by one or many in tiles.
pub(super) fn of_cache(kv_type: KvType, layers: &[&AttentionSpec], by_token: bool) -> Vec<String> {
    let slug = kv_type.name();
    let tiled: Vec<_> =
        modules().iter().filter_map(|module| Some((tiled_heads(&module.name, slug)?, module))).collect();
    let tiles = layers.iter().filter(|_| !by_token).filter_map(|layer| {
        let fits = |(key, value): (usize, usize)| layer.head_dim <= key && layer.value_dim <= value;
        tiled.iter().find(|(heads, _)| fits(*heads)).map(|(_, module)| module.name.clone())
    });
    let plain = [format!("kv/rope_write_{slug}"), format!("attention/decode_{slug}"), "kv/copy_blocks".into()];
    plain.into_iter().chain(tiles).collect()
}

/// The columns of keys and values that a module of attention in tiles is for: `attention/prefill_f16_128x128`.
fn tiled_heads(module: &str, slug: &str) -> Option<(usize, usize)> {
    let (key, value) =
        module.strip_prefix("attention/prefill_")?.strip_prefix(slug)?.strip_prefix('_')?.split_once('x')?;
    Some((key.parse().ok()?, value.parse().ok()?))
}
