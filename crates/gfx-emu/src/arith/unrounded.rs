//! Addition, multiplication and conversion in any rounding mode: exact in integers, then rounded once.

use super::float::Float;
use super::mode::Round;

/// `±significand × 2^exponent`. Bits below the lowest may be folded into it (a set bit then stands for "and more").
#[derive(Clone, Copy)]
struct Unrounded {
    negative: bool,
    exponent: i32,
    significand: u128,
}

/// Takes a finite number apart.
fn unpack<F: Float>(x: F) -> Unrounded {
    let field = x.biased_exponent();
    let fraction = x.to_raw() & ((1 << F::FRACTION_BITS) - 1);
    let implied = u64::from(field != 0) << F::FRACTION_BITS;
    let exponent = field.max(1) - F::BIAS - F::FRACTION_BITS as i32;
    Unrounded { negative: x.is_negative(), exponent, significand: (fraction | implied).into() }
}

impl Unrounded {
    /// The same value with the highest bit of the significand at `bit`, which must be at or above where it is.
    fn with_top_at(self, bit: u32) -> Self {
        if self.significand == 0 {
            return self;
        }
        let shift = bit + self.significand.leading_zeros() - 127;
        Self { exponent: self.exponent - shift as i32, significand: self.significand << shift, ..self }
    }

    /// The sum. An exact zero from unequal signs is negative only when rounding down.
    fn plus(self, other: Self, round: Round) -> Self {
        if self.significand == 0 && other.significand == 0 {
            let negative = if self.negative == other.negative { self.negative } else { round == Round::Down };
            return Self { negative, ..self };
        }
        if self.significand == 0 {
            return other;
        }
        if other.significand == 0 {
            return self;
        }
        // One bit is left free for the carry. If the exponents differ by two or more, at most one leading bit cancels
        // and the folded bits stay far below the rounding position; if they differ by less, nothing is folded.
        let (x, y) = (self.with_top_at(126), other.with_top_at(126));
        let (large, small) = if x.exponent >= y.exponent { (x, y) } else { (y, x) };
        let small_bits = shift_right_folding(small.significand, large.exponent.abs_diff(small.exponent));
        if large.negative == small.negative {
            return Self { significand: large.significand + small_bits, ..large };
        }
        let (negative, significand) = if large.significand >= small_bits {
            (large.negative, large.significand - small_bits)
        } else {
            (small.negative, small_bits - large.significand)
        };
        let negative = if significand == 0 { round == Round::Down } else { negative };
        Self { negative, significand, ..large }
    }

    /// The number of format `F` that this rounds to.
    fn round<F: Float>(self, round: Round) -> F {
        if self.significand == 0 {
            return F::ZERO.with_sign(self.negative);
        }
        let x = self.with_top_at(127);
        let lowest = 1 - F::BIAS;
        let exponent = x.exponent + 127;
        let dropped = 127 - F::FRACTION_BITS + (lowest - exponent).max(0) as u32;
        let (kept, position) = split(x.significand, dropped);
        let up = match round {
            Round::NearestEven => (kept & 1 == 1 && position == Position::Half) || position == Position::Above,
            Round::Up => !self.negative && position != Position::Exact,
            Round::Down => self.negative && position != Position::Exact,
            Round::Zero => false,
        };
        // The implied bit adds one to the exponent field, as does a carry out of the fraction.
        let field = (exponent.max(lowest) - lowest) as u128;
        let bits = (field << F::FRACTION_BITS) + kept + u128::from(up);
        let infinity = u128::from(F::INFINITY.to_raw());
        let away = match round {
            Round::NearestEven => true,
            Round::Up => !self.negative,
            Round::Down => self.negative,
            Round::Zero => false,
        };
        let largest = if away { infinity } else { infinity - 1 };
        let bits = if bits >= infinity { largest } else { bits };
        F::from_raw(bits as u64).with_sign(self.negative)
    }
}

/// Where the dropped bits lie between two neighbours.
#[derive(PartialEq)]
enum Position {
    Exact,
    Below,
    Half,
    Above,
}

