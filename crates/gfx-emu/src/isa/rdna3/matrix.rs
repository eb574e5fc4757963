use crate::isa::Row;

/// VOP3P.
pub(super) static VOP3P: &[Row] = &[];
