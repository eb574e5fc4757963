//! What can go wrong when converting between floats and blocks.

use crate::GgmlType;

/// Why a conversion between values and blocks was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantError {
    /// The values do not fill a whole number of blocks.
    #[error("{ty}: {elems} values are not a whole number of blocks of {block_elems}")]
    PartialBlock {
        /// The type asked for.
        ty: GgmlType,
        /// How many values were given.
        elems: usize,
        /// How many values one block holds.
        block_elems: usize,
    },
    /// The byte slice has another length than the values need.
    #[error("{ty}: {elems} values take {expected} bytes, found {found}")]
    ByteLength {
        /// The type asked for.
        ty: GgmlType,
        /// How many values were given.
        elems: usize,
        /// Bytes these values take.
        expected: usize,
        /// Bytes in the slice.
        found: usize,
    },
    /// The values are not a whole number of rows.
    #[error("{ty}: {elems} values are not a whole number of rows of {row_len}")]
    PartialRow {
        /// The type asked for.
        ty: GgmlType,
        /// How many values were given.
        elems: usize,
        /// Values in a row.
        row_len: usize,
    },
    /// The importance row has another length than the rows it weighs.
    #[error("{ty}: rows have {expected} columns, but the importance has {found} entries")]
    ImportanceLength {
        /// The type asked for.
        ty: GgmlType,
        /// Columns of a row.
        expected: usize,
        /// Entries in the importance.
        found: usize,
    },
    /// An importance is negative, infinite or not a number.
    #[error("{ty}: importance of column {column} is {value}, expected a finite number of at least 0")]
    BadImportance {
        /// The type asked for.
        ty: GgmlType,
        /// The column concerned.
        column: usize,
        /// What it holds.
        value: f32,
    },
    /// A value to store in a block with a shared scale is infinite or not a number.
    #[error("{ty}: value {index} is {value}, expected a finite number")]
    NotFinite {
        /// The type asked for.
        ty: GgmlType,
        /// Index of the value in the whole input.
        index: usize,
        /// What it holds.
        value: f32,
    },
    /// This type can be read but not written.
    #[error("{ty} can be dequantized only; this build has no quantizer for it")]
    NoQuantizer {
        /// The type asked for.
        ty: GgmlType,
    },
    /// A name that is not a block type.
    #[error("`{name}` is not a GGML type; known are {}", crate::types::known_names())]
    UnknownName {
        /// The name as given.
        name: String,
    },
}
