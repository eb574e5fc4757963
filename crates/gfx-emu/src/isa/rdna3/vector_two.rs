//! Vector arithmetic of two operands (VOP2).

use crate::isa::macros::{ints, lanes};
use crate::isa::row::Semantics;
use crate::isa::{Class, Form, Row};

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Vector, opcode, name, semantics)
}

/// VOP2.
pub(super) static VOP2: &[Row] = &[
    row(1, "v_cndmask_b32", ints!(|i, a: u32, b: u32, c: bool| -> u32 { if c { b } else { a } })).selects(),
    row(3, "v_add_f32", lanes!(|e, a: f32, b: f32| -> f32 { e.add(a, b) })),
    row(
        32,
        "v_add_co_ci_u32",
        ints!(|i, a: u32, b: u32, c: bool| -> (u32, bool) {
            let sum = u64::from(a) + u64::from(b) + u64::from(c);
            (sum as u32, sum >> 32 != 0)
        }),
    ),
    row(43, "v_fmac_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.fma(a, b, c) })).form(Form::Accumulate),
];
