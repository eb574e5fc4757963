//! The paged cache of keys and values on the device: where its numbers lie, writing a step's keys and values with the
//! rotation before it, and copying blocks.

use std::collections::HashSet;
use std::mem::discriminant;

use bytemuck::{Pod, Zeroable};
use rocmforge_attention::RopePairing;
use rocmforge_program::CacheLayer;
use rocmforge_program::backend::{BlockMove, CacheSpec, KvType};

use super::forms::blocks;
use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};

const THREADS: u32 = 256;
/// Heads that one workgroup of `rope_write` takes.
const HEADS_A_BLOCK: usize = 8;
/// Each plane begins at a multiple of this many bytes.
const PLANE_ALIGN: usize = 256;
/// Each plane of a packed block begins at a multiple of this many bytes.
const PACKED_ALIGN: usize = 16;
/// Elements of a q8_0 block.
const QUANT: usize = 32;

/// Suffix of the modules for a type of cache.
pub(super) fn slug(kv_type: KvType) -> &'static str {
    kv_type.name()
}

/// Why a cache cannot be laid out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KvLayoutError {
    /// Blocks without tokens, or no blocks.
    #[error("a cache of {num_blocks} blocks of {block_size} tokens")]
    Empty {
        /// Blocks asked for.
        num_blocks: usize,
        /// Tokens of a block.
        block_size: usize,
    },
    /// Heads that 8-bit blocks do not divide.
    #[error("layer {layer}: {what} of {found} cannot be cached as q8_0, which needs a multiple of 32; use f16")]
    HeadNotDivisible {
        /// Cache layer.
        layer: usize,
        /// Key or value heads.
        what: &'static str,
        /// Their width.
        found: usize,
    },
    /// More rows than kernels can number, or more bytes than an address space has.
    #[error("layer {layer}: a cache of {num_blocks} blocks of {block_size} tokens is too large")]
    TooLarge {
        /// Cache layer.
        layer: usize,
        /// Blocks asked for.
        num_blocks: usize,
        /// Tokens of a block.
        block_size: usize,
    },
}

/// Where the numbers of one layer lie on the device. Scales are null unless the type is q8_0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KvLayer {
    /// Keys `[num_blocks, kv_heads, block_size, head_dim]`.
    pub k: DevicePtr,
    /// Values `[num_blocks, kv_heads, block_size, value_dim]`.
    pub v: DevicePtr,
    /// Scales of keys, binary16 `[num_blocks, kv_heads, block_size, head_dim / 32]`.
    pub k_scale: DevicePtr,
    /// Scales of values, binary16 `[num_blocks, kv_heads, block_size, value_dim / 32]`.
    pub v_scale: DevicePtr,
}

/// One plane of the cache, as `copy_blocks` takes it: where it begins in the cache, and the bytes of a block in it.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
pub struct CachePlane {
    /// Bytes from the cache's beginning.
    pub offset: u64,
    /// Bytes of one block.
    pub block_bytes: u64,
    /// Bytes from the beginning of a packed block.
    pub packed: u64,
}

/// The layout of a whole cache in one allocation: layer after layer, in each the planes of keys, values, and scales.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvLayout {
    spec: CacheSpec,
    /// Indices into `planes`: keys, values, their scales.
    layers: Vec<[Option<usize>; 4]>,
    planes: Vec<CachePlane>,
    bytes: usize,
    packed_bytes: usize,
}

impl KvLayout {
    /// Lays out the cache of a model: [`CacheSpec::bytes`], and at most 255 bytes more a plane to align the next.
    ///
    /// # Errors
    /// [`KvLayoutError`].
    pub fn new(layers: &[CacheLayer], spec: CacheSpec) -> Result<Self, KvLayoutError> {
        let CacheSpec { block_size, num_blocks, kv_type, .. } = spec;
        if block_size == 0 || num_blocks == 0 {
            return Err(KvLayoutError::Empty { num_blocks, block_size });
        }
        let layers_of_planes = Vec::with_capacity(layers.len());
        let mut layout = Self { spec, layers: layers_of_planes, planes: Vec::new(), bytes: 0, packed_bytes: 0 };
        for (layer, shape) in layers.iter().enumerate() {
            for (what, found) in [("key heads", shape.head_dim), ("value heads", shape.value_dim)] {
                if kv_type == KvType::Q8_0 && found % QUANT != 0 {
                    return Err(KvLayoutError::HeadNotDivisible { layer, what, found });
                }
            }
            layout.add(shape).ok_or(KvLayoutError::TooLarge { layer, num_blocks, block_size })?;
        }
        Ok(layout)
    }

