//! The operations of a Program.
//!
//! Each is a total function of its inputs, documented with shapes. T = tokens of the step, S = wanted rows, L = those of
//! them whose logits are wanted; where an op says T it works for S and L as well, row by row. Architecture files emit the plain forms; [`Op::Linears`],
//! [`Op::AddNorm`] and [`Op::RotaryAttention`] are made by passes, for backends that ask for them.

use rocmforge_attention::{AttentionSpec, RopeSpec};

use crate::{ValueId, WeightId};

/// One operation. `out` is the value it writes.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "field names are the mathematics of each variant's own documentation")]
pub enum Op {
    /// `out[t] = scale * table[token[t]]`, ids `[T]` → `[T, H]`.
    Embed { table: WeightId, scale: f32, out: ValueId },
    /// Normalises each group of `group` columns: whole rows, or each head. Weight and bias have `group` elements and
    /// repeat, or are as wide as the row.
    /// RMS (arXiv:1910.07467): `x / sqrt(mean(x²) + eps) * weight`; Layer: `(x - mean) / sqrt(var + eps) * weight + bias`.
    Norm {
        kind: NormKind,
        x: ValueId,
        group: usize,
        eps: f32,
        weight: Option<WeightId>,
        bias: Option<WeightId>,
        out: ValueId,
    },
    /// `out[t, r] = Σ_c weight[r, c] x[t, c] + bias[r]`, `[T, in]` → `[T, rows]`. The projection to the vocabulary is
    /// `[S, in]` → `[L, rows]`: it reads the first L rows.
    Linear { x: ValueId, weight: WeightId, bias: Option<WeightId>, out: ValueId },
    /// [`Op::Add`] and an [`Op::Norm`] of whole rows: `sum = a + b`, `out = norm(sum)`. Made by
    /// [`passes::fuse_residual_norms`](crate::passes::fuse_residual_norms).
    AddNorm {
        a: ValueId,
        b: ValueId,
        sum: ValueId,
        kind: NormKind,
        eps: f32,
        weight: Option<WeightId>,
        bias: Option<WeightId>,
        out: ValueId,
    },
    /// Several [`Op::Linear`] of one input, made by [`passes::share_inputs`](crate::passes::share_inputs).
    Linears { x: ValueId, parts: Vec<LinearPart> },
    /// Rotates each head of `head_dim` columns by its token's position.
    Rope { x: ValueId, head_dim: usize, spec: RopeSpec, out: ValueId },
    /// Writes `k` and `v` of the step's tokens to cache layer `layer`, then attends: `[T, heads * head_dim]` →
    /// `[T, heads * value_dim]`. `sinks` has one logit a head.
    Attention {
        q: ValueId,
        k: ValueId,
        v: ValueId,
        layer: usize,
        spec: AttentionSpec,
        sinks: Option<WeightId>,
        out: ValueId,
    },
    /// [`Op::Attention`] that first normalises and rotates each head of `q` and `k`. It may use the storage of `q` and
    /// `k` for that. Made by [`passes::fuse_rotary_attention`](crate::passes::fuse_rotary_attention).
    RotaryAttention {
        q: ValueId,
        k: ValueId,
        v: ValueId,
        q_heads: HeadTransform,
        k_heads: HeadTransform,
        layer: usize,
        spec: AttentionSpec,
        sinks: Option<WeightId>,
        out: ValueId,
    },
    /// `out = activation(gate) * up`, or `activation(gate)` alone. A `gate` of one column spreads over the row.
    Gate { gate: ValueId, up: Option<ValueId>, activation: Activation, out: ValueId },
    /// `out = a + b`.
    Add { a: ValueId, b: ValueId, out: ValueId },
    /// `out = factor * x`.
    Scale { x: ValueId, factor: f32, out: ValueId },
    /// `out = cap * tanh(x / cap)`.
    Softcap { x: ValueId, cap: f32, out: ValueId },
    /// Chooses experts from `scores` `[T, experts]`. The result pairs with [`Op::ExpertLinear`] and
    /// [`Op::ExpertSum`] through [`ExpertSelection`]: ids and weights, both `[T, k]`, ids stored as f32.
    Route { scores: ValueId, spec: RouteSpec, bias: Option<WeightId>, selection: ExpertSelection },
    /// `out[t * k + i] = weight[id[t, i]] x[t or t * k + i] + bias[id[t, i]]`: x is `[T, in]` (each row used `k`
    /// times) or `[T * k, in]`.
    ExpertLinear { x: ValueId, selection: ExpertSelection, weight: WeightId, bias: Option<WeightId>, out: ValueId },
    /// `out[t] = Σ_i weight[t, i] x[t * k + i]`, `[T * k, H]` → `[T, H]`.
    ExpertSum { x: ValueId, selection: ExpertSelection, out: ValueId },
    /// The wanted rows of `x`, `[T, H]` → `[S, H]`.
    SelectRows { x: ValueId, out: ValueId },
}

