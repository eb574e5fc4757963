//! The 16-bit formats: raw bits with conversions that vectorise.

use std::cmp::Ordering;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// An IEEE 754 half-precision number, as its bits.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct F16(pub u16);

/// A bfloat16 number, as its bits: the upper half of an f32.
#[derive(Clone, Copy, Debug, Default, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Bf16(pub u16);

/// Takes `chosen` where `condition` holds, without a branch.
#[inline(always)]
fn select(condition: bool, chosen: u32, otherwise: u32) -> u32 {
    if condition { chosen } else { otherwise }
}

impl F16 {
    /// The same number as an f32; a NaN stays one, quiet or signalling.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        let magnitude = u32::from(self.0 & 0x7fff);
        // Moved to f32's place the exponent is 112 too small. A denormal is its fraction as an integer, scaled: unlike
        // arithmetic on f32 denormals this is quick on every host.
        let normal = (magnitude << 13).wrapping_add(112 << 23);
        let denormal = (magnitude as i32 as f32 * f32::from_bits((127 - 24) << 23)).to_bits();
        let finite = select(magnitude < 0x400, denormal, normal);
        let special = 0x7f80_0000 | (magnitude << 13);
        f32::from_bits(select(magnitude >= 0x7c00, special, finite) | u32::from(self.0 & 0x8000) << 16)
    }

    /// The nearest half-precision number, halfway cases to the even one; a NaN keeps its upper bits and is quiet.
    #[inline(always)]
    pub fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        let magnitude = bits & 0x7fff_ffff;
        let odd = (magnitude >> 13) & 1;
        // Below 65536 the rebiased bits cannot wrap; a carry out of the significand moves the exponent on, up to ∞.
        let normal = magnitude.wrapping_sub(112 << 23).wrapping_add(0xfff + odd) >> 13;
        // Adding 1/2 puts an f16 denormal's last place at the sum's last place, where f32's own rounding acts.
        let denormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
        let finite = select(magnitude < 113 << 23, denormal, normal);
        let nan = 0x7e00 | (magnitude >> 13 & 0x3ff);
        let special = select(magnitude > 0x7f80_0000, nan, 0x7c00);
        let result = select(magnitude >= (127 + 16) << 23, special, finite);
        Self((result | (bits >> 16 & 0x8000)) as u16)
    }

    /// The nearest half-precision number to an f64, rounded once.
    #[inline(always)]
    pub fn from_f64(x: f64) -> Self {
        Self::from_f32(round_to_odd(x))
    }

    /// `self × b + c`, rounded once.
    #[inline(always)]
    pub fn mul_add(self, b: Self, c: Self) -> Self {
        // 11 bits times 11 bits fit an f32. The sum may not: its rounding error, which an f32 holds exactly, tells
        // which way the last bit must be made odd, and an odd 24-bit number rounds to 11 bits as the exact one does.
        let product = self.to_f32() * b.to_f32();
        let addend = c.to_f32();
        let sum = product + addend;
        let other = sum - product;
        let error = (product - (sum - other)) + (addend - other);
        Self::from_f32(make_odd(sum, error))
    }
}

/// Moves `sum`, off the exact value by `error`, to the neighbour with an odd last bit on the exact value's side.
#[inline(always)]
fn make_odd(sum: f32, error: f32) -> f32 {
    let bits = sum.to_bits();
    // An overflow or NaN has a NaN as error, which is neither above nor below zero.
    let inexact = (error > 0.0) | (error < 0.0);
    let outward = (error > 0.0) == (sum > 0.0);
    let neighbour = select(outward, bits.wrapping_add(1), bits.wrapping_sub(1));
    f32::from_bits(select(inexact & (bits & 1 == 0), neighbour, bits))
}

/// An f64 as an f32 that is odd in its last bit if inexact, so that rounding it again rounds the f64.
#[inline(always)]
fn round_to_odd(x: f64) -> f32 {
    let near = x as f32;
    make_odd(near, (x - f64::from(near)) as f32)
}

/// `a × b + c` as an f16, rounded once.
#[inline(always)]
pub(super) fn mul_add_f32(a: f32, b: f32, c: f32) -> F16 {
    // As in `F16::mul_add`, with formats twice as wide.
    let product = f64::from(a) * f64::from(b);
    let addend = f64::from(c);
    let sum = product + addend;
    let other = sum - product;
    let error = (product - (sum - other)) + (addend - other);
    let bits = sum.to_bits();
    let inexact = (error > 0.0) | (error < 0.0);
    let outward = (error > 0.0) == (sum > 0.0);
    let neighbour = if outward { bits.wrapping_add(1) } else { bits.wrapping_sub(1) };
    F16::from_f64(f64::from_bits(if inexact & (bits & 1 == 0) { neighbour } else { bits }))
}

/// The f16 next to `x` towards zero; a NaN keeps its upper bits and is quiet.
#[inline(always)]
pub(super) fn towards_zero(x: f32) -> F16 {
    let bits = x.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    let normal = (magnitude.wrapping_sub(112 << 23) >> 13).min(0x7bff);
    let denormal = (f32::from_bits(magnitude) * 16_777_216.0) as u32;
    let finite = select(magnitude < 113 << 23, denormal, normal);
    let result = select(magnitude >= 0x7f80_0000, u32::from(F16::from_f32(x).0 & 0x7fff), finite);
    F16((result | (bits >> 16 & 0x8000)) as u16)
}

impl Bf16 {
    /// The same number as an f32.
    #[inline(always)]
    pub fn to_f32(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }

    /// The nearest bfloat16 number, halfway cases to the even one; a NaN keeps its upper bits and is quiet.
    #[inline(always)]
    pub fn from_f32(x: f32) -> Self {
        let bits = x.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        let nan = bits >> 16 | 0x40;
        Self(select(bits & 0x7fff_ffff > 0x7f80_0000, nan, rounded) as u16)
    }
}

impl PartialEq for F16 {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.to_f32() == other.to_f32()
    }
}

impl PartialOrd for F16 {
    #[inline(always)]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.to_f32().partial_cmp(&other.to_f32())
    }

    #[inline(always)]
    fn lt(&self, other: &Self) -> bool {
        self.to_f32() < other.to_f32()
    }

    #[inline(always)]
    fn le(&self, other: &Self) -> bool {
        self.to_f32() <= other.to_f32()
    }

    #[inline(always)]
    fn gt(&self, other: &Self) -> bool {
        self.to_f32() > other.to_f32()
    }

    #[inline(always)]
    fn ge(&self, other: &Self) -> bool {
        self.to_f32() >= other.to_f32()
    }
}

impl Neg for F16 {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self(self.0 ^ 0x8000)
    }
}

// An f32 holds more than twice an f16's 11 bits and two, so rounding the f32 result again is harmless.
impl Add for F16 {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self::from_f32(self.to_f32() + other.to_f32())
    }
}

impl Sub for F16 {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self::from_f32(self.to_f32() - other.to_f32())
    }
}

impl Mul for F16 {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self::from_f32(self.to_f32() * other.to_f32())
    }
}

impl Div for F16 {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        Self::from_f32(self.to_f32() / other.to_f32())
    }
}
