//! Attention over the paged cache: few queries split over their context, many in tiles on the matrix units.

use bytemuck::{Pod, Zeroable};
use rocmforge_attention::AttentionSpec;
use rocmforge_program::backend::KvType;

use super::forms::{FormPtrs, blocks, wave_of};
use super::kv::{KvLayer, slug};
use super::prefill::Prefill;
use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};

const THREADS: usize = 256;
/// Tokens of a split: `SPLIT` of `rf/attention.h`.
pub const SPLIT: usize = 128;
/// Splits up to which the workgroup that arrives last adds them all: `COMBINE_CHUNK` of `rf/attention.h`.
const COMBINE_CHUNK: usize = 32;
/// Lanes that share a key.
const KEY_LANES: usize = 8;
/// Columns of V that are added over waves together.
const PASS: usize = 128;
/// Counters of arrived splits at the beginning of the scratch.
const COUNTERS: usize = 16384;
/// Bytes before the parts: the counters.
const HEAD_BYTES: usize = COUNTERS * 4;
/// Room for parts of splits beyond which queries are taken in several launches.
const PARTS_BYTES: usize = 64 << 20;
/// A grid has at most this many workgroups in z.
const GRID_Z: usize = 65535;
/// The kernels of `attention/` for one layer's shape and one type of cache.
#[derive(Debug, Clone)]
pub struct Attention {
    spec: AttentionSpec,
    value_in_key: bool,
    decode: Function,
    combine: Function,
    /// Query heads that a workgroup takes.
    heads_together: usize,
    /// Elements of a 16-byte load of keys, or 4 where rows do not allow such loads.
    elements: usize,
    waves: usize,
    prefill: Option<Prefill>,
}

/// One layer's attention of a step: everything but which queries.
#[derive(Debug, Clone, Copy)]
pub struct AttentionCall {
    /// Prepared queries, f32 `[rows, num_heads * head_dim]`.
    pub q: DevicePtr,
    /// The results, `[rows, num_heads * value_dim]`: f32, and q8 where [`Attention::writes_q8`] says so.
    pub out: FormPtrs,
    /// The cache layer, with the step's keys and values in it.
    pub cache: KvLayer,
    /// One logit a head, f32 `[num_heads]`; null: none.
    pub sinks: DevicePtr,
    /// Tokens of a block.
    pub block_size: usize,
    /// How many positions each row sees if nothing comes later, its own included, u32 `[rows]`; 0: padding.
    pub query_context: DevicePtr,
    /// Sequence of each row, u32 `[rows]`.
    pub token_seq: DevicePtr,
    /// Tokens of each sequence after the step, u32 `[sequences]`.
    pub context_len: DevicePtr,
    /// First row of each sequence, u32 `[sequences + 1]`.
    pub query_start: DevicePtr,
    /// u32 `[sequences, table_stride]`.
    pub block_tables: DevicePtr,
    /// Entries of a block table.
    pub table_stride: usize,
    /// Scratch of [`Attention::scratch_bytes`], zeros before the first use; layers share it.
    pub scratch: DevicePtr,
    /// Its size.
    pub scratch_bytes: usize,
}

impl AttentionCall {
    /// Where values and their scales lie, and the elements from one row to the next.
    pub(super) fn values(&self, spec: &AttentionSpec, value_in_key: bool) -> (DevicePtr, DevicePtr, usize) {
        match value_in_key {
            true => (self.cache.k, self.cache.k_scale, spec.head_dim),
            false => (self.cache.v, self.cache.v_scale, spec.value_dim),
        }
    }
}

/// Which rows attend query by query.
#[derive(Debug, Clone, Copy)]
pub struct Queries {
    /// The rows, u32 `[count]`, where `u32::MAX` is none; null: the first `count`.
    pub rows: DevicePtr,
    /// How many.
    pub count: usize,
    /// At least the longest context of them; more costs workgroups that end at once.
    pub max_context: usize,
}

/// Which rows attend in tiles: queries that follow each other in one sequence.
#[derive(Debug, Clone, Copy)]
pub struct Tiles {
    /// The sequence of each tile, u32 `[count]`.
    pub sequences: DevicePtr,
    /// The first query of each tile, counted from its sequence's first row, u32 `[count]`.
    pub first: DevicePtr,
    /// How many tiles.
    pub count: usize,
    /// Queries of a tile; those behind the end of its sequence are none.
    pub queries: usize,
}

