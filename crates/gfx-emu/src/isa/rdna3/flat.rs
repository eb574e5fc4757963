use crate::isa::Row;

/// FLAT.
pub(super) static FLAT: &[Row] = &[];

/// GLOBAL.
pub(super) static GLOBAL: &[Row] = &[];
