use crate::isa::Row;

/// SMEM.
pub(super) static SMEM: &[Row] = &[];
