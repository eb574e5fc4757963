//! Attention over a cache in memory: decoding over many layers, so that none of it is in the device's own caches.

use rocmforge_attention::AttentionSpec;
use rocmforge_hip_backend::driver::{Buffer, DevicePtr, write};
use rocmforge_hip_backend::ops::{Attention, AttentionCall, FormPtrs, KvLayout, Queries, Tiles};
use rocmforge_program::CacheLayer;
use rocmforge_program::backend::{CacheSpec, KvType};

use super::Options;
use super::bench::{Bench, Outcome, Work};
use super::data::{Activations, noise, spread};
use super::products::rotate;

const BLOCK_SIZE: usize = 16;
const MOST_LAYERS: usize = 512;
/// Queries of a tile.
const TILE: usize = 128;
const TYPES: [KvType; 2] = [KvType::F16, KvType::Q8_0];

/// Sequences, and the context of each.
const DECODE: [[usize; 2]; 7] = [[1, 512], [1, 4096], [1, 32768], [8, 512], [8, 4096], [32, 4096], [64, 1024]];
const TINY_DECODE: [[usize; 2]; 2] = [[1, 40], [2, 140]];

/// New tokens, and the context that they end.
const PREFILL: [[usize; 2]; 4] = [[128, 128], [512, 512], [2048, 2048], [512, 8192]];
const TINY_PREFILL: [[usize; 2]; 1] = [[20, 50]];

/// Decoding and prefill.
pub fn run(bench: &mut Bench, options: &Options) -> Outcome {
    let head = spec(options).head_dim;
    let of = |ty: KvType| [format!("decode_{}", ty.name()), format!("prefill_{}_{head}x{head}", ty.name())];
    let modules: Vec<_> = TYPES.into_iter().flat_map(of).map(|name| format!("attention/{name}")).collect();
    bench.prepare(&modules)?;
    for kv_type in TYPES {
        for &[sequences, context] in options.size::<&[_]>(&DECODE, &TINY_DECODE) {
            decode(bench, options, kv_type, sequences, context)?;
        }
    }
    for kv_type in TYPES {
        for &[new, context] in options.size::<&[_]>(&PREFILL, &TINY_PREFILL) {
            prefill(bench, options, kv_type, new, context)?;
        }
    }
    Ok(())
}

fn spec(options: &Options) -> AttentionSpec {
    let (heads, kv_heads, head_dim) = options.size((32, 8, 128), (4, 2, 64));
    AttentionSpec::causal(heads, kv_heads, head_dim)
}

fn decode(bench: &mut Bench, options: &Options, kv_type: KvType, sequences: usize, context: usize) -> Outcome {
    let world = World::new(bench, options, kv_type, &vec![(context, 1); sequences], rotate(options))?;
    let shape = format!("{sequences} x 1 token of {context}");
    let work = Work::Bytes(kv_type.bytes(world.elements * sequences * context));
    let queries = Queries { rows: DevicePtr::NULL, count: sequences, max_context: context };
    bench.row(&format!("decode_{}", kv_type.name()), &shape, work, world.layers, |stream, layer| {
        world.attention.run_queries(stream, &world.call(layer), queries)
    });
    Ok(())
}

fn prefill(bench: &mut Bench, options: &Options, kv_type: KvType, new: usize, context: usize) -> Outcome {
    // One layer: tiles of queries read it many times over, out of whatever cache holds it.
    let world = World::new(bench, options, kv_type, &[(context, new)], 1)?;
    let attention = world.attention.clone().with_tiles(&bench.kernels, kv_type)?;
    let shape = format!("{new} tokens of {context}");
    let pairs: usize = (context - new + 1..=context).sum();
    let spec = &world.spec;
    let work = Work::Flops((2 * pairs * spec.num_heads * (spec.head_dim + spec.value_dim)) as f64);
    let first: Vec<u32> = (0..new as u32).step_by(TILE).collect();
    let sequences = bench.buffer(&vec![0u32; first.len()])?;
    let first_rows = bench.buffer(&first)?;
    let tiles = Tiles { sequences: sequences.ptr(), first: first_rows.ptr(), count: first.len(), queries: TILE };
    bench.row(&format!("prefill_{}", kv_type.name()), &shape, work, world.layers, |stream, layer| {
        let call = world.call(layer);
        let out = FormPtrs::f32(call.out.f32);
        attention.run_tiles(stream, &AttentionCall { out, ..call }, tiles)
    });
    Ok(())
}