    fn add(&mut self, shape: &CacheLayer) -> Option<()> {
        let rows = shape.num_kv_heads.checked_mul(self.spec.block_size)?;
        let _numbered: u32 = rows.checked_mul(self.spec.num_blocks)?.try_into().ok()?;
        let (element, scale) = match self.spec.kv_type {
            KvType::F32 => (4, 0),
            KvType::F16 | KvType::Bf16 => (2, 0),
            KvType::Q8_0 => (1, 2),
            KvType::F8E4M3 => (1, 0),
        };
        let (k, v) = (shape.head_dim, shape.value_dim);
        let of = |width: usize, bytes: usize| rows.checked_mul(width)?.checked_mul(bytes);
        let sizes = [of(k, element)?, of(v, element)?, of(k / QUANT, scale)?, of(v / QUANT, scale)?];
        let mut layer = [None; 4];
        for (index, block_bytes) in layer.iter_mut().zip(sizes).filter(|(_, bytes)| *bytes > 0) {
            let plane = block_bytes.checked_mul(self.spec.num_blocks)?.checked_next_multiple_of(PLANE_ALIGN)?;
            *index = Some(self.planes.len());
            let (offset, packed) = (self.bytes as u64, self.packed_bytes as u64);
            self.planes.push(CachePlane { offset, block_bytes: block_bytes as u64, packed });
            self.packed_bytes = self.packed_bytes.checked_add(block_bytes)?.checked_next_multiple_of(PACKED_ALIGN)?;
            self.bytes = self.bytes.checked_add(plane).filter(|&bytes| bytes <= isize::MAX as usize)?;
        }
        self.layers.push(layer);
        Some(())
    }

    /// What it was made for.
    pub fn spec(&self) -> CacheSpec {
        self.spec
    }

    /// Bytes of the allocation.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Bytes of one block with all its planes behind one another.
    pub fn packed_bytes(&self) -> usize {
        self.packed_bytes
    }

    /// All planes, for [`CopyBlocks`].
    pub fn planes(&self) -> &[CachePlane] {
        &self.planes
    }

    /// The addresses of a layer, in a cache that begins at `base` (a multiple of 256).
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn layer(&self, layer: usize, base: DevicePtr) -> KvLayer {
        let at = |plane: Option<usize>| plane.map_or(DevicePtr::NULL, |i| base.add(self.planes[i].offset as usize));
        let [k, v, k_scale, v_scale] = self.layers[layer].map(at);
        KvLayer { k, v, k_scale, v_scale }
    }
}

/// Cuts moves, which are in order, into runs of one kind in which nothing is written twice, nor read and written: the
/// moves of a run may be done at once.
pub fn independent_runs(moves: &[BlockMove]) -> impl Iterator<Item = &[BlockMove]> {
    let mut rest = moves;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let (mut read, mut written) = (HashSet::new(), HashSet::new());
        let mut fits = |moved: &BlockMove| {
            let (from, to) = from_and_to(*moved);
            let is_copy = matches!(moved, BlockMove::Copy { .. });
            let apart = !is_copy || (!written.contains(&from) && !read.contains(&to) && from != to);
            read.insert(from);
            discriminant(moved) == discriminant(first) && apart && written.insert(to)
        };
        let length = rest.iter().take_while(|moved| fits(moved)).count();
        let (run, behind) = rest.split_at(length.max(1));
        rest = behind;
        Some(run)
    })
}

/// What a move reads and writes: blocks or slots.
pub fn from_and_to(moved: BlockMove) -> (u32, u32) {
    match moved {
        BlockMove::Copy { from, to } => (from, to),
        BlockMove::Save { block, slot } => (block, slot),
        BlockMove::Load { slot, block } => (slot, block),
    }
}

/// The kernel of `kv/copy_blocks.hip`.
#[derive(Debug, Clone)]
pub struct CopyBlocks {
    kernel: Function,
}

/// Where blocks are.
#[derive(Debug, Clone, Copy)]
pub enum BlockPlace {
    /// In a cache that begins here.
    Cache(DevicePtr),
    /// Packed, one every [`KvLayout::packed_bytes`] from here on.
    Packed(DevicePtr),
}

