//! A paged cache on the device, with texts in it whose blocks are shuffled.

use half::{bf16, f16};
use rocmforge_attention::{AttentionSpec, reference};
use rocmforge_hip_backend::driver::{Buffer, DevicePtr, read};
use rocmforge_hip_backend::ops::{AttentionCall, FormPtrs, HeadPrep, KvLayout, RopeWrite, RopeWriteCall};
use rocmforge_program::CacheLayer;
use rocmforge_program::backend::{CacheSpec, KvType};

use crate::rig::{Noise, Rig};

/// Slot and row of nothing.
pub const NONE: u32 = u32::MAX;

/// A text: its last `new` tokens are the queries.
pub struct Text {
    pub context: usize,
    pub new: usize,
    pub blocks: Vec<u32>,
    pub q: Vec<f32>,
    pub k: Vec<f32>,
    pub v: Vec<f32>,
}

/// What one layer attends to.
pub struct World {
    pub spec: AttentionSpec,
    pub kv_type: KvType,
    pub block_size: usize,
    pub texts: Vec<Text>,
    pub sinks: Option<Vec<f32>>,
    /// Values are the first columns of keys.
    pub value_in_key: bool,
    layout: KvLayout,
}

/// The world on a device.
pub struct Placed {
    pub cache: Buffer,
    pub q: Buffer,
    pub query_context: Buffer,
    pub token_seq: Buffer,
    pub context_len: Buffer,
    pub query_start: Buffer,
    pub tables: Buffer,
    pub sinks: Option<Buffer>,
    pub scratch: Buffer,
    pub table_stride: usize,
}

impl World {
    /// `texts`: context and queries of each.
    pub fn new(spec: AttentionSpec, kv_type: KvType, block_size: usize, texts: &[(usize, usize)], seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        let num_blocks: usize = texts.iter().map(|t| t.0.div_ceil(block_size)).sum::<usize>() + 3;
        // A step coprime to the number of blocks visits each once.
        let step = (num_blocks / 2..).find(|s| s % 2 == 1 && gcd(*s, num_blocks) == 1).unwrap_or(1);
        let mut order = (0..num_blocks).map(|i| ((i * step + 1) % num_blocks) as u32);
        let texts = texts.iter().map(|&(context, new)| Text {
            context,
            new,
            blocks: order.by_ref().take(context.div_ceil(block_size)).collect(),
            q: noise.f32s(new * spec.query_width(), 1.0, 0.0),
            k: noise.f32s(context * spec.key_width(), 1.0, 0.0),
            v: noise.f32s(context * spec.value_width(), 1.0, 0.0),
        });
        let texts = texts.collect();
        let layer = CacheLayer {
            num_kv_heads: spec.num_kv_heads,
            head_dim: spec.head_dim,
            value_dim: spec.value_dim,
            window: spec.window,
        };
        let layout = KvLayout::new(&[layer], CacheSpec { block_size, num_blocks, kv_type, host_slots: 0 })
            .expect("it can be laid out");
        Self { spec, kv_type, block_size, texts, sinks: None, value_in_key: false, layout }
    }

    pub fn with_sinks(mut self) -> Self {
        self.sinks = Some((0..self.spec.num_heads).map(|h| h as f32 * 0.7 - 1.0).collect());
        self
    }

    pub fn queries(&self) -> usize {
        self.texts.iter().map(|t| t.new).sum()
    }

    pub fn max_context(&self) -> usize {
        self.texts.iter().map(|t| t.context).max().unwrap_or(1)
    }

    /// Writes all keys and values, with some padding between, and uploads what a step needs.
    pub fn place(&self, rig: &Rig, scratch_bytes: usize) -> Placed {
        let cache = rig.room::<u8>(self.layout.bytes());
        self.fill(rig, &cache);
        let spec = &self.spec;
        let table_stride = self.max_context().div_ceil(self.block_size) + 1;
        let (mut q, mut query_context, mut token_seq) = (vec![], vec![], vec![]);
        let (mut query_start, mut tables) = (vec![0u32], vec![]);
        for (i, text) in self.texts.iter().enumerate() {
            q.extend_from_slice(&text.q);
            query_context.extend((text.context - text.new..text.context).map(|p| p as u32 + 1));
            token_seq.extend(vec![i as u32; text.new]);
            query_start.push(q.len() as u32 / spec.query_width() as u32);
            tables.extend_from_slice(&text.blocks);
            // Entries behind the context are nobody's blocks.
            tables.resize((i + 1) * table_stride, 0x7fff_fff0);
        }
        let contexts: Vec<u32> = self.texts.iter().map(|t| t.context as u32).collect();
        let scratch = rig.room::<u8>(scratch_bytes);
        rig.stream.fill(scratch.ptr(), 0, scratch_bytes.min(65536)).expect("counters become zero");
        Placed {
            cache,
            q: rig.buffer(&q),
            query_context: rig.buffer(&query_context),
            token_seq: rig.buffer(&token_seq),
            context_len: rig.buffer(&contexts),
            query_start: rig.buffer(&query_start),
            tables: rig.buffer(&tables),
            sinks: self.sinks.as_ref().map(|s| rig.buffer(s)),
            scratch,
            table_stride,
        }
    }

