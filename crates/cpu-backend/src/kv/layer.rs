//! One layer of the cache: where each number is, and how it is written.

use half::f16;
use rocmforge_program::CacheLayer;
use rocmforge_program::backend::{BlockMove, CacheSpec, KvType};

use super::memory::Memory;
use super::small::{from_bf16, from_e4m3, to_bf16, to_e4m3};
use super::{GROUP, KvError, too_large};
use crate::elementwise::Isa;
use crate::elementwise::lanes::{Kernel, LANES, Lanes};

/// Elements of a q8_0 block.
const QUANT: usize = 32;

/// One layer: shape, strides in bytes, memory.
#[derive(Debug)]
pub(crate) struct Layer {
    pub shape: CacheLayer,
    pub kv_type: KvType,
    /// Elements from one value row to the next.
    pub pitch: usize,
    /// Bytes of the keys of one head in a group.
    pub key_group: usize,
    /// Bytes of the values of one head in a group.
    pub value_group: usize,
    /// Groups of a block.
    groups: usize,
    num_blocks: usize,
    memory: Memory,
    /// Blocks as in `memory`, for the time in which they are not used.
    host: Memory,
}

impl Layer {
    /// Allocates a layer, the `index`-th of a cache of `total_bytes`.
    pub fn new(index: usize, shape: &CacheLayer, spec: CacheSpec, total_bytes: usize) -> Result<Self, KvError> {
        let Strides { pitch, key_group, value_group } = Strides::of(index, shape, spec)?;
        let layer_bytes = Self::bytes_needed(index, shape, spec)?;
        let host_bytes = Self::bytes_needed(index, shape, CacheSpec { num_blocks: spec.host_slots, ..spec })?;
        let zeroed =
            |bytes| Memory::zeroed(bytes).ok_or(KvError::OutOfMemory { layer: index, layer_bytes, total_bytes });
        Ok(Self {
            shape: shape.clone(),
            kv_type: spec.kv_type,
            pitch,
            key_group,
            value_group,
            groups: spec.block_size.div_ceil(GROUP),
            num_blocks: spec.num_blocks,
            memory: zeroed(layer_bytes)?,
            host: zeroed(host_bytes)?,
        })
    }

    /// Bytes that [`Layer::new`] would allocate.
    pub fn bytes_needed(index: usize, shape: &CacheLayer, spec: CacheSpec) -> Result<usize, KvError> {
        Strides::of(index, shape, spec)?.layer_bytes(shape, spec).ok_or_else(|| too_large(spec))
    }

    /// Moves a block.
    ///
    /// # Panics
    /// If there is no such block or slot.
    pub fn move_block(&mut self, moved: BlockMove) {
        let bytes = self.block_bytes();
        let range = |index: u32| index as usize * bytes..(index as usize + 1) * bytes;
        let (blocks, host) = (self.memory.bytes_mut(), self.host.bytes_mut());
        match moved {
            BlockMove::Copy { from, to } => blocks.copy_within(range(from), range(to).start),
            BlockMove::Save { block, slot } => host[range(slot)].copy_from_slice(&blocks[range(block)]),
            BlockMove::Load { slot, block } => blocks[range(block)].copy_from_slice(&host[range(slot)]),
        }
    }

    /// Sets every byte.
    pub fn fill(&mut self, byte: u8) {
        self.memory.bytes_mut().fill(byte);
    }

    fn head_bytes(&self) -> usize {
        self.groups * (self.key_group + self.value_group)
    }

    fn block_bytes(&self) -> usize {
        self.shape.num_kv_heads * self.head_bytes()
    }

    /// Keys of a group of a block and head.
    ///
    /// # Panics
    /// If there is no such group.
    #[inline]
    pub fn keys(&self, block: u32, head: usize, group: usize) -> *const u8 {
        self.memory.at(self.offset(block, head) + group * self.key_group)
    }

    /// Values of a group of a block and head.
    ///
    /// # Panics
    /// If there is no such group.
    #[inline]
    pub fn values(&self, block: u32, head: usize, group: usize) -> *const u8 {
        self.memory.at(self.offset(block, head) + self.groups * self.key_group + group * self.value_group)
    }

    #[inline]
    fn offset(&self, block: u32, head: usize) -> usize {
        let block = block as usize;
        assert!(block < self.num_blocks && head < self.shape.num_kv_heads, "block {block} or head {head}");
        block * self.block_bytes() + head * self.head_bytes()
    }
}

