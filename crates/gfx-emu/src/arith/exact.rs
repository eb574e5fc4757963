//! Any mode.

use super::{Arith, F16, Float, Mode, unrounded};

/// Any mode: exact in integers, then rounded once.
///
/// A NaN result is the first operand that is one, quieted, or else the positive default NaN.
#[derive(Clone, Copy, Debug)]
pub struct Exact {
    /// The mode.
    pub mode: Mode,
}

impl Exact {
    /// `a` as the result of finite operands: denormals as the mode says, and FP16_OVFL's bound on an f16.
    fn of_finite<F: Float>(self, a: F) -> F {
        let largest = F::from_raw(F::INFINITY.to_raw() - 1);
        let bounded = F::FRACTION_BITS == F16::FRACTION_BITS && self.mode.fp16_ovfl && a.is_infinite();
        self.result(if bounded { largest.with_sign(a.is_negative()) } else { a })
    }

    /// `a` as the result of `operands`.
    fn of_operands<A: Float, F: Float>(self, a: F, operands: &[A]) -> F {
        if operands.iter().any(|x| x.is_infinite()) { a } else { self.of_finite(a) }
    }
}

impl Arith for Exact {
    #[inline(always)]
    fn mode(self) -> Mode {
        self.mode
    }
    fn add<F: Float>(self, a: F, b: F) -> F {
        let (a, b) = (self.operand(a), self.operand(b));
        self.of_operands(unrounded::add(a, b, F::rounding(self.mode)), &[a, b])
    }
    fn mul<F: Float>(self, a: F, b: F) -> F {
        let (a, b) = (self.operand(a), self.operand(b));
        self.of_operands(unrounded::mul(a, b, F::rounding(self.mode)), &[a, b])
    }
    fn fma<F: Float>(self, a: F, b: F, c: F) -> F {
        self.fma_scale(a, b, c, 0)
    }
    fn fma_scale<F: Float>(self, a: F, b: F, c: F, exponent: i32) -> F {
        let (a, b, c) = (self.operand(a), self.operand(b), self.operand(c));
        self.of_operands(unrounded::mul_add_scale(a, b, c, exponent, F::rounding(self.mode)), &[a, b, c])
    }
    fn ldexp<F: Float>(self, a: F, exponent: i32) -> F {
        let a = self.operand(a);
        self.of_operands(unrounded::scale(a, exponent, F::rounding(self.mode)), &[a])
    }
    fn convert<A: Float, B: Float>(self, a: A) -> B {
        let a = self.operand(a);
        // From an f64 the rounding is the one for f64, to f16 the one for f16, which is the same field.
        let round = if A::FRACTION_BITS > B::FRACTION_BITS { self.mode.round_16_64 } else { B::rounding(self.mode) };
        self.of_operands(unrounded::convert(a, round), &[a])
    }
    fn i32_to<F: Float>(self, a: i32) -> F {
        self.of_finite(unrounded::from_integer(a.into(), F::rounding(self.mode)))
    }
    fn u32_to<F: Float>(self, a: u32) -> F {
        self.of_finite(unrounded::from_integer(a.into(), F::rounding(self.mode)))
    }
    fn fma_mix_f16(self, a: f32, b: f32, c: f32) -> F16 {
        let (a, b, c) = (self.operand(a), self.operand(b), self.operand(c));
        self.of_operands(unrounded::mul_add_scale(a, b, c, 0, self.mode.round_16_64), &[a, b, c])
    }
    #[inline(always)]
    fn operand<F: Float>(self, a: F) -> F {
        if F::denormals(self.mode).flush_in { a.flush() } else { a }
    }
    #[inline(always)]
    fn result<F: Float>(self, a: F) -> F {
        if F::denormals(self.mode).flush_out { a.flush() } else { a }
    }
}
