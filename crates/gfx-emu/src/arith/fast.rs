//! The mode HIP kernels start in.

use super::f16::{self, F16};
use super::{Arith, Float, Mode, Round, unrounded};

/// The mode HIP kernels start in: to nearest even, denormals kept, IEEE and DX10_CLAMP on.
///
/// The sign and payload of a NaN that an operation makes or passes on are unspecified, those of minimum, maximum and
/// conversions excepted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Fast;

impl Arith for Fast {
    #[inline(always)]
    fn mode(self) -> Mode {
        Mode::HIP
    }
    #[inline(always)]
    fn add<F: Float>(self, a: F, b: F) -> F {
        a + b
    }
    #[inline(always)]
    fn sub<F: Float>(self, a: F, b: F) -> F {
        a - b
    }
    #[inline(always)]
    fn mul<F: Float>(self, a: F, b: F) -> F {
        a * b
    }
    #[inline(always)]
    fn fma<F: Float>(self, a: F, b: F, c: F) -> F {
        a.mul_add(b, c)
    }
    fn fma_scale<F: Float>(self, a: F, b: F, c: F, exponent: i32) -> F {
        unrounded::mul_add_scale(a, b, c, exponent, Round::NearestEven)
    }
    #[inline(always)]
    fn ldexp<F: Float>(self, a: F, exponent: i32) -> F {
        a.scale(exponent)
    }
    #[inline(always)]
    fn convert<A: Float, B: Float>(self, a: A) -> B {
        match A::FRACTION_BITS {
            52 => B::from_f64(a.to_f64()),
            _ => B::from_f32(a.to_f32()),
        }
        .quiet()
    }
    #[inline(always)]
    fn i32_to<F: Float>(self, a: i32) -> F {
        F::from_i32(a)
    }
    #[inline(always)]
    fn u32_to<F: Float>(self, a: u32) -> F {
        F::from_u32(a)
    }
    #[inline(always)]
    fn fma_mix_f16(self, a: f32, b: f32, c: f32) -> F16 {
        f16::mul_add_f32(a, b, c)
    }
    #[inline(always)]
    fn operand<F: Float>(self, a: F) -> F {
        a
    }
    #[inline(always)]
    fn result<F: Float>(self, a: F) -> F {
        a
    }
}
