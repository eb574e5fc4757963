//! Matrix products, grouped by the type of their weights.

use rocmforge_program::backend::BackendError;
use rocmforge_program::{LinearPart, ValueId, WeightId};

use super::forms::{Form, Regime};
use super::run::Run;
use super::weights::Matrix;
use crate::driver::DevicePtr;
use crate::error::Failure;
use crate::ops::{Activations, ExpertCall, MAX_COLUMNS, MAX_PARTS, MatvecCall, MatvecPart};

/// Rows of expert products in exact arithmetic up to which each is computed by itself.
const MAX_EXACT_PAIRS: usize = 64;

/// One matrix of a product, with what it writes.
pub(super) struct Part<'a> {
    pub matrix: &'a Matrix,
    pub bias: DevicePtr,
    pub out: DevicePtr,
}

impl Run<'_> {
    /// The products of one input. Matrices of one type share a launch.
    pub(super) fn linears(&self, x: ValueId, parts: &[LinearPart]) -> Result<(), Failure> {
        // The projection to the vocabulary writes fewer rows than there are to read.
        let rows = parts.first().map_or(0, |first| self.rows(first.out));
        let parts = parts.iter().map(|p| self.part(p.weight, p.bias, p.out)).collect::<Result<Vec<_>, _>>()?;
        let mut done = 0;
        while done < parts.len() {
            let ty = parts[done].matrix.ty;
            let same = parts[done..].iter().take(MAX_PARTS).take_while(|p| p.matrix.ty == ty).count();
            self.product(x, rows, &parts[done..done + same])?;
            done += same;
        }
        Ok(())
    }

    fn product(&self, x: ValueId, rows: usize, parts: &[Part<'_>]) -> Result<(), Failure> {
        let ty = parts[0].matrix.ty;
        let (regime, cols) = (self.regime(x), self.cols(x));
        if regime == Regime::Matrix || rows > MAX_COLUMNS {
            return self.gemm(x, rows, parts);
        }
        let parts: Vec<_> = parts.iter().map(matvec_part).collect();
        let call = MatvecCall { x: self.activations(x, regime.form(ty, cols)), cols, columns: rows, parts: &parts };
        Ok(self.model.tools.matvec(ty)?.run(self.stream, &call)?)
    }

    /// Products with chosen experts.
    pub(super) fn expert_linear(
        &self,
        at: usize,
        x: ValueId,
        ids: ValueId,
        weight: WeightId,
        bias: Option<WeightId>,
        out: ValueId,
    ) -> Result<(), Failure> {
        let part = self.part(weight, bias, out)?;
        let regime = self.regime(x);
        let pairs = self.rows(out);
        if regime == Regime::Matrix || (regime == Regime::Exact && pairs > MAX_EXACT_PAIRS) {
            return self.expert_gemm(at, x, ids, pairs, &part);
        }
        let call = ExpertCall {
            x: self.activations(x, regime.form(part.matrix.ty, self.cols(x))),
            ids: self.value(ids),
            pairs,
            per_token: self.cols(ids),
            outs_per_x: pairs / self.rows(x),
            experts: part.matrix.experts,
            cols: self.cols(x),
            parts: &[matvec_part(&part)],
        };
        Ok(self.model.tools.matvec(part.matrix.ty)?.run_experts(self.stream, &call)?)
    }

    fn part(&self, weight: WeightId, bias: Option<WeightId>, out: ValueId) -> Result<Part<'_>, BackendError> {
        Ok(Part {
            matrix: self.model.weights.matrix(weight)?,
            bias: self.model.weights.optional(bias)?.ptr,
            out: self.value(out),
        })
    }

    fn activations(&self, x: ValueId, form: Form) -> Activations {
        let buffers = &self.model.buffers;
        match form {
            Form::Q8 => Activations::Q8 { quants: buffers.q8(), scales: buffers.q8_scales() },
            _ => Activations::F32(self.value(x)),
        }
    }
}

fn matvec_part(part: &Part<'_>) -> MatvecPart {
    MatvecPart {
        weight: part.matrix.planes,
        bias: part.bias,
        out: part.out,
        rows: part.matrix.rows,
        out_stride: part.matrix.rows,
    }
}
