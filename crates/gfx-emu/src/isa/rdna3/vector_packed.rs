//! Packed vector operations, mixed precision and dot products (VOP3P).

use crate::arith::{Bf16, F16, dot};
use crate::isa::macros::{ints, lanes};
use crate::isa::operand::Mix;
use crate::isa::row::Semantics;
use crate::isa::{Class, Form, Row};

use super::vector_three::{mad_i16, mad_u16, narrow_i16, narrow_u16};

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Vector, opcode, name, semantics)
}

const fn dot_row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    row(opcode, name, semantics).class(Class::Dot)
}

/// An operation on both halves of two operands.
#[inline(always)]
fn two<T: Copy>(a: [T; 2], b: [T; 2], operation: impl Fn(T, T) -> T) -> [T; 2] {
    [operation(a[0], b[0]), operation(a[1], b[1])]
}

/// An operation on both halves of three operands.
#[inline(always)]
fn three<T: Copy>(a: [T; 2], b: [T; 2], c: [T; 2], operation: impl Fn(T, T, T) -> T) -> [T; 2] {
    [operation(a[0], b[0], c[0]), operation(a[1], b[1], c[1])]
}

/// VOP3P.
pub(super) static VOP3P: &[&[Row]] = &[INTEGERS, FLOATS, DOTS];

/// A row on pairs of one type.
macro_rules! pairs {
    ($type:ty, |$i:ident, $x:ident, $y:ident| $body:expr) => {
        ints!(|$i, a: [$type; 2], b: [$type; 2]| -> [$type; 2] { two(a, b, |$x, $y| $body) })
    };
}

static INTEGERS: &[Row] = &[
    row(
        0,
        "v_pk_mad_i16",
        ints!(|i, a: [i16; 2], b: [i16; 2], c: [i16; 2]| -> [i16; 2] {
            three(a, b, c, |x, y, z| mad_i16(x, y, z, i.clamp))
        }),
    ),
    row(1, "v_pk_mul_lo_u16", pairs!(u16, |i, x, y| x.wrapping_mul(y))),
    row(2, "v_pk_add_i16", pairs!(i16, |i, x, y| narrow_i16(i32::from(x) + i32::from(y), i.clamp))),
    row(3, "v_pk_sub_i16", pairs!(i16, |i, x, y| narrow_i16(i32::from(x) - i32::from(y), i.clamp))),
    row(4, "v_pk_lshlrev_b16", pairs!(u16, |i, x, y| y << (x & 15))),
    row(5, "v_pk_lshrrev_b16", pairs!(u16, |i, x, y| y >> (x & 15))),
    row(6, "v_pk_ashrrev_i16", pairs!(i16, |i, x, y| y >> (x & 15))),
    row(7, "v_pk_max_i16", pairs!(i16, |i, x, y| x.max(y))),
    row(8, "v_pk_min_i16", pairs!(i16, |i, x, y| x.min(y))),
    row(
        9,
        "v_pk_mad_u16",
        ints!(|i, a: [u16; 2], b: [u16; 2], c: [u16; 2]| -> [u16; 2] {
            three(a, b, c, |x, y, z| mad_u16(x, y, z, i.clamp))
        }),
    ),
    row(10, "v_pk_add_u16", pairs!(u16, |i, x, y| narrow_u16(i32::from(x) + i32::from(y), i.clamp))),
    row(11, "v_pk_sub_u16", pairs!(u16, |i, x, y| narrow_u16(i32::from(x) - i32::from(y), i.clamp))),
    row(12, "v_pk_max_u16", pairs!(u16, |i, x, y| x.max(y))),
    row(13, "v_pk_min_u16", pairs!(u16, |i, x, y| x.min(y))),
];

static FLOATS: &[Row] = &[
    row(
        14,
        "v_pk_fma_f16",
        lanes!(|e, a: [F16; 2], b: [F16; 2], c: [F16; 2]| -> [F16; 2] { three(a, b, c, |x, y, z| e.fma(x, y, z)) }),
    ),
    row(15, "v_pk_add_f16", lanes!(|e, a: [F16; 2], b: [F16; 2]| -> [F16; 2] { two(a, b, |x, y| e.add(x, y)) })),
    row(16, "v_pk_mul_f16", lanes!(|e, a: [F16; 2], b: [F16; 2]| -> [F16; 2] { two(a, b, |x, y| e.mul(x, y)) })),
    row(17, "v_pk_min_f16", lanes!(|e, a: [F16; 2], b: [F16; 2]| -> [F16; 2] { two(a, b, |x, y| e.min(x, y)) })),
    row(18, "v_pk_max_f16", lanes!(|e, a: [F16; 2], b: [F16; 2]| -> [F16; 2] { two(a, b, |x, y| e.max(x, y)) })),
    row(32, "v_fma_mix_f32", lanes!(|e, a: Mix, b: Mix, c: Mix| -> f32 { e.fma(a.0, b.0, c.0) })),
    row(33, "v_fma_mixlo_f16", lanes!(|e, a: Mix, b: Mix, c: Mix| -> F16 { e.fma_mix_f16(a.0, b.0, c.0) })),
    row(34, "v_fma_mixhi_f16", lanes!(|e, a: Mix, b: Mix, c: Mix| -> F16 { e.fma_mix_f16(a.0, b.0, c.0) }))
        .form(Form::HighHalf),
];

/// In those of mixed signs NEG says which operands have a sign.
static DOTS: &[Row] = &[
    dot_row(
        19,
        "v_dot2_f32_f16",
        lanes!(|e, a: [F16; 2], b: [F16; 2], c: f32| -> f32 { dot::dot2_f32_f16(e, a, b, c) }),
    ),
    dot_row(
        22,
        "v_dot4_i32_iu8",
        ints!(|i, a: u32, b: u32, c: i32| -> i32 {
            dot::dot4_i32_iu8(a, b, c, i.neg & 1 != 0, i.neg & 2 != 0, i.clamp)
        }),
    ),
    dot_row(23, "v_dot4_u32_u8", ints!(|i, a: u32, b: u32, c: u32| -> u32 { dot::dot4_u32_u8(a, b, c, i.clamp) })),
    dot_row(
        24,
        "v_dot8_i32_iu4",
        ints!(|i, a: u32, b: u32, c: i32| -> i32 {
            dot::dot8_i32_iu4(a, b, c, i.neg & 1 != 0, i.neg & 2 != 0, i.clamp)
        }),
    ),
    dot_row(25, "v_dot8_u32_u4", ints!(|i, a: u32, b: u32, c: u32| -> u32 { dot::dot8_u32_u4(a, b, c, i.clamp) })),
    dot_row(
        26,
        "v_dot2_f32_bf16",
        lanes!(|e, a: [Bf16; 2], b: [Bf16; 2], c: f32| -> f32 { dot::dot2_f32_bf16(e, a, b, c) }),
    ),
];
