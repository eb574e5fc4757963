//! One step of the fast interpreter: the ops of a Program, in order.

use std::ops::Range;

use rocmforge_attention::RopeSpec;
use rocmforge_program::backend::{BackendError, StepInput};
use rocmforge_program::{ExpertSelection, LinearPart, Op, Program, RouteSpec, RowCounts, Rows, ValueId, WeightId};

use super::arena::Arena;
use super::weights::Weights;
use super::{Cache, SHARE};
use crate::elementwise::{self, NormParams, RopeTable, RouteScratch};
use crate::flash::{self, Attention, FlashScratch};
use crate::matmul::{self, Activations, Form, Input, Job, MatmulError, PackedMatrix, Routing};
use crate::pool::{Parts, Pool};

/// Everything a step reuses from the last one, so that it allocates nothing of a size that depends on the model.
pub(crate) struct Scratch {
    pub arena: Arena,
    activations: Activations,
    /// The value that `activations` holds, and in which form.
    quantized: Option<(ValueId, Form)>,
    rope_tables: Vec<RopeTable>,
    route: RouteScratch,
    routing: Routing,
    expert_ids: Vec<u32>,
    attention: FlashScratch,
}

impl Scratch {
    pub fn new(program: &Program, weights: &Weights, most: RowCounts, threads: usize) -> Result<Self, BackendError> {
        let arena = Arena::new(program, most);
        let mut activations = Activations::new();
        let mut rope_tables: Vec<RopeTable> = Vec::new();
        let (mut experts, mut groups, mut chosen) = (0, 0, 0);
        for op in &program.ops {
            match op {
                Op::Linear { x, .. } | Op::Linears { x, .. } | Op::ExpertLinear { x, .. } => {
                    let value = program.value(*x);
                    let form = form_of(op.weights().iter().flat_map(|&w| weights.experts(w)));
                    activations.reserve(form, value.rows.count(most), value.cols);
                }
                Op::Rope { spec, .. } if !rope_tables.iter().any(|t| t.serves(spec)) => {
                    rope_tables.push(RopeTable::new(spec, most.tokens));
                }
                Op::Route { spec, .. } => {
                    experts = experts.max(spec.experts);
                    groups = groups.max(spec.groups);
                    chosen = chosen.max(spec.chosen);
                }
                _ => {}
            }
        }
        let mut routing = Routing::new();
        routing.reserve(most.tokens * chosen, experts);
        let specs =
            program.ops.iter().filter_map(|op| if let Op::Attention { spec, .. } = op { Some(spec) } else { None });
        Ok(Self {
            arena,
            activations,
            quantized: None,
            rope_tables,
            route: RouteScratch::new(experts, groups, chosen),
            routing,
            expert_ids: Vec::with_capacity(most.tokens * chosen),
            attention: FlashScratch::new(threads, specs).map_err(super::bad_cache)?,
        })
    }
}

/// A step under way.
pub(crate) struct Step<'a> {
    pub pool: &'a Pool,
    pub program: &'a Program,
    pub weights: &'a Weights,
    pub scratch: &'a mut Scratch,
    pub cache: &'a mut Cache,
    pub input: &'a StepInput,
}

