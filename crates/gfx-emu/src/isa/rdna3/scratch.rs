use crate::isa::Row;

/// SCRATCH.
pub(super) static SCRATCH: &[Row] = &[];
