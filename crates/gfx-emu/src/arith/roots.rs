//! Reciprocals, roots, exponentials, logarithms, sine and cosine.
//!
//! The hardware computes these to within the error that the ISA guide states (1 ULP for f32), in no particular rounding;
//! here they are computed in f64 (or correctly rounded) and rounded to nearest even in every mode, which errs by at most
//! 0.51 ULP (f16: the nearest or its neighbour). The f32 forms treat denormal operands as zeros and flush denormal
//! results whatever the MODE register says, sine and cosine excepted; f16 and f64 forms do not.

use std::f64::consts::{LN_2, TAU};

use super::f16::F16;
use super::float::Float;

/// Reciprocal and roots, which exist in every format.
pub trait Roots: Sized {
    /// `1 / self`.
    fn rcp(self) -> Self;
    /// `√self`.
    fn sqrt(self) -> Self;
    /// `1 / √self`.
    fn rsq(self) -> Self;
}

/// Functions that exist in f32 and f16.
pub trait Transcendental: Float {
    /// `2^self`.
    fn exp2(self) -> Self;
    /// The logarithm to base 2.
    fn log2(self) -> Self;
    /// The sine of `self` revolutions.
    fn sin_turns(self) -> Self;
    /// The cosine of `self` revolutions.
    fn cos_turns(self) -> Self;
}

impl Roots for f32 {
    #[inline(always)]
    fn rcp(self) -> Self {
        (1.0 / self.flush()).flush()
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f32::sqrt(self.flush())
    }
    #[inline(always)]
    fn rsq(self) -> Self {
        (1.0 / f64::from(self.flush()).sqrt()) as f32
    }
}

impl Roots for f64 {
    #[inline(always)]
    fn rcp(self) -> Self {
        1.0 / self
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn rsq(self) -> Self {
        1.0 / f64::sqrt(self)
    }
}

// An f16 denormal is a normal f32, so the f32 functions lose none.
impl Roots for F16 {
    #[inline(always)]
    fn rcp(self) -> Self {
        Self::from_f32(1.0 / self.to_f32())
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        Self::from_f32(f32::sqrt(self.to_f32()))
    }
    #[inline(always)]
    fn rsq(self) -> Self {
        Self::from_f32(self.to_f32().rsq())
    }
}

impl Transcendental for f32 {
    #[inline(always)]
    fn exp2(self) -> Self {
        (exp2(self.flush().into()) as f32).flush()
    }
    #[inline(always)]
    fn log2(self) -> Self {
        log2(self.flush())
    }
    #[inline(always)]
    fn sin_turns(self) -> Self {
        sin_turns(self) as f32
    }
    #[inline(always)]
    fn cos_turns(self) -> Self {
        cos_turns(self) as f32
    }
}

impl Transcendental for F16 {
    #[inline(always)]
    fn exp2(self) -> Self {
        Self::from_f32(exp2(self.to_f32().into()) as f32)
    }
    #[inline(always)]
    fn log2(self) -> Self {
        Self::from_f32(log2(self.to_f32()))
    }
    #[inline(always)]
    fn sin_turns(self) -> Self {
        Self::from_f32(sin_turns(self.to_f32()) as f32)
    }
    #[inline(always)]
    fn cos_turns(self) -> Self {
        Self::from_f32(cos_turns(self.to_f32()) as f32)
    }
}

/// The polynomial with these coefficients, lowest first, by Horner's rule.
#[inline(always)]
fn polynomial<const N: usize>(x: f64, coefficients: [f64; N]) -> f64 {
    coefficients.into_iter().rev().fold(0.0, |sum, c| sum * x + c)
}

/// Adding and subtracting this rounds an f64 below 2^51 to an integer, which shows in the low bits of the sum.
const ROUNDER: f64 = 6755399441055744.0;

/// `2^x` to about 1e-11 of itself, for the range of f32.
#[inline(always)]
fn exp2(x: f64) -> f64 {
    // Beyond ±200 an f32 is infinite or zero. A NaN passes both comparisons.
    let x = if x > 200.0 { 200.0 } else { x };
    let x = if x < -200.0 { -200.0 } else { x };
    let shifted = x + ROUNDER;
    let fraction = (x - (shifted - ROUNDER)) * LN_2;
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    // |fraction| ≤ 0.347: the series' first missing term is 0.347^10 / 10!, 7e-12.
    const SERIES: [f64; 10] = [
        1.0,
        1.0,
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5040.0,
        1.0 / 40320.0,
        1.0 / 362880.0,
    ];
    polynomial(fraction, SERIES) * power
}

/// The logarithm to base 2 of a number that is not denormal.
#[inline(always)]
fn log2(x: f32) -> f32 {
    // The exponent is chosen so that the significand lies in [√½, √2).
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let offset = x.to_bits().wrapping_sub(SQRT_HALF);
    let exponent = (offset as i32) >> 23;
    let significand = f64::from(f32::from_bits((offset & 0x007f_ffff).wrapping_add(SQRT_HALF)));
    // ln m = 2 artanh((m - 1) / (m + 1)); the argument's square is at most 0.0295.
    let ratio = (significand - 1.0) / (significand + 1.0);
    const SERIES: [f64; 8] = [1.0, 1.0 / 3.0, 1.0 / 5.0, 1.0 / 7.0, 1.0 / 9.0, 1.0 / 11.0, 1.0 / 13.0, 1.0 / 15.0];
    let logarithm = ratio * polynomial(ratio * ratio, SERIES) * (2.0 / LN_2);
    let result = (f64::from(exponent) + logarithm) as f32;
    let result = if x == f32::INFINITY { f32::INFINITY } else { result };
    let result = if (x < 0.0) | x.is_nan() { f32::NAN } else { result };
    if x == 0.0 { f32::NEG_INFINITY } else { result }
}

/// The distance in revolutions from the nearest whole one; a NaN for what is not finite.
#[inline(always)]
fn turn(x: f32) -> f64 {
    // From 2^23 on every f32 is a whole number of revolutions.
    let whole = Float::abs(x) >= 8_388_608.0;
    let x = f64::from(if whole { x * 0.0 } else { x });
    x - ((x + ROUNDER) - ROUNDER)
}

/// `sin(2π turns)` for at most a quarter of a revolution.
#[inline(always)]
fn sin_quarter(turns: f64) -> f64 {
    // |angle| ≤ π/2: the series' first missing term is (π/2)^17 / 17!, 6e-12.
    const SERIES: [f64; 8] = [
        1.0,
        -1.0 / 6.0,
        1.0 / 120.0,
        -1.0 / 5040.0,
        1.0 / 362880.0,
        -1.0 / 39916800.0,
        1.0 / 6227020800.0,
        -1.0 / 1307674368000.0,
    ];
    let angle = turns * TAU;
    angle * polynomial(angle * angle, SERIES)
}

/// `sin(2πx)`.
#[inline(always)]
fn sin_turns(x: f32) -> f64 {
    let turns = turn(x);
    let folded = 0.5 - turns.abs();
    // The sine is the same at a turn's mirror image across the quarter.
    let folded = if turns < 0.0 { -folded } else { folded };
    let sine = sin_quarter(if turns.abs() > 0.25 { folded } else { turns });
    // A zero keeps its operand's sign, which the reduction loses.
    if x == 0.0 { x.into() } else { sine }
}

/// `cos(2πx)`.
#[inline(always)]
fn cos_turns(x: f32) -> f64 {
    sin_quarter(0.25 - turn(x).abs())
}
