//! A step as kernels on a stream, op by op.

use rocmforge_program::backend::BackendError;
use rocmforge_program::{ExpertSelection, HeadTransform, LinearPart, NormKind, Op, Rows, ValueId, WeightId};

use super::forms::{FormPlan, Forms, Regime};
use super::inputs::{Layout, Shape};
use super::{Cache, Model};
use crate::driver::{DevicePtr, Stream};
use crate::error::Failure;
use crate::ops::{
    EmbedCall, ExpertSumCall, FormPtrs, GateCall, MAX_COLUMNS, NormCall, RouteCall, SampleCall, SampleRow,
};

/// How the rows of a step are sampled on the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sampling {
    /// Not at all: the logits are wanted.
    None,
    /// Where the most probable tokens decide.
    Decided,
    /// Where any token may be drawn.
    Drawn,
}

/// What decides which kernels a step launches and with which arguments: steps that agree in it can replay one graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub shape: Shape,
    /// Whether every token attends by itself, as in decoding.
    pub is_decode: bool,
    /// Parts of the context that attention works on side by side.
    pub splits: usize,
    pub sampling: Sampling,
}

/// A step that is being enqueued.
pub(super) struct Run<'a> {
    pub stream: &'a Stream,
    pub model: &'a Model,
    pub cache: &'a Cache,
    pub kind: Kind,
    pub layout: Layout,
}

