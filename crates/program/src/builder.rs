//! Builds a Program op by op, checking every shape.

use std::ops::Range;

use rocmforge_attention::{AttentionSpec, RopeSpec};

use crate::{
    Activation, CacheLayer, ExpertSelection, NormKind, Op, Program, ProgramError, RouteSpec, Rows, Value, ValueId,
    WeightId, WeightRef,
};

/// Emits ops; every method returns the value it made.
///
/// Shapes in the documentation are `[rows, columns]`, T being the tokens of a step and S the rows wanted.
#[derive(Debug, Default)]
pub struct ProgramBuilder {
    values: Vec<Value>,
    weights: Vec<WeightRef>,
    ops: Vec<Op>,
    cache_layers: Vec<CacheLayer>,
}

type Built = Result<ValueId, ProgramError>;

impl ProgramBuilder {
    /// An empty Program.
    pub fn new() -> Self {
        Self::default()
    }

    /// A whole matrix `[rows, cols]` of the file.
    pub fn matrix(&mut self, tensor: impl Into<String>, rows: usize, cols: usize) -> WeightId {
        self.push_weight(WeightRef { tensor: tensor.into(), experts: 1, first_row: 0, rows, stored_rows: rows, cols })
    }

    /// Some rows of a stored matrix `[stored_rows, cols]`.
    ///
    /// # Errors
    /// Rows past the end of the stored matrix.
    pub fn matrix_rows(
        &mut self,
        tensor: impl Into<String>,
        stored_rows: usize,
        range: Range<usize>,
        cols: usize,
    ) -> Result<WeightId, ProgramError> {
        let tensor = tensor.into();
        if range.start > range.end || range.end > stored_rows {
            return Err(ProgramError::WeightRows { tensor, first: range.start, end: range.end, rows: stored_rows });
        }
        Ok(self.push_weight(WeightRef {
            tensor,
            experts: 1,
            first_row: range.start,
            rows: range.len(),
            stored_rows,
            cols,
        }))
    }

    /// Stacked matrices `[experts, rows, cols]`.
    pub fn stacked(&mut self, tensor: impl Into<String>, experts: usize, rows: usize, cols: usize) -> WeightId {
        self.push_weight(WeightRef { tensor: tensor.into(), experts, first_row: 0, rows, stored_rows: rows, cols })
    }

    /// A vector of `n` elements.
    pub fn vector(&mut self, tensor: impl Into<String>, n: usize) -> WeightId {
        self.matrix(tensor, 1, n)
    }

    /// Elements `range` of a stored vector of `stored` elements: the part of a fused bias.
    ///
    /// # Errors
    /// Elements past the end.
    pub fn vector_part(
        &mut self,
        tensor: impl Into<String>,
        stored: usize,
        range: Range<usize>,
    ) -> Result<WeightId, ProgramError> {
        self.matrix_rows(tensor, stored, range, 1)
    }

    fn push_weight(&mut self, weight: WeightRef) -> WeightId {
        if let Some(at) = self.weights.iter().position(|w| *w == weight) {
            return WeightId(at as u32);
        }
        self.weights.push(weight);
        WeightId(self.weights.len() as u32 - 1)
    }

    fn push_value(&mut self, rows: Rows, cols: usize) -> ValueId {
        self.values.push(Value { rows, cols });
        ValueId(self.values.len() as u32 - 1)
    }

