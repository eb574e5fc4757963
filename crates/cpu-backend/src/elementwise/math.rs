//! Elementary functions of sixteen floats.
//!
//! Polynomials are Chebyshev fits, made for these intervals. Errors named are relative to the exact value of the f32
//! argument, and are checked against f64 by the tests below on a dense sweep.

use super::lanes::Lanes;

/// Horner's rule, highest power first.
#[inline(always)]
unsafe fn polynomial<L: Lanes, const N: usize>(x: L::V, coefficients: [f32; N]) -> L::V {
    // SAFETY: the caller has the instructions of `L`.
    unsafe {
        let mut sum = L::splat(coefficients[0]);
        let mut i = 1;
        while i < N {
            sum = L::fma(sum, x, L::splat(coefficients[i]));
            i += 1;
        }
        sum
    }
}

/// `2^x` within 1.5e-7. 0 below -150, infinity from 128; NaN stays.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
pub(crate) unsafe fn exp2<L: Lanes>(x: L::V) -> L::V {
    // SAFETY: as promised by the caller.
    unsafe {
        let x = L::min(L::splat(129.0), L::max(L::splat(-151.0), x));
        let n = L::round(x);
        let r = L::sub(x, n);
        let p = polynomial::<L, 6>(
            r,
            [0.000_154_531_63, 0.001_339_086_3, 0.009_618_083, 0.055_503_57, 0.240_226_5, std::f32::consts::LN_2],
        );
        L::scale2(L::fma(p, r, L::splat(1.0)), n)
    }
}

/// `e^x` within 2e-7. 0 below -104, infinity from 88.73; NaN stays.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
pub(crate) unsafe fn exp<L: Lanes>(x: L::V) -> L::V {
    // ln 2 in two parts: 10 and 24 bits, so that n * LN2_HIGH is exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    // SAFETY: as promised by the caller.
    unsafe {
        let x = L::min(L::splat(89.0), L::max(L::splat(-104.0), x));
        let n = L::round(L::mul(x, L::splat(std::f32::consts::LOG2_E)));
        let r = L::fma(n, L::splat(-LN2_HIGH), x);
        let r = L::fma(n, L::splat(-LN2_LOW), r);
        let q = polynomial::<L, 5>(r, [0.001_392_618_2, 0.008_363_178, 0.041_666_556, 0.166_665_77, 0.5]);
        let p = L::add(L::fma(L::mul(r, r), q, r), L::splat(1.0));
        L::scale2(p, n)
    }
}

/// `1 / (1 + e^-x)` within 4e-7 (above -87, where it leaves the normal numbers).
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
pub(crate) unsafe fn sigmoid<L: Lanes>(x: L::V) -> L::V {
    // SAFETY: as promised by the caller.
    unsafe {
        let one = L::splat(1.0);
        L::div(one, L::add(one, exp::<L>(L::sub(L::splat(0.0), x))))
    }
}

/// `tanh x` within 4e-7.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
pub(crate) unsafe fn tanh<L: Lanes>(x: L::V) -> L::V {
    // SAFETY: as promised by the caller.
    unsafe {
        let a = L::abs(x);
        let z = L::mul(x, x);
        let q = polynomial::<L, 5>(z, [-0.006_045_165, 0.020_961_33, -0.053_843_264, 0.133_327_19, -0.333_333_28]);
        let near = L::fma(L::mul(z, q), x, x);
        let one = L::splat(1.0);
        let e = exp::<L>(L::add(a, a));
        let far = L::sub(one, L::div(L::splat(2.0), L::add(e, one)));
        L::if_less(a, L::splat(0.625), near, L::with_sign(far, x))
    }
}

