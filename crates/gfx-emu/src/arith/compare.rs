//! Comparisons, classes, minimum and maximum.

use super::float::Float;

/// What a VOPC instruction on numbers asks, in the order of its opcodes (RDNA3 ISA guide, "VOPC").
///
/// The first eight are false for a NaN except [`Unordered`](Self::Unordered), the negated ones true.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Predicate {
    /// `F`: never.
    False,
    /// `LT`.
    Less,
    /// `EQ`.
    Equal,
    /// `LE`.
    LessEqual,
    /// `GT`.
    Greater,
    /// `LG`: less or greater.
    LessGreater,
    /// `GE`.
    GreaterEqual,
    /// `O`: neither is a NaN.
    Ordered,
    /// `U`: one is a NaN.
    Unordered,
    /// `NGE`: not greater or equal.
    NotGreaterEqual,
    /// `NLG`: not less or greater.
    NotLessGreater,
    /// `NGT`: not greater.
    NotGreater,
    /// `NLE`: not less or equal.
    NotLessEqual,
    /// `NEQ`: not equal.
    NotEqual,
    /// `NLT`: not less.
    NotLess,
    /// `T` (`TRU`): always.
    True,
}

impl Predicate {
    /// Every predicate, in the order of the opcodes.
    pub const ALL: [Self; 16] = [
        Self::False,
        Self::Less,
        Self::Equal,
        Self::LessEqual,
        Self::Greater,
        Self::LessGreater,
        Self::GreaterEqual,
        Self::Ordered,
        Self::Unordered,
        Self::NotGreaterEqual,
        Self::NotLessGreater,
        Self::NotGreater,
        Self::NotLessEqual,
        Self::NotEqual,
        Self::NotLess,
        Self::True,
    ];

    /// Whether it holds for `a` and `b`.
    #[inline(always)]
    #[expect(clippy::neg_cmp_op_on_partial_ord, reason = "a negated predicate holds for NaNs")]
    pub(super) fn holds<F: PartialOrd>(self, a: F, b: F) -> bool {
        match self {
            Self::False => false,
            Self::Less => a < b,
            Self::Equal => a == b,
            Self::LessEqual => a <= b,
            Self::Greater => a > b,
            Self::LessGreater => (a < b) | (a > b),
            Self::GreaterEqual => a >= b,
            Self::Ordered => (a <= b) | (a > b),
            Self::Unordered => !((a <= b) | (a > b)),
            Self::NotGreaterEqual => !(a >= b),
            Self::NotLessGreater => !((a < b) | (a > b)),
            Self::NotGreater => !(a > b),
            Self::NotLessEqual => !(a <= b),
            Self::NotEqual => a != b,
            Self::NotLess => !(a < b),
            Self::True => true,
        }
    }
}

/// Which of the ten classes of V_CMP_CLASS a number is in, as one set bit.
///
/// From bit 0: signalling NaN, quiet NaN, -∞, -normal, -denormal, -0, +0, +denormal, +normal, +∞.
#[inline(always)]
pub fn class_of<F: Float>(x: F) -> u32 {
    let magnitude_class = if x.is_infinite() {
        0
    } else if x.is_zero() {
        3
    } else if x.is_denormal() {
        2
    } else {
        1
    };
    if x.is_signalling() {
        1 << 0
    } else if x.is_nan() {
        1 << 1
    } else if x.is_negative() {
        1 << (2 + magnitude_class)
    } else {
        1 << (9 - magnitude_class)
    }
}

/// The lesser, -0 before +0. Of a quiet NaN and a number the number; a signalling NaN quieted if `ieee`.
#[inline(always)]
pub(super) fn min<F: Float>(a: F, b: F, ieee: bool) -> F {
    // Equal operands differ at most in the sign of zero.
    let ordered = if a < b { a } else { b };
    let ordered = if a == b { a.or(b) } else { ordered };
    nan_or(a, b, ieee, ordered)
}

/// The greater, +0 after -0, with NaNs as [`min`] has them.
#[inline(always)]
pub(super) fn max<F: Float>(a: F, b: F, ieee: bool) -> F {
    let ordered = if a > b { a } else { b };
    let ordered = if a == b { a.and(b) } else { ordered };
    nan_or(a, b, ieee, ordered)
}

/// `ordered`, unless an operand is a NaN.
#[inline(always)]
fn nan_or<F: Float>(a: F, b: F, ieee: bool, ordered: F) -> F {
    let result = if b.is_nan() { a } else { ordered };
    let result = if a.is_nan() { b } else { result };
    let result = if ieee & b.is_signalling() { b.quiet() } else { result };
    if ieee & a.is_signalling() { a.quiet() } else { result }
}

/// The first operand that is a NaN, quieted, or else `ordered`.
#[inline(always)]
pub(super) fn nan_first<F: Float>(a: F, b: F, ordered: F) -> F {
    let result = if b.is_nan() { b.quiet() } else { ordered };
    if a.is_nan() { a.quiet() } else { result }
}
