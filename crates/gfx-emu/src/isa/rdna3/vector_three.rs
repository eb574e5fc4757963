use crate::isa::Row;

/// VOP3.
pub(super) static VOP3: &[Row] = &[];