/// One map of an [`Op::Linears`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "as in Op::Linear")]
pub struct LinearPart {
    pub weight: WeightId,
    pub bias: Option<WeightId>,
    pub out: ValueId,
}

/// What happens to each head of queries or keys before attention: an RMS norm, then a rotation.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HeadTransform {
    /// RMS norm over the head: its weight `[head_dim]`, and eps.
    pub norm: Option<(WeightId, f32)>,
    /// Rotation by the token's position.
    pub rope: Option<RopeSpec>,
}

/// What a normalisation divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NormKind {
    /// Root mean square.
    Rms,
    /// Mean and variance.
    Layer,
}

/// Nonlinearity of a gate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `0.5 x (1 + tanh(sqrt(2/π) (x + 0.044715 x³)))`, the approximation that models are trained with.
    Gelu,
    /// `0.5 x (1 + erf(x / sqrt 2))`.
    GeluErf,
    /// `max(x, 0)`.
    Relu,
    /// `max(x, 0)²` (arXiv:2109.08668).
    ReluSquared,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// The clamped SwiGLU of gpt-oss: `g = min(x, limit)`, `out = g sigmoid(alpha g) (clamp(up, ±limit) + 1)`.
    SwigluClamped {
        /// Slope of the sigmoid.
        alpha: f32,
        /// Bound of both inputs.
        limit: f32,
    },
}

/// From router scores to probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scoring {
    /// Softmax over all experts, before the choice.
    Softmax,
    /// Sigmoid of each score.
    Sigmoid,
    /// Softmax over the chosen experts only.
    SoftmaxChosen,
}

/// How a router chooses and weighs experts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouteSpec {
    /// Experts there are.
    pub experts: usize,
    /// Experts chosen a token (k).
    pub chosen: usize,
    /// From scores to probabilities.
    pub scoring: Scoring,
    /// Whether the chosen weights are divided by their sum.
    pub normalize: bool,
    /// Factor of the weights.
    pub scale: f32,
    /// Experts come in this many groups …
    pub groups: usize,
    /// … of which the best this many take part (by the sum of their two best experts, arXiv:2412.19437).
    pub groups_chosen: usize,
}

/// Ids and weights of the chosen experts, both `[T, k]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "named by the type's documentation")]
pub struct ExpertSelection {
    pub ids: ValueId,
    pub weights: ValueId,
}

