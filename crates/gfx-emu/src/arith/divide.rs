//! The three steps of a division around its Newton iteration: scale, multiply-add with the scale undone, special cases.

use super::Arith;
use super::float::Float;

/// The constants by which V_DIV_SCALE and V_DIV_FIXUP judge a format (RDNA3 ISA guide, "V_DIV_SCALE_F32" and `_F64`).
pub trait Division: Float {
    /// The power of two that operands are scaled by.
    const SCALE: i32;
    /// From this difference of exponents on, the quotient may overflow on the way.
    const LARGE_RATIO: i32;
    /// Up to this exponent field, the numerator's remainder may be denormal.
    const TINY: i32;
}

impl Division for f32 {
    const SCALE: i32 = 64;
    const LARGE_RATIO: i32 = 96;
    const TINY: i32 = 23;
}

impl Division for f64 {
    const SCALE: i32 = 128;
    const LARGE_RATIO: i32 = 768;
    const TINY: i32 = 53;
}

/// `value`, which is the denominator or the numerator, scaled so that no step of the division leaves the normal
/// numbers; and whether the quotient has to be scaled back.
#[inline(always)]
pub(super) fn scale<F: Division>(value: F, denominator: F, numerator: F) -> (F, bool) {
    if numerator.is_zero() || denominator.is_zero() {
        return (F::NAN, false);
    }
    let is_denominator = value == denominator;
    let quotient_denormal = is_quotient_denormal(numerator, denominator);
    // A reciprocal is denormal exactly above 2^(BIAS - 1).
    let reciprocal_denormal = F::ONE.with_biased_exponent(2 * F::BIAS - 1) < denominator.abs();
    if numerator.biased_exponent() - denominator.biased_exponent() >= F::LARGE_RATIO {
        (if is_denominator { value.scale(F::SCALE) } else { value }, true)
    } else if denominator.is_denormal() {
        (value.scale(F::SCALE), false)
    } else if reciprocal_denormal && quotient_denormal {
        // The guide scales the denominator up here, which would make it infinite.
        (if is_denominator { value.scale(-F::SCALE) } else { value }, true)
    } else if reciprocal_denormal {
        (value.scale(-F::SCALE), false)
    } else if quotient_denormal {
        (if value == numerator { value.scale(F::SCALE) } else { value }, true)
    } else if numerator.biased_exponent() <= F::TINY {
        (value.scale(F::SCALE), false)
    } else {
        (value, false)
    }
}

/// Whether the quotient of two numbers, neither zero, lies below the normal numbers.
#[inline(always)]
fn is_quotient_denormal<F: Division>(numerator: F, denominator: F) -> bool {
    (numerator / denominator).abs() < F::ONE.with_biased_exponent(1)
}

/// The quotient with its special cases put right: those of the operands, and what under- or overflows.
#[inline(always)]
pub(super) fn fixup<F: Float, A: Arith>(arith: A, quotient: F, denominator: F, numerator: F) -> F {
    // Below this difference of exponents the quotient is under half the least number.
    let underflow = -(F::BIAS + F::FRACTION_BITS as i32);
    let negative = numerator.is_negative() != denominator.is_negative();
    let difference = numerator.biased_exponent() - denominator.biased_exponent();
    if numerator.is_nan() {
        numerator.quiet()
    } else if denominator.is_nan() {
        denominator.quiet()
    } else if numerator.is_zero() && denominator.is_zero() || numerator.is_infinite() && denominator.is_infinite() {
        -F::NAN
    } else if denominator.is_zero() || numerator.is_infinite() {
        F::INFINITY.with_sign(negative)
    } else if denominator.is_infinite() || numerator.is_zero() {
        F::ZERO.with_sign(negative)
    } else if difference < underflow {
        let least = F::from_raw(1);
        arith.mul(least.with_sign(negative), least)
    } else if quotient.is_nan() {
        // Of finite operands only an iteration that overflowed leaves a NaN.
        let greatest = F::from_raw(F::INFINITY.to_raw() - 1);
        arith.mul(greatest.with_sign(negative), greatest)
    } else {
        quotient.with_sign(negative)
    }
}