    /// Shape of a value.
    pub fn shape(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    fn weight_shape(&self, id: WeightId) -> &WeightRef {
        &self.weights[id.0 as usize]
    }

    fn emit(&mut self, rows: Rows, cols: usize, op: impl FnOnce(ValueId) -> Op) -> ValueId {
        let out = self.push_value(rows, cols);
        self.ops.push(op(out));
        out
    }

    fn expect_width(&self, op: &'static str, what: &str, found: usize, expected: usize) -> Result<(), ProgramError> {
        if found == expected {
            return Ok(());
        }
        Err(ProgramError::Width { op, what: what.to_string(), expected, found })
    }

    fn expect_rows(&self, op: &'static str, a: Rows, b: Rows) -> Result<(), ProgramError> {
        if a == b {
            return Ok(());
        }
        Err(ProgramError::Rows { op, a: a.to_string(), b: b.to_string() })
    }

    /// A vector weight must have `expected` elements, however it is stored.
    fn expect_vector(&self, op: &'static str, id: WeightId, expected: usize) -> Result<(), ProgramError> {
        let w = self.weight_shape(id);
        self.expect_width(op, &format!("`{}`", w.tensor), w.rows * w.cols, expected)
    }

    /// Token embedding, ids `[T]` → `[T, cols]`.
    pub fn embed(&mut self, table: WeightId, scale: f32) -> ValueId {
        let cols = self.weight_shape(table).cols;
        self.emit(Rows::Tokens(1), cols, |out| Op::Embed { table, scale, out })
    }

    /// RMS norm of whole rows.
    ///
    /// # Errors
    /// A weight of another width.
    pub fn rms_norm(&mut self, x: ValueId, weight: WeightId, eps: f32) -> Built {
        let group = self.shape(x).cols;
        self.norm(NormKind::Rms, x, group, eps, Some(weight), None)
    }

    /// Any norm, by groups of `group` columns.
    ///
    /// # Errors
    /// Columns that are not whole groups; a weight or bias that is neither as wide as a group nor as the row.
    pub fn norm(
        &mut self,
        kind: NormKind,
        x: ValueId,
        group: usize,
        eps: f32,
        weight: Option<WeightId>,
        bias: Option<WeightId>,
    ) -> Built {
        let Value { rows, cols } = *self.shape(x);
        if group == 0 || !cols.is_multiple_of(group) {
            return Err(ProgramError::Width { op: "norm", what: "whole groups".into(), expected: group, found: cols });
        }
        for id in weight.iter().chain(&bias) {
            let w = self.weight_shape(*id);
            if w.rows * w.cols != cols {
                self.expect_vector("norm", *id, group)?;
            }
        }
        Ok(self.emit(rows, cols, |out| Op::Norm { kind, x, group, eps, weight, bias, out }))
    }

    /// Linear map, `[T, in]` → `[T, rows of the weight]`.
    ///
    /// # Errors
    /// An input or bias of another width.
    pub fn linear(&mut self, x: ValueId, weight: WeightId, bias: Option<WeightId>) -> Built {
        let w = self.weight_shape(weight).clone();
        self.expect_width("linear", &format!("the input of `{}`", w.tensor), self.shape(x).cols, w.cols)?;
        if let Some(bias) = bias {
            self.expect_vector("linear", bias, w.rows)?;
        }
        Ok(self.emit(self.shape(x).rows, w.rows, |out| Op::Linear { x, weight, bias, out }))
    }

    /// Rotary embedding of heads of `head_dim` columns.
    ///
    /// # Errors
    /// Columns that are not whole heads; more rotary dimensions than a head has.
    pub fn rope(&mut self, x: ValueId, head_dim: usize, spec: &RopeSpec) -> Built {
        let Value { rows, cols } = *self.shape(x);
        if head_dim < spec.rotary_dims() || !cols.is_multiple_of(head_dim) {
            return Err(ProgramError::Width {
                op: "rope",
                what: "whole heads".into(),
                expected: head_dim,
                found: cols,
            });
        }
        Ok(self.emit(rows, cols, |out| Op::Rope { x, head_dim, spec: spec.clone(), out }))
    }

    /// Attention over the cache; each call is one more cache layer.
    ///
    /// # Errors
    /// A specification that cannot be computed; q, k, v or sinks of another width.
    pub fn attention(
        &mut self,
        q: ValueId,
        k: ValueId,
        v: ValueId,
        spec: AttentionSpec,
        sinks: Option<WeightId>,
    ) -> Built {
        spec.validate()?;
        self.expect_width("attention", "q", self.shape(q).cols, spec.query_width())?;
        self.expect_width("attention", "k", self.shape(k).cols, spec.key_width())?;
        self.expect_width("attention", "v", self.shape(v).cols, spec.value_width())?;
        if let Some(sinks) = sinks {
            self.expect_vector("attention", sinks, spec.num_heads)?;
        }
        let layer = self.cache_layers.len();
        self.cache_layers.push(CacheLayer {
            num_kv_heads: spec.num_kv_heads,
            head_dim: spec.head_dim,
            value_dim: spec.value_dim,
            window: spec.window,
        });
        let (rows, cols) = (self.shape(q).rows, spec.output_width());
        Ok(self.emit(rows, cols, |out| Op::Attention { q, k, v, layer, spec, sinks, out }))
    }

    /// `activation(gate) * up`, or `activation(gate)` alone.
    ///
    /// # Errors
    /// Operands of different shape (a gate of one column spreads over the row).
    pub fn gate(&mut self, gate: ValueId, up: Option<ValueId>, activation: Activation) -> Built {
        let Value { rows, mut cols } = *self.shape(gate);
        if let Some(up) = up {
            let other = self.shape(up).clone();
            self.expect_rows("gate", rows, other.rows)?;
            if cols != 1 {
                self.expect_width("gate", "up", other.cols, cols)?;
            }
            cols = other.cols;
        }
        Ok(self.emit(rows, cols, |out| Op::Gate { gate, up, activation, out }))
    }

    /// `a + b`.
    ///
    /// # Errors
    /// Operands of different shape.
    pub fn add(&mut self, a: ValueId, b: ValueId) -> Built {
        let Value { rows, cols } = *self.shape(a);
        self.expect_rows("add", rows, self.shape(b).rows)?;
        self.expect_width("add", "b", self.shape(b).cols, cols)?;
        Ok(self.emit(rows, cols, |out| Op::Add { a, b, out }))
    }

    /// `factor * x`; a factor of one emits nothing.
    pub fn scale(&mut self, x: ValueId, factor: f32) -> ValueId {
        if factor == 1.0 {
            return x;
        }
        let Value { rows, cols } = *self.shape(x);
        self.emit(rows, cols, |out| Op::Scale { x, factor, out })
    }

    /// `cap * tanh(x / cap)`.
    pub fn softcap(&mut self, x: ValueId, cap: f32) -> ValueId {
        let Value { rows, cols } = *self.shape(x);
        self.emit(rows, cols, |out| Op::Softcap { x, cap, out })
    }

    /// Chooses experts from `scores` `[T, experts]`; `bias` is added for the choice, not to the weights.
    ///
    /// # Errors
    /// Scores of another width; more chosen than there are; groups that do not divide the experts.
    pub fn route(
        &mut self,
        scores: ValueId,
        spec: RouteSpec,
        bias: Option<WeightId>,
    ) -> Result<ExpertSelection, ProgramError> {
        self.expect_width("route", "scores", self.shape(scores).cols, spec.experts)?;
        if let Some(bias) = bias {
            self.expect_vector("route", bias, spec.experts)?;
        }
        let bad = |message: String| Err(ProgramError::Route(message));
        if spec.groups == 0 || !spec.experts.is_multiple_of(spec.groups) || spec.groups_chosen > spec.groups {
            return bad(format!("{} of {} groups of {} experts", spec.groups_chosen, spec.groups, spec.experts));
        }
        let available = spec.experts / spec.groups * spec.groups_chosen;
        if spec.chosen == 0 || spec.chosen > available {
            return bad(format!("{} experts chosen of {available}", spec.chosen));
        }
        let rows = self.shape(scores).rows;
        let ids = self.push_value(rows, spec.chosen);
        let weights = self.push_value(rows, spec.chosen);
        let selection = ExpertSelection { ids, weights };
        self.ops.push(Op::Route { scores, spec, bias, selection });
        Ok(selection)
    }

    /// One linear map a chosen expert: `[T, in]` or `[T * k, in]` → `[T * k, out]`.
    ///
    /// # Errors
    /// An input or bias of another shape.
    pub fn expert_linear(
        &mut self,
        x: ValueId,
        selection: ExpertSelection,
        weight: WeightId,
        bias: Option<WeightId>,
    ) -> Built {
        let w = self.weight_shape(weight).clone();
        let chosen = self.shape(selection.ids).clone();
        self.expect_width("expert_linear", &format!("the input of `{}`", w.tensor), self.shape(x).cols, w.cols)?;
        let rows = chosen.rows.times(chosen.cols);
        if self.shape(x).rows != chosen.rows {
            self.expect_rows("expert_linear", self.shape(x).rows, rows)?;
        }
        if let Some(bias) = bias {
            self.expect_vector("expert_linear", bias, w.experts * w.rows)?;
        }
        Ok(self.emit(rows, w.rows, |out| Op::ExpertLinear { x, selection, weight, bias, out }))
    }

    /// The weighted sum of each token's experts, `[T * k, H]` → `[T, H]`.
    ///
    /// # Errors
    /// Rows that are not `k` a token.
    pub fn expert_sum(&mut self, x: ValueId, selection: ExpertSelection) -> Built {
        let chosen = self.shape(selection.weights).clone();
        self.expect_rows("expert_sum", self.shape(x).rows, chosen.rows.times(chosen.cols))?;
        let cols = self.shape(x).cols;
        Ok(self.emit(chosen.rows, cols, |out| Op::ExpertSum { x, selection, out }))
    }

    /// The wanted rows, `[T, H]` → `[S, H]`.
    ///
    /// # Errors
    /// Rows that are not one a token.
    pub fn select_rows(&mut self, x: ValueId) -> Built {
        let Value { rows, cols } = *self.shape(x);
        self.expect_rows("select_rows", rows, Rows::Tokens(1))?;
        Ok(self.emit(Rows::Wanted(1), cols, |out| Op::SelectRows { x, out }))
    }

    /// The finished Program; `logits` is `[S, vocab]`. What leads from the hidden states to them is computed for the
    /// rows alone whose logits are wanted.
    ///
    /// # Errors
    /// Logits that are not one row a wanted row.
    pub fn finish(
        mut self,
        name: impl Into<String>,
        logits: ValueId,
        context_length: usize,
    ) -> Result<Program, ProgramError> {
        let Value { rows, cols } = *self.shape(logits);
        self.expect_rows("output", rows, Rows::Wanted(1))?;
        let hidden = self.end_in_logits(logits);
        Ok(Program {
            name: name.into(),
            values: self.values,
            weights: self.weights,
            ops: self.ops,
            cache_layers: self.cache_layers,
            hidden,
            output: logits,
            vocab_size: cols,
            context_length,
        })
    }

    /// Gives the projection to the vocabulary, and the scale and bound that may follow it, the rows of the logits
    /// alone. Returns what the projection reads.
    fn end_in_logits(&mut self, logits: ValueId) -> ValueId {
        let mut tail = vec![logits];
        let mut at = logits;
        for op in self.ops.iter().rev() {
            match op {
                Op::Softcap { x, out, .. } | Op::Scale { x, out, .. } if *out == at => {
                    at = *x;
                    tail.push(at);
                }
                Op::Linear { x, out, .. } if *out == at && self.shape(*x).rows == Rows::Wanted(1) => {
                    for id in tail {
                        self.values[id.0 as usize].rows = Rows::Logits(1);
                    }
                    return *x;
                }
                _ => {}
            }
        }
        logits
    }
}