/// The normal distribution's `Φ(x) = (1 + erf(x / √2)) / 2` within 5e-7 above -13, where it leaves the normal numbers;
/// within 8e-6 where the processor cannot fuse, as then the rounding of `x²` is magnified far out.
///
/// With `a = |x| / √2` and `t = 1 / (1 + 0.4 a)`, `erfc(a) = exp(-a²) t P(t)`.
///
/// # Safety
/// The processor has the instructions of `L`.
#[inline(always)]
pub(crate) unsafe fn normal_cdf<L: Lanes>(x: L::V) -> L::V {
    const HALF_P: [f32; 10] = [
        -0.034_322_9 / 2.0,
        0.223_439_1 / 2.0,
        -0.557_940_7 / 2.0,
        0.625_323_4 / 2.0,
        -0.348_269_2 / 2.0,
        0.305_856_5 / 2.0,
        0.118_187_31 / 2.0,
        0.217_339_09 / 2.0,
        0.224_666_09 / 2.0,
        0.225_721_34 / 2.0,
    ];
    // SAFETY: as promised by the caller.
    unsafe {
        let (zero, one) = (L::splat(0.0), L::splat(1.0));
        let a = L::mul(L::abs(x), L::splat(std::f32::consts::FRAC_1_SQRT_2));
        let t = L::div(one, L::fma(a, L::splat(0.4), one));
        // x² / 2, with what its rounding lost put back to first order: the exponential would magnify it.
        let half = L::mul(x, L::splat(0.5));
        let square = L::mul(half, x);
        let lost = L::fma(half, x, L::sub(zero, square));
        let e = exp::<L>(L::sub(zero, square));
        let e = L::sub(e, L::mul(e, L::if_less(a, L::splat(16.0), lost, zero)));
        let tail = L::mul(L::mul(e, t), polynomial::<L, 10>(t, HALF_P));
        let upper = L::sub(one, tail);
        L::if_less(x, zero, tail, upper)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::lanes::{Isa, Kernel, LANES};
    use super::*;

    #[derive(Clone, Copy)]
    enum Function {
        Exp2,
        Exp,
        Sigmoid,
        Tanh,
        NormalCdf,
    }

    struct Map<'a>(Function, &'a mut [f32]);
    impl Kernel for Map<'_> {
        type Output = ();
        #[inline(always)]
        unsafe fn run<L: Lanes>(self) {
            for row in self.1.chunks_exact_mut(LANES) {
                // SAFETY: the row has 16 numbers; the processor has the instructions.
                unsafe {
                    let x = L::load(row.as_ptr());
                    let y = match self.0 {
                        Function::Exp2 => exp2::<L>(x),
                        Function::Exp => exp::<L>(x),
                        Function::Sigmoid => sigmoid::<L>(x),
                        Function::Tanh => tanh::<L>(x),
                        Function::NormalCdf => normal_cdf::<L>(x),
                    };
                    L::store(row.as_mut_ptr(), y);
                }
            }
        }
    }

    /// The error function in f64 to 1e-15 relative of `erfc`: series near 0, continued fraction far out.
    pub(in super::super) fn normal_cdf_f64(x: f64) -> f64 {
        let a = x.abs() / std::f64::consts::SQRT_2;
        let tail = if a < 2.0 {
            let (mut term, mut sum) = (a, a);
            for n in 1..80 {
                term *= -a * a / f64::from(n);
                sum += term / f64::from(2 * n + 1);
            }
            0.5 - sum / std::f64::consts::PI.sqrt()
        } else {
            let fraction = (1..=200).rev().fold(0.0, |f, n| f64::from(n) / 2.0 / (a + f));
            0.5 * (-a * a).exp() / std::f64::consts::PI.sqrt() / (a + fraction)
        };
        if x < 0.0 { tail } else { 1.0 - tail }
    }

    /// The largest relative error over `count` points of `from..to`.
    fn worst(isa: Isa, f: Function, exact: fn(f64) -> f64, from: f32, to: f32) -> f64 {
        let count = 160_000;
        let x: Vec<f32> = (0..count).map(|i| from + (to - from) * i as f32 / count as f32).collect();
        let mut y = x.clone();
        isa.run(Map(f, &mut y));
        let error = |(x, y): (&f32, &f32)| {
            let exact = exact(f64::from(*x));
            if exact == f64::from(*y) { 0.0 } else { ((f64::from(*y) - exact) / exact).abs() }
        };
        x.iter().zip(&y).map(error).fold(0.0, |m, e| if e > m || e.is_nan() { e } else { m })
    }

    #[test]
    fn errors_are_as_documented() {
        for isa in Isa::available() {
            let check = |f, exact: fn(f64) -> f64, from, to, bound: f64| {
                let found = worst(isa, f, exact, from, to);
                assert!(found <= bound, "{isa}: {found:.2e} above {bound:.2e} on {from}..{to}");
            };
            check(Function::Exp2, f64::exp2, -125.9, 127.9, 1.5e-7);
            check(Function::Exp2, f64::exp2, -1.0, 1.0, 1.5e-7);
            check(Function::Exp, f64::exp, -87.0, 88.7, 2e-7);
            check(Function::Exp, f64::exp, -1.0, 1.0, 2e-7);
            let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
            check(Function::Sigmoid, sigmoid, -87.0, 100.0, 4e-7);
            check(Function::Tanh, f64::tanh, -12.0, 12.0, 4e-7);
            check(Function::Tanh, f64::tanh, -1e-3, 1e-3, 4e-7);
            check(Function::NormalCdf, normal_cdf_f64, -2.0, 9.0, 5e-7);
            check(Function::NormalCdf, normal_cdf_f64, -13.0, -2.0, if isa == Isa::Scalar { 8e-6 } else { 5e-7 });
        }
    }

    #[test]
    fn ends_are_exact_and_nan_stays() {
        for isa in Isa::available() {
            let at = |f, x: f32| {
                let mut row = [x; LANES];
                isa.run(Map(f, &mut row));
                row[3]
            };
            for f in [Function::Exp2, Function::Exp] {
                assert_eq!(at(f, 0.0), 1.0);
                assert_eq!(at(f, f32::NEG_INFINITY), 0.0);
                assert_eq!(at(f, f32::INFINITY), f32::INFINITY);
                assert_eq!(at(f, -1e30), 0.0);
                assert_eq!(at(f, 1e30), f32::INFINITY);
            }
            assert_eq!(at(Function::Exp2, 10.0), 1024.0);
            for (f, low, mid, high) in [
                (Function::Sigmoid, 0.0, 0.5, 1.0),
                (Function::Tanh, -1.0, 0.0, 1.0),
                (Function::NormalCdf, 0.0, 0.5, 1.0),
            ] {
                assert_eq!((at(f, f32::NEG_INFINITY), at(f, f32::INFINITY)), (low, high));
                assert_eq!((at(f, -1e20), at(f, 1e20)), (low, high));
                assert!((at(f, 0.0) - mid).abs() < 1e-7);
            }
            for f in [Function::Exp2, Function::Exp, Function::Sigmoid, Function::Tanh, Function::NormalCdf] {
                assert!(at(f, f32::NAN).is_nan());
            }
        }
    }
}
