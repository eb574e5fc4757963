//! The division that compilers emit gives the correctly rounded quotient.

use gfx_emu::arith::{Arith, Division, F16, Fast, Float, Round};

use super::{Random, assert_same, rounding};

/// `numerator / denominator` in the steps of LLVM's expansion of a precise division.
fn divide<F: Division>(e: impl Arith, numerator: F, denominator: F) -> F {
    let (scaled_denominator, _) = e.div_scale(denominator, denominator, numerator);
    let (scaled_numerator, vcc) = e.div_scale(numerator, denominator, numerator);
    let minus = -scaled_denominator;
    let mut reciprocal = e.rcp(scaled_denominator);
    for _ in 0..2 {
        reciprocal = e.fma(e.fma(minus, reciprocal, F::ONE), reciprocal, reciprocal);
    }
    let mut quotient = e.mul(scaled_numerator, reciprocal);
    quotient = e.fma(e.fma(minus, quotient, scaled_numerator), reciprocal, quotient);
    let remainder = e.fma(minus, quotient, scaled_numerator);
    e.div_fixup(e.div_fmas(remainder, reciprocal, quotient, vcc), denominator, numerator)
}

fn quotients_are_the_hosts<F: Division + std::fmt::Debug>() {
    let mut random = Random(30);
    for _ in 0..300_000 {
        let (a, b) = (random.float::<F>(), random.float::<F>());
        assert_same(divide(Fast, a, b), a / b, || format!("{a:?} / {b:?}"));
        assert_same(divide(rounding(Round::NearestEven), a, b), a / b, || format!("exact {a:?} / {b:?}"));
    }
}

#[test]
fn f32_quotients_of_any_operands_are_correctly_rounded() {
    quotients_are_the_hosts::<f32>();
}

#[test]
fn f64_quotients_of_any_operands_are_correctly_rounded() {
    quotients_are_the_hosts::<f64>();
}

#[test]
fn f16_special_quotients_are_put_right() {
    let wrong = F16(0x5555);
    let bits = [0u16, 0x8000, 0x3c00, 0xbc00, 0x7c00, 0xfc00, 0x7e00];
    for (a, b) in bits.iter().flat_map(|&a| bits.map(|b| (F16(a), F16(b)))) {
        let want = a / b;
        let quotient = if want.is_zero() || want.is_infinite() || want.is_nan() { wrong } else { want.abs() };
        assert_same(Fast.div_fixup(quotient, b, a), want, || format!("{a:?} / {b:?}"));
    }
}
