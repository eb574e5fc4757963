//! From a Program's weight reference to the stored bytes, checked once.

use rocmforge_quant::{GgmlType, dequantize};

use crate::backend::{BackendError, Tensor, WeightSource};
use crate::{Program, WeightId, WeightRef};

/// The bytes of the rows that a [`WeightRef`] names, expert after expert.
#[derive(Debug, Clone, Copy)]
pub struct StoredRows<'a> {
    /// Element type.
    pub ty: GgmlType,
    /// Rows in order, whole blocks.
    pub bytes: &'a [u8],
}

/// The whole tensor that a weight is a part of, with as many elements as the Program says.
///
/// # Errors
/// A tensor that is missing, of another size, or whose rows are no whole blocks.
pub fn stored_tensor<'a>(source: &'a dyn WeightSource, weight: &WeightRef) -> Result<Tensor<'a>, BackendError> {
    let tensor = source.tensor(&weight.tensor).ok_or_else(|| BackendError::MissingTensor(weight.tensor.clone()))?;
    let expected = [weight.experts, weight.stored_rows, weight.cols].iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if expected != Some(tensor.elements) {
        let expected = expected.unwrap_or(usize::MAX);
        return Err(BackendError::TensorSize { tensor: weight.tensor.clone(), expected, found: tensor.elements });
    }
    let bytes = tensor.ty.row_bytes(weight.cols).and_then(|row| row.checked_mul(weight.experts * weight.stored_rows));
    match bytes {
        Some(bytes) if bytes <= tensor.bytes.len() => Ok(Tensor { bytes: &tensor.bytes[..bytes], ..tensor }),
        Some(_) => Err(unsupported(weight, format!("{} bytes are too few", tensor.bytes.len()))),
        None => Err(unsupported(weight, format!("rows of {} are not whole {} blocks", weight.cols, tensor.ty.name()))),
    }
}

/// Finds the stored rows of a weight. Rows of several experts are contiguous, so a part of a stack is refused.
///
/// # Errors
/// As [`stored_tensor`].
pub fn stored_rows<'a>(source: &'a dyn WeightSource, weight: &WeightRef) -> Result<StoredRows<'a>, BackendError> {
    let Tensor { ty, bytes, .. } = stored_tensor(source, weight)?;
    if weight.experts > 1 && weight.rows != weight.stored_rows {
        return Err(unsupported(weight, "a part of stacked experts is not supported".into()));
    }
    let row_bytes = bytes.len() / (weight.experts * weight.stored_rows).max(1);
    let range = weight.first_row * row_bytes..(weight.first_row + weight.experts * weight.rows) * row_bytes;
    let bytes = bytes.get(range).ok_or_else(|| unsupported(weight, "rows past the end of the tensor".into()))?;
    Ok(StoredRows { ty, bytes })
}

/// A weight as f32, `[experts * rows, cols]`.
///
/// # Errors
/// As [`stored_tensor`], and a type that has no values.
pub fn as_f32(source: &dyn WeightSource, weight: &WeightRef) -> Result<Vec<f32>, BackendError> {
    let stored = stored_rows(source, weight)?;
    let mut out = vec![0.0; weight.experts * weight.rows * weight.cols];
    dequantize(stored.ty, stored.bytes, &mut out).map_err(|e| unsupported(weight, e.to_string()))?;
    Ok(out)
}

/// Every weight that some op uses, each once, in the order of first use.
pub fn used_weights(program: &Program) -> Vec<WeightId> {
    let mut seen = vec![false; program.weights.len()];
    program
        .ops
        .iter()
        .flat_map(|op| op.weights())
        .filter(|id| !std::mem::replace(&mut seen[id.0 as usize], true))
        .collect()
}

fn unsupported(weight: &WeightRef, reason: String) -> BackendError {
    BackendError::UnsupportedTensor { tensor: weight.tensor.clone(), reason }
}
