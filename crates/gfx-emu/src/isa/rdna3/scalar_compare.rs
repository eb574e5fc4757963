//! Scalar comparisons (SOPC): the condition code is the result.

use crate::isa::macros::scalar;
use crate::isa::row::Semantics;
use crate::isa::{Class, Row};

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Scalar, opcode, name, semantics)
}

/// SOPC.
pub(super) static SOPC: &[Row] = &[
    row(0, "s_cmp_eq_i32", scalar!(|w, a: i32, b: i32| -> () { w.scc = a == b })),
    row(1, "s_cmp_lg_i32", scalar!(|w, a: i32, b: i32| -> () { w.scc = a != b })),
    row(2, "s_cmp_gt_i32", scalar!(|w, a: i32, b: i32| -> () { w.scc = a > b })),
    row(3, "s_cmp_ge_i32", scalar!(|w, a: i32, b: i32| -> () { w.scc = a >= b })),
    row(4, "s_cmp_lt_i32", scalar!(|w, a: i32, b: i32| -> () { w.scc = a < b })),
    row(5, "s_cmp_le_i32", scalar!(|w, a: i32, b: i32| -> () { w.scc = a <= b })),
    row(6, "s_cmp_eq_u32", scalar!(|w, a: u32, b: u32| -> () { w.scc = a == b })),
    row(7, "s_cmp_lg_u32", scalar!(|w, a: u32, b: u32| -> () { w.scc = a != b })),
    row(8, "s_cmp_gt_u32", scalar!(|w, a: u32, b: u32| -> () { w.scc = a > b })),
    row(9, "s_cmp_ge_u32", scalar!(|w, a: u32, b: u32| -> () { w.scc = a >= b })),
    row(10, "s_cmp_lt_u32", scalar!(|w, a: u32, b: u32| -> () { w.scc = a < b })),
    row(11, "s_cmp_le_u32", scalar!(|w, a: u32, b: u32| -> () { w.scc = a <= b })),
    row(12, "s_bitcmp0_b32", scalar!(|w, a: u32, b: u32| -> () { w.scc = a >> (b & 31) & 1 == 0 })),
    row(13, "s_bitcmp1_b32", scalar!(|w, a: u32, b: u32| -> () { w.scc = a >> (b & 31) & 1 == 1 })),
    row(14, "s_bitcmp0_b64", scalar!(|w, a: u64, b: u32| -> () { w.scc = a >> (b & 63) & 1 == 0 })),
    row(15, "s_bitcmp1_b64", scalar!(|w, a: u64, b: u32| -> () { w.scc = a >> (b & 63) & 1 == 1 })),
    row(16, "s_cmp_eq_u64", scalar!(|w, a: u64, b: u64| -> () { w.scc = a == b })),
    row(17, "s_cmp_lg_u64", scalar!(|w, a: u64, b: u64| -> () { w.scc = a != b })),
];
