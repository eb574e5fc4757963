//! Rows of the family `attention`.

use super::{KV_TYPES, Module};

pub(super) fn rows() -> Vec<Module> {
    let decode = KV_TYPES.iter().flat_map(|(slug, ty)| {
        let module =
            |name: &str| Module::new(format!("attention/{name}_{slug}"), "attention/decode.hip").define("RF_KV", ty);
        [
            module("decode").kernels(["decode_g1", "decode_g2", "decode_g4", "decode_g8", "combine"]).hot(),
            module("decode_any").define("RF_ANY", 1).kernels(["decode_any"]),
        ]
    });
    decode.collect()
}
