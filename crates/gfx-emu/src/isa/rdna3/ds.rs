use crate::isa::Row;

/// DS.
pub(super) static DS: &[Row] = &[];
