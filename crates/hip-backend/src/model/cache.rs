//! A paged KV cache, with what depends on its type and size: kernels, inputs and graphs of its steps.

use rocmforge_attention::AttentionSpec;
use rocmforge_program::backend::{BackendError, CacheSpec, StepLimits};
use rocmforge_program::{Op, Program};

use super::graphs::Graphs;
use super::inputs::{Layout, Shape};
use super::modules::of_cache;
use super::moves::Moves;
use crate::driver::{Buffer, Device, DevicePtr, Event, HipError, PinnedBuffer, Stream};
use crate::error::Failure;
use crate::library::Kernels;
use crate::ops::{Attention, KvLayout, KvLayoutError, RopeWrite, SampleEdit, SampleRow};

/// Edits of logits that one step may bring.
const MAX_EDITS: usize = 1 << 16;

/// A cache of one model.
pub(crate) struct Cache {
    pub spec: CacheSpec,
    pub layout: KvLayout,
    pub store: Buffer,
    /// By cache layer.
    pub attention: Vec<Attention>,
    pub rope_write: RopeWrite,
    pub scratch: Buffer,
    pub inputs: Upload,
    pub(super) graphs: Graphs,
    pub(super) moves: Moves,
    max_blocks: usize,
}

impl Cache {
    /// `by_token`: no step has more tokens than attend one by one.
    pub fn new(
        device: &Device,
        stream: &Stream,
        kernels: &Kernels,
        program: &Program,
        limits: StepLimits,
        spec: CacheSpec,
        by_token: bool,
    ) -> Result<Self, Failure> {
        let layout = KvLayout::new(&program.cache_layers, spec).map_err(bad_cache)?;
        let layers = layer_specs(program);
        kernels.compile_ahead(&of_cache(spec.kv_type, &layers, by_token))?;
        let attention = layers
            .into_iter()
            .map(|layer| {
                let attention = Attention::load(kernels, spec.kv_type, layer, false)?;
                if by_token { Ok(attention) } else { attention.with_tiles(kernels, spec.kv_type) }
            })
            .collect::<Result<Vec<_>, _>>()?;
        let max_blocks = max_blocks(program, spec);
        let scratch = scratch_bytes(&attention, limits, max_blocks * spec.block_size);
        let cache = Self {
            store: device.alloc(layout.bytes(), "the KV cache")?,
            attention,
            rope_write: RopeWrite::load(kernels, spec.kv_type)?,
            scratch: device.alloc(scratch, "scratch of attention")?,
            inputs: Upload::new(device, stream, input_words(limits, max_blocks))?,
            graphs: Graphs::default(),
            moves: Moves::new(device, stream, kernels, &layout)?,
            max_blocks,
            layout,
            spec,
        };
        stream.fill(cache.scratch.ptr(), 0, cache.scratch.len())?;
        // Slots that were never written are masked, but must not be NaN: 0 * NaN is one.
        stream.fill(cache.store.ptr(), 0, cache.store.len())?;
        stream.synchronize()?;
        Ok(cache)
    }

    /// Bytes that a cache takes whatever its number of blocks, at most.
    pub fn fixed_bytes(program: &Program, limits: StepLimits, spec: CacheSpec) -> u64 {
        let blocks = program.context_length.div_ceil(spec.block_size.max(1));
        let words = input_words(limits, blocks);
        // Two pages a plane for alignment, and the most that attention asks for scratch.
        let around = program.cache_layers.len() * 4 * 512 + (72 << 20);
        (words * size_of::<u32>() + around + Moves::fixed_bytes(spec)) as u64
    }

    /// Entries of the block tables of a step whose longest context is `context`: few sizes, so that steps share graphs.
    pub fn table_stride(&self, context: usize) -> usize {
        context.div_ceil(self.spec.block_size).next_power_of_two().clamp(32, self.max_blocks.max(32))
    }

    /// Edits of logits that there is room for.
    pub fn max_edits(&self) -> usize {
        MAX_EDITS
    }
}

fn bad_cache(error: KvLayoutError) -> BackendError {
    BackendError::BadCache(error.to_string())
}

/// The attention of each cache layer.
fn layer_specs(program: &Program) -> Vec<&AttentionSpec> {
    let of = |wanted: usize| {
        program.ops.iter().find_map(|op| match op {
            Op::Attention { layer, spec, .. } | Op::RotaryAttention { layer, spec, .. } if *layer == wanted => {
                Some(spec)
            }
            _ => None,
        })
    };
    (0..program.cache_layers.len()).filter_map(of).collect()
}

/// Blocks that one sequence may have.
fn max_blocks(program: &Program, spec: CacheSpec) -> usize {
    spec.num_blocks.min(program.context_length.div_ceil(spec.block_size)).max(1)
}

fn scratch_bytes(attention: &[Attention], limits: StepLimits, context: usize) -> usize {
    attention.iter().map(|layer| layer.scratch_bytes(limits.max_tokens, context)).max().unwrap_or(256)
}

fn input_words(limits: StepLimits, max_blocks: usize) -> usize {
    let largest = Shape {
        tokens: limits.max_tokens,
        sequences: limits.max_sequences,
        wanted: limits.rows().wanted,
        logits: limits.rows().logits,
        table_stride: max_blocks.next_power_of_two().max(32),
        // A tile of one token each is more than there can be.
        tiles: limits.max_tokens,
        lone_rows: limits.max_tokens,
    };
    let sampling = limits.max_wanted * size_of::<SampleRow>() + MAX_EDITS * size_of::<SampleEdit>();
    Layout::of(largest).words + sampling / size_of::<u32>()
}

/// Words on their way to the device: two host buffers, so that one may be filled while the other is copied.
pub(crate) struct Upload {
    device: Buffer,
    host: [(PinnedBuffer, Event); 2],
    next: usize,
}

impl Upload {
    pub(super) fn new(device: &Device, stream: &Stream, words: usize) -> Result<Self, HipError> {
        let bytes = words * size_of::<u32>();
        let host = || -> Result<_, HipError> {
            let free = device.event()?;
            stream.record(&free)?;
            Ok((device.alloc_pinned(bytes)?, free))
        };
        Ok(Self { device: device.alloc(bytes, "inputs of a step")?, host: [host()?, host()?], next: 0 })
    }

    /// Where the words lie on the device.
    pub fn ptr(&self) -> DevicePtr {
        self.device.ptr()
    }

    /// Enqueues a copy of the words that `fill` writes; it returns how many.
    pub fn send(&mut self, stream: &Stream, fill: impl FnOnce(&mut [u32]) -> usize) -> Result<(), HipError> {
        let (host, free) = &mut self.host[self.next];
        self.next ^= 1;
        // Nothing to wait for where every step is waited for before the next but one.
        if host.is_in_use() {
            free.synchronize()?;
        }
        // A copy that was enqueued although its call failed has no event.
        host.wait()?;
        let words = fill(bytemuck::cast_slice_mut(host.as_mut_slice()?));
        stream.copy_in(self.device.ptr(), host, 0..words * size_of::<u32>())?;
        stream.record(free)
    }
}
