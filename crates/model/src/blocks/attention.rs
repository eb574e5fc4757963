//! Self-attention: projections, norms of queries and keys, rotation, output.

use rocmforge_attention::{AttentionSpec, RopeSpec};
use rocmforge_program::ValueId;

use super::Emitted;
use crate::ModelError;
use crate::hparams::{Dim, Layer};
use crate::net::Net;

/// What distinguishes one model's attention from another's.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attention {
    /// Rotation of queries and keys; `None` for layers without positions (NoPE).
    pub rope: Option<RopeSpec>,
    /// Sliding window in tokens.
    pub window: Option<usize>,
    /// Factor of the dot product; `None` is `1 / sqrt(head_dim)`.
    pub scale: Option<f32>,
    /// Bound of the scores.
    pub softcap: Option<f32>,
    /// Norms of queries and keys.
    pub qk_norm: QkNorm,
    /// Whether each head has a learned sink.
    pub sinks: bool,
}

/// Where queries and keys are normalised, by `attn_q_norm` and `attn_k_norm`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum QkNorm {
    /// Nowhere.
    #[default]
    None,
    /// Each head, before the rotation, all by the same weights.
    Heads,
    /// Each head, after the rotation.
    HeadsAfterRope,
    /// Each head, before the rotation, by weights of its own.
    EachHead,
    /// All heads as one row, before the rotation.
    Row,
}

/// Projected queries, keys and values.
struct Qkv {
    q: ValueId,
    k: ValueId,
    v: ValueId,
}

impl Net<'_> {
    /// Attention of normalised `x`, projected back to `[T, hidden]`.
    pub(crate) fn attention(&mut self, layer: &Layer, x: ValueId, how: &Attention) -> Emitted {
        let Qkv { q, k, v } = self.project_qkv(layer, x)?;
        let q = self.prepare(layer, q, "attn_q_norm", layer.num_heads, how)?;
        let k = self.prepare(layer, k, "attn_k_norm", layer.num_kv_heads, how)?;
        let sinks = how.sinks.then(|| {
            self.vector(&layer.tensor("attn_sinks.weight"), Dim::new(layer.num_heads, "attention.head_count"))
        });
        let out = self.ops.attention(q, k, v, spec(layer, how), sinks)?;
        self.linear(out, &layer.tensor("attn_output"), self.hp.hidden_size, layer.output_width())
    }

    /// From three matrices, or from the rows of one.
    fn project_qkv(&mut self, layer: &Layer, x: ValueId) -> Result<Qkv, ModelError> {
        let hidden = self.hp.hidden_size;
        let widths = [layer.query_width(), layer.key_width(), layer.value_width()];
        if self.has(&layer.tensor("attn_qkv.weight")) {
            return self.project_fused(layer, x, widths);
        }
        let [q, k, v] = widths;
        Ok(Qkv {
            q: self.linear(x, &layer.tensor("attn_q"), q, hidden)?,
            k: self.linear(x, &layer.tensor("attn_k"), k, hidden)?,
            v: self.linear(x, &layer.tensor("attn_v"), v, hidden)?,
        })
    }

    fn project_fused(&mut self, layer: &Layer, x: ValueId, [q, k, v]: [Dim; 3]) -> Result<Qkv, ModelError> {
        const KEYS: &str = "(attention.head_count + 2 x attention.head_count_kv) x attention.key_length";
        let (name, keys_at, values_at) = (layer.tensor("attn_qkv"), q.size, q.size + k.size);
        let stored = Dim::new(values_at + v.size, KEYS);
        Ok(Qkv {
            q: self.linear_part(x, &name, stored, 0..keys_at)?,
            k: self.linear_part(x, &name, stored, keys_at..values_at)?,
            v: self.linear_part(x, &name, stored, values_at..stored.size)?,
        })
    }

    /// Norm and rotation of queries or keys, in the model's order.
    fn prepare(&mut self, layer: &Layer, x: ValueId, norm: &str, heads: usize, how: &Attention) -> Emitted {
        let name = format!("{}.weight", layer.tensor(norm));
        let rotate_first = how.qk_norm == QkNorm::HeadsAfterRope;
        let x = if rotate_first { self.rotate(layer, x, how)? } else { x };
        let x = self.normalize(layer, x, &name, heads, how.qk_norm)?;
        if rotate_first { Ok(x) } else { self.rotate(layer, x, how) }
    }

    fn rotate(&mut self, layer: &Layer, x: ValueId, how: &Attention) -> Emitted {
        match &how.rope {
            None => Ok(x),
            Some(spec) => Ok(self.ops.rope(x, layer.head_dim, spec)?),
        }
    }

    fn normalize(&mut self, layer: &Layer, x: ValueId, name: &str, heads: usize, norm: QkNorm) -> Emitted {
        let head = Dim::new(layer.head_dim, "attention.key_length");
        let row = Dim::new(heads * layer.head_dim, "heads x attention.key_length");
        let (kind, eps) = (self.hp.norm_kind, self.hp.norm_eps);
        let (group, weight) = match norm {
            QkNorm::None => return Ok(x),
            QkNorm::Heads | QkNorm::HeadsAfterRope => (head, self.vector(name, head)),
            QkNorm::EachHead => (head, self.table(name, Dim::new(heads, "attention.head_count"), head)),
            QkNorm::Row => (row, self.vector(name, row)),
        };
        Ok(self.ops.norm(kind, x, group.size, eps, Some(weight), None)?)
    }
}

fn spec(layer: &Layer, how: &Attention) -> AttentionSpec {
    let plain = AttentionSpec::causal(layer.num_heads, layer.num_kv_heads, layer.head_dim);
    AttentionSpec {
        value_dim: layer.value_dim,
        scale: how.scale.unwrap_or(plain.scale),
        softcap: how.softcap,
        window: how.window,
        ..plain
    }
}