/// Sequences in a cache.
struct World {
    attention: Attention,
    spec: AttentionSpec,
    layout: KvLayout,
    layers: usize,
    /// Numbers of a token in one layer.
    elements: usize,
    cache: Buffer,
    q: Activations,
    out: Activations,
    query_context: Buffer,
    token_seq: Buffer,
    context_len: Buffer,
    query_start: Buffer,
    tables: Buffer,
    table_stride: usize,
    scratch: Buffer,
}

impl World {
    /// `texts`: context and new tokens of each sequence. There are layers of `rotate` bytes.
    fn new(
        bench: &Bench,
        options: &Options,
        kv_type: KvType,
        texts: &[(usize, usize)],
        rotate: usize,
    ) -> Outcome<Self> {
        let spec = spec(options);
        let attention = Attention::load(&bench.kernels, kv_type, &spec, false)?;
        let table_stride = texts.iter().map(|text| text.0.div_ceil(BLOCK_SIZE)).max().unwrap_or(1);
        let num_blocks = table_stride * texts.len();
        let head = CacheLayer {
            num_kv_heads: spec.num_kv_heads,
            head_dim: spec.head_dim,
            value_dim: spec.value_dim,
            window: None,
        };
        let of_layers = |count| {
            KvLayout::new(
                &vec![head.clone(); count],
                CacheSpec { block_size: BLOCK_SIZE, num_blocks, kv_type, host_slots: 0 },
            )
        };
        let layers = rotate.div_ceil(of_layers(1)?.bytes()).clamp(1, MOST_LAYERS);
        let layout = of_layers(layers)?;
        let queries: usize = texts.iter().map(|text| text.1).sum();
        let max_context = texts.iter().map(|text| text.0).max().unwrap_or(1);
        let each = || texts.iter().enumerate();
        let token_seq: Vec<u32> = each().flat_map(|(i, text)| vec![i as u32; text.1]).collect();
        let contexts = each().flat_map(|(_, &(context, new))| context - new..context).map(|p| p as u32 + 1);
        let starts = each().map(|(i, _)| texts[..=i].iter().map(|text| text.1 as u32).sum());
        let scratch = bench.room(attention.scratch_bytes(queries, max_context))?;
        bench.stream.fill(scratch.ptr(), 0, scratch.len())?;
        Ok(Self {
            cache: some_cache(bench, layout.bytes())?,
            q: Activations::new(bench, queries, spec.query_width())?,
            out: Activations::new(bench, queries, spec.output_width())?,
            query_context: bench.buffer::<u32>(&contexts.collect::<Vec<_>>())?,
            token_seq: bench.buffer(&token_seq)?,
            context_len: bench.buffer(&each().map(|(_, text)| text.0 as u32).collect::<Vec<_>>())?,
            query_start: bench.buffer::<u32>(&[0].into_iter().chain(starts).collect::<Vec<_>>())?,
            tables: bench.buffer(&shuffled(num_blocks))?,
            elements: head.elements_per_token(),
            attention,
            spec,
            layout,
            layers,
            table_stride,
            scratch,
        })
    }

    fn call(&self, layer: usize) -> AttentionCall {
        let FormPtrs { f32, q8, q8_scales, .. } = self.out.forms();
        let forms = FormPtrs { f32, ..FormPtrs::default() };
        let out = if self.attention.writes_q8() { FormPtrs { q8, q8_scales, ..forms } } else { forms };
        AttentionCall {
            q: self.q.forms().f32,
            out,
            cache: self.layout.layer(layer, self.cache.ptr()),
            sinks: DevicePtr::NULL,
            block_size: BLOCK_SIZE,
            query_context: self.query_context.ptr(),
            token_seq: self.token_seq.ptr(),
            context_len: self.context_len.ptr(),
            query_start: self.query_start.ptr(),
            block_tables: self.tables.ptr(),
            table_stride: self.table_stride,
            scratch: self.scratch.ptr(),
            scratch_bytes: self.scratch.len(),
        }
    }
}

/// Memory that is plausible as halves, and as bytes with scales in halves.
fn some_cache(bench: &Bench, bytes: usize) -> Outcome<Buffer> {
    let cache = bench.room(bytes.next_multiple_of(2))?;
    let halves: Vec<u16> = noise(4096.min(bytes / 2)).iter().map(|&x| half::f16::from_f32(x).to_bits()).collect();
    write(&cache, 0, &halves)?;
    spread(bench, &cache, 0, halves.len() * 2, cache.len())?;
    Ok(cache)
}

/// Each block once, neighbours far apart.
fn shuffled(count: usize) -> Vec<u32> {
    let is_coprime = |step: &usize| gcd(*step, count) == 1;
    let step = (count / 2 + 1..).find(is_coprime).unwrap_or(1);
    (0..count).map(|i| (i * step % count) as u32).collect()
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}
