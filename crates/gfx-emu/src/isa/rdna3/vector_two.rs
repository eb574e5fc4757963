//! Vector operations of two operands (VOP2).

use crate::arith::{Bf16, F16, dot, int};
use crate::isa::macros::{ints, lanes};
use crate::isa::row::Semantics;
use crate::isa::{Class, Depends, Form, Row};

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Vector, opcode, name, semantics)
}

const fn dot_row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    row(opcode, name, semantics).class(Class::Dot).form(Form::Accumulate)
}

/// `a + b + carry` and its carry, the sum saturated if `clamp`.
#[inline(always)]
pub(super) fn add_carry(a: u32, b: u32, carry: bool, clamp: bool) -> (u32, bool) {
    let sum = u64::from(a) + u64::from(b) + u64::from(carry);
    let carries = sum > u64::from(u32::MAX);
    (if clamp & carries { u32::MAX } else { sum as u32 }, carries)
}

/// `a - b - borrow` and its borrow, the difference saturated if `clamp`.
#[inline(always)]
pub(super) fn sub_borrow(a: u32, b: u32, borrow: bool, clamp: bool) -> (u32, bool) {
    let borrows = u64::from(a) < u64::from(b) + u64::from(borrow);
    let difference = a.wrapping_sub(b).wrapping_sub(u32::from(borrow));
    (if clamp & borrows { 0 } else { difference }, borrows)
}

#[inline(always)]
fn add(a: u32, b: u32, clamp: bool) -> u32 {
    if clamp { a.saturating_add(b) } else { a.wrapping_add(b) }
}

#[inline(always)]
fn sub(a: u32, b: u32, clamp: bool) -> u32 {
    if clamp { a.saturating_sub(b) } else { a.wrapping_sub(b) }
}

/// VOP2.
pub(super) static VOP2: &[&[Row]] = &[FLOATS, HALVES, INTEGERS];

