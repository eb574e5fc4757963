//! Emits a model's operations, checking every tensor it names against the file.

use std::collections::HashSet;
use std::ops::Range;

use rocmforge_attention::{RopePairing, RopeSpec};
use rocmforge_gguf_loader::TensorInfo;
use rocmforge_program::{NormKind, ProgramBuilder, ValueId, WeightId};

use crate::hparams::{Dim, Hparams, Layer, layer_of};
use crate::source::{ROPE_TABLES, Source};
use crate::{Built, ModelError, ModelWarning, rope};

/// A Program in the making. Tensors that are missing or have the wrong shape are noted and reported together by
/// [`finish`](Net::finish), so that architecture files read straight through.
pub(crate) struct Net<'a> {
    pub hp: Hparams,
    pub source: &'a Source<'a>,
    pub ops: ProgramBuilder,
    used: HashSet<String>,
    missing: Vec<String>,
    /// The first tensor of a wrong shape or type.
    misfit: Option<ModelError>,
}

impl<'a> Net<'a> {
    /// Reads the hyperparameters of a decoder whose norms are of this kind.
    pub(crate) fn new(source: &'a Source<'a>, norm: NormKind) -> Result<Self, ModelError> {
        Ok(Self {
            hp: Hparams::read(source, norm)?,
            source,
            ops: ProgramBuilder::new(),
            used: HashSet::new(),
            missing: Vec::new(),
            misfit: None,
        })
    }

    /// The layers, first to last.
    pub(crate) fn layers(&self) -> Vec<Layer> {
        self.hp.layers.clone()
    }

    /// The rotation of every layer (of the global ones, if there are others).
    pub(crate) fn rope(&self, pairing: RopePairing) -> Result<RopeSpec, ModelError> {
        rope::rope(self.source, &self.hp, pairing)
    }

    /// Whether the file has a tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.source.tensor(name).is_some()
    }

    /// A vector of `n` floats.
    pub(crate) fn vector(&mut self, name: &str, n: Dim) -> WeightId {
        self.check(name, &[n], Use::Vector);
        self.ops.vector(name, n.size)
    }

    /// A matrix `[rows, cols]`.
    pub(crate) fn matrix(&mut self, name: &str, rows: Dim, cols: Dim) -> WeightId {
        self.check(name, &[rows, cols], Use::Matrix);
        self.ops.matrix(name, rows.size, cols.size)
    }

    /// Some rows of a fused matrix `[stored, cols]`.
    pub(crate) fn matrix_rows(
        &mut self,
        name: &str,
        stored: Dim,
        rows: Range<usize>,
        cols: Dim,
    ) -> Result<WeightId, ModelError> {
        self.check(name, &[stored, cols], Use::Matrix);
        Ok(self.ops.matrix_rows(name, stored.size, rows, cols.size)?)
    }

    /// Some elements of a fused bias.
    pub(crate) fn vector_part(&mut self, name: &str, stored: Dim, part: Range<usize>) -> Result<WeightId, ModelError> {
        self.check(name, &[stored], Use::Vector);
        Ok(self.ops.vector_part(name, stored.size, part)?)
    }

    /// Stacked matrices `[experts, rows, cols]`.
    pub(crate) fn stacked(&mut self, name: &str, experts: Dim, rows: Dim, cols: Dim) -> WeightId {
        self.check(name, &[experts, rows, cols], Use::Matrix);
        self.ops.stacked(name, experts.size, rows.size, cols.size)
    }

    /// A table of floats `[rows, cols]`: the biases of experts, the norms of heads.
    pub(crate) fn table(&mut self, name: &str, rows: Dim, cols: Dim) -> WeightId {
        self.check(name, &[rows, cols], Use::Vector);
        self.ops.matrix(name, rows.size, cols.size)
    }

    fn check(&mut self, name: &str, shape: &[Dim], usage: Use) {
        if !self.used.insert(name.to_string()) {
            return;
        }
        match self.source.tensor(name) {
            None => self.missing.push(name.to_string()),
            Some(info) => {
                let misfit = misfit(info, shape, usage);
                self.misfit = self.misfit.take().or(misfit);
            }
        }
    }

    /// The finished Program.
    ///
    /// # Errors
    /// All missing tensors, or else the first that does not fit.
    pub(crate) fn finish(self, logits: ValueId) -> Result<Built, ModelError> {
        if !self.missing.is_empty() {
            return Err(ModelError::MissingTensors { tensors: self.missing });
        }
        if let Some(misfit) = self.misfit {
            return Err(misfit);
        }
        let layers = self.hp.layers.len();
        let skipped = |name: &str| layer_of(name).is_some_and(|layer| layer as usize >= layers);
        let unused = |info: &&TensorInfo| {
            let name = info.name.as_str();
            !self.used.contains(name) && !ROPE_TABLES.contains(&name) && !skipped(name)
        };
        let unused: Vec<String> = self.source.tensors().iter().filter(unused).map(|t| t.name.clone()).collect();
        let warnings = if unused.is_empty() { vec![] } else { vec![ModelWarning::UnusedTensors(unused)] };
        let program = self.ops.finish(self.source.architecture(), logits, self.hp.context_length)?;
        Ok(Built { program, warnings })
    }
}

/// What a tensor is for, which decides its types.
#[derive(Clone, Copy)]
enum Use {
    /// Norms and biases, which are added or multiplied element by element and lose too much as blocks.
    Vector,
    /// Linear maps and embeddings.
    Matrix,
}

fn misfit(info: &TensorInfo, shape: &[Dim], usage: Use) -> Option<ModelError> {
    use rocmforge_quant::GgmlType::{BF16, F16, F32, F64, I8, I16, I32, I64};
    let (fits, expected) = match usage {
        Use::Vector => (matches!(info.ty, F32 | F16 | BF16), "F32, F16 or BF16"),
        Use::Matrix => (!matches!(info.ty, I8 | I16 | I32 | I64 | F64), "a float or quantized type"),
    };
    let (tensor, found) = (info.name.clone(), info.shape());
    if !fits {
        return Some(ModelError::WrongTensorType { tensor, expected, found: info.ty.name() });
    }
    let expected: Vec<usize> = shape.iter().map(|dim| dim.size).collect();
    if significant(&expected) == significant(&found) {
        return None;
    }
    let keys = shape.iter().map(|dim| format!("`{}`", dim.keys)).collect::<Vec<_>>().join(" and ");
    Some(ModelError::ShapeMismatch { tensor, expected, found, keys })
}

/// A shape without leading ones: writers differ in whether a single row is a matrix or a vector.
fn significant(shape: &[usize]) -> &[usize] {
    let ones = shape.iter().take_while(|&&n| n == 1).count();
    &shape[ones.min(shape.len().saturating_sub(1))..]
}
