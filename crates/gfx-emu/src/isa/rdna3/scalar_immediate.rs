//! Scalar arithmetic with an immediate of 16 bits (SOPK). The second source of a row is the register's old value.

use crate::isa::macros::scalar;
use crate::isa::row::Semantics;
use crate::isa::{Class, Row};
use crate::wave::Wave;

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Scalar, opcode, name, semantics)
}

fn add(wave: &mut Wave, a: i32, b: i32) -> i32 {
    let (sum, overflow) = a.overflowing_add(b);
    wave.scc = overflow;
    sum
}

/// SOPK, as far as it computes.
pub(super) static SOPK: &[Row] = &[
    row(0, "s_movk_i32", scalar!(|w, k: i32| -> i32 { k })),
    row(2, "s_cmovk_i32", scalar!(|w, k: i32, old: i32| -> i32 { if w.scc { k } else { old } })),
    row(3, "s_cmpk_eq_i32", scalar!(|w, k: i32, old: i32| -> () { w.scc = old == k })),
    row(4, "s_cmpk_lg_i32", scalar!(|w, k: i32, old: i32| -> () { w.scc = old != k })),
    row(5, "s_cmpk_gt_i32", scalar!(|w, k: i32, old: i32| -> () { w.scc = old > k })),
    row(6, "s_cmpk_ge_i32", scalar!(|w, k: i32, old: i32| -> () { w.scc = old >= k })),
    row(7, "s_cmpk_lt_i32", scalar!(|w, k: i32, old: i32| -> () { w.scc = old < k })),
    row(8, "s_cmpk_le_i32", scalar!(|w, k: i32, old: i32| -> () { w.scc = old <= k })),
    row(9, "s_cmpk_eq_u32", scalar!(|w, k: u32, old: u32| -> () { w.scc = old == (k & 0xffff) })),
    row(10, "s_cmpk_lg_u32", scalar!(|w, k: u32, old: u32| -> () { w.scc = old != (k & 0xffff) })),
    row(11, "s_cmpk_gt_u32", scalar!(|w, k: u32, old: u32| -> () { w.scc = old > (k & 0xffff) })),
    row(12, "s_cmpk_ge_u32", scalar!(|w, k: u32, old: u32| -> () { w.scc = old >= (k & 0xffff) })),
    row(13, "s_cmpk_lt_u32", scalar!(|w, k: u32, old: u32| -> () { w.scc = old < (k & 0xffff) })),
    row(14, "s_cmpk_le_u32", scalar!(|w, k: u32, old: u32| -> () { w.scc = old <= (k & 0xffff) })),
    row(15, "s_addk_i32", scalar!(|w, k: i32, old: i32| -> i32 { add(w, old, k) })),
    row(16, "s_mulk_i32", scalar!(|w, k: i32, old: i32| -> i32 { old.wrapping_mul(k) })),
];
