//! What can go wrong when packing or multiplying.

use rocmforge_quant::{GgmlType, QuantError};

/// Why a matrix was not packed, or a product not computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MatmulError {
    /// A row of the matrix is not a whole number of blocks.
    #[error("{ty}: rows of {cols} columns are not a whole number of blocks of {block}")]
    PartialBlock {
        /// Type of the weights.
        ty: GgmlType,
        /// Columns asked for.
        cols: usize,
        /// Columns of a block.
        block: usize,
    },
    /// The matrix does not fit the address space.
    #[error("{ty}: a matrix of {rows} rows and {cols} columns is too large")]
    TooLarge {
        /// Type of the weights.
        ty: GgmlType,
        /// Rows asked for.
        rows: usize,
        /// Columns asked for.
        cols: usize,
    },
    /// A slice has another length than its shape says.
    #[error("{what} has length {found}, expected {expected}")]
    Length {
        /// Which slice.
        what: &'static str,
        /// Its length by shape.
        expected: usize,
        /// Its length.
        found: usize,
    },
    /// Matrix and input do not have the same number of columns.
    #[error("the matrix has {expected} columns, the input {found}")]
    Columns {
        /// Columns of the matrix.
        expected: usize,
        /// Columns of the input.
        found: usize,
    },
    /// The weights need quantized activations, and the input has only floats.
    #[error("weights of type {ty} need a quantized input; this one holds floats only")]
    NotQuantized {
        /// Type of the weights.
        ty: GgmlType,
    },
    /// A list names a row, token or expert that does not exist.
    #[error("{what} {index} does not exist; there are {len}")]
    OutOfRange {
        /// What is counted.
        what: &'static str,
        /// The number named.
        index: usize,
        /// How many there are.
        len: usize,
    },
    /// Stored blocks could not be read.
    #[error(transparent)]
    Quant(#[from] QuantError),
}

/// Compares a length with what it should be.
pub(super) fn check(what: &'static str, expected: usize, found: usize) -> Result<(), MatmulError> {
    if expected == found { Ok(()) } else { Err(MatmulError::Length { what, expected, found }) }
}