impl Op {
    /// Name as printed.
    pub fn name(&self) -> &'static str {
        match self {
            Op::Embed { .. } => "embed",
            Op::Norm { .. } => "norm",
            Op::AddNorm { .. } => "add_norm",
            Op::Linear { .. } => "linear",
            Op::Linears { .. } => "linears",
            Op::Rope { .. } => "rope",
            Op::Attention { .. } => "attention",
            Op::RotaryAttention { .. } => "rotary_attention",
            Op::Gate { .. } => "gate",
            Op::Add { .. } => "add",
            Op::Scale { .. } => "scale",
            Op::Softcap { .. } => "softcap",
            Op::Route { .. } => "route",
            Op::ExpertLinear { .. } => "expert_linear",
            Op::ExpertSum { .. } => "expert_sum",
            Op::SelectRows { .. } => "select_rows",
        }
    }

    /// Values the op reads.
    pub fn inputs(&self) -> Vec<ValueId> {
        match self {
            Op::Embed { .. } => vec![],
            Op::Norm { x, .. }
            | Op::Linear { x, .. }
            | Op::Linears { x, .. }
            | Op::Rope { x, .. }
            | Op::Scale { x, .. }
            | Op::Softcap { x, .. }
            | Op::SelectRows { x, .. } => vec![*x],
            Op::Attention { q, k, v, .. } | Op::RotaryAttention { q, k, v, .. } => vec![*q, *k, *v],
            Op::Gate { gate, up, .. } => std::iter::once(*gate).chain(*up).collect(),
            Op::Add { a, b, .. } | Op::AddNorm { a, b, .. } => vec![*a, *b],
            Op::Route { scores, .. } => vec![*scores],
            Op::ExpertLinear { x, selection, .. } => vec![*x, selection.ids],
            Op::ExpertSum { x, selection, .. } => vec![*x, selection.weights],
        }
    }

    /// Values the op writes.
    pub fn outputs(&self) -> Vec<ValueId> {
        match self {
            Op::Embed { out, .. }
            | Op::Norm { out, .. }
            | Op::Linear { out, .. }
            | Op::Rope { out, .. }
            | Op::Attention { out, .. }
            | Op::RotaryAttention { out, .. }
            | Op::Gate { out, .. }
            | Op::Add { out, .. }
            | Op::Scale { out, .. }
            | Op::Softcap { out, .. }
            | Op::ExpertLinear { out, .. }
            | Op::ExpertSum { out, .. }
            | Op::SelectRows { out, .. } => vec![*out],
            Op::AddNorm { sum, out, .. } => vec![*sum, *out],
            Op::Linears { parts, .. } => parts.iter().map(|p| p.out).collect(),
            Op::Route { selection, .. } => vec![selection.ids, selection.weights],
        }
    }

    /// Weights the op reads.
    pub fn weights(&self) -> Vec<WeightId> {
        match self {
            Op::Embed { table, .. } => vec![*table],
            Op::Norm { weight, bias, .. } | Op::AddNorm { weight, bias, .. } => {
                weight.iter().chain(bias).copied().collect()
            }
            Op::Linear { weight, bias, .. } | Op::ExpertLinear { weight, bias, .. } => {
                std::iter::once(*weight).chain(*bias).collect()
            }
            Op::Linears { parts, .. } => parts.iter().flat_map(|p| std::iter::once(p.weight).chain(p.bias)).collect(),
            Op::Attention { sinks, .. } => sinks.iter().copied().collect(),
            Op::RotaryAttention { q_heads, k_heads, sinks, .. } => {
                let norms = [q_heads, k_heads].into_iter().filter_map(|h| h.norm.map(|(weight, _)| weight));
                norms.chain(*sinks).collect()
            }
            Op::Route { bias, .. } => bias.iter().copied().collect(),
            _ => vec![],
        }
    }

    /// The input whose storage the output may take over, element by element.
    pub fn in_place_input(&self) -> Option<ValueId> {
        match self {
            Op::Norm { x, .. } | Op::Rope { x, .. } | Op::Scale { x, .. } | Op::Softcap { x, .. } => Some(*x),
            Op::Add { a, .. } | Op::AddNorm { a, .. } => Some(*a),
            Op::Gate { gate, .. } => Some(*gate),
            _ => None,
        }
    }

    /// Whether each output row depends on the same row of the inputs alone, and not on its position.
    pub fn is_row_wise(&self) -> bool {
        !matches!(
            self,
            Op::Embed { .. }
                | Op::Rope { .. }
                | Op::Attention { .. }
                | Op::RotaryAttention { .. }
                | Op::SelectRows { .. }
        )
    }

    /// Replaces value ids, inputs and outputs alike.
    pub fn map_values(&mut self, mut f: impl FnMut(ValueId) -> ValueId) {
        let mut apply = |ids: &mut [&mut ValueId]| ids.iter_mut().for_each(|id| **id = f(**id));
        match self {
            Op::Embed { out, .. } => apply(&mut [out]),
            Op::Norm { x, out, .. }
            | Op::Linear { x, out, .. }
            | Op::Rope { x, out, .. }
            | Op::Scale { x, out, .. }
            | Op::Softcap { x, out, .. }
            | Op::SelectRows { x, out, .. } => apply(&mut [x, out]),
            Op::Linears { x, parts } => {
                apply(&mut [x]);
                parts.iter_mut().for_each(|p| apply(&mut [&mut p.out]));
            }
            Op::Attention { q, k, v, out, .. } | Op::RotaryAttention { q, k, v, out, .. } => {
                apply(&mut [q, k, v, out]);
            }
            Op::AddNorm { a, b, sum, out, .. } => apply(&mut [a, b, sum, out]),
            Op::Gate { gate, up, out, .. } => {
                apply(&mut [gate, out]);
                up.iter_mut().for_each(|u| apply(&mut [u]));
            }
            Op::Add { a, b, out } => apply(&mut [a, b, out]),
            Op::Route { scores, selection, .. } => apply(&mut [scores, &mut selection.ids, &mut selection.weights]),
            Op::ExpertLinear { x, selection, out, .. } | Op::ExpertSum { x, selection, out } => {
                apply(&mut [x, &mut selection.ids, &mut selection.weights, out]);
            }
        }
    }
}
