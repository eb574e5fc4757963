use crate::isa::Row;

/// VOP1.
pub(super) static VOP1: &[Row] = &[];

/// VOP3.
pub(super) static VOP3: &[Row] = &[];
