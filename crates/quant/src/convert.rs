//! The two checked entry points.

use crate::{GgmlType, QuantError};

/// Turns whole blocks of `ty` into values, exactly.
///
/// `bytes` are the blocks as a file stores them and must be exactly as long as `out.len()`
/// values take. Any content is accepted: a block whose scale is NaN or infinite decodes to such
/// values.
///
/// # Errors
/// [`QuantError::PartialBlock`] if `out` is not a whole number of blocks,
/// [`QuantError::ByteLength`] if `bytes` has another length than they take.
pub fn dequantize(ty: GgmlType, bytes: &[u8], out: &mut [f32]) -> Result<(), QuantError> {
    check_length(ty, out.len(), bytes.len())?;
    (ty.spec().dequantize)(bytes, out);
    Ok(())
}

/// Turns rows of values into blocks of `ty`, each row on its own.
///
/// `x` is `[rows, row_len]`, and `out` takes exactly `row_bytes(x.len())` bytes. The blocks are
/// chosen to make the sum of squared errors small, weighted a column by `importance` (a row of
/// an importance matrix: the mean square of the activations that meet the column), which has
/// `row_len` entries if given. The result depends on nothing but the arguments.
///
/// Values beyond the range of a block become the largest it can hold (and magnitudes above 1e10
/// count as 1e10), values too small for its scale become 0. The plain floats F32, F16, BF16 and
/// F64 keep NaN and infinities; every other type refuses them.
///
/// # Errors
/// [`QuantError::NoQuantizer`] for types that are only read; [`QuantError::PartialBlock`],
/// [`QuantError::PartialRow`], [`QuantError::ByteLength`] and [`QuantError::ImportanceLength`]
/// for lengths that do not fit; [`QuantError::NotFinite`] and [`QuantError::BadImportance`] for
/// values that cannot be stored or used. Nothing is written then.
pub fn quantize(
    ty: GgmlType,
    x: &[f32],
    row_len: usize,
    importance: Option<&[f32]>,
    out: &mut [u8],
) -> Result<(), QuantError> {
    let write = ty.spec().quantize.ok_or(QuantError::NoQuantizer { ty })?;
    check_length(ty, x.len(), out.len())?;
    let row_bytes = check_rows(ty, x.len(), row_len)?;
    if x.is_empty() {
        return Ok(());
    }
    if ty.is_quantized() {
        check_values(ty, x)?;
    }
    if let Some(importance) = importance {
        check_importance(ty, importance, row_len)?;
    }
    for (row, blocks) in x.chunks_exact(row_len).zip(out.chunks_exact_mut(row_bytes)) {
        write(row, importance, blocks);
    }
    Ok(())
}

fn check_length(ty: GgmlType, elems: usize, found: usize) -> Result<(), QuantError> {
    let partial = QuantError::PartialBlock { ty, elems, block_elems: ty.block_elems() };
    let expected = ty.row_bytes(elems).ok_or(partial)?;
    if expected != found {
        return Err(QuantError::ByteLength { ty, elems, expected, found });
    }
    Ok(())
}

/// Bytes of one row, which is at least 1 if there are any values.
fn check_rows(ty: GgmlType, elems: usize, row_len: usize) -> Result<usize, QuantError> {
    // Only an empty input is a multiple of 0.
    if !elems.is_multiple_of(row_len) {
        return Err(QuantError::PartialRow { ty, elems, row_len });
    }
    let partial = QuantError::PartialBlock { ty, elems: row_len, block_elems: ty.block_elems() };
    ty.row_bytes(row_len).ok_or(partial)
}

fn check_values(ty: GgmlType, x: &[f32]) -> Result<(), QuantError> {
    match x.iter().position(|v| !v.is_finite()) {
        Some(index) => Err(QuantError::NotFinite { ty, index, value: x[index] }),
        None => Ok(()),
    }
}

fn check_importance(ty: GgmlType, importance: &[f32], row_len: usize) -> Result<(), QuantError> {
    let found = importance.len();
    if found != row_len {
        return Err(QuantError::ImportanceLength { ty, expected: row_len, found });
    }
    match importance.iter().position(|v| !(v.is_finite() && *v >= 0.0)) {
        Some(column) => Err(QuantError::BadImportance { ty, column, value: importance[column] }),
        None => Ok(()),
    }
}