impl Step<'_> {
    /// Runs every op and returns logits and hidden states.
    pub fn run(mut self) -> Result<(Vec<f32>, Vec<f32>), BackendError> {
        let rows = self.input.rows();
        self.scratch.arena.begin(rows);
        self.scratch.quantized = None;
        let positions = || self.input.sequences.iter().flat_map(|s| s.first_position()..s.context_len);
        self.scratch.rope_tables.iter_mut().for_each(|table| table.fill(positions()));
        for op in &self.program.ops {
            // A step that wants no logits skips everything that leads to them alone.
            if op.outputs().iter().any(|&out| self.scratch.arena.rows(out) > 0) {
                self.op(op)?;
            }
        }
        let (arena, program) = (&self.scratch.arena, self.program);
        let logits = &arena.value(program.output)[..rows.logits * program.vocab_size];
        let hidden = &arena.value(program.hidden)[rows.logits * program.hidden_size()..];
        Ok((logits.to_vec(), hidden.to_vec()))
    }

    fn op(&mut self, op: &Op) -> Result<(), BackendError> {
        match op {
            Op::AddNorm { .. } | Op::RotaryAttention { .. } => return Err(BackendError::UnsupportedOp(op.name())),
            Op::Embed { table, scale, out } => return self.embed(*table, *scale, *out),
            Op::Norm { kind, x, group, eps, weight, bias, out } => {
                let cols = self.scratch.arena.cols(*x);
                let weights = self.weights;
                let [weight, bias] = [weight, bias].map(|id| id.map(|id| weights.vector(id)));
                let params = NormParams { kind: *kind, cols, group: *group, eps: *eps, weight, bias };
                self.map_rows(*x, None, *out, |_, x, _, out| {
                    elementwise::norm(elementwise::Isa::best(), &params, x, out)
                });
            }
            Op::Linear { x, weight, bias, out } => {
                self.linears(*x, &[LinearPart { weight: *weight, bias: *bias, out: *out }])?;
            }
            Op::Linears { x, parts } => self.linears(*x, parts)?,
            Op::Rope { x, head_dim, spec, out } => self.rope(*x, *head_dim, spec, *out),
            Op::Attention { q, k, v, layer, spec, sinks, out } => {
                let sinks = sinks.map(|s| self.weights.vector(s));
                let scratch = &mut self.scratch.attention;
                let [q, k, v, out] = self.scratch.arena.values([*q, *k, *v, *out]);
                self.cache.store.write_step(elementwise::Isa::best(), self.pool, *layer, &self.input.sequences, k, v);
                let sequences = &self.input.sequences;
                let attention = Attention { spec, cache: &self.cache.store, layer: *layer, sinks, sequences };
                flash::attend(elementwise::Isa::best(), self.pool, scratch, &attention, q, out);
            }
            Op::Gate { gate, up, activation, out } => self.gate(*gate, *up, *activation, *out),
            Op::Add { a, b, out } => self.map_rows(*a, Some(*b), *out, |_, a, b, out| {
                elementwise::add(elementwise::Isa::best(), a, b.unwrap_or_default(), out);
            }),
            Op::Scale { x, factor, out } => self.map_rows(*x, None, *out, |_, x, _, out| {
                elementwise::scale(elementwise::Isa::best(), *factor, x, out);
            }),
            Op::Softcap { x, cap, out } => self.map_rows(*x, None, *out, |_, x, _, out| {
                elementwise::softcap(elementwise::Isa::best(), *cap, x, out);
            }),
            Op::Route { scores, spec, bias, selection } => self.route(*scores, spec, *bias, *selection),
            Op::ExpertLinear { x, selection, weight, bias, out } => {
                self.expert_linear(*x, *selection, *weight, *bias, *out)?;
            }
            Op::ExpertSum { x, selection, out } => {
                let (k, cols) = (self.scratch.arena.cols(selection.weights), self.scratch.arena.cols(*x));
                let [x, weights, out] = self.scratch.arena.values([*x, selection.weights, *out]);
                elementwise::expert_sum(elementwise::Isa::best(), k, cols, weights, x, out);
            }
            Op::SelectRows { x, out } => {
                let cols = self.scratch.arena.cols(*x);
                let [x, out] = self.scratch.arena.values([*x, *out]);
                for (row, out) in self.input.selected_rows().zip(out.chunks_exact_mut(cols)) {
                    out.copy_from_slice(&x[row as usize * cols..][..cols]);
                }
            }
        }
        Ok(())
    }

    fn embed(&mut self, table: WeightId, scale: f32, out: ValueId) -> Result<(), BackendError> {
        let cols = self.scratch.arena.cols(out);
        let [out] = self.scratch.arena.values([out]);
        for (&token, row) in self.input.tokens.iter().zip(out.chunks_exact_mut(cols)) {
            self.weights.embed(self.program, table, token, scale, row)?;
        }
        Ok(())
    }

    /// Splits the rows of an op over the threads. `f` gets the first row, the input (`None`: `out` holds it already),
    /// the second operand and the output of its share.
    fn map_rows(
        &mut self,
        x: ValueId,
        other: Option<ValueId>,
        out: ValueId,
        f: impl Fn(usize, Option<&[f32]>, Option<&[f32]>, &mut [f32]) + Sync,
    ) {
        let arena = &mut self.scratch.arena;
        let (cols, rows) = (arena.cols(out), arena.rows(out));
        let (x, other, out) = match (arena.is_in_place(x, out), other) {
            (true, None) => {
                let [out] = arena.values([out]);
                (None, None, out)
            }
            (true, Some(other)) => {
                let [other, out] = arena.values([other, out]);
                (None, Some(&*other), out)
            }
            (false, None) => {
                let [x, out] = arena.values([x, out]);
                (Some(&*x), None, out)
            }
            // `a + a`: one operand, read twice.
            (false, Some(other)) if other == x => {
                let [x, out] = arena.values([x, out]);
                (Some(&*x), Some(&*x), out)
            }
            (false, Some(other)) => {
                let [x, other, out] = arena.values([x, other, out]);
                (Some(&*x), Some(&*other), out)
            }
        };
        let out = Parts::new(out);
        let share = |range: Range<usize>| {
            let elements = range.start * cols..range.end * cols;
            let (x, other) = (x.map(|x| &x[elements.clone()]), other.map(|o| &o[elements.clone()]));
            // SAFETY: the ranges of one dispatch do not overlap.
            f(range.start, x, other, unsafe { out.get(elements) });
        };
        self.pool.for_each_chunk(rows, rows_per_share(rows, cols, self.pool.threads()), share);
    }

    fn rope(&mut self, x: ValueId, head_dim: usize, spec: &RopeSpec, out: ValueId) {
        let cols = self.scratch.arena.cols(x);
        let tables = std::mem::take(&mut self.scratch.rope_tables);
        if let Some(table) = tables.iter().find(|t| t.serves(spec)) {
            self.map_rows(x, None, out, |first, x, _, out| {
                elementwise::rope(elementwise::Isa::best(), table, first, head_dim, cols, x, out);
            });
        }
        self.scratch.rope_tables = tables;
    }

    fn gate(&mut self, gate: ValueId, up: Option<ValueId>, activation: rocmforge_program::Activation, out: ValueId) {
        let isa = elementwise::Isa::best();
        let arena = &mut self.scratch.arena;
        if arena.cols(gate) == arena.cols(out) {
            return self.map_rows(gate, up, out, |_, gate, up, out| elementwise::gate(isa, activation, gate, up, out));
        }
        match up {
            Some(up) => {
                let [gate, up, out] = arena.values([gate, up, out]);
                elementwise::gate_spread(isa, activation, gate, Some(up), out);
            }
            None => {
                let [gate, out] = arena.values([gate, out]);
                elementwise::gate_spread(isa, activation, gate, None, out);
            }
        }
    }

    fn linears(&mut self, x: ValueId, parts: &[LinearPart]) -> Result<(), BackendError> {
        let Scratch { arena, activations, quantized, .. } = &mut *self.scratch;
        let Some(first) = parts.first() else { return Ok(()) };
        // The projection to the vocabulary writes fewer rows than there are to read.
        let (rows, cols) = (arena.rows(first.out), arena.cols(x));
        let mut values = arena.list(std::iter::once(x).chain(parts.iter().map(|p| p.out))).into_iter();
        let Some(x_value) = values.next() else { return Ok(()) };
        let x_value = &x_value[..rows * cols];
        let weights = self.weights;
        let form = form_of(parts.iter().map(|p| weights.matrix(p.weight)));
        let input = prepared(self.pool, activations, quantized, (x, form), x_value, rows, cols)?;
        let mut jobs: Vec<Job<'_>> = parts
            .iter()
            .zip(values)
            .map(|(p, out)| Job::new(weights.matrix(p.weight), p.bias.map(|b| weights.vector(b)), out))
            .collect();
        matmul::matmul_many(self.pool, &mut jobs, &input).map_err(misfit)
    }

    fn route(&mut self, scores: ValueId, spec: &RouteSpec, bias: Option<WeightId>, selection: ExpertSelection) {
        let bias = bias.map(|b| self.weights.vector(b));
        let Scratch { arena, route, .. } = &mut *self.scratch;
        let [scores, ids, weights] = arena.values([scores, selection.ids, selection.weights]);
        elementwise::route(spec, scores, bias, route, ids, weights);
    }

    fn expert_linear(
        &mut self,
        x: ValueId,
        selection: ExpertSelection,
        weight: WeightId,
        bias: Option<WeightId>,
        out: ValueId,
    ) -> Result<(), BackendError> {
        let experts = self.weights.experts(weight);
        let biases = bias.map(|b| self.weights.vector(b));
        let chosen = self.scratch.arena.cols(selection.ids);
        let shared = matches!(self.program.value(x).rows, Rows::Tokens(1) | Rows::Wanted(1));
        let Scratch { arena, activations, quantized, routing, expert_ids, .. } = &mut *self.scratch;
        let (rows, cols) = (arena.rows(x), arena.cols(x));
        let [x_value, ids, out] = arena.values([x, selection.ids, out]);
        expert_ids.clear();
        expert_ids.extend(ids.iter().map(|&id| id as u32));
        routing.route(expert_ids, chosen, experts.len()).map_err(misfit)?;
        let input = prepared(self.pool, activations, quantized, (x, form_of(experts)), x_value, rows, cols)?;
        let which = if shared { matmul::Rows::Tokens } else { matmul::Rows::Slots };
        matmul::matmul_experts(self.pool, experts, biases, routing, which, &input, out).map_err(misfit)
    }
}