/// Copies of whole blocks, in every plane of a cache.
#[derive(Debug, Clone, Copy)]
pub struct CopyBlocksCall<'a> {
    /// How a cache is laid out.
    pub layout: &'a KvLayout,
    /// [`KvLayout::planes`] on the device.
    pub planes: DevicePtr,
    /// What is read.
    pub from: BlockPlace,
    /// What is written.
    pub to: BlockPlace,
    /// u32 `[pairs, 2]`: from and to, of one of [`independent_runs`].
    pub pairs: DevicePtr,
    /// How many.
    pub pair_count: usize,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct CopyBlocksArgs {
    from: DevicePtr,
    to: DevicePtr,
    planes: DevicePtr,
    pairs: DevicePtr,
    from_stride: u64,
    to_stride: u64,
}

impl BlockPlace {
    fn address_and_stride(self, layout: &KvLayout) -> (DevicePtr, u64) {
        match self {
            Self::Cache(start) => (start, 0),
            Self::Packed(start) => (start, layout.packed_bytes() as u64),
        }
    }
}

impl CopyBlocks {
    /// Loads the kernel.
    ///
    /// # Errors
    /// As [`Kernels::function`].
    pub fn load(kernels: &Kernels) -> Result<Self, KernelError> {
        Ok(Self { kernel: kernels.function("kv/copy_blocks", "copy_blocks")? })
    }

    /// Enqueues copies that do not depend on one another.
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn run(&self, stream: &Stream, call: &CopyBlocksCall<'_>) -> Result<(), HipError> {
        /// Pairs of one launch: a grid has at most 65535 workgroups in z.
        const PAIRS: usize = 32768;
        let planes = call.layout.planes();
        let Some(largest_block) = planes.iter().map(|plane| plane.block_bytes as usize).max() else { return Ok(()) };
        let (from, from_stride) = call.from.address_and_stride(call.layout);
        let (to, to_stride) = call.to.address_and_stride(call.layout);
        for first in (0..call.pair_count).step_by(PAIRS) {
            let count = (call.pair_count - first).min(PAIRS);
            let pairs = call.pairs.add(first * 8);
            let args = CopyBlocksArgs { from, to, planes: call.planes, pairs, from_stride, to_stride };
            let chunks = blocks(largest_block, 4096 * 4);
            let grid = [chunks, blocks(planes.len(), 1), blocks(count, 1)];
            // SAFETY: the struct is the kernel's; the caller's tables name blocks and planes of the cache.
            unsafe { stream.launch(&self.kernel, Dims { grid, threads: THREADS, lds: 0 }, &args)? };
        }
        Ok(())
    }
}

/// The kernel of `kv/rope_write.hip`, for one type of cache.
#[derive(Debug, Clone)]
pub struct RopeWrite {
    kernel: Function,
}

/// What happens to each head of queries or keys: an RMS norm, then a rotation.
#[derive(Debug, Clone, Copy)]
pub struct HeadPrep {
    /// Radians per position of each pair, f32 `[pairs]`; null: no rotation.
    pub frequencies: DevicePtr,
    /// Rotated pairs; at most half the head.
    pub pairs: usize,
    /// Which dimensions form a pair.
    pub pairing: RopePairing,
    /// Factor of the rotated dimensions.
    pub magnitude: f32,
    /// Weight of the norm, f32 `[head_dim]`; null: no norm.
    pub norm: DevicePtr,
    /// Added to the mean square.
    pub eps: f32,
}

impl Default for HeadPrep {
    /// Heads are left as they are.
    fn default() -> Self {
        let none = DevicePtr::NULL;
        Self { frequencies: none, pairs: 0, pairing: RopePairing::Adjacent, magnitude: 1.0, norm: none, eps: 0.0 }
    }
}

impl HeadPrep {
    fn args(&self) -> SideArgs {
        SideArgs {
            frequencies: self.frequencies,
            norm: self.norm,
            pairs: if self.frequencies.is_null() { 0 } else { self.pairs as u32 },
            halves: u32::from(self.pairing == RopePairing::Halves),
            magnitude: self.magnitude,
            eps: self.eps,
        }
    }

    fn is_nothing(&self) -> bool {
        self.frequencies.is_null() && self.norm.is_null()
    }
}

