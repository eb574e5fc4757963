//! Weights in the form in which the fast interpreter computes with them.

use std::sync::Arc;

use rocmforge_program::backend::{BackendError, WeightSource};
use rocmforge_program::weights::{as_f32, stored_rows};
use rocmforge_program::{Op, Program, WeightId};
use rocmforge_quant::dequantize;

use crate::matmul::PackedMatrix;
use crate::pool::Pool;

/// The weights of one model, by [`WeightId`]. A weight may have two roles: the embedding table is often the output
/// matrix too.
pub(crate) struct Weights {
    /// Right-hand sides of linear maps, one an expert, repacked.
    matrices: Vec<Vec<PackedMatrix>>,
    /// Norms, biases and other short ones, as f32.
    vectors: Vec<Vec<f32>>,
    /// Where embedding rows are read from, as stored.
    source: Arc<dyn WeightSource>,
}

enum Role {
    Table,
    Matrix,
    Vector,
}

impl Weights {
    /// Repacks every matrix and expands every vector that some op uses. The source may then drop what was copied.
    pub fn load(program: &Program, source: Arc<dyn WeightSource>, pool: &Pool) -> Result<Self, BackendError> {
        let count = program.weights.len();
        let mut weights =
            Self { matrices: (0..count).map(|_| Vec::new()).collect(), vectors: vec![Vec::new(); count], source };
        let mut wanted: Vec<_> = program.ops.iter().flat_map(roles).collect();
        // The largest first: while a matrix is packed, both its forms are in memory.
        wanted.sort_by_key(|(id, _)| std::cmp::Reverse(elements(program, *id)));
        for (id, role) in wanted {
            let at = id.0 as usize;
            match role {
                Role::Table => {
                    // Checked now, so that reading a row in a step cannot fail.
                    stored_rows(&*weights.source, program.weight(id))?;
                }
                Role::Matrix if weights.matrices[at].is_empty() => {
                    weights.matrices[at] = pack(program, id, &*weights.source, pool)?;
                    weights.source.release(&program.weight(id).tensor);
                }
                Role::Vector if weights.vectors[at].is_empty() => {
                    weights.vectors[at] = as_f32(&*weights.source, program.weight(id))?;
                }
                Role::Matrix | Role::Vector => {}
            }
        }
        Ok(weights)
    }

    pub fn matrix(&self, id: WeightId) -> &PackedMatrix {
        &self.matrices[id.0 as usize][0]
    }

    pub fn experts(&self, id: WeightId) -> &[PackedMatrix] {
        &self.matrices[id.0 as usize]
    }

    pub fn vector(&self, id: WeightId) -> &[f32] {
        &self.vectors[id.0 as usize]
    }

    /// Writes row `row` of a table, times `scale`.
    pub fn embed(
        &self,
        program: &Program,
        table: WeightId,
        row: u32,
        scale: f32,
        out: &mut [f32],
    ) -> Result<(), BackendError> {
        let weight = program.weight(table);
        let stored = stored_rows(&*self.source, weight)?;
        let row_bytes = stored.bytes.len() / weight.rows;
        let bytes = &stored.bytes[row as usize * row_bytes..][..row_bytes];
        dequantize(stored.ty, bytes, out).map_err(|e| BackendError::Device(e.to_string()))?;
        if scale != 1.0 {
            out.iter_mut().for_each(|x| *x *= scale);
        }
        Ok(())
    }
}

fn elements(program: &Program, id: WeightId) -> usize {
    let weight = program.weight(id);
    weight.experts * weight.rows * weight.cols
}

fn roles(op: &Op) -> Vec<(WeightId, Role)> {
    match op {
        Op::Embed { table, .. } => vec![(*table, Role::Table)],
        Op::Linear { weight, bias, .. } | Op::ExpertLinear { weight, bias, .. } => {
            std::iter::once((*weight, Role::Matrix)).chain(bias.map(|b| (b, Role::Vector))).collect()
        }
        Op::Linears { parts, .. } => parts
            .iter()
            .flat_map(|p| std::iter::once((p.weight, Role::Matrix)).chain(p.bias.map(|b| (b, Role::Vector))))
            .collect(),
        other => other.weights().into_iter().map(|id| (id, Role::Vector)).collect(),
    }
}

fn pack(
    program: &Program,
    id: WeightId,
    source: &dyn WeightSource,
    pool: &Pool,
) -> Result<Vec<PackedMatrix>, BackendError> {
    let weight = program.weight(id);
    let stored = stored_rows(source, weight)?;
    let matrix_bytes = stored.bytes.len() / weight.experts;
    let one = |bytes| {
        PackedMatrix::pack_with(pool, stored.ty, weight.rows, weight.cols, bytes)
            .map_err(|e| BackendError::UnsupportedTensor { tensor: weight.tensor.clone(), reason: e.to_string() })
    };
    stored.bytes.chunks_exact(matrix_bytes.max(1)).map(one).collect()
}
