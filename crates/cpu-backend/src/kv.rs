//! The paged cache of keys and values, laid out for the attention kernels of [`flash`](crate::flash).
//!
//! Each layer is one allocation of blocks; a block holds for each key/value head its keys, then its values, so that
//! one head's share of a block is contiguous. Tokens of a block come in groups of [`GROUP`]. For a group of a head of
//! `d` dimensions:
//!
//! | | keys | values |
//! |---|---|---|
//! | f32, f16, bf16, f8 | `[d][16 tokens]` | `[16 tokens][d rounded up to 16]` |
//! | q8_0 | f16 scales `[d / 32][16 tokens]`, then bytes `[d][16 tokens]` | f16 scales `[16 tokens][d / 32]`, then bytes `[16 tokens][d]` |
//!
//! Keys lie across, so that a dot product with sixteen keys needs no sum over the lanes of a register.

mod layer;
mod memory;
mod small;

use rocmforge_program::CacheLayer;
use rocmforge_program::backend::{BlockMove, CacheSpec, StepSequence};

use crate::elementwise::Isa;
use crate::elementwise::lanes::LANES;
use crate::pool::Pool;

pub(crate) use layer::Layer;
pub(crate) use small::{from_bf16, from_e4m3, to_bf16, to_e4m3};

/// Tokens that are laid out together: a block is padded to a multiple of this.
pub const GROUP: usize = LANES;

/// Why a cache cannot be made or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KvError {
    /// Blocks without tokens.
    #[error("a cache of blocks of 0 tokens")]
    EmptyBlocks,
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
    /// The size in bytes is not a number this machine has.
    #[error("a cache of {num_blocks} blocks of {block_size} tokens is larger than any address space")]
    TooLarge {
        /// Blocks asked for.
        num_blocks: usize,
        /// Tokens of a block.
        block_size: usize,
    },
    /// The system refuses the memory.
    #[error("no memory for layer {layer} of the cache: {layer_bytes} bytes, of {total_bytes} in all")]
    OutOfMemory {
        /// Cache layer.
        layer: usize,
        /// Bytes of that layer.
        layer_bytes: usize,
        /// Bytes of the whole cache.
        total_bytes: usize,
    },
    /// The system refuses the room that attention computes in.
    #[error("no memory for the scratch of attention: {bytes} bytes")]
    NoScratch {
        /// Bytes asked for; `usize::MAX` where the number is larger.
        bytes: usize,
    },
    /// A host slot that the cache does not have.
    #[error("host slot {slot} of a cache with {host_slots}")]
    NoSuchSlot {
        /// Slot asked for.
        slot: u32,
        /// Slots there are.
        host_slots: usize,
    },
    /// A block that the cache does not have.
    #[error("block {block} of a cache of {num_blocks}")]
    NoSuchBlock {
        /// Block asked for.
        block: u32,
        /// Blocks there are.
        num_blocks: usize,
    },
}

fn too_large(spec: CacheSpec) -> KvError {
    KvError::TooLarge { num_blocks: spec.num_blocks, block_size: spec.block_size }
}

/// Keys and values of all layers of a model.
#[derive(Debug)]
pub struct KvCache {
    spec: CacheSpec,
    layers: Vec<Layer>,
}

impl KvCache {
    /// Allocates the cache of a model. Pages are zero, and cost nothing before they are first used.
    ///
    /// # Errors
    /// [`KvError::HeadNotDivisible`] for q8_0; sizes that overflow or that the system refuses.
    pub fn new(layers: &[CacheLayer], spec: CacheSpec) -> Result<Self, KvError> {
        if spec.block_size == 0 {
            return Err(KvError::EmptyBlocks);
        }
        let total_bytes = Self::bytes_needed(layers, spec)?;
        let layers = layers.iter().enumerate().map(|(index, shape)| Layer::new(index, shape, spec, total_bytes));
        Ok(Self { spec, layers: layers.collect::<Result<_, _>>()? })
    }

    /// Bytes that [`KvCache::new`] would allocate, host slots aside: those of [`CacheSpec::bytes`], if blocks are
    /// multiples of [`GROUP`] and value heads of 16.
    ///
    /// # Errors
    /// As [`KvCache::new`], the allocation itself aside.
    pub fn bytes_needed(layers: &[CacheLayer], spec: CacheSpec) -> Result<usize, KvError> {
        layers.iter().enumerate().try_fold(0usize, |sum, (index, shape)| {
            let bytes = Layer::bytes_needed(index, shape, spec)?;
            sum.checked_add(bytes).filter(|&sum| sum <= isize::MAX as usize).ok_or_else(|| too_large(spec))
        })
    }