static FLOATS: &[Row] = &[
    dot_row(
        2,
        "v_dot2acc_f32_f16",
        lanes!(|e, a: [F16; 2], b: [F16; 2], c: f32| -> f32 { dot::dot2_f32_f16(e, a, b, c) }),
    ),
    row(3, "v_add_f32", lanes!(|e, a: f32, b: f32| -> f32 { e.add(a, b) })),
    row(4, "v_sub_f32", lanes!(|e, a: f32, b: f32| -> f32 { e.sub(a, b) })),
    row(5, "v_subrev_f32", lanes!(|e, a: f32, b: f32| -> f32 { e.sub(b, a) })),
    row(6, "v_fmac_dx9_zero_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.fma_legacy(a, b, c) }))
        .form(Form::Accumulate),
    row(7, "v_mul_dx9_zero_f32", lanes!(|e, a: f32, b: f32| -> f32 { e.mul_legacy(a, b) })),
    row(8, "v_mul_f32", lanes!(|e, a: f32, b: f32| -> f32 { e.mul(a, b) })),
    row(15, "v_min_f32", lanes!(|e, a: f32, b: f32| -> f32 { e.min(a, b) })),
    row(16, "v_max_f32", lanes!(|e, a: f32, b: f32| -> f32 { e.max(a, b) })),
    row(43, "v_fmac_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.fma(a, b, c) })).form(Form::Accumulate),
    row(44, "v_fmamk_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.fma(a, b, c) })).form(Form::LiteralFactor),
    row(45, "v_fmaak_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.fma(a, b, c) })).form(Form::LiteralAddend),
    row(47, "v_cvt_pk_rtz_f16_f32", lanes!(|e, a: f32, b: f32| -> [F16; 2] { [e.to_f16_rtz(a), e.to_f16_rtz(b)] })),
];

static HALVES: &[Row] = &[
    row(50, "v_add_f16", lanes!(|e, a: F16, b: F16| -> F16 { e.add(a, b) })),
    row(51, "v_sub_f16", lanes!(|e, a: F16, b: F16| -> F16 { e.sub(a, b) })),
    row(52, "v_subrev_f16", lanes!(|e, a: F16, b: F16| -> F16 { e.sub(b, a) })),
    row(53, "v_mul_f16", lanes!(|e, a: F16, b: F16| -> F16 { e.mul(a, b) })),
    row(54, "v_fmac_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.fma(a, b, c) })).form(Form::Accumulate),
    row(55, "v_fmamk_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.fma(a, b, c) })).form(Form::LiteralFactor),
    row(56, "v_fmaak_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.fma(a, b, c) })).form(Form::LiteralAddend),
    row(57, "v_max_f16", lanes!(|e, a: F16, b: F16| -> F16 { e.max(a, b) })),
    row(58, "v_min_f16", lanes!(|e, a: F16, b: F16| -> F16 { e.min(a, b) })),
    row(59, "v_ldexp_f16", lanes!(|e, a: F16, b: i16| -> F16 { e.ldexp(a, i32::from(b)) })),
    row(
        60,
        "v_pk_fmac_f16",
        lanes!(|e, a: [F16; 2], b: [F16; 2], c: [F16; 2]| -> [F16; 2] {
            [e.fma(a[0], b[0], c[0]), e.fma(a[1], b[1], c[1])]
        }),
    )
    .form(Form::Accumulate),
];

static INTEGERS: &[Row] = &[
    // The sources may have a sign flipped or removed, as floats may.
    row(1, "v_cndmask_b32", ints!(|i, a: f32, b: f32, c: bool| -> u32 { if c { b.to_bits() } else { a.to_bits() } }))
        .depends(Depends::OnSelected),
    row(9, "v_mul_i32_i24", ints!(|i, a: i32, b: i32| -> i32 { int::mad_i24(a, b, 0, i.clamp) })),
    row(10, "v_mul_hi_i32_i24", ints!(|i, a: i32, b: i32| -> i32 { int::mul_hi_i24(a, b) })),
    row(11, "v_mul_u32_u24", ints!(|i, a: u32, b: u32| -> u32 { int::mad_u24(a, b, 0, i.clamp) })),
    row(12, "v_mul_hi_u32_u24", ints!(|i, a: u32, b: u32| -> u32 { int::mul_hi_u24(a, b) })),
    row(17, "v_min_i32", ints!(|i, a: i32, b: i32| -> i32 { a.min(b) })),
    row(18, "v_max_i32", ints!(|i, a: i32, b: i32| -> i32 { a.max(b) })),
    row(19, "v_min_u32", ints!(|i, a: u32, b: u32| -> u32 { a.min(b) })),
    row(20, "v_max_u32", ints!(|i, a: u32, b: u32| -> u32 { a.max(b) })),
    row(24, "v_lshlrev_b32", ints!(|i, a: u32, b: u32| -> u32 { b << (a & 31) })),
    row(25, "v_lshrrev_b32", ints!(|i, a: u32, b: u32| -> u32 { b >> (a & 31) })),
    row(26, "v_ashrrev_i32", ints!(|i, a: u32, b: i32| -> i32 { b >> (a & 31) })),
    row(27, "v_and_b32", ints!(|i, a: u32, b: u32| -> u32 { a & b })),
    row(28, "v_or_b32", ints!(|i, a: u32, b: u32| -> u32 { a | b })),
    row(29, "v_xor_b32", ints!(|i, a: u32, b: u32| -> u32 { a ^ b })),
    row(30, "v_xnor_b32", ints!(|i, a: u32, b: u32| -> u32 { !(a ^ b) })),
    row(32, "v_add_co_ci_u32", ints!(|i, a: u32, b: u32, c: bool| -> (u32, bool) { add_carry(a, b, c, i.clamp) })),
    row(33, "v_sub_co_ci_u32", ints!(|i, a: u32, b: u32, c: bool| -> (u32, bool) { sub_borrow(a, b, c, i.clamp) })),
    row(34, "v_subrev_co_ci_u32", ints!(|i, a: u32, b: u32, c: bool| -> (u32, bool) { sub_borrow(b, a, c, i.clamp) })),
    row(37, "v_add_nc_u32", ints!(|i, a: u32, b: u32| -> u32 { add(a, b, i.clamp) })),
    row(38, "v_sub_nc_u32", ints!(|i, a: u32, b: u32| -> u32 { sub(a, b, i.clamp) })),
    row(39, "v_subrev_nc_u32", ints!(|i, a: u32, b: u32| -> u32 { sub(b, a, i.clamp) })),
];

/// Operations that only dual instructions have.
pub(super) static DUAL_ONLY: &[Row] = &[dot_row(
    13,
    "v_dot2acc_f32_bf16",
    lanes!(|e, a: [Bf16; 2], b: [Bf16; 2], c: f32| -> f32 { dot::dot2_f32_bf16(e, a, b, c) }),
)];