/// One layer's queries, keys and values of a step.
#[derive(Debug, Clone, Copy)]
pub struct RopeWriteCall {
    /// f32 `[tokens, q_stride]`, each row `q_heads * head_dim` numbers; null: no queries.
    pub q: DevicePtr,
    /// Where the prepared queries go, f32 `[tokens, q_heads * head_dim]`; may be `q` (if that has no gaps).
    pub q_out: DevicePtr,
    /// f32 `[tokens, k_stride]`; null: no keys.
    pub k: DevicePtr,
    /// f32 `[tokens, v_stride]`; null: no values, as where values lie in keys.
    pub v: DevicePtr,
    /// Elements from one row of queries to the next.
    pub q_stride: usize,
    /// Elements from one row of keys to the next.
    pub k_stride: usize,
    /// Elements from one row of values to the next.
    pub v_stride: usize,
    /// The cache layer.
    pub cache: KvLayer,
    /// Tokens of a block.
    pub block_size: usize,
    /// u32 `[tokens]`.
    pub positions: DevicePtr,
    /// u32 `[tokens]`: block * block_size + offset, or `u32::MAX`: not cached.
    pub slots: DevicePtr,
    /// What is done to queries.
    pub q_prep: HeadPrep,
    /// What is done to keys.
    pub k_prep: HeadPrep,
    /// Tokens.
    pub tokens: usize,
    /// Query heads.
    pub q_heads: usize,
    /// Key/value heads.
    pub kv_heads: usize,
    /// Width of a query and key head.
    pub head_dim: usize,
    /// Width of a value head.
    pub value_dim: usize,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct SideArgs {
    frequencies: DevicePtr,
    norm: DevicePtr,
    pairs: u32,
    halves: u32,
    magnitude: f32,
    eps: f32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct RopeWriteArgs {
    q: DevicePtr,
    q_out: DevicePtr,
    k: DevicePtr,
    v: DevicePtr,
    k_cache: DevicePtr,
    v_cache: DevicePtr,
    k_scale: DevicePtr,
    v_scale: DevicePtr,
    positions: DevicePtr,
    slots: DevicePtr,
    q_side: SideArgs,
    k_side: SideArgs,
    q_heads: u32,
    kv_heads: u32,
    k_blocks: u32,
    block_size: u32,
    head_dim: u32,
    value_dim: u32,
    q_stride: u32,
    q_out_stride: u32,
    k_stride: u32,
    v_stride: u32,
}

impl RopeWrite {
    /// Loads the kernel.
    ///
    /// # Errors
    /// As [`Kernels::function`].
    pub fn load(kernels: &Kernels, kv_type: KvType) -> Result<Self, KernelError> {
        let module = format!("kv/rope_write_{}", slug(kv_type));
        Ok(Self { kernel: kernels.function(&module, "rope_write")? })
    }

    /// Enqueues norm, rotation and cache writes. A token's numbers do not depend on the other tokens.
    ///
    /// # Errors
    /// [`HipError::LengthMismatch`]: more pairs than a head has; else as [`Stream::launch`].
    pub fn run(&self, stream: &Stream, call: &RopeWriteCall) -> Result<(), HipError> {
        for prep in [call.q_prep, call.k_prep] {
            let (expected, found) = (call.head_dim as u64, 2 * prep.pairs as u64);
            if !prep.frequencies.is_null() && found > expected {
                return Err(HipError::LengthMismatch { what: "rotated dimensions of a head", expected, found });
            }
        }
        let (args, parts) = call.args();
        if call.tokens == 0 || parts == 0 {
            return Ok(());
        }
        let waves_rows = HEADS_A_BLOCK * (call.head_dim.max(call.value_dim) + 4);
        let tables = 2 * args.q_side.pairs.max(args.k_side.pairs) as usize;
        let lds = blocks(4 * (tables + waves_rows), 1);
        let dims = Dims { grid: [blocks(call.tokens, 1), blocks(parts, 1), 1], threads: THREADS, lds };
        // SAFETY: the struct is the kernel's; the caller's addresses hold the sizes of the call.
        unsafe { stream.launch(&self.kernel, dims, &args) }
    }
}

impl RopeWriteCall {
    /// The arguments, and how many workgroups a token takes.
    fn args(&self) -> (RopeWriteArgs, usize) {
        let stays = self.q_prep.is_nothing() && self.q == self.q_out;
        let has_q = !self.q.is_null() && !stays;
        let of = |has: bool, heads: usize| if has { heads.div_ceil(HEADS_A_BLOCK) } else { 0 };
        let k_blocks = of(!self.k.is_null(), self.kv_heads);
        let parts = of(has_q, self.q_heads) + k_blocks + of(!self.v.is_null(), self.kv_heads);
        let args = RopeWriteArgs {
            q: self.q,
            q_out: self.q_out,
            k: self.k,
            v: self.v,
            k_cache: self.cache.k,
            v_cache: self.cache.v,
            k_scale: self.cache.k_scale,
            v_scale: self.cache.v_scale,
            positions: self.positions,
            slots: self.slots,
            q_side: self.q_prep.args(),
            k_side: self.k_prep.args(),
            q_heads: if has_q { self.q_heads as u32 } else { 0 },
            kv_heads: self.kv_heads as u32,
            k_blocks: k_blocks as u32,
            block_size: self.block_size as u32,
            head_dim: self.head_dim as u32,
            value_dim: self.value_dim as u32,
            q_stride: self.q_stride as u32,
            q_out_stride: (self.q_heads * self.head_dim) as u32,
            k_stride: self.k_stride as u32,
            v_stride: self.v_stride as u32,
        };
        (args, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(num_kv_heads: usize, head_dim: usize, value_dim: usize) -> CacheLayer {
        CacheLayer { num_kv_heads, head_dim, value_dim, window: None }
    }

    #[test]
    fn the_layout_takes_what_was_planned_for() {
        let shapes = [shape(8, 128, 128), shape(2, 96, 64), shape(1, 576, 512)];
        for kv_type in KvType::ALL {
            let spec = CacheSpec { block_size: 16, num_blocks: 40, kv_type, host_slots: 0 };
            let layout = KvLayout::new(&shapes, spec).unwrap();
            let elements: usize = shapes.iter().map(CacheLayer::elements_per_token).sum();
            assert_eq!(layout.bytes(), kv_type.bytes(elements) * 640, "{kv_type}");
            let ends = layout.planes().iter().map(|p| p.offset + 40 * p.block_bytes);
            let starts = layout.planes().iter().map(|p| p.offset).skip(1).chain([layout.bytes() as u64]);
            assert!(ends.eq(starts), "planes follow one another");
            let layer = layout.layer(1, DevicePtr::NULL);
            assert!(layer.k_scale.is_null(), "the null base stays null: {layer:?}");
        }
    }

    #[test]
    fn what_cannot_be_laid_out_is_named() {
        let check = |shape: CacheLayer, spec: CacheSpec, message: &str| {
            assert_eq!(KvLayout::new(&[shape], spec).unwrap_err().to_string(), message);
        };
        let spec = |block_size, num_blocks, kv_type| CacheSpec { block_size, num_blocks, kv_type, host_slots: 0 };
        check(
            shape(1, 80, 64),
            spec(16, 1, KvType::Q8_0),
            "layer 0: key heads of 80 cannot be cached as q8_0, which needs a multiple of 32; use f16",
        );
        check(shape(1, 64, 64), spec(0, 1, KvType::F16), "a cache of 1 blocks of 0 tokens");
        check(
            shape(8, 64, 64),
            spec(16, 1 << 26, KvType::F16),
            "layer 0: a cache of 67108864 blocks of 16 tokens is too large",
        );
    }

    #[test]
    fn moves_that_depend_on_one_another_are_apart() {
        let check = |moves: &[BlockMove], lengths: &[usize]| {
            let runs: Vec<_> = independent_runs(moves).collect();
            assert_eq!(runs.iter().map(|run| run.len()).collect::<Vec<_>>(), lengths, "{moves:?}");
            assert_eq!(runs.concat(), moves);
        };
        let copies = |pairs: &[(u32, u32)], lengths: &[usize]| {
            let moves: Vec<_> = pairs.iter().map(|&(from, to)| BlockMove::Copy { from, to }).collect();
            check(&moves, lengths);
        };
        copies(&[], &[]);
        copies(&[(1, 2), (1, 3), (4, 5)], &[3]);
        copies(&[(1, 2), (2, 3)], &[1, 1]);
        copies(&[(1, 2), (3, 2), (5, 6)], &[1, 2]);
        copies(&[(1, 2), (3, 1)], &[1, 1]);
        copies(&[(7, 7), (7, 8)], &[1, 1]);
        let save = |block, slot| BlockMove::Save { block, slot };
        let load = |slot, block| BlockMove::Load { slot, block };
        check(&[save(1, 2), save(2, 1), save(3, 1)], &[2, 1]);
        check(&[load(1, 2), load(1, 1), load(0, 2)], &[2, 1]);
        check(&[save(0, 0), load(0, 1), BlockMove::Copy { from: 1, to: 0 }], &[1, 1, 1]);
    }
}