    fn fill(&self, rig: &Rig, cache: &Buffer) {
        let (mut k, mut v, mut slots) = (vec![], vec![], vec![]);
        for text in &self.texts {
            k.extend_from_slice(&text.k);
            v.extend_from_slice(&text.v);
            slots.extend(
                (0..text.context)
                    .map(|p| text.blocks[p / self.block_size] * self.block_size as u32 + (p % self.block_size) as u32),
            );
            // A padding token, whose numbers must go nowhere.
            k.extend(vec![f32::NAN; self.spec.key_width()]);
            v.extend(vec![f32::NAN; self.spec.value_width()]);
            slots.push(NONE);
        }
        let write = RopeWrite::load(&rig.kernels, self.kv_type).expect("kernels");
        let (positions, slot_buffer) = (rig.buffer(&vec![0u32; slots.len()]), rig.buffer(&slots));
        let (k, v) = (rig.buffer(&k), rig.buffer(&v));
        let none = DevicePtr::NULL;
        let call = RopeWriteCall {
            q: none,
            q_out: none,
            k: k.ptr(),
            v: if self.value_in_key { none } else { v.ptr() },
            q_stride: 0,
            k_stride: self.spec.key_width(),
            v_stride: self.spec.value_width(),
            cache: self.layout.layer(0, cache.ptr()),
            block_size: self.block_size,
            positions: positions.ptr(),
            slots: slot_buffer.ptr(),
            q_prep: HeadPrep::default(),
            k_prep: HeadPrep::default(),
            tokens: slots.len(),
            q_heads: 0,
            kv_heads: self.spec.num_kv_heads,
            head_dim: self.spec.head_dim,
            value_dim: self.spec.value_dim,
        };
        write.run(&rig.stream, &call).expect("keys and values are written");
        rig.stream.synchronize().expect("the kernels run");
    }

    pub fn call(&self, placed: &Placed, out: FormPtrs) -> AttentionCall {
        AttentionCall {
            q: placed.q.ptr(),
            out,
            cache: self.layout.layer(0, placed.cache.ptr()),
            sinks: placed.sinks.as_ref().map_or(DevicePtr::NULL, |s| s.ptr()),
            block_size: self.block_size,
            query_context: placed.query_context.ptr(),
            token_seq: placed.token_seq.ptr(),
            context_len: placed.context_len.ptr(),
            query_start: placed.query_start.ptr(),
            block_tables: placed.tables.ptr(),
            table_stride: placed.table_stride,
            scratch: placed.scratch.ptr(),
            scratch_bytes: placed.scratch.len(),
        }
    }

    /// The definition in f64, over what the cache keeps; `[queries, num_heads * value_dim]`.
    pub fn exact(&self, placed: &Placed) -> Vec<f32> {
        let bytes: Vec<u8> = read(&placed.cache, 0..placed.cache.len()).expect("the cache comes back");
        let spec = &self.spec;
        let mut out = vec![];
        for text in &self.texts {
            let (mut k, mut v) = (vec![], vec![]);
            for p in 0..text.context {
                for head in 0..spec.num_kv_heads {
                    let block = text.blocks[p / self.block_size] as usize;
                    let row = (block * spec.num_kv_heads + head) * self.block_size + p % self.block_size;
                    let key = self.row(&bytes, 0, row, spec.head_dim);
                    v.extend(if self.value_in_key {
                        key[..spec.value_dim].to_vec()
                    } else {
                        self.row(&bytes, 1, row, spec.value_dim)
                    });
                    k.extend(key);
                }
            }
            out.extend(reference::attention(spec, &text.q, &k, &v, self.sinks.as_deref()));
        }
        out
    }

    /// A row of keys (plane 0) or values (plane 1), as numbers.
    pub fn row(&self, bytes: &[u8], plane: usize, row: usize, width: usize) -> Vec<f32> {
        let at = |plane: usize, size: usize| self.layout.planes()[plane].offset as usize + row * width * size;
        let u16s = |from: usize, i: usize| u16::from_le_bytes([bytes[from + 2 * i], bytes[from + 2 * i + 1]]);
        (0..width)
            .map(|i| match self.kv_type {
                KvType::F32 => {
                    let from = at(plane, 4) + 4 * i;
                    f32::from_le_bytes([bytes[from], bytes[from + 1], bytes[from + 2], bytes[from + 3]])
                }
                KvType::F16 => f16::from_bits(u16s(at(plane, 2), i)).to_f32(),
                KvType::Bf16 => bf16::from_bits(u16s(at(plane, 2), i)).to_f32(),
                KvType::Q8_0 => {
                    let scales = self.layout.planes()[plane + 2].offset as usize + row * (width / 32) * 2;
                    f32::from(bytes[at(plane, 1) + i].cast_signed()) * f16::from_bits(u16s(scales, i / 32)).to_f32()
                }
                KvType::F8E4M3 => e4m3(bytes[at(plane, 1) + i]),
            })
            .collect()
    }

    pub fn layout(&self) -> &KvLayout {
        &self.layout
    }
}

/// OCP E4M3.
pub fn e4m3(code: u8) -> f32 {
    let (sign, exponent, fraction) = (code >> 7, i32::from(code >> 3 & 15), f32::from(code & 7));
    let magnitude =
        if exponent == 0 { fraction * 2f32.powi(-9) } else { (1.0 + fraction / 8.0) * 2f32.powi(exponent - 7) };
    if sign == 1 { -magnitude } else { magnitude }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Whether a type can hold heads of these widths.
pub fn fits(kv_type: KvType, spec: &AttentionSpec) -> bool {
    kv_type != KvType::Q8_0 || (spec.head_dim.is_multiple_of(32) && spec.value_dim.is_multiple_of(32))
}

/// The largest difference; NaN counts as infinite.
pub fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let off = |(a, b): (&f32, &f32)| if (a - b).is_nan() { f32::INFINITY } else { (a - b).abs() };
    found.iter().zip(expected).map(off).fold(0.0, f32::max)
}
