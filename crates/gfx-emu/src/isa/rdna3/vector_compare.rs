//! Vector comparisons (VOPC).

use crate::isa::macros::ints;
use crate::isa::row::Semantics;
use crate::isa::{Class, Row};

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Vector, opcode, name, semantics)
}

/// VOPC.
pub(super) static VOPC: &[Row] = &[row(76, "v_cmp_gt_u32", ints!(|i, a: u32, b: u32| -> bool { a > b }))];
