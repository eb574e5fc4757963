//! Rows of the family `attention`.

use super::{KV_TYPES, Module};

/// Columns of keys and of values of a head that attention in tiles (`attention/prefill_<type>_<key>x<value>`) is compiled
/// for; other heads take the first pair that both fit into.
pub const TILED_HEADS: &[(u32, u32)] =
    &[(64, 64), (80, 80), (96, 96), (112, 112), (128, 128), (192, 128), (192, 192), (256, 256)];

pub(super) fn rows() -> Vec<Module> {
    let decode = KV_TYPES.iter().flat_map(|(slug, ty)| {
        let module =
            |name: &str| Module::new(format!("attention/{name}_{slug}"), "attention/decode.hip").define("RF_KV", ty);
        [
            module("decode").kernels(["decode_g1", "decode_g2", "decode_g4", "decode_g8", "combine"]).hot(),
            module("decode_any").define("RF_ANY", 1).kernels(["decode_any"]),
        ]
    });
    let prefill = KV_TYPES.iter().flat_map(|(slug, ty)| {
        TILED_HEADS.iter().map(move |(key, value)| {
            Module::new(format!("attention/prefill_{slug}_{key}x{value}"), "attention/prefill.hip")
                .define("RF_KV", ty)
                .define("RF_DIM", key)
                .define("RF_VALUE", value)
                .kernels(["prefill"])
                .hot()
        })
    });
    decode.chain(prefill).collect()
}
