//! Dot products of packed operands.

use super::{Arith, Bf16, F16};

/// The product of the fields of `bits` bits that begin `shift` bits below the top, each signed or not.
#[inline(always)]
fn product(bits: u32, shift: u32, (a, a_signed): (u32, bool), (b, b_signed): (u32, bool)) -> i32 {
    let field = |word: u32, signed: bool| {
        let top = word << shift;
        if signed { top as i32 >> (32 - bits) } else { (top >> (32 - bits)) as i32 }
    };
    field(a, a_signed) * field(b, b_signed)
}

/// The sum of the products of four bytes.
#[inline(always)]
fn bytes(a: (u32, bool), b: (u32, bool)) -> i32 {
    product(8, 0, a, b) + product(8, 8, a, b) + product(8, 16, a, b) + product(8, 24, a, b)
}

/// The sum of the products of eight nibbles.
#[inline(always)]
fn nibbles(a: (u32, bool), b: (u32, bool)) -> i32 {
    let upper = product(4, 0, a, b) + product(4, 4, a, b) + product(4, 8, a, b) + product(4, 12, a, b);
    upper + product(4, 16, a, b) + product(4, 20, a, b) + product(4, 24, a, b) + product(4, 28, a, b)
}

/// `c + sum`, saturated if `clamp`, wrapped if not.
#[inline(always)]
fn accumulate(c: i32, sum: i32, clamp: bool) -> i32 {
    if clamp { c.saturating_add(sum) } else { c.wrapping_add(sum) }
}

/// V_DOT4_I32_IU8: four products of bytes, plus `c`. NEG's bits 0 and 1 make `a` and `b` signed, CLAMP saturates.
#[inline(always)]
pub fn dot4_i32_iu8(a: u32, b: u32, c: i32, a_signed: bool, b_signed: bool, clamp: bool) -> i32 {
    accumulate(c, bytes((a, a_signed), (b, b_signed)), clamp)
}

/// V_DOT8_I32_IU4: eight products of nibbles, plus `c`, as [`dot4_i32_iu8`].
#[inline(always)]
pub fn dot8_i32_iu4(a: u32, b: u32, c: i32, a_signed: bool, b_signed: bool, clamp: bool) -> i32 {
    accumulate(c, nibbles((a, a_signed), (b, b_signed)), clamp)
}

/// V_DOT4_U32_U8: four products of unsigned bytes, plus `c`.
#[inline(always)]
pub fn dot4_u32_u8(a: u32, b: u32, c: u32, clamp: bool) -> u32 {
    let sum = bytes((a, false), (b, false)) as u32;
    if clamp { c.saturating_add(sum) } else { c.wrapping_add(sum) }
}

/// V_DOT8_U32_U4: eight products of unsigned nibbles, plus `c`.
#[inline(always)]
pub fn dot8_u32_u4(a: u32, b: u32, c: u32, clamp: bool) -> u32 {
    let sum = nibbles((a, false), (b, false)) as u32;
    if clamp { c.saturating_add(sum) } else { c.wrapping_add(sum) }
}

/// V_DOT2_F32_F16: `a[0] b[0] + a[1] b[1] + c`. The guide leaves the order open; here the lower product is added first,
/// each step rounded once.
#[inline(always)]
pub fn dot2_f32_f16(e: impl Arith, a: [F16; 2], b: [F16; 2], c: f32) -> f32 {
    dot2(e, a.map(|x| e.convert(x)), b.map(|x| e.convert(x)), c)
}

/// V_DOT2_F32_BF16, as [`dot2_f32_f16`].
#[inline(always)]
pub fn dot2_f32_bf16(e: impl Arith, a: [Bf16; 2], b: [Bf16; 2], c: f32) -> f32 {
    dot2(e, a.map(Bf16::to_f32), b.map(Bf16::to_f32), c)
}

/// V_DOT2_F16_F16: as [`dot2_f32_f16`], summed in f32 and rounded to f16 at the end.
#[inline(always)]
pub fn dot2_f16_f16(e: impl Arith, a: [F16; 2], b: [F16; 2], c: F16) -> F16 {
    e.convert(dot2_f32_f16(e, a, b, e.convert(c)))
}

/// V_DOT2_BF16_BF16: as [`dot2_f32_bf16`], rounded to bf16 (to nearest even in every mode) at the end.
#[inline(always)]
pub fn dot2_bf16_bf16(e: impl Arith, a: [Bf16; 2], b: [Bf16; 2], c: Bf16) -> Bf16 {
    Bf16::from_f32(dot2_f32_bf16(e, a, b, c.to_f32()))
}

#[inline(always)]
fn dot2(e: impl Arith, a: [f32; 2], b: [f32; 2], c: f32) -> f32 {
    e.fma(a[1], b[1], e.fma(a[0], b[0], c))
}

/// One element of V_WMMA_F32_16X16X16_F16 and _BF16: `c` plus sixteen products, added from the first to the last, each
/// step rounded once to f32.
///
/// The guide does not say in which order or with how many roundings the hardware sums; this is one of the orders that
/// it leaves open.
#[inline(always)]
pub fn wmma_dot(a: &[f32; 16], b: &[f32; 16], c: f32) -> f32 {
    a.iter().zip(b).fold(c, |sum, (&a, &b)| a.mul_add(b, sum))
}

/// A row of sixteen elements as [`wmma_dot`] gives them, all at once: `c[n]` plus the products of `a[k]` and `b[k][n]`.
#[inline(always)]
pub fn wmma_row(a: &[f32; 16], b: &[[f32; 16]; 16], c: &mut [f32; 16]) {
    for (&a, b) in a.iter().zip(b) {
        for (c, &b) in c.iter_mut().zip(b) {
            *c = a.mul_add(b, *c);
        }
    }
}
