//! Scalar arithmetic of two operands (SOP2).

use crate::isa::macros::scalar;
use crate::isa::row::Semantics;
use crate::isa::{Class, Row};
use crate::wave::Wave;

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Scalar, opcode, name, semantics)
}

/// Sets the condition code to whether a result is not zero.
fn nonzero32(wave: &mut Wave, value: u32) -> u32 {
    wave.scc = value != 0;
    value
}

fn nonzero64(wave: &mut Wave, value: u64) -> u64 {
    wave.scc = value != 0;
    value
}

/// Sum and carry.
fn add(wave: &mut Wave, a: u32, b: u32, carry: bool) -> u32 {
    let sum = u64::from(a) + u64::from(b) + u64::from(carry);
    wave.scc = sum >> 32 != 0;
    sum as u32
}

/// Difference and borrow.
fn subtract(wave: &mut Wave, a: u32, b: u32, borrow: bool) -> u32 {
    let (taken, need) = (u64::from(b) + u64::from(borrow), u64::from(a));
    wave.scc = taken > need;
    need.wrapping_sub(taken) as u32
}

fn overflowing(wave: &mut Wave, (value, overflow): (i32, bool)) -> i32 {
    wave.scc = overflow;
    value
}

/// The smaller or larger one; the condition code says whether it is the first.
fn choose<T>(wave: &mut Wave, takes_first: bool, a: T, b: T) -> T {
    wave.scc = takes_first;
    if takes_first { a } else { b }
}

/// `count` bits of a field from bit `first`, as the second operand of `s_bfe` has them.
fn field(selector: u64) -> (u32, u32) {
    ((selector & 63) as u32, (selector >> 16 & 127) as u32)
}

fn field_u32(value: u32, selector: u32) -> u32 {
    let (first, count) = (selector & 31, (selector >> 16 & 127).min(32));
    (u64::from(value >> first) & ((1u64 << count) - 1)) as u32
}

fn field_i32(value: i32, selector: u32) -> i32 {
    let (first, count) = (selector & 31, (selector >> 16 & 127).min(32));
    if count == 0 {
        return 0;
    }
    let field = i64::from(value >> first);
    (field << (64 - count) >> (64 - count)) as i32
}

fn field_u64(value: u64, selector: u32) -> u64 {
    let (first, count) = field(u64::from(selector));
    if count == 0 { 0 } else { value >> first & (u64::MAX >> (64 - count.min(64))) }
}

fn field_i64(value: i64, selector: u32) -> i64 {
    let (first, count) = field(u64::from(selector));
    let count = count.min(64);
    if count == 0 { 0 } else { value >> first << (64 - count) >> (64 - count) }
}

/// Shifted sum; the condition code says whether it exceeds 32 bits.
fn shift_add(wave: &mut Wave, a: u32, shift: u32, b: u32) -> u32 {
    let sum = (u64::from(a) << shift) + u64::from(b);
    wave.scc = sum >> 32 != 0;
    sum as u32
}