    /// Its size.
    pub fn spec(&self) -> CacheSpec {
        self.spec
    }

    pub(crate) fn layer(&self, layer: usize) -> &Layer {
        &self.layers[layer]
    }

    /// Keeps the key and value of one token: `[num_kv_heads * head_dim]` and `[num_kv_heads * value_dim]`.
    ///
    /// Numbers beyond the range of f16 become its largest finite ones; NaN stays, and in q8_0 spoils its 32.
    ///
    /// # Panics
    /// If the layer, block, offset or the widths are not the cache's.
    pub fn write(&mut self, isa: Isa, layer: usize, block: u32, offset: usize, k: &[f32], v: &[f32]) {
        let layer = &mut self.layers[layer];
        assert!(offset < self.spec.block_size, "offset {offset} in a block of {}", self.spec.block_size);
        let CacheLayer { num_kv_heads, head_dim, value_dim, .. } = layer.shape;
        assert!(k.len() == num_kv_heads * head_dim && v.len() == num_kv_heads * value_dim, "a whole row");
        for head in 0..num_kv_heads {
            let (k, v) = (&k[head * head_dim..][..head_dim], &v[head * value_dim..][..value_dim]);
            // SAFETY: the layer is borrowed mutably.
            unsafe { layer.put(isa, block, offset, head, k, v) };
        }
    }

    /// Keeps the keys and values of a step's tokens, `[T, num_kv_heads * head_dim]` and `[T, num_kv_heads *
    /// value_dim]`. Threads share the heads.
    ///
    /// # Panics
    /// If the slices do not have the step's tokens, or a block table is too short or names a block that is not there.
    pub fn write_step(
        &mut self,
        isa: Isa,
        pool: &Pool,
        layer: usize,
        sequences: &[StepSequence],
        k: &[f32],
        v: &[f32],
    ) {
        let block_size = self.spec.block_size;
        let layer = &self.layers[layer];
        let CacheLayer { num_kv_heads, head_dim, value_dim, .. } = layer.shape;
        let tokens: usize = sequences.iter().map(|s| s.num_tokens).sum();
        let (k_width, v_width) = (num_kv_heads * head_dim, num_kv_heads * value_dim);
        assert!(k.len() == tokens * k_width && v.len() == tokens * v_width, "a row for each of {tokens} tokens");
        // A few tokens are written in less time than it takes to wake a thread.
        let chunk = if tokens < 8 { num_kv_heads } else { 1 };
        pool.for_each_chunk(num_kv_heads, chunk, |heads| {
            for head in heads {
                let mut row = 0;
                for sequence in sequences {
                    for position in sequence.first_position()..sequence.context_len {
                        let k = &k[row * k_width + head * head_dim..][..head_dim];
                        let v = &v[row * v_width + head * value_dim..][..value_dim];
                        let block = sequence.block_table[position / block_size];
                        // SAFETY: the cache is borrowed mutably, and each head's bytes are written by one thread.
                        unsafe { layer.put(isa, block, position % block_size, head, k, v) };
                        row += 1;
                    }
                }
            }
        });
    }

    /// Moves a block in every layer.
    ///
    /// # Errors
    /// [`KvError::NoSuchBlock`], [`KvError::NoSuchSlot`].
    pub fn move_block(&mut self, moved: BlockMove) -> Result<(), KvError> {
        let CacheSpec { num_blocks, host_slots, .. } = self.spec;
        let (blocks, slot) = match moved {
            BlockMove::Copy { from, to } => ([Some(from), Some(to)], None),
            BlockMove::Save { block, slot } | BlockMove::Load { slot, block } => ([Some(block), None], Some(slot)),
        };
        if let Some(block) = blocks.into_iter().flatten().find(|&block| block as usize >= num_blocks) {
            return Err(KvError::NoSuchBlock { block, num_blocks });
        }
        if let Some(slot) = slot.filter(|&slot| slot as usize >= host_slots) {
            return Err(KvError::NoSuchSlot { slot, host_slots });
        }
        self.layers.iter_mut().for_each(|layer| layer.move_block(moved));
        Ok(())
    }

    /// Fills the whole cache with NaN, so that a test notices what is read before it is written.
    pub fn poison(&mut self) {
        for layer in &mut self.layers {
            // All ones is a NaN in f32, in f16, and as the scale of a q8_0 block.
            layer.fill(0xff);
        }
    }

