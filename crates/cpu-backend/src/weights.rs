//! From a Program's weight reference to the stored bytes, checked once.

use rocmforge_program::backend::{BackendError, WeightSource};
use rocmforge_program::{Program, WeightId, WeightRef};
use rocmforge_quant::{GgmlType, dequantize};

/// The bytes of the rows that a [`WeightRef`] names, expert after expert.
pub(crate) struct StoredRows<'a> {
    pub ty: GgmlType,
    pub bytes: &'a [u8],
}

/// Finds the stored rows of a weight. Rows of several experts are contiguous, so a part of a stack is refused.
pub(crate) fn stored_rows<'a>(
    source: &'a dyn WeightSource,
    weight: &WeightRef,
) -> Result<StoredRows<'a>, BackendError> {
    let tensor = source.tensor(&weight.tensor).ok_or_else(|| BackendError::MissingTensor(weight.tensor.clone()))?;
    let unsupported = |reason: String| BackendError::UnsupportedTensor { tensor: weight.tensor.clone(), reason };
    let expected = [weight.experts, weight.stored_rows, weight.cols].iter().try_fold(1usize, |n, &d| n.checked_mul(d));
    if expected != Some(tensor.elements) {
        let expected = expected.unwrap_or(usize::MAX);
        return Err(BackendError::TensorSize { tensor: weight.tensor.clone(), expected, found: tensor.elements });
    }
    if weight.experts > 1 && weight.rows != weight.stored_rows {
        return Err(unsupported("a part of stacked experts is not supported".into()));
    }
    let row_bytes = tensor
        .ty
        .row_bytes(weight.cols)
        .ok_or_else(|| unsupported(format!("rows of {} are not whole {} blocks", weight.cols, tensor.ty.name())))?;
    let start = weight.first_row.checked_mul(row_bytes);
    let bytes = start.zip((weight.experts * weight.rows).checked_mul(row_bytes)).and_then(|(at, len)| {
        let end = at.checked_add(len)?;
        tensor.bytes.get(at..end)
    });
    let bytes = bytes.ok_or_else(|| unsupported(format!("{} bytes are too few", tensor.bytes.len())))?;
    Ok(StoredRows { ty: tensor.ty, bytes })
}

/// A weight as f32, `[experts * rows, cols]`.
pub(crate) fn as_f32(source: &dyn WeightSource, weight: &WeightRef) -> Result<Vec<f32>, BackendError> {
    let stored = stored_rows(source, weight)?;
    let mut out = vec![0.0; weight.experts * weight.rows * weight.cols];
    dequantize(stored.ty, stored.bytes, &mut out)
        .map_err(|e| BackendError::UnsupportedTensor { tensor: weight.tensor.clone(), reason: e.to_string() })?;
    Ok(out)
}

/// Every weight that some op uses, each once, in the order of first use.
pub(crate) fn used_weights(program: &Program) -> Vec<WeightId> {
    let mut seen = vec![false; program.weights.len()];
    program
        .ops
        .iter()
        .flat_map(|op| op.weights())
        .filter(|id| !std::mem::replace(&mut seen[id.0 as usize], true))
        .collect()
}
