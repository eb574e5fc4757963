use crate::isa::Row;

/// MUBUF.
pub(super) static MUBUF: &[Row] = &[];