    /// The cached key of one head of a token, as numbers, into `out` `[head_dim]`.
    ///
    /// # Panics
    /// If the layer, block, offset, head or width are not the cache's.
    pub fn read_key(&self, layer: usize, block: u32, offset: usize, head: usize, out: &mut [f32]) {
        let layer = self.layer(layer);
        assert!(offset < self.spec.block_size && out.len() == layer.shape.head_dim, "offset {offset}");
        let group = layer.keys(block, head, offset / GROUP);
        // SAFETY: the group is there, the lane is below 16 and `out` is a head wide.
        unsafe { layer.read_key(group, offset % GROUP, out.as_mut_ptr(), 1) };
    }

    /// The cached value of one head of a token, as numbers, into `out` `[value_dim]`.
    ///
    /// # Panics
    /// As [`KvCache::read_key`].
    pub fn read_value(&self, layer: usize, block: u32, offset: usize, head: usize, out: &mut [f32]) {
        let layer = self.layer(layer);
        assert!(offset < self.spec.block_size && out.len() == layer.shape.value_dim, "offset {offset}");
        let group = layer.values(block, head, offset / GROUP);
        // SAFETY: the group is there, the lane is below 16 and `out` is a head wide.
        unsafe { layer.read_value(group, offset % GROUP, out.as_mut_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use half::f16;
    use rocmforge_program::backend::KvType;

    use super::*;

    fn layer(num_kv_heads: usize, head_dim: usize, value_dim: usize) -> CacheLayer {
        CacheLayer { num_kv_heads, head_dim, value_dim, window: None }
    }

    fn spec(block_size: usize, num_blocks: usize, kv_type: KvType) -> CacheSpec {
        CacheSpec { block_size, num_blocks, kv_type, host_slots: 0 }
    }

    fn noise(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
    }

    /// What a type keeps of a row.
    fn kept(kv_type: KvType, row: &[f32]) -> Vec<f32> {
        match kv_type {
            KvType::F32 => row.to_vec(),
            KvType::F16 => row.iter().map(|&x| f16::from_f32(x).to_f32()).collect(),
            KvType::Bf16 => row.iter().map(|&x| half::bf16::from_f32(x).to_f32()).collect(),
            KvType::F8E4M3 => row.iter().map(|&x| from_e4m3(to_e4m3(x))).collect(),
            KvType::Q8_0 => row
                .chunks(32)
                .flat_map(|x| {
                    let scale = x.iter().fold(0f32, |m, x| m.max(x.abs())) / 127.0;
                    let inverse = 1.0 / scale;
                    x.iter().map(move |x| (x * inverse).round() * f16::from_f32(scale).to_f32())
                })
                .collect(),
        }
    }

    #[test]
    fn rows_come_back_from_every_type_and_block_size() {
        let pool = Pool::new(2).unwrap();
        for isa in Isa::available() {
            for (kv_type, block_size, (heads, head_dim, value_dim)) in [
                (KvType::F32, 16, (2, 64, 64)),
                (KvType::F32, 5, (3, 7, 9)),
                (KvType::F16, 16, (2, 80, 80)),
                (KvType::F16, 32, (1, 20, 33)),
                (KvType::F16, 24, (2, 96, 48)),
                (KvType::Bf16, 16, (2, 64, 80)),
                (KvType::Bf16, 5, (1, 20, 33)),
                (KvType::F8E4M3, 32, (2, 96, 48)),
                (KvType::F8E4M3, 24, (1, 7, 9)),
                (KvType::Q8_0, 16, (2, 64, 96)),
                (KvType::Q8_0, 40, (1, 32, 160)),
            ] {
                let shapes = [layer(1, 32, 32), layer(heads, head_dim, value_dim)];
                let mut cache = KvCache::new(&shapes, spec(block_size, 7, kv_type)).unwrap();
                cache.poison();
                let sequences = [
                    StepSequence { num_tokens: 3, context_len: 3, block_table: vec![6] },
                    StepSequence { num_tokens: 20, context_len: block_size + 21, block_table: vec![2, 0, 4, 3, 1, 5] },
                ];
                let (k, v) = (noise(23 * heads * head_dim, 1), noise(23 * heads * value_dim, 2));
                cache.write_step(isa, &pool, 1, &sequences, &k, &v);
                cache.write(isa, 1, 6, 2, &k[..heads * head_dim], &v[..heads * value_dim]);
                let mut row = 0;
                for s in &sequences {
                    for p in s.first_position()..s.context_len {
                        let source = if row == 2 { 0 } else { row };
                        let (block, offset) = (s.block_table[p / block_size], p % block_size);
                        for head in 0..heads {
                            let (mut key, mut value) = (vec![0.0; head_dim], vec![0.0; value_dim]);
                            cache.read_key(1, block, offset, head, &mut key);
                            cache.read_value(1, block, offset, head, &mut value);
                            let k = &k[(source * heads + head) * head_dim..][..head_dim];
                            let v = &v[(source * heads + head) * value_dim..][..value_dim];
                            assert_eq!((key, value), (kept(kv_type, k), kept(kv_type, v)), "{isa} {kv_type} {row}");
                        }
                        row += 1;
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_are_copied_in_all_layers() {
        let shapes = [layer(1, 8, 8), layer(2, 16, 8)];
        let mut cache = KvCache::new(&shapes, spec(4, 3, KvType::F16)).unwrap();
        for (l, shape) in shapes.iter().enumerate() {
            let k = noise(shape.num_kv_heads * shape.head_dim, 3);
            cache.write(Isa::best(), l, 1, 2, &k, &vec![l as f32 + 1.0; shape.num_kv_heads * 8]);
        }
        cache.move_block(BlockMove::Copy { from: 1, to: 2 }).unwrap();
        cache.move_block(BlockMove::Copy { from: 0, to: 1 }).unwrap();
        let mut value = vec![0.0; 8];
        for l in 0..2 {
            cache.read_value(l, 2, 2, 0, &mut value);
            assert_eq!(value, [l as f32 + 1.0; 8]);
            cache.read_value(l, 1, 2, 0, &mut value);
            assert_eq!(value, [0.0; 8]);
        }
        assert_eq!(
            cache.move_block(BlockMove::Copy { from: 0, to: 3 }),
            Err(KvError::NoSuchBlock { block: 3, num_blocks: 3 })
        );
    }

    #[test]
    fn sizes_that_cannot_be_are_errors() {
        let check = |shape: CacheLayer, spec: CacheSpec, message: &str| {
            assert_eq!(KvCache::new(&[shape], spec).unwrap_err().to_string(), message);
        };
        check(
            layer(1, 80, 64),
            spec(16, 1, KvType::Q8_0),
            "layer 0: key heads of 80 cannot be cached as q8_0, which needs a multiple of 32; use f16",
        );
        check(layer(1, 64, 64), spec(0, 1, KvType::F16), "a cache of blocks of 0 tokens");
        check(
            layer(1, 64, 64),
            spec(16, usize::MAX / 64, KvType::F16),
            &format!("a cache of {} blocks of 16 tokens is larger than any address space", usize::MAX / 64),
        );
        let huge = 1 << 50;
        check(
            layer(1, 64, 64),
            spec(16, huge / (16 * 256), KvType::F16),
            &format!("no memory for layer 0 of the cache: {huge} bytes, of {huge} in all"),
        );
        assert!(KvCache::new(&[layer(usize::MAX, 64, usize::MAX)], spec(16, 1, KvType::F16)).is_err());
    }

    #[test]
    fn bytes_are_those_planned_for() {
        for kv_type in KvType::ALL {
            let shapes = [layer(4, 128, 64), layer(1, 96, 96)];
            let elements: usize = shapes.iter().map(CacheLayer::elements_per_token).sum();
            let needed = KvCache::bytes_needed(&shapes, spec(32, 10, kv_type)).unwrap();
            assert_eq!(needed, kv_type.bytes(elements) * 320);
        }
    }

    #[test]
    fn range_is_kept_and_nan_shows() {
        for isa in Isa::available() {
            for (kv_type, bound) in [(KvType::F16, 65504.0), (KvType::Q8_0, 65504.0 * 127.0), (KvType::F8E4M3, 448.0)] {
                let mut cache = KvCache::new(&[layer(1, 32, 32)], spec(16, 1, kv_type)).unwrap();
                let mut row = [0.5; 32];
                row[3] = 3e9;
                cache.write(isa, 0, 0, 0, &row, &row);
                let mut out = [0.0; 32];
                cache.read_key(0, 0, 0, 0, &mut out);
                assert_eq!(out[3], bound);
                row[3] = f32::NAN;
                cache.write(isa, 0, 0, 1, &row, &row);
                cache.read_value(0, 0, 1, 0, &mut out);
                assert!(out[3].is_nan());
                cache.read_value(0, 0, 0, 0, &mut out);
                assert_eq!(out[3], bound, "neighbours are not touched");
            }
        }
    }
}