impl Run<'_> {
    /// Enqueues every op, and the choice of tokens where one is wanted.
    pub(super) fn all(&self) -> Result<(), Failure> {
        self.poison()?;
        self.mark_start()?;
        for (at, op) in self.model.program.ops.iter().enumerate() {
            // A step that wants no logits skips everything that leads to them alone.
            if op.outputs().iter().any(|&out| self.rows(out) > 0) {
                self.poison_outputs(at, op)?;
                self.prepare(at, op)?;
                self.op(at, op)?;
                self.mark_op(op)?;
                self.inspect(at, op)?;
            }
        }
        self.sample()?;
        Ok(self.mark_named("sample")?)
    }

    fn op(&self, at: usize, op: &Op) -> Result<(), Failure> {
        match op {
            Op::Embed { table, scale, out } => self.embed(*table, *scale, *out),
            Op::Norm { kind, x, group, eps, weight, bias, out } => {
                let call = self.norm(*kind, *x, *group, *eps, *weight, *bias, self.forms(at, *out))?;
                Ok(self.model.tools.norm.run(self.stream, &call)?)
            }
            Op::AddNorm { a, b, sum, kind, eps, weight, bias, out } => {
                let cols = self.cols(*a);
                let call = self.norm(*kind, *a, cols, *eps, *weight, *bias, self.forms(at, *out))?;
                let call = NormCall { add: self.value(*b), sum: self.value(*sum), ..call };
                Ok(self.model.tools.norm.run(self.stream, &call)?)
            }
            Op::Linear { x, weight, bias, out } => {
                self.linears(*x, &[LinearPart { weight: *weight, bias: *bias, out: *out }])
            }
            Op::Linears { x, parts } => self.linears(*x, parts),
            Op::Rope { x, head_dim, spec, out } => self.rope(*x, *head_dim, spec, *out),
            Op::Attention { q, k, v, layer, spec, sinks, out } => {
                let plain = HeadTransform::default();
                self.attention([*q, *k, *v], [&plain, &plain], *layer, spec, *sinks, (at, *out))
            }
            Op::RotaryAttention { q, k, v, q_heads, k_heads, layer, spec, sinks, out } => {
                self.attention([*q, *k, *v], [q_heads, k_heads], *layer, spec, *sinks, (at, *out))
            }
            Op::Gate { gate, up, activation, out } => {
                let call = GateCall {
                    gate: self.value(*gate),
                    spread: self.cols(*gate) != self.cols(*out),
                    up: up.map_or(DevicePtr::NULL, |up| self.value(up)),
                    activation: Some(*activation),
                    out: self.forms(at, *out),
                    rows: self.rows(*out),
                    cols: self.cols(*out),
                };
                Ok(self.model.tools.gate.run(self.stream, &call)?)
            }
            Op::Add { a, b, out } => {
                let (a, b) = (self.value(*a), self.value(*b));
                Ok(self.model.tools.maps.add(self.stream, a, b, self.value(*out), self.count(*out))?)
            }
            Op::Scale { x, factor, out } => {
                let (x, out, count) = (self.value(*x), self.value(*out), self.count(*out));
                Ok(self.model.tools.maps.scale(self.stream, x, *factor, out, count)?)
            }
            Op::Softcap { x, cap, out } => {
                let (x, out, count) = (self.value(*x), self.value(*out), self.count(*out));
                Ok(self.model.tools.maps.softcap(self.stream, x, *cap, out, count)?)
            }
            Op::Route { scores, spec, bias, selection } => {
                let call = RouteCall {
                    spec: *spec,
                    scores: self.value(*scores),
                    bias: self.model.weights.optional(*bias)?.ptr,
                    ids: self.value(selection.ids),
                    weights: self.value(selection.weights),
                    rows: self.rows(*scores),
                };
                Ok(self.model.tools.route.run(self.stream, &call)?)
            }
            Op::ExpertLinear { x, selection, weight, bias, out } => {
                self.expert_linear(at, *x, selection.ids, *weight, *bias, *out)
            }
            Op::ExpertSum { x, selection, out } => self.expert_sum(*x, *selection, *out),
            Op::SelectRows { x, out } => {
                let (rows, cols) = (self.rows(*out), self.cols(*out));
                let (x, wanted) = (self.value(*x), self.input(self.layout.wanted));
                Ok(self.model.tools.maps.select_rows(self.stream, x, wanted, self.value(*out), rows, cols)?)
            }
        }
    }

    fn embed(&self, table: WeightId, scale: f32, out: ValueId) -> Result<(), Failure> {
        let table = self.model.weights.matrix(table)?;
        let call = EmbedCall {
            table: table.planes,
            rows: table.rows,
            cols: table.cols,
            tokens: self.input(self.layout.tokens),
            count: self.rows(out),
            scale,
            out: self.value(out),
        };
        Ok(self.model.tools.embed(table.ty)?.run(self.stream, &call)?)
    }

    #[allow(clippy::too_many_arguments, reason = "the fields of the op")]
    fn norm(
        &self,
        kind: NormKind,
        x: ValueId,
        group: usize,
        eps: f32,
        weight: Option<WeightId>,
        bias: Option<WeightId>,
        out: FormPtrs,
    ) -> Result<NormCall, BackendError> {
        let (weight, bias) = (self.model.weights.optional(weight)?, self.model.weights.optional(bias)?);
        Ok(NormCall {
            group,
            weight: weight.ptr,
            weight_len: weight.len,
            bias: bias.ptr,
            bias_len: bias.len,
            ..NormCall::of(kind, self.value(x), out, self.rows(x), self.cols(x), eps)
        })
    }

    fn expert_sum(&self, x: ValueId, selection: ExpertSelection, out: ValueId) -> Result<(), Failure> {
        let call = ExpertSumCall {
            x: self.value(x),
            weights: self.value(selection.weights),
            residual: DevicePtr::NULL,
            out: self.value(out),
            rows: self.rows(out),
            cols: self.cols(out),
            chosen: self.cols(selection.weights),
        };
        Ok(self.model.tools.maps.expert_sum(self.stream, &call)?)
    }

    fn sample(&self) -> Result<(), Failure> {
        if self.kind.sampling == Sampling::None {
            return Ok(());
        }
        let vocab = self.model.program.vocab_size;
        let rows = self.input(self.layout.words);
        let call = SampleCall {
            logits: self.value(self.model.program.output),
            vocab,
            stride: vocab,
            rows,
            count: self.kind.shape.logits,
            edits: rows.add(self.kind.shape.logits * size_of::<SampleRow>()),
            results: self.model.buffers.results.ptr(),
            tokens: DevicePtr::NULL,
            scratch: self.model.buffers.scratch.ptr(),
            draws: self.kind.sampling == Sampling::Drawn,
        };
        Ok(self.model.tools.sample.run(self.stream, &call)?)
    }

    /// Makes the forms of an op's input that no op before it has written.
    fn prepare(&self, at: usize, op: &Op) -> Result<(), Failure> {
        let (Op::Linear { x, .. } | Op::Linears { x, .. } | Op::ExpertLinear { x, .. }) = op else { return Ok(()) };
        let forms = self.form_plan(*x).prepared[at];
        if forms.is_empty() {
            return Ok(());
        }
        let call = GateCall::forms(self.value(*x), self.form_ptrs(*x, forms), self.rows(*x), self.cols(*x));
        self.model.tools.gate.run(self.stream, &call)?;
        Ok(self.mark_named("forms")?)
    }

    /// Where an op writes its output.
    pub(super) fn forms(&self, at: usize, out: ValueId) -> FormPtrs {
        self.form_ptrs(out, self.form_plan(out).written[at])
    }

    fn form_ptrs(&self, x: ValueId, forms: Forms) -> FormPtrs {
        let buffers = &self.model.buffers;
        let when = |wanted: bool, ptr: DevicePtr| if wanted { ptr } else { DevicePtr::NULL };
        FormPtrs {
            f32: when(forms.f32, self.value(x)),
            q8: when(forms.q8, buffers.q8()),
            q8_scales: when(forms.q8, buffers.q8_scales()),
            half: when(forms.half, buffers.half()),
            half_scales: when(forms.half, buffers.half_scales()),
            bhalf: when(forms.bhalf, buffers.bhalf()),
            bhalf_scales: DevicePtr::NULL,
        }
    }

    pub(super) fn form_plan(&self, x: ValueId) -> &FormPlan {
        self.model.plans.of(self.regime(x))
    }

    /// How products of a value are computed: by the number of tokens or wanted rows that it has rows for.
    pub(super) fn regime(&self, x: ValueId) -> Regime {
        let base = match self.model.program.value(x).rows {
            Rows::Tokens(_) => self.kind.shape.tokens,
            Rows::Wanted(_) => self.kind.shape.wanted,
            Rows::Logits(_) => self.kind.shape.logits,
        };
        match self.model.is_exact {
            true => Regime::Exact,
            false if base <= MAX_COLUMNS => Regime::Vector,
            false => Regime::Matrix,
        }
    }

    pub(super) fn rows(&self, x: ValueId) -> usize {
        self.model.program.value(x).rows.count(self.kind.shape.rows())
    }

    pub(super) fn cols(&self, x: ValueId) -> usize {
        self.model.program.value(x).cols
    }

    fn count(&self, x: ValueId) -> usize {
        self.rows(x) * self.cols(x)
    }

    /// Where a value lies.
    pub(super) fn value(&self, x: ValueId) -> DevicePtr {
        self.model.buffers.arena.ptr().add(self.model.memory.offsets[x.0 as usize] * size_of::<f32>())
    }

    /// Where one of the step's arrays lies.
    pub(super) fn input(&self, word: usize) -> DevicePtr {
        self.cache.inputs.ptr().add(word * size_of::<u32>())
    }
}
