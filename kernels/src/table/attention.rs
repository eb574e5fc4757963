//! Rows of the family `attention`.

use super::{KV_TYPES, Module};

/// Columns of keys and of values of a head that attention in tiles (`attention/prefill_<type>_<key>x<value>`) is compiled
/// for; other heads take the first pair that both fit into.
pub const TILED_HEADS: &[(u32, u32)] =
    &[(64, 64), (80, 80), (96, 96), (112, 112), (128, 128), (192, 128), (192, 192), (256, 256)];

/// Elements that share a scale in a cache of q8_0, whose heads are whole groups.
const GROUP: u32 = 32;

pub(super) fn rows() -> Vec<Module> {
    let decode = KV_TYPES.iter().flat_map(|(slug, ty)| {
        let module =
            |name: &str| Module::new(format!("attention/{name}_{slug}"), "attention/decode.hip").define("RF_KV", ty);
        // Heads in groups are always aligned.
        let any = (!is_grouped(slug)).then(|| module("decode_any").define("RF_ANY", 1).kernels(["decode_any"]));
        let aligned = ["decode_g1", "decode_g2", "decode_g4", "decode_g8", "combine"];
        [Some(module("decode").kernels(aligned).hot()), any].into_iter().flatten()
    });
    let prefill = KV_TYPES.iter().flat_map(|(slug, ty)| {
        // Without the pairs that heads in groups never take, since a smaller pair is as many groups.
        let is_taken = |(key, value): &&(u32, u32)| !is_grouped(slug) || (key % GROUP == 0 && value % GROUP == 0);
        TILED_HEADS.iter().filter(is_taken).map(move |(key, value)| {
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

fn is_grouped(slug: &str) -> bool {
    slug == "q8_0"
}
