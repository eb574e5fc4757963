//! Attention: norm, rotation and cache writes in one launch, then the attention itself.

use rocmforge_attention::{AttentionSpec, RopeSpec};
use rocmforge_program::backend::BackendError;
use rocmforge_program::{HeadTransform, ValueId, WeightId};

use super::Model;
use super::run::Run;
use crate::driver::DevicePtr;
use crate::error::Failure;
use crate::ops::{AttentionCall, HeadPrep, KvLayer, MAX_COLUMNS, Queries, RopeWriteCall, SPLIT, Tiles};

/// Queries of a tile.
pub(super) const TILE: usize = 128;

/// New tokens of a sequence up to which they attend one by one even beside tiles: so few leave most of a tile empty,
/// and one by one they work on many parts of a long context at a time.
pub(super) const FEW: usize = MAX_COLUMNS;

/// Parts of a context, rounded up so that steps of many lengths share a graph.
pub(super) fn splits(context: usize) -> usize {
    context.div_ceil(SPLIT).next_power_of_two()
}

impl Model {
    /// Whether the tokens of a step attend one by one, and not in tiles.
    pub(super) fn attends_by_token(&self, tokens: usize) -> bool {
        self.is_exact || tokens <= MAX_COLUMNS
    }
}

impl Run<'_> {
    pub(super) fn attention(
        &self,
        [q, k, v]: [ValueId; 3],
        heads: [&HeadTransform; 2],
        layer: usize,
        spec: &AttentionSpec,
        sinks: Option<WeightId>,
        (at, out): (usize, ValueId),
    ) -> Result<(), Failure> {
        let cache = self.cache.layout.layer(layer, self.cache.store.ptr());
        let prepared = self.write(&[q, k, v], heads, spec, cache)?;
        self.cache.rope_write.run(self.stream, &prepared)?;
        let call = AttentionCall {
            q: self.value(q),
            out: self.forms(at, out),
            cache,
            sinks: self.model.weights.optional(sinks)?.ptr,
            block_size: self.cache.spec.block_size,
            query_context: self.input(self.layout.query_context),
            token_seq: self.input(self.layout.token_sequence),
            context_len: self.input(self.layout.context_len),
            query_start: self.input(self.layout.query_start),
            block_tables: self.input(self.layout.block_tables),
            table_stride: self.kind.shape.table_stride,
            scratch: self.cache.scratch.ptr(),
            scratch_bytes: self.cache.scratch.len(),
        };
        let kernels = &self.cache.attention[layer];
        let shape = self.kind.shape;
        let max_context = self.kind.splits * SPLIT;
        if shape.tiles == 0 || !kernels.has_tiles() {
            let queries = Queries { rows: DevicePtr::NULL, count: shape.tokens, max_context };
            return Ok(kernels.run_queries(self.stream, &call, queries)?);
        }
        let tiles = Tiles {
            sequences: self.input(self.layout.tile_sequence),
            first: self.input(self.layout.tile_first),
            count: shape.tiles,
            queries: TILE,
        };
        kernels.run_tiles(self.stream, &call, tiles)?;
        let queries = Queries { rows: self.input(self.layout.lone_rows), count: shape.lone_rows, max_context };
        Ok(kernels.run_queries(self.stream, &call, queries)?)
    }

    fn write(
        &self,
        [q, k, v]: &[ValueId; 3],
        [q_heads, k_heads]: [&HeadTransform; 2],
        spec: &AttentionSpec,
        cache: KvLayer,
    ) -> Result<RopeWriteCall, BackendError> {
        let q_at = self.value(*q);
        Ok(RopeWriteCall {
            q: q_at,
            q_out: q_at,
            k: self.value(*k),
            v: self.value(*v),
            q_stride: self.cols(*q),
            k_stride: self.cols(*k),
            v_stride: self.cols(*v),
            cache,
            block_size: self.cache.spec.block_size,
            positions: self.input(self.layout.positions),
            slots: self.input(self.layout.slots),
            q_prep: self.head_prep(q_heads)?,
            k_prep: self.head_prep(k_heads)?,
            tokens: self.kind.shape.tokens,
            q_heads: spec.num_heads,
            kv_heads: spec.num_kv_heads,
            head_dim: spec.head_dim,
            value_dim: spec.value_dim,
        })
    }

    fn head_prep(&self, heads: &HeadTransform) -> Result<HeadPrep, BackendError> {
        let mut prep = heads.rope.as_ref().map_or(Ok(HeadPrep::default()), |rope| self.rotation(rope))?;
        if let Some((weight, eps)) = heads.norm {
            prep.norm = self.model.weights.vector(weight)?.ptr;
            prep.eps = eps;
        }
        Ok(prep)
    }

    fn rotation(&self, rope: &RopeSpec) -> Result<HeadPrep, BackendError> {
        let rotation = self.model.weights.rotation(rope)?;
        Ok(HeadPrep {
            frequencies: rotation.frequencies,
            pairs: rope.frequencies.len(),
            pairing: rope.pairing,
            magnitude: rope.magnitude,
            ..HeadPrep::default()
        })
    }

    /// A rotation by itself, where it is no part of an attention.
    pub(super) fn rope(&self, x: ValueId, head_dim: usize, spec: &RopeSpec, out: ValueId) -> Result<(), Failure> {
        let cols = self.cols(x);
        let call = RopeWriteCall {
            q: self.value(x),
            q_out: self.value(out),
            k: DevicePtr::NULL,
            v: DevicePtr::NULL,
            q_stride: cols,
            k_stride: 0,
            v_stride: 0,
            // Nothing is written to the cache, which may have no layers at all.
            cache: KvLayer::default(),
            block_size: self.cache.spec.block_size,
            positions: self.input(self.layout.positions),
            slots: self.input(self.layout.slots),
            q_prep: self.rotation(spec)?,
            k_prep: HeadPrep::default(),
            tokens: self.rows(x),
            q_heads: cols / head_dim,
            kv_heads: 0,
            head_dim,
            value_dim: head_dim,
        };
        Ok(self.cache.rope_write.run(self.stream, &call)?)
    }
}