/// Splits `bits` into those above the lowest `dropped` (at least 1) and where the rest lies.
fn split(bits: u128, dropped: u32) -> (u128, Position) {
    if dropped > 128 {
        return (0, Position::Below);
    }
    let half = 1u128 << (dropped - 1);
    let rest = bits & (half | (half - 1));
    let position = match rest.cmp(&half) {
        std::cmp::Ordering::Greater => Position::Above,
        std::cmp::Ordering::Equal => Position::Half,
        std::cmp::Ordering::Less if rest == 0 => Position::Exact,
        std::cmp::Ordering::Less => Position::Below,
    };
    (bits.checked_shr(dropped).unwrap_or(0), position)
}

/// Shifts right, setting the lowest bit if any set bit is lost.
fn shift_right_folding(bits: u128, distance: u32) -> u128 {
    let kept = bits.checked_shr(distance).unwrap_or(0);
    let lost = if distance >= 128 { bits != 0 } else { kept << distance != bits };
    kept | u128::from(lost)
}

/// The first NaN of the operands, quieted, or the default NaN of an invalid operation.
fn nan_of<F: Float>(operands: &[F]) -> F {
    operands.iter().find(|x| x.is_nan()).map_or(F::NAN, |x| x.quiet())
}

/// Whether the exponent field is that of infinities and NaNs.
fn is_special<F: Float>(x: F) -> bool {
    x.is_nan() || x.is_infinite()
}

/// `a + b`.
pub(super) fn add<F: Float>(a: F, b: F, round: Round) -> F {
    if is_special(a) || is_special(b) {
        let sum = a + b;
        return if sum.is_nan() { nan_of(&[a, b]) } else { sum };
    }
    unpack(a).plus(unpack(b), round).round(round)
}

/// `a × b`.
pub(super) fn mul<F: Float>(a: F, b: F, round: Round) -> F {
    if is_special(a) || is_special(b) {
        let product = a * b;
        return if product.is_nan() { nan_of(&[a, b]) } else { product };
    }
    product(a, b).round(round)
}

/// `(a × b + c) × 2^exponent`, rounded once.
pub(super) fn mul_add_scale<F: Float, R: Float>(a: F, b: F, c: F, exponent: i32, round: Round) -> R {
    if is_special(a) || is_special(b) || is_special(c) {
        let sum = a.mul_add(b, c);
        let result = if sum.is_nan() { nan_of(&[a, b, c]) } else { sum };
        return convert(result, round);
    }
    let sum = product(a, b).plus(unpack(c), round);
    Unrounded { exponent: sum.exponent + exponent, ..sum }.round(round)
}

/// The exact product of finite numbers.
fn product<F: Float>(a: F, b: F) -> Unrounded {
    let (a, b) = (unpack(a), unpack(b));
    Unrounded {
        negative: a.negative != b.negative,
        exponent: a.exponent + b.exponent,
        significand: a.significand * b.significand,
    }
}

/// `x × 2^exponent`.
pub(super) fn scale<F: Float>(x: F, exponent: i32, round: Round) -> F {
    if is_special(x) {
        return x.quiet();
    }
    let value = unpack(x);
    Unrounded { exponent: value.exponent.saturating_add(exponent.clamp(-10_000, 10_000)), ..value }.round(round)
}

/// The same number in another format; a NaN keeps its sign and upper bits and becomes quiet.
pub(super) fn convert<A: Float, B: Float>(x: A, round: Round) -> B {
    if x.is_nan() {
        let fraction = x.to_raw() & ((1 << A::FRACTION_BITS) - 1);
        let fraction = if A::FRACTION_BITS < B::FRACTION_BITS {
            fraction << (B::FRACTION_BITS - A::FRACTION_BITS)
        } else {
            fraction >> (A::FRACTION_BITS - B::FRACTION_BITS)
        };
        return B::NAN.or(B::from_raw(fraction)).with_sign(x.is_negative());
    }
    if x.is_infinite() {
        return B::INFINITY.with_sign(x.is_negative());
    }
    unpack(x).round(round)
}

/// An integer as a number.
pub(super) fn from_integer<F: Float>(x: i64, round: Round) -> F {
    Unrounded { negative: x < 0, exponent: 0, significand: x.unsigned_abs().into() }.round(round)
}
