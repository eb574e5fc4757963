//! Why a Program cannot be built.

use rocmforge_attention::SpecError;

/// A Program that does not fit together. Shapes are printed as `[rows, cols]`.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProgramError {
    /// An op's input has another width than its parameters say.
    #[error("{op}: expected {expected} columns in {what}, found {found}")]
    Width {
        /// Op name.
        op: &'static str,
        /// Which operand.
        what: String,
        /// Columns expected.
        expected: usize,
        /// Columns found.
        found: usize,
    },
    /// Two operands have different rows.
    #[error("{op}: rows {a} and {b} differ")]
    Rows {
        /// Op name.
        op: &'static str,
        /// Rows of one operand.
        a: String,
        /// Rows of the other.
        b: String,
    },
    /// A part of a tensor past its end.
    #[error("tensor `{tensor}`: rows {first}..{end} of {rows}")]
    WeightRows {
        /// Tensor name.
        tensor: String,
        /// First row asked for.
        first: usize,
        /// One past the last row asked for.
        end: usize,
        /// Rows there are.
        rows: usize,
    },
    /// More experts chosen than there are, or groups that do not divide them.
    #[error("router: {0}")]
    Route(String),
    /// An attention or RoPE specification that cannot be computed.
    #[error(transparent)]
    Spec(#[from] SpecError),
}