/// `rf::DecodeArgs` of `rf/attention.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct DecodeArgs {
    q: DevicePtr,
    out: DevicePtr,
    out_q8: DevicePtr,
    out_q8_scale: DevicePtr,
    k: DevicePtr,
    v: DevicePtr,
    k_scale: DevicePtr,
    v_scale: DevicePtr,
    sinks: DevicePtr,
    rows: DevicePtr,
    query_context: DevicePtr,
    token_seq: DevicePtr,
    context_len: DevicePtr,
    block_tables: DevicePtr,
    partial: DevicePtr,
    partial_ml: DevicePtr,
    arrived: DevicePtr,
    heads: u32,
    kv_heads: u32,
    chunks: u32,
    head_dim: u32,
    value_dim: u32,
    value_stride: u32,
    block_size: u32,
    table_stride: u32,
    first: u32,
    splits: u32,
    window: u32,
    causal: u32,
    scale: f32,
    softcap: f32,
}

impl Attention {
    /// Loads the kernels for a layer. `value_in_key`: values are the first `value_dim` columns of keys.
    ///
    /// # Errors
    /// As [`Kernels::function`].
    pub fn load(
        kernels: &Kernels,
        kv_type: KvType,
        spec: &AttentionSpec,
        value_in_key: bool,
    ) -> Result<Self, KernelError> {
        let vector = match kv_type {
            KvType::F32 => 4,
            KvType::F16 | KvType::Bf16 => 8,
            KvType::Q8_0 | KvType::F8E4M3 => 16,
        };
        let aligned = spec.head_dim.is_multiple_of(vector) && spec.value_dim.is_multiple_of(4);
        let (heads_together, name) = match spec.group_size() {
            _ if !aligned => (1, "decode_any"),
            1 => (1, "decode_g1"),
            2 => (2, "decode_g2"),
            3 | 4 => (4, "decode_g4"),
            _ => (8, "decode_g8"),
        };
        let module = format!("attention/{}_{}", if aligned { "decode" } else { "decode_any" }, slug(kv_type));
        let decode = kernels.function(&module, name)?;
        let combine = kernels.function(&format!("attention/decode_{}", slug(kv_type)), "combine")?;
        let waves = THREADS / wave_of(kernels.device().properties());
        let elements = if aligned { vector } else { 4 };
        Ok(Self { spec: spec.clone(), value_in_key, decode, combine, heads_together, elements, waves, prefill: None })
    }

    /// Loads the kernel for [`Attention::run_tiles`] as well, where there is one for such heads.
    ///
    /// # Errors
    /// As [`Kernels::function`].
    pub fn with_tiles(mut self, kernels: &Kernels, kv_type: KvType) -> Result<Self, KernelError> {
        self.prefill = Prefill::load(kernels, kv_type, &self.spec)?;
        Ok(self)
    }

    /// Whether [`Attention::run_tiles`] can run: kernels are loaded, and heads are of at most 256 columns, multiples
    /// of 8.
    pub fn has_tiles(&self) -> bool {
        self.prefill.is_some()
    }

    /// Enqueues attention of tiles of queries on the matrix units, in halves with sums in f32; writes f32 alone. The
    /// result of a query depends on its position and what it sees, not on which tile it is in.
    ///
    /// # Errors
    /// [`HipError::LengthMismatch`]: no such kernel ([`Attention::has_tiles`]), or another form than f32 is asked for;
    /// else as [`Stream::launch`].
    pub fn run_tiles(&self, stream: &Stream, call: &AttentionCall, tiles: Tiles) -> Result<(), HipError> {
        let Some(prefill) = &self.prefill else {
            let (what, found) = ("kernels for attention in tiles", 0);
            return Err(HipError::LengthMismatch { what, expected: 1, found });
        };
        if call.out != FormPtrs::f32(call.out.f32) {
            let what = "forms of the result of attention in tiles";
            return Err(HipError::LengthMismatch { what, expected: 1, found: 2 });
        }
        prefill.run(stream, &self.spec, call, tiles, self.value_in_key)
    }

    /// Whether results can be written in q8 form as well: value heads are whole groups of 32.
    pub fn writes_q8(&self) -> bool {
        self.spec.value_dim.is_multiple_of(32)
    }

    /// Splits that a query of a context of up to `max_context` tokens has at most.
    pub fn splits(&self, max_context: usize) -> usize {
        let all = max_context.div_ceil(SPLIT).max(1);
        match self.spec.window {
            Some(window) if self.spec.causal => all.min((window.max(1) - 1).div_ceil(SPLIT) + 1),
            _ => all,
        }
    }

    /// Bytes of scratch for up to `queries` queries of contexts up to `max_context`; with less than this many queries
    /// are taken in several launches.
    pub fn scratch_bytes(&self, queries: usize, max_context: usize) -> usize {
        let one = self.part_bytes(self.splits(max_context));
        HEAD_BYTES + queries.saturating_mul(one).min(PARTS_BYTES.max(one))
    }