impl Layer {
    /// Writes one head of one token.
    ///
    /// # Safety
    /// Nothing else touches this head meanwhile, and the layer is not shared for reading.
    pub unsafe fn put(&self, isa: Isa, block: u32, offset: usize, head: usize, k: &[f32], v: &[f32]) {
        let (group, lane) = (offset / GROUP, offset % GROUP);
        assert!(group < self.groups && k.len() == self.shape.head_dim && v.len() == self.shape.value_dim);
        let (keys, values) = (self.keys(block, head, group).cast_mut(), self.values(block, head, group).cast_mut());
        isa.run(Put { kv_type: self.kv_type, pitch: self.pitch, keys, values, lane, k, v });
    }

    /// Whether no vector instruction expands the type, so that numbers are read one by one.
    pub fn one_by_one(&self) -> bool {
        matches!(self.kv_type, KvType::Bf16 | KvType::F8E4M3)
    }

    /// One key of a group as numbers, `stride` apart.
    ///
    /// # Safety
    /// `group` is a key group of this layer, `lane` below 16, `out` takes `head_dim` numbers.
    pub unsafe fn read_key(&self, group: *const u8, lane: usize, out: *mut f32, stride: usize) {
        let scales = self.shape.head_dim / QUANT * GROUP * 2;
        for i in 0..self.shape.head_dim {
            // SAFETY: element `i` of lane `lane` is within the group, by the module's table.
            unsafe {
                let x = match self.kv_type {
                    KvType::F32 => group.cast::<f32>().add(i * GROUP + lane).read_unaligned(),
                    KvType::F16 => half(group, i * GROUP + lane),
                    KvType::Bf16 => from_bf16(group.cast::<u16>().add(i * GROUP + lane).read_unaligned()),
                    KvType::F8E4M3 => from_e4m3(group.add(i * GROUP + lane).read()),
                    KvType::Q8_0 => {
                        let byte = group.add(scales + i * GROUP + lane).cast::<i8>().read();
                        f32::from(byte) * half(group, i / QUANT * GROUP + lane)
                    }
                };
                out.add(i * stride).write(x);
            }
        }
    }

    /// One value of a group as numbers.
    ///
    /// # Safety
    /// `group` is a value group of this layer, `lane` below 16, `out` takes `value_dim` numbers.
    pub unsafe fn read_value(&self, group: *const u8, lane: usize, out: *mut f32) {
        let per_token = self.pitch / QUANT;
        for i in 0..self.shape.value_dim {
            // SAFETY: element `i` of lane `lane` is within the group, by the module's table.
            unsafe {
                let at = lane * self.pitch + i;
                let x = match self.kv_type {
                    KvType::F32 => group.cast::<f32>().add(at).read_unaligned(),
                    KvType::F16 => half(group, at),
                    KvType::Bf16 => from_bf16(group.cast::<u16>().add(at).read_unaligned()),
                    KvType::F8E4M3 => from_e4m3(group.add(at).read()),
                    KvType::Q8_0 => {
                        let byte = group.add(per_token * GROUP * 2 + at).cast::<i8>().read();
                        f32::from(byte) * half(group, lane * per_token + i / QUANT)
                    }
                };
                out.add(i).write(x);
            }
        }
    }
}

/// # Safety
/// There is an f16 at index `i` from `at`.
unsafe fn half(at: *const u8, i: usize) -> f32 {
    // SAFETY: as promised by the caller.
    f16::from_bits(unsafe { at.cast::<u16>().add(i).read_unaligned() }).to_f32()
}

/// Writes one head of one token into its groups.
struct Put<'a> {
    kv_type: KvType,
    pitch: usize,
    keys: *mut u8,
    values: *mut u8,
    lane: usize,
    k: &'a [f32],
    v: &'a [f32],
}

impl Kernel for Put<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // SAFETY: `Layer::put` gave two whole groups, a lane below 16 and heads of the layer's widths.
        unsafe {
            match self.kv_type {
                KvType::F32 => self.each(|x| x),
                KvType::F16 => self.halves::<L>(),
                KvType::Bf16 => self.each(to_bf16),
                KvType::F8E4M3 => self.each(to_e4m3),
                KvType::Q8_0 => self.bytes(),
            }
        }
    }
}

