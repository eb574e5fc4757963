//! Reciprocals, roots, exponentials, logarithms, sines and cosines against the host's in f64.

use std::f64::consts::TAU;

use gfx_emu::arith::{Arith, F16, Fast};

use super::Random;

/// The greatest error over a million points, in units of the exact result's last place.
fn error_ulps(mut point: impl FnMut(u64) -> f32, got: impl Fn(f32) -> f32, want: impl Fn(f64) -> f64) -> f64 {
    let mut random = Random(50);
    let error = |x: f32| {
        let exact = want(x.into());
        let near = exact as f32;
        let place = (f64::from(near.abs().next_up()) - f64::from(near.abs())).max(2f64.powi(-149));
        if near.is_normal() { (f64::from(got(x)) - exact).abs() / place } else { 0.0 }
    };
    (0..1_000_000).map(|_| error(point(random.next()))).fold(0.0, f64::max)
}

/// A positive normal number of any exponent.
fn any_positive(bits: u64) -> f32 {
    f32::from_bits((bits as u32 & 0x7fff_ffff) % 0x7f00_0000 + 0x0080_0000)
}

/// A number in [-`bound`, `bound`), evenly spread.
fn within(bound: f64, bits: u64) -> f32 {
    (((bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0) * bound) as f32
}

#[test]
fn results_are_within_half_a_unit_in_the_last_place_and_a_hundredth() {
    let bound = 0.51;
    let errors = [
        ("1/x", error_ulps(any_positive, |x| Fast.rcp(x), |x| 1.0 / x)),
        ("√x", error_ulps(any_positive, |x| Fast.sqrt(x), f64::sqrt)),
        ("1/√x", error_ulps(any_positive, |x| Fast.rsq(x), |x| 1.0 / x.sqrt())),
        ("2^x", error_ulps(|bits| within(127.0, bits), |x| Fast.exp(x), f64::exp2)),
        ("2^x near 0", error_ulps(|bits| within(0.01, bits), |x| Fast.exp(x), f64::exp2)),
        ("log2 x", error_ulps(any_positive, |x| Fast.log(x), f64::log2)),
        ("log2 x near 1", error_ulps(|bits| 1.0 + within(0.01, bits), |x| Fast.log(x), f64::log2)),
        ("sin 2πx", error_ulps(|bits| within(0.5, bits), |x| Fast.sin(x), |x| (x * TAU).sin())),
        ("sin 2πx, many turns", error_ulps(|bits| within(256.0, bits), |x| Fast.sin(x), |x| sine(x % 1.0))),
        ("cos 2πx, many turns", error_ulps(|bits| within(256.0, bits), |x| Fast.cos(x), |x| sine((x + 0.25) % 1.0))),
    ];
    for (name, error) in errors {
        assert!(error <= bound, "{name}: {error} ULP");
    }
}

/// `sin(2πx)`, exact at the zeros, of which 2π times their place misses.
fn sine(x: f64) -> f64 {
    let half_turns = (2.0 * x).round();
    let sign = if half_turns as i64 & 1 == 0 { 1.0 } else { -1.0 };
    sign * ((x - half_turns / 2.0) * TAU).sin()
}

#[test]
fn special_operands_give_special_results() {
    const INF: f32 = f32::INFINITY;
    assert_eq!([0.0, -0.0, INF, -INF].map(|x| Fast.rcp(x).to_bits()), [INF, -INF, 0.0, -0.0].map(f32::to_bits));
    assert_eq!([0.0, -0.0, INF].map(|x| Fast.sqrt(x).to_bits()), [0.0, -0.0, INF].map(f32::to_bits));
    assert_eq!([0.0, -0.0, INF].map(|x| Fast.rsq(x).to_bits()), [INF, -INF, 0.0].map(f32::to_bits));
    assert_eq!([0.0, -INF, INF, 1e30, -1e30, 3.0].map(|x| Fast.exp(x)), [1.0, 0.0, INF, INF, 0.0, 8.0]);
    assert_eq!([0.0, -0.0, INF, 1.0, 1024.0].map(|x| Fast.log(x)), [-INF, -INF, INF, 0.0, 10.0]);
    assert_eq!([0.0, -0.0].map(|x: f32| Fast.sin(x).to_bits()), [0.0f32, -0.0].map(f32::to_bits));
    assert_eq!([0.5, 0.25, -0.25, 1e30, 2.0].map(|x: f32| Fast.sin(x)), [0.0, 1.0, -1.0, 0.0, 0.0]);
    assert_eq!([0.5, 0.25, -0.25, 1e30, 2.0].map(|x: f32| Fast.cos(x)), [-1.0, 0.0, 0.0, 1.0, 1.0]);
    let nans = [
        Fast.sqrt(-1.0f32),
        Fast.rsq(-1.0f32),
        Fast.log(-1.0f32),
        Fast.log(-INF),
        Fast.sin(INF),
        Fast.cos(-INF),
        Fast.rcp(f32::NAN),
        Fast.exp(f32::NAN),
        Fast.log(f32::NAN),
        Fast.sin(f32::NAN),
    ];
    assert!(nans.iter().all(|x| x.is_nan()), "{nans:?}");
}

#[test]
fn f32_denormals_are_zeros_to_them_and_f16_denormals_are_not() {
    let denormal = f32::from_bits(0x007f_ffff);
    assert_eq!(Fast.rcp(denormal), f32::INFINITY);
    assert_eq!(Fast.rcp(-2f32.powi(127)).to_bits(), 1 << 31);
    assert_eq!(Fast.sqrt(-denormal).to_bits(), 1 << 31);
    assert_eq!(Fast.rsq(denormal), f32::INFINITY);
    assert_eq!(Fast.log(denormal), f32::NEG_INFINITY);
    assert_eq!(Fast.exp(-126.5f32), 0.0);
    assert_eq!(Fast.exp(-126.0f32), f32::MIN_POSITIVE);
    assert_eq!(Fast.exp(F16::from_f32(-15.0)).to_f32(), 2f32.powi(-15));
    assert_eq!(Fast.log(F16(1)).to_f32(), -24.0);
    assert_eq!(Fast.rcp(1e308f64), 1e-308);
}
