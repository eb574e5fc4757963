//! What f16, f32 and f64 have in common: their layout, their plain arithmetic and their classes.

use std::ops::{Add, Div, Mul, Neg, Sub};

use super::f16::F16;
use super::mode::{Denorm, Mode, Round};
use super::roots::Roots;
use super::unrounded;

/// A binary floating-point format of the vector ALU.
///
/// Arithmetic here is IEEE 754's: to nearest even, denormals kept. The sign and payload of a NaN result are
/// unspecified. [`Arith`](super::Arith) adds what the MODE register asks for.
pub trait Float:
    Copy
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + Roots
{
    /// Bits of the significand without the implied one.
    const FRACTION_BITS: u32;
    /// Bits of the exponent.
    const EXPONENT_BITS: u32;
    /// Exponent field of 1.0.
    const BIAS: i32 = (1 << (Self::EXPONENT_BITS - 1)) - 1;
    /// Positive zero.
    const ZERO: Self;
    /// One.
    const ONE: Self;
    /// The largest number below one.
    const BELOW_ONE: Self;
    /// Positive infinity.
    const INFINITY: Self;
    /// A quiet NaN, positive.
    const NAN: Self;

    /// The bits, in the low end.
    fn to_raw(self) -> u64;
    /// The number with these bits.
    fn from_raw(bits: u64) -> Self;
    /// Every bit set in `self` or `other`.
    fn or(self, other: Self) -> Self;
    /// Every bit set in `self` and `other`.
    fn and(self, other: Self) -> Self;
    /// The magnitude.
    fn abs(self) -> Self;
    /// Whether the sign bit is set.
    fn is_negative(self) -> bool;
    /// Whether this is a quiet or signalling NaN.
    fn is_nan(self) -> bool;
    /// Whether this is a signalling NaN.
    fn is_signalling(self) -> bool;
    /// A signalling NaN made quiet; all else unchanged.
    fn quiet(self) -> Self;
    /// Whether this is neither zero nor normal, but below the normal numbers.
    fn is_denormal(self) -> bool;
    /// The exponent field.
    fn biased_exponent(self) -> i32;
    /// The number with its exponent field replaced.
    fn with_biased_exponent(self, exponent: i32) -> Self;

    /// `self × b + c`, rounded once.
    fn mul_add(self, b: Self, c: Self) -> Self;
    /// Rounded to an integer, halves to even.
    fn round_even(self) -> Self;
    /// Rounded to an integer towards -∞.
    fn floor(self) -> Self;
    /// Rounded to an integer towards +∞.
    fn ceil(self) -> Self;
    /// Rounded to an integer towards zero.
    fn trunc(self) -> Self;
    /// `self × 2^exponent`, rounded once.
    fn scale(self, exponent: i32) -> Self;
    /// The same number as an f64; a NaN becomes quiet.
    fn to_f64(self) -> f64;
    /// The nearest number to an f64.
    fn from_f64(x: f64) -> Self;
    /// The same number as an f32, or for an f64 the nearest.
    fn to_f32(self) -> f32;
    /// The same number, or for an f16 the nearest.
    fn from_f32(x: f32) -> Self;

    /// The nearest number to an integer.
    fn from_i32(x: i32) -> Self;
    /// The nearest number to an integer.
    fn from_u32(x: u32) -> Self;
    /// Towards zero, saturated, a NaN to zero.
    fn to_i32(self) -> i32;
    /// Towards zero, saturated, a NaN to zero.
    fn to_u32(self) -> u32;

    /// How `mode` rounds this format.
    fn rounding(mode: Mode) -> Round;
    /// What `mode` does with this format's denormals.
    fn denormals(mode: Mode) -> Denorm;

    /// Whether this is an infinity.
    #[inline(always)]
    fn is_infinite(self) -> bool {
        self.abs() == Self::INFINITY
    }

    /// Whether this is a zero of either sign.
    #[inline(always)]
    fn is_zero(self) -> bool {
        self == Self::ZERO
    }

    /// The magnitude of `self` with the sign given.
    #[inline(always)]
    fn with_sign(self, negative: bool) -> Self {
        if negative { -self.abs() } else { self.abs() }
    }

    /// A denormal as a zero of its sign; all else unchanged.
    #[inline(always)]
    fn flush(self) -> Self {
        if self.is_denormal() { self.and(-Self::ZERO) } else { self }
    }
}

/// Implements what the layout alone decides, given the type's bits and how to reach them.
macro_rules! layout {
    ($type:ty, $bits:ty, $fraction:literal, $exponent:literal, $to:expr, $from:expr) => {
        const FRACTION_BITS: u32 = $fraction;
        const EXPONENT_BITS: u32 = $exponent;
        const ZERO: Self = $from(0);
        const ONE: Self = $from(((1 << ($exponent - 1)) - 1) << $fraction);
        const BELOW_ONE: Self = $from((((1 << ($exponent - 1)) - 1) << $fraction) - 1);
        const INFINITY: Self = $from(((1 << $exponent) - 1) << $fraction);
        const NAN: Self = $from(((1 << ($exponent + 1)) - 1) << ($fraction - 1));

        #[inline(always)]
        fn to_raw(self) -> u64 {
            <$bits>::into($to(self))
        }
        #[inline(always)]
        fn from_raw(bits: u64) -> Self {
            $from(bits as $bits)
        }
        #[inline(always)]
        fn or(self, other: Self) -> Self {
            $from($to(self) | $to(other))
        }
        #[inline(always)]
        fn and(self, other: Self) -> Self {
            $from($to(self) & $to(other))
        }
        #[inline(always)]
        fn abs(self) -> Self {
            $from($to(self) & (<$bits>::MAX >> 1))
        }
        #[inline(always)]
        fn is_negative(self) -> bool {
            $to(self) >> (<$bits>::BITS - 1) == 1
        }
        #[inline(always)]
        fn is_nan(self) -> bool {
            $to(self) & (<$bits>::MAX >> 1) > $to(Self::INFINITY)
        }
        #[inline(always)]
        fn is_signalling(self) -> bool {
            let magnitude = $to(self) & (<$bits>::MAX >> 1);
            (magnitude > $to(Self::INFINITY)) & (magnitude < $to(Self::NAN))
        }
        #[inline(always)]
        fn quiet(self) -> Self {
            if Float::is_nan(self) { $from($to(self) | (1 << ($fraction - 1))) } else { self }
        }
        #[inline(always)]
        fn is_denormal(self) -> bool {
            let magnitude = $to(self) & (<$bits>::MAX >> 1);
            (magnitude != 0) & (magnitude < (1 << $fraction))
        }
        #[inline(always)]
        fn biased_exponent(self) -> i32 {
            ($to(self) >> $fraction & ((1 << $exponent) - 1)) as i32
        }
        #[inline(always)]
        fn with_biased_exponent(self, exponent: i32) -> Self {
            $from($to(self) & !$to(Self::INFINITY) | (exponent as $bits) << $fraction)
        }
    };
}