impl Put<'_> {
    #[inline(always)]
    unsafe fn each<T>(&self, convert: impl Fn(f32) -> T) {
        // SAFETY: as in `run`; elements are as wide as `T`.
        unsafe {
            let keys = self.keys.cast::<T>().add(self.lane);
            for (i, &x) in self.k.iter().enumerate() {
                keys.add(i * GROUP).write_unaligned(convert(x));
            }
            let values = self.values.cast::<T>().add(self.lane * self.pitch);
            for i in 0..self.pitch {
                values.add(i).write_unaligned(convert(self.v.get(i).copied().unwrap_or(0.0)));
            }
        }
    }

    #[inline(always)]
    unsafe fn halves<L: Lanes>(&self) {
        // SAFETY: as in `run`; value rows are padded to whole vectors.
        unsafe {
            let keys = self.keys.cast::<u16>().add(self.lane);
            for start in (0..self.k.len()).step_by(LANES) {
                let row = saturated::<L>(self.k, start);
                for (i, &x) in row.iter().enumerate().take(self.k.len() - start) {
                    keys.add((start + i) * GROUP).write_unaligned(x);
                }
            }
            let values = self.values.cast::<u16>().add(self.lane * self.pitch);
            for start in (0..self.v.len()).step_by(LANES) {
                values.add(start).cast::<[u16; LANES]>().write_unaligned(saturated::<L>(self.v, start));
            }
        }
    }

    #[inline(always)]
    unsafe fn bytes(&self) {
        // SAFETY: as in `run`; widths are multiples of 32.
        unsafe {
            let scales = self.keys.cast::<u16>().add(self.lane);
            let bytes = self.keys.add(self.k.len() / QUANT * GROUP * 2 + self.lane);
            for (b, x) in self.k.chunks_exact(QUANT).enumerate() {
                let (scale, quants) = quantize(x);
                scales.add(b * GROUP).write_unaligned(scale);
                for (i, q) in quants.into_iter().enumerate() {
                    bytes.add((b * QUANT + i) * GROUP).write(q.cast_unsigned());
                }
            }
            let per_token = self.pitch / QUANT;
            let scales = self.values.cast::<u16>().add(self.lane * per_token);
            let bytes = self.values.add(per_token * GROUP * 2 + self.lane * self.pitch);
            for (b, x) in self.v.chunks_exact(QUANT).enumerate() {
                let (scale, quants) = quantize(x);
                scales.add(b).write_unaligned(scale);
                bytes.add(b * QUANT).cast::<[i8; QUANT]>().write(quants);
            }
        }
    }
}

/// Up to 16 numbers from `start` as f16, finite ones within its range; zeros behind the end.
#[inline(always)]
unsafe fn saturated<L: Lanes>(x: &[f32], start: usize) -> [u16; LANES] {
    const LARGEST: f32 = 65504.0;
    let mut out = [0; LANES];
    let here = x.len() - start;
    // SAFETY: the slice has `here` numbers from `start`; the caller has the instructions.
    unsafe {
        let at = x.as_ptr().add(start);
        let v = if here >= LANES { L::load(at) } else { L::load_part(at, here) };
        L::store_half(out.as_mut_ptr(), L::min(L::splat(LARGEST), L::max(L::splat(-LARGEST), v)));
    }
    out
}

/// Q8_0 of 32 numbers: f16 scale and signed bytes. A NaN makes the scale NaN, so that it shows.
#[inline(always)]
fn quantize(x: &[f32]) -> (u16, [i8; QUANT]) {
    let mut largest = 0f32;
    let mut nan = false;
    for &x in x {
        let a = x.abs();
        nan |= a.is_nan();
        largest = if a > largest { a } else { largest };
    }
    if nan {
        return (f16::NAN.to_bits(), [1; QUANT]);
    }
    let scale = largest.min(65504.0 * 127.0) / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut quants = [0; QUANT];
    for (q, &x) in quants.iter_mut().zip(x) {
        // The cast saturates.
        *q = (x * inverse).round().clamp(-127.0, 127.0) as i8;
    }
    (f16::from_f32(scale).to_bits(), quants)
}

/// Sizes of a layer before it exists.
struct Strides {
    pitch: usize,
    key_group: usize,
    value_group: usize,
}

impl Strides {
    fn of(layer: usize, shape: &CacheLayer, spec: CacheSpec) -> Result<Self, KvError> {
        let quantized = spec.kv_type == KvType::Q8_0;
        for (what, found) in [("key heads", shape.head_dim), ("value heads", shape.value_dim)] {
            if quantized && found % QUANT != 0 {
                return Err(KvError::HeadNotDivisible { layer, what, found });
            }
        }
        let widest = usize::MAX / 16 / GROUP;
        if shape.head_dim > widest || shape.value_dim > widest {
            return Err(too_large(spec));
        }
        let pitch = shape.value_dim.next_multiple_of(LANES);
        let group = |width: usize| spec.kv_type.bytes(GROUP * width);
        Ok(Self { pitch, key_group: group(shape.head_dim), value_group: group(pitch) })
    }

    fn layer_bytes(&self, shape: &CacheLayer, spec: CacheSpec) -> Option<usize> {
        self.key_group
            .checked_add(self.value_group)?
            .checked_mul(spec.block_size.div_ceil(GROUP))?
            .checked_mul(shape.num_kv_heads)?
            .checked_mul(spec.num_blocks)
            .filter(|&bytes| bytes <= isize::MAX as usize)
    }
}