/// What products with these matrices need of their input.
fn form_of<'a>(matrices: impl IntoIterator<Item = &'a PackedMatrix>) -> Form {
    matrices.into_iter().map(PackedMatrix::input_form).max().unwrap_or(Form::Floats)
}

/// The input of a product, quantized unless the buffer still holds this very value.
fn prepared<'a>(
    pool: &Pool,
    activations: &'a mut Activations,
    held: &mut Option<(ValueId, Form)>,
    wanted: (ValueId, Form),
    x: &'a [f32],
    rows: usize,
    cols: usize,
) -> Result<Input<'a>, BackendError> {
    let form = wanted.1;
    if held.is_some_and(|(id, has)| id == wanted.0 && has >= form) {
        return activations.held(form, x, rows, cols).map_err(misfit);
    }
    if form > Form::Floats {
        *held = Some(wanted);
    }
    activations.prepare(pool, form, x, rows, cols).map_err(misfit)
}

/// Rows a thread takes at a time: all of them if the work is too small to share.
fn rows_per_share(rows: usize, cols: usize, threads: usize) -> usize {
    if rows * cols < SHARE { rows } else { rows.div_ceil(threads * 4).max(1) }
}

fn misfit(error: MatmulError) -> BackendError {
    BackendError::Device(format!("the Program's shapes do not fit: {error}"))
}
