//! Rows of the family `kv`.

use super::{KV_TYPES, Module};

pub(super) fn rows() -> Vec<Module> {
    let writes = KV_TYPES.iter().map(|(slug, ty)| {
        Module::new(format!("kv/rope_write_{slug}"), "kv/rope_write.hip")
            .define("RF_KV", ty)
            .kernels(["rope_write"])
            .hot()
    });
    let copies = Module::new("kv/copy_blocks", "kv/copy_blocks.hip").kernels(["copy_blocks"]);
    writes.chain([copies]).collect()
}
