//! Products of many rows: forms of inputs, scratch, and pairs sorted by expert.

use rocmforge_program::backend::StepLimits;
use rocmforge_program::{Op, Program, ValueId, WeightId};

use super::linear::Part;
use super::run::Run;
use super::tools::Tools;
use super::weights::WeightPlan;
use crate::error::Failure;
use crate::ops::{ExpertGemmCall, GemmCall, GemmForm, GemmInput, GemmPart, GroupLayout, MAX_PARTS};

/// What the products of a Program need besides operands and results.
pub(super) struct GemmPlan {
    /// The form that decides how pairs are sorted by expert.
    expert_form: GemmForm,
    /// Ops before which pairs are sorted; later ones with the same choice of experts find them so.
    sorts: Vec<bool>,
    /// Bytes of the sorted pairs, at the beginning of the scratch.
    group_bytes: usize,
    /// Bytes of partial sums behind them.
    partial_bytes: usize,
}

impl GemmPlan {
    pub fn new(program: &Program, weights: &WeightPlan, tools: &Tools, limits: StepLimits, is_exact: bool) -> Self {
        let form_of = |op: &Op| expert_form(program, weights, op, is_exact);
        let is_f32 = program.ops.iter().filter_map(form_of).any(|form| form == GemmForm::F32);
        let expert_form = if is_f32 { GemmForm::F32 } else { GemmForm::Half };
        let mut sorted_by = None;
        let sorts = program.ops.iter().map(|op| match op {
            Op::ExpertLinear { selection, .. } => sorted_by.replace(selection.ids) != Some(selection.ids),
            _ => false,
        });
        let sorts = sorts.collect();
        let mut plan = Self { expert_form, sorts, group_bytes: 0, partial_bytes: 0 };
        for op in &program.ops {
            match op {
                Op::ExpertLinear { weight, out, .. } => {
                    let pairs = program.value(*out).rows.count(limits.rows());
                    let layout = plan.layout(pairs, program.weight(*weight).experts);
                    plan.group_bytes = plan.group_bytes.max(layout.map_or(0, |layout| layout.bytes()));
                }
                Op::Linear { out, weight, .. } => plan.add(program, weights, tools, limits, *out, &[*weight]),
                Op::Linears { parts, .. } => {
                    let all: Vec<_> = parts.iter().map(|p| p.weight).collect();
                    plan.add(program, weights, tools, limits, parts[0].out, &all);
                }
                _ => {}
            }
        }
        plan.group_bytes = plan.group_bytes.next_multiple_of(256);
        plan
    }

    /// Makes room for the partial sums of products of one input, whichever of them share a launch. All have as many rows
    /// as `out`.
    fn add(
        &mut self,
        program: &Program,
        weights: &WeightPlan,
        tools: &Tools,
        limits: StepLimits,
        out: ValueId,
        parts: &[WeightId],
    ) {
        let tokens = program.value(out).rows.count(limits.rows());
        let mut at = 0;
        while at < parts.len() {
            let ty = weights.type_of(parts[at]);
            let run = parts[at..].iter().take(MAX_PARTS).take_while(|&&id| weights.type_of(id) == ty);
            let rows: Vec<_> = run.map(|&id| program.weight(id).rows).collect();
            let cols = program.weight(parts[at]).cols;
            at += rows.len();
            if let Some(gemm) = ty.and_then(|ty| tools.gemm(ty, cols).ok()) {
                self.partial_bytes = self.partial_bytes.max(gemm.scratch_bytes(tokens, cols, &rows));
            }
        }
    }

    /// How pairs are cut.
    fn layout(&self, pairs: usize, experts: usize) -> Option<GroupLayout> {
        GroupLayout::new(pairs, experts, self.expert_form)
    }

    /// Bytes of scratch.
    pub fn scratch_bytes(&self) -> usize {
        self.group_bytes + self.partial_bytes
    }
}

fn expert_form(program: &Program, weights: &WeightPlan, op: &Op, is_exact: bool) -> Option<GemmForm> {
    let Op::ExpertLinear { x, weight, .. } = op else { return None };
    let of = |ty| if is_exact { GemmForm::F32 } else { GemmForm::of(ty, program.value(*x).cols) };
    weights.type_of(*weight).map(of)
}

impl Run<'_> {
    /// Products of the first `rows` rows with whole matrices.
    pub(super) fn gemm(&self, x: ValueId, rows: usize, parts: &[Part<'_>]) -> Result<(), Failure> {
        let cols = self.cols(x);
        let gemm = self.model.tools.gemm(parts[0].matrix.ty, cols)?;
        let call = GemmCall {
            x: self.gemm_input(x, gemm.form()),
            tokens: rows,
            k: cols,
            parts: &parts.iter().map(gemm_part).collect::<Vec<_>>(),
            scratch: self.model.buffers.scratch.ptr().add(self.model.gemm.group_bytes),
        };
        Ok(gemm.run(self.stream, &call)?)
    }

    /// Products with chosen experts.
    pub(super) fn expert_gemm(
        &self,
        at: usize,
        x: ValueId,
        ids: ValueId,
        pairs: usize,
        part: &Part<'_>,
    ) -> Result<(), Failure> {
        let Some(layout) = self.model.gemm.layout(pairs, part.matrix.experts) else { return Ok(()) };
        let groups = self.model.buffers.scratch.ptr();
        if self.model.gemm.sorts[at] {
            self.model.tools.group.run(self.stream, &layout, self.value(ids), groups)?;
        }
        let gemm = self.model.tools.gemm(part.matrix.ty, self.cols(x))?;
        let call = ExpertGemmCall {
            x: self.gemm_input(x, gemm.form()),
            outs_per_x: pairs / self.rows(x),
            k: self.cols(x),
            parts: &[gemm_part(part)],
            layout,
            groups,
        };
        Ok(gemm.run_experts(self.stream, &call)?)
    }

    fn gemm_input(&self, x: ValueId, form: GemmForm) -> GemmInput {
        let buffers = &self.model.buffers;
        match form {
            GemmForm::Half => GemmInput::Half { values: buffers.half(), scales: buffers.half_scales() },
            GemmForm::Bhalf => GemmInput::Bhalf(buffers.bhalf()),
            GemmForm::F32 => GemmInput::F32(self.value(x)),
        }
    }
}

fn gemm_part(part: &Part<'_>) -> GemmPart {
    GemmPart {
        weight: part.matrix.planes,
        bias: part.bias,
        out: part.out,
        rows: part.matrix.rows,
        out_stride: part.matrix.rows,
    }
}