/// Implements what the standard library has for f32 and f64.
macro_rules! standard {
    () => {
        #[inline(always)]
        fn mul_add(self, b: Self, c: Self) -> Self {
            self.mul_add(b, c)
        }
        #[inline(always)]
        fn round_even(self) -> Self {
            self.round_ties_even()
        }
        #[inline(always)]
        fn floor(self) -> Self {
            self.floor()
        }
        #[inline(always)]
        fn ceil(self) -> Self {
            self.ceil()
        }
        #[inline(always)]
        fn trunc(self) -> Self {
            self.trunc()
        }
        #[inline(always)]
        fn from_i32(x: i32) -> Self {
            x as Self
        }
        #[inline(always)]
        fn from_u32(x: u32) -> Self {
            x as Self
        }
        #[inline(always)]
        fn to_i32(self) -> i32 {
            self as i32
        }
        #[inline(always)]
        fn to_u32(self) -> u32 {
            self as u32
        }
    };
}

/// `2^exponent` for exponents of normal f64.
#[inline(always)]
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((1023 + exponent) as u64) << 52)
}

impl Float for f32 {
    layout!(f32, u32, 23, 8, f32::to_bits, f32::from_bits);
    standard!();

    #[inline(always)]
    fn scale(self, exponent: i32) -> Self {
        // No factor beyond 2^±300 makes a difference, and with it the f64 product is exact.
        (f64::from(self) * power_of_two(exponent.clamp(-300, 300))) as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.into()
    }
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x as f32
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x
    }
    #[inline(always)]
    fn rounding(mode: Mode) -> Round {
        mode.round_32
    }
    #[inline(always)]
    fn denormals(mode: Mode) -> Denorm {
        mode.denorm_32
    }
}

impl Float for f64 {
    layout!(f64, u64, 52, 11, f64::to_bits, f64::from_bits);
    standard!();

    #[inline(always)]
    fn scale(self, exponent: i32) -> Self {
        unrounded::scale(self, exponent, Round::NearestEven)
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        x
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self as f32
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        x.into()
    }
    #[inline(always)]
    fn rounding(mode: Mode) -> Round {
        mode.round_16_64
    }
    #[inline(always)]
    fn denormals(mode: Mode) -> Denorm {
        mode.denorm_16_64
    }
}

impl Float for F16 {
    layout!(F16, u16, 10, 5, to_bits, F16);

    #[inline(always)]
    fn mul_add(self, b: Self, c: Self) -> Self {
        self.mul_add(b, c)
    }
    #[inline(always)]
    fn round_even(self) -> Self {
        Self::from_f32(self.to_f32().round_ties_even())
    }
    #[inline(always)]
    fn floor(self) -> Self {
        Self::from_f32(self.to_f32().floor())
    }
    #[inline(always)]
    fn ceil(self) -> Self {
        Self::from_f32(self.to_f32().ceil())
    }
    #[inline(always)]
    fn trunc(self) -> Self {
        Self::from_f32(self.to_f32().trunc())
    }
    // An f32 holds every integer exactly that an f16 does not overflow at.
    #[inline(always)]
    fn from_i32(x: i32) -> Self {
        Self::from_f32(x as f32)
    }
    #[inline(always)]
    fn from_u32(x: u32) -> Self {
        Self::from_f32(x as f32)
    }
    #[inline(always)]
    fn to_i32(self) -> i32 {
        self.to_f32() as i32
    }
    #[inline(always)]
    fn to_u32(self) -> u32 {
        self.to_f32() as u32
    }
    #[inline(always)]
    fn scale(self, exponent: i32) -> Self {
        let factor = f32::from_bits(((127 + exponent.clamp(-60, 60)) as u32) << 23);
        Self::from_f32(self.to_f32() * factor)
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self.to_f32().into()
    }
    #[inline(always)]
    fn from_f64(x: f64) -> Self {
        Self::from_f64(x)
    }
    #[inline(always)]
    fn to_f32(self) -> f32 {
        self.to_f32()
    }
    #[inline(always)]
    fn from_f32(x: f32) -> Self {
        Self::from_f32(x)
    }
    #[inline(always)]
    fn rounding(mode: Mode) -> Round {
        mode.round_16_64
    }
    #[inline(always)]
    fn denormals(mode: Mode) -> Denorm {
        mode.denorm_16_64
    }
}

/// The bits of a half, as a function for the macro above.
#[inline(always)]
const fn to_bits(x: F16) -> u16 {
    x.0
}
