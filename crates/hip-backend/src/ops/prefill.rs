//! Attention of many queries: the kernel for a shape of heads, and how it is launched.

use bytemuck::{Pod, Zeroable};
use rocmforge_attention::AttentionSpec;
use rocmforge_kernels::TILED_HEADS;
use rocmforge_program::backend::KvType;

use super::attention::{AttentionCall, Tiles};
use super::forms::blocks;
use super::kv::slug;
use crate::driver::{DevicePtr, Dims, Function, HipError, Properties, Stream};
use crate::library::{KernelError, Kernels};

/// Query heads that a workgroup takes at most: more would leave few queries.
const MAX_TOGETHER: usize = 16;

/// The kernel of `attention/prefill.hip` for one shape of heads and one type of cache.
#[derive(Debug, Clone)]
pub(super) struct Prefill {
    kernel: Function,
    shape: Shape,
}

/// `rf::PrefillShape` of `rf/prefill/stage.h`, as far as launches depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    /// Rows of a workgroup: queries times heads.
    rows: usize,
    threads: u32,
    /// Bytes of dynamic LDS.
    lds: u32,
}

impl Shape {
    fn of(device: &Properties, kv_type: KvType, (key, value): (u32, u32)) -> Self {
        let is_wide = key.max(value) > 128;
        if device.arch.starts_with("sm_") {
            let is_half = kv_type == KvType::F16;
            let keys = if kv_type == KvType::F32 || (is_wide && !is_half) { 32 } else { 64 };
            let threads = if is_half && !is_wide { 128 } else { 256 };
            let halves = keys * (key + value + 16) + 128 * (key + 8);
            return Self { rows: 128, threads, lds: 2 * halves + 8 * keys + 16 * 128 + 16 };
        }
        match device.wave_size == 32 && is_wide {
            true => Self { rows: 64, threads: 128, lds: 0 },
            false => Self { rows: 128, threads: 256, lds: 0 },
        }
    }
}

/// `rf::PrefillArgs` of `rf/prefill/args.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct PrefillArgs {
    q: DevicePtr,
    out: DevicePtr,
    k: DevicePtr,
    v: DevicePtr,
    k_scale: DevicePtr,
    v_scale: DevicePtr,
    sinks: DevicePtr,
    tile_seq: DevicePtr,
    tile_first: DevicePtr,
    query_start: DevicePtr,
    query_context: DevicePtr,
    context_len: DevicePtr,
    block_tables: DevicePtr,
    tiles: u32,
    tile_queries: u32,
    pieces: u32,
    heads: u32,
    kv_heads: u32,
    together: u32,
    chunks: u32,
    head_dim: u32,
    value_dim: u32,
    value_stride: u32,
    block_size: u32,
    table_stride: u32,
    window: u32,
    causal: u32,
    scale: f32,
    softcap: f32,
}

impl Prefill {
    /// Loads the kernel for such heads; `None` where there is none.
    ///
    /// # Errors
    /// As [`Kernels::function`].
    pub fn load(kernels: &Kernels, kv_type: KvType, spec: &AttentionSpec) -> Result<Option<Self>, KernelError> {
        let Some((key, value)) = padded_heads(spec) else { return Ok(None) };
        let module = format!("attention/prefill_{}_{key}x{value}", slug(kv_type));
        let kernel = kernels.function(&module, "prefill")?;
        let shape = Shape::of(kernels.device().properties(), kv_type, (key, value));
        Ok(Some(Self { kernel, shape }))
    }

    /// Enqueues the attention of tiles of queries.
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn run(
        &self,
        stream: &Stream,
        spec: &AttentionSpec,
        call: &AttentionCall,
        tiles: Tiles,
        value_in_key: bool,
    ) -> Result<(), HipError> {
        if tiles.count == 0 {
            return Ok(());
        }
        let (together, chunks) = heads_together(spec.group_size());
        let pieces = tiles.queries.div_ceil(self.shape.rows / together);
        let (v, v_scale, value_stride) = call.values(spec, value_in_key);
        let args = PrefillArgs {
            q: call.q,
            out: call.out.f32,
            k: call.cache.k,
            v,
            k_scale: call.cache.k_scale,
            v_scale,
            sinks: call.sinks,
            tile_seq: tiles.sequences,
            tile_first: tiles.first,
            query_start: call.query_start,
            query_context: call.query_context,
            context_len: call.context_len,
            block_tables: call.block_tables,
            tiles: tiles.count as u32,
            tile_queries: tiles.queries as u32,
            pieces: pieces as u32,
            heads: spec.num_heads as u32,
            kv_heads: spec.num_kv_heads as u32,
            together: together as u32,
            chunks: chunks as u32,
            head_dim: spec.head_dim as u32,
            value_dim: spec.value_dim as u32,
            value_stride: value_stride as u32,
            block_size: call.block_size as u32,
            table_stride: call.table_stride as u32,
            window: spec.window.map_or(0, |w| u32::try_from(w).unwrap_or(u32::MAX)),
            causal: u32::from(spec.causal),
            scale: spec.scale,
            softcap: spec.softcap.unwrap_or(0.0),
        };
        let grid = [blocks(tiles.count * pieces * spec.num_kv_heads * chunks, 1), 1, 1];
        let Shape { threads, lds, .. } = self.shape;
        // SAFETY: the struct is the kernel's; the caller's addresses hold the sizes of the call, and tiles name
        // sequences of the step.
        unsafe { stream.launch(&self.kernel, Dims { grid, threads, lds }, &args) }
    }
}

/// The columns that the kernel for such heads is compiled for. It reads 8 numbers at a time.
fn padded_heads(spec: &AttentionSpec) -> Option<(u32, u32)> {
    let fits = |&&(key, value): &&(u32, u32)| spec.head_dim <= key as usize && spec.value_dim <= value as usize;
    let is_aligned = spec.head_dim.is_multiple_of(8) && spec.value_dim.is_multiple_of(8);
    TILED_HEADS.iter().find(fits).copied().filter(|_| is_aligned)
}

/// Query heads of a workgroup, and workgroups that share the heads of a key/value head.
fn heads_together(group: usize) -> (usize, usize) {
    let chunks = group.div_ceil(MAX_TOGETHER);
    (group.div_ceil(chunks), chunks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_take_the_smallest_kernel_that_holds_them() {
        let of = |head_dim, value_dim| {
            let mut spec = AttentionSpec::causal(4, 2, head_dim);
            spec.value_dim = value_dim;
            padded_heads(&spec)
        };
        assert_eq!(of(128, 128), Some((128, 128)));
        assert_eq!(of(40, 40), Some((64, 64)));
        assert_eq!(of(72, 64), Some((80, 80)));
        assert_eq!(of(192, 128), Some((192, 128)));
        assert_eq!(of(160, 160), Some((192, 192)));
        assert_eq!(of(576, 512), None);
        assert_eq!(of(34, 32), None);
    }

    #[test]
    fn heads_of_a_group_are_shared_out_evenly() {
        for group in 1..=100 {
            let (together, chunks) = heads_together(group);
            assert!(together <= MAX_TOGETHER && together * chunks >= group && together * (chunks - 1) < group);
        }
        assert_eq!(heads_together(71), (15, 5));
    }
}
