//! Vector operations of one operand (VOP1).

use crate::isa::macros::ints;
use crate::isa::row::Semantics;
use crate::isa::{Class, Row};

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Vector, opcode, name, semantics)
}

/// VOP1.
pub(super) static VOP1: &[Row] = &[row(1, "v_mov_b32", ints!(|i, a: u32| -> u32 { a }))];