/// SOP2.
pub(super) static SOP2: &[Row] = &[
    row(0, "s_add_u32", scalar!(|w, a: u32, b: u32| -> u32 { add(w, a, b, false) })),
    row(1, "s_sub_u32", scalar!(|w, a: u32, b: u32| -> u32 { subtract(w, a, b, false) })),
    row(2, "s_add_i32", scalar!(|w, a: i32, b: i32| -> i32 { overflowing(w, a.overflowing_add(b)) })),
    row(3, "s_sub_i32", scalar!(|w, a: i32, b: i32| -> i32 { overflowing(w, a.overflowing_sub(b)) })),
    row(4, "s_addc_u32", scalar!(|w, a: u32, b: u32| -> u32 { add(w, a, b, w.scc) })),
    row(5, "s_subb_u32", scalar!(|w, a: u32, b: u32| -> u32 { subtract(w, a, b, w.scc) })),
    row(6, "s_absdiff_i32", scalar!(|w, a: i32, b: i32| -> u32 { nonzero32(w, a.wrapping_sub(b).unsigned_abs()) })),
    row(8, "s_lshl_b32", scalar!(|w, a: u32, b: u32| -> u32 { nonzero32(w, a << (b & 31)) })),
    row(9, "s_lshl_b64", scalar!(|w, a: u64, b: u32| -> u64 { nonzero64(w, a << (b & 63)) })),
    row(10, "s_lshr_b32", scalar!(|w, a: u32, b: u32| -> u32 { nonzero32(w, a >> (b & 31)) })),
    row(11, "s_lshr_b64", scalar!(|w, a: u64, b: u32| -> u64 { nonzero64(w, a >> (b & 63)) })),
    row(12, "s_ashr_i32", scalar!(|w, a: i32, b: u32| -> u32 { nonzero32(w, (a >> (b & 31)) as u32) })),
    row(13, "s_ashr_i64", scalar!(|w, a: i64, b: u32| -> u64 { nonzero64(w, (a >> (b & 63)) as u64) })),
    row(14, "s_lshl1_add_u32", scalar!(|w, a: u32, b: u32| -> u32 { shift_add(w, a, 1, b) })),
    row(15, "s_lshl2_add_u32", scalar!(|w, a: u32, b: u32| -> u32 { shift_add(w, a, 2, b) })),
    row(16, "s_lshl3_add_u32", scalar!(|w, a: u32, b: u32| -> u32 { shift_add(w, a, 3, b) })),
    row(17, "s_lshl4_add_u32", scalar!(|w, a: u32, b: u32| -> u32 { shift_add(w, a, 4, b) })),
    row(18, "s_min_i32", scalar!(|w, a: i32, b: i32| -> i32 { choose(w, a < b, a, b) })),
    row(19, "s_min_u32", scalar!(|w, a: u32, b: u32| -> u32 { choose(w, a < b, a, b) })),
    row(20, "s_max_i32", scalar!(|w, a: i32, b: i32| -> i32 { choose(w, a >= b, a, b) })),
    row(21, "s_max_u32", scalar!(|w, a: u32, b: u32| -> u32 { choose(w, a >= b, a, b) })),
    row(22, "s_and_b32", scalar!(|w, a: u32, b: u32| -> u32 { nonzero32(w, a & b) })),
    row(23, "s_and_b64", scalar!(|w, a: u64, b: u64| -> u64 { nonzero64(w, a & b) })),
    row(24, "s_or_b32", scalar!(|w, a: u32, b: u32| -> u32 { nonzero32(w, a | b) })),
    row(25, "s_or_b64", scalar!(|w, a: u64, b: u64| -> u64 { nonzero64(w, a | b) })),
    row(26, "s_xor_b32", scalar!(|w, a: u32, b: u32| -> u32 { nonzero32(w, a ^ b) })),
    row(27, "s_xor_b64", scalar!(|w, a: u64, b: u64| -> u64 { nonzero64(w, a ^ b) })),
    row(28, "s_nand_b32", scalar!(|w, a: u32, b: u32| -> u32 { nonzero32(w, !(a & b)) })),
    row(29, "s_nand_b64", scalar!(|w, a: u64, b: u64| -> u64 { nonzero64(w, !(a & b)) })),
    row(30, "s_nor_b32", scalar!(|w, a: u32, b: u32| -> u32 { nonzero32(w, !(a | b)) })),
    row(31, "s_nor_b64", scalar!(|w, a: u64, b: u64| -> u64 { nonzero64(w, !(a | b)) })),
    row(32, "s_xnor_b32", scalar!(|w, a: u32, b: u32| -> u32 { nonzero32(w, !(a ^ b)) })),
    row(33, "s_xnor_b64", scalar!(|w, a: u64, b: u64| -> u64 { nonzero64(w, !(a ^ b)) })),
    row(34, "s_and_not1_b32", scalar!(|w, a: u32, b: u32| -> u32 { nonzero32(w, a & !b) })),
    row(35, "s_and_not1_b64", scalar!(|w, a: u64, b: u64| -> u64 { nonzero64(w, a & !b) })),
    row(36, "s_or_not1_b32", scalar!(|w, a: u32, b: u32| -> u32 { nonzero32(w, a | !b) })),
    row(37, "s_or_not1_b64", scalar!(|w, a: u64, b: u64| -> u64 { nonzero64(w, a | !b) })),
    row(38, "s_bfe_u32", scalar!(|w, a: u32, b: u32| -> u32 { nonzero32(w, field_u32(a, b)) })),
    row(39, "s_bfe_i32", scalar!(|w, a: i32, b: u32| -> u32 { nonzero32(w, field_i32(a, b) as u32) })),
    row(40, "s_bfe_u64", scalar!(|w, a: u64, b: u32| -> u64 { nonzero64(w, field_u64(a, b)) })),
    row(41, "s_bfe_i64", scalar!(|w, a: i64, b: u32| -> u64 { nonzero64(w, field_i64(a, b) as u64) })),
    row(42, "s_bfm_b32", scalar!(|w, a: u32, b: u32| -> u32 { ((1 << (a & 31)) - 1) << (b & 31) })),
    row(43, "s_bfm_b64", scalar!(|w, a: u32, b: u32| -> u64 { ((1 << (a & 63)) - 1) << (b & 63) })),
    row(44, "s_mul_i32", scalar!(|w, a: u32, b: u32| -> u32 { a.wrapping_mul(b) })),
    row(45, "s_mul_hi_u32", scalar!(|w, a: u32, b: u32| -> u32 { ((u64::from(a) * u64::from(b)) >> 32) as u32 })),
    row(46, "s_mul_hi_i32", scalar!(|w, a: i32, b: i32| -> i32 { ((i64::from(a) * i64::from(b)) >> 32) as i32 })),
    row(48, "s_cselect_b32", scalar!(|w, a: u32, b: u32| -> u32 { if w.scc { a } else { b } })),
    row(49, "s_cselect_b64", scalar!(|w, a: u64, b: u64| -> u64 { if w.scc { a } else { b } })),
    row(50, "s_pack_ll_b32_b16", scalar!(|w, a: u32, b: u32| -> u32 { a & 0xffff | b << 16 })),
    row(51, "s_pack_lh_b32_b16", scalar!(|w, a: u32, b: u32| -> u32 { a & 0xffff | b & 0xffff_0000 })),
    row(52, "s_pack_hh_b32_b16", scalar!(|w, a: u32, b: u32| -> u32 { a >> 16 | b & 0xffff_0000 })),
    row(53, "s_pack_hl_b32_b16", scalar!(|w, a: u32, b: u32| -> u32 { a >> 16 | b << 16 })),
];