    /// Bytes of the parts of one query; none where it has one split.
    fn part_bytes(&self, splits: usize) -> usize {
        if splits == 1 { 0 } else { self.spec.num_heads * splits * (self.spec.value_dim * 4 + 8) + 16 }
    }

    fn chunks(&self) -> usize {
        self.spec.group_size().div_ceil(self.heads_together)
    }

    /// Enqueues attention of single queries: each reads all keys and values it sees, in f32 whatever the device. The
    /// result of a query depends neither on the other queries nor on how large `max_context` is.
    ///
    /// # Errors
    /// [`HipError::LengthMismatch`]: scratch too small for one query, q8 results of unsuited heads; else as
    /// [`Stream::launch`].
    pub fn run_queries(&self, stream: &Stream, call: &AttentionCall, queries: Queries) -> Result<(), HipError> {
        let splits = self.splits(queries.max_context);
        let part = self.part_bytes(splits);
        let room = call.scratch_bytes.saturating_sub(HEAD_BYTES);
        if part > room && queries.count > 0 {
            let (expected, found) = ((part + HEAD_BYTES) as u64, call.scratch_bytes as u64);
            return Err(HipError::LengthMismatch { what: "bytes of scratch of attention", expected, found });
        }
        if !call.out.q8.is_null() && !self.writes_q8() {
            let (expected, found) = (32, self.spec.value_dim as u64);
            return Err(HipError::LengthMismatch { what: "columns of value heads in 8 bits", expected, found });
        }
        let rows = self.spec.num_kv_heads * self.chunks();
        let by_room = room.checked_div(part).unwrap_or(GRID_Z);
        let together = by_room.min(GRID_Z).min((COUNTERS / rows).max(1));
        let lds = self.lds_bytes();
        for first in (0..queries.count).step_by(together) {
            let count = together.min(queries.count - first);
            let args = self.args(call, queries, first, count, splits);
            let grid = [blocks(splits, 1), blocks(rows, 1), blocks(count, 1)];
            // SAFETY: the struct is the kernel's; the caller's addresses hold the sizes of the call, and the scratch
            // holds counters and parts of `count` queries.
            unsafe { stream.launch(&self.decode, Dims { grid, threads: THREADS as u32, lds }, &args)? };
            if splits > COMBINE_CHUNK {
                let grid = [blocks(self.spec.num_heads, 1), blocks(count, 1), 1];
                // SAFETY: as above.
                unsafe { stream.launch(&self.combine, Dims { grid, threads: THREADS as u32, lds: 0 }, &args)? };
            }
        }
        Ok(())
    }

    /// Queries in LDS, and later sums of waves in the same place.
    fn lds_bytes(&self) -> u32 {
        let padded = self.spec.head_dim.next_multiple_of(KEY_LANES * self.elements);
        let sums = self.waves * self.heads_together.min(4) * PASS;
        blocks(4 * (self.heads_together * padded).max(sums), 1)
    }

    fn args(&self, call: &AttentionCall, queries: Queries, first: usize, count: usize, splits: usize) -> DecodeArgs {
        let spec = &self.spec;
        let (v, v_scale, value_stride) = call.values(spec, self.value_in_key);
        let partial_ml = call.scratch.add(HEAD_BYTES);
        let partial = partial_ml.add((count * spec.num_heads * splits * 8).next_multiple_of(16));
        DecodeArgs {
            q: call.q,
            out: call.out.f32,
            out_q8: call.out.q8,
            out_q8_scale: call.out.q8_scales,
            k: call.cache.k,
            v,
            k_scale: call.cache.k_scale,
            v_scale,
            sinks: call.sinks,
            rows: queries.rows,
            query_context: call.query_context,
            token_seq: call.token_seq,
            context_len: call.context_len,
            block_tables: call.block_tables,
            partial,
            partial_ml,
            arrived: if splits > COMBINE_CHUNK { DevicePtr::NULL } else { call.scratch },
            heads: spec.num_heads as u32,
            kv_heads: spec.num_kv_heads as u32,
            chunks: self.chunks() as u32,
            head_dim: spec.head_dim as u32,
            value_dim: spec.value_dim as u32,
            value_stride: value_stride as u32,
            block_size: call.block_size as u32,
            table_stride: call.table_stride as u32,
            first: first as u32,
            splits: splits as u32,
            window: spec.window.map_or(0, |w| u32::try_from(w).unwrap_or(u32::MAX)),
            causal: u32::from(spec.causal),
            scale: spec.scale,
            softcap: spec.softcap.unwrap_or(0.0),
        }
    }
}
