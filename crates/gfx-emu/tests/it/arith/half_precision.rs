//! f16 and bf16: every value in every one-operand operation, and sums in fixed point.

use gfx_emu::arith::{Arith, Bf16, F16, Fast, Float, Round, dot};

use super::{ROUNDS, Random, assert_same, rounding};

/// Every f16.
fn all() -> impl Iterator<Item = F16> {
    (0..=u16::MAX).map(F16)
}

/// A finite f16 in units of 2^-24, in which every one is an integer.
fn units(x: F16) -> i128 {
    let (exponent, fraction) = (x.0 >> 10 & 31, i128::from(x.0 & 0x3ff));
    let magnitude = if exponent == 0 { fraction } else { (fraction | 0x400) << (exponent - 1) };
    if x.0 >> 15 == 1 { -magnitude } else { magnitude }
}

/// The f16 that `value`, in units of 2^-48 and not zero, rounds to, found among all of them.
fn nearest(value: i128, round: Round) -> F16 {
    let magnitude = value.unsigned_abs() as i128;
    let in_units = |bits: u16| if bits == 0x7c00 { 1i128 << (16 + 48) } else { units(F16(bits)) << 24 };
    let (mut below, mut above) = (0u16, 0x7c00u16);
    while above - below > 1 {
        let middle = (below + above) / 2;
        if in_units(middle) <= magnitude { below = middle } else { above = middle }
    }
    if magnitude >= in_units(0x7c00) {
        (below, above) = (0x7bff, 0x7c00);
    } else if in_units(below) == magnitude {
        above = below;
    }
    let (to_below, to_above) = (magnitude - in_units(below), in_units(above) - magnitude);
    let up = match round {
        Round::NearestEven => to_above < to_below || to_above == to_below && below & 1 == 1,
        Round::Up => value > 0,
        Round::Down => value < 0,
        Round::Zero => false,
    };
    F16(if up { above } else { below } | if value < 0 { 0x8000 } else { 0 })
}

#[test]
fn conversions_to_and_from_f32_agree_with_half() {
    for x in all() {
        let other = half::f16::from_bits(x.0);
        let single = other.to_f32();
        assert_same(x.to_f32(), single, || format!("{x:?}"));
        assert_same(F16::from_f32(single), x, || format!("{x:?}"));
        // Every halfway point to the next number, and its neighbours.
        let halfway = F16(x.0).to_f32().to_bits().wrapping_add(1 << 12);
        for bits in [halfway - 1, halfway, halfway.wrapping_add(1)] {
            let y = f32::from_bits(bits);
            assert_same(F16::from_f32(y), F16(half::f16::from_f32_const(y).to_bits()), || format!("{y:e}"));
        }
        let bf = Bf16(x.0);
        assert_same(bf.to_f32(), half::bf16::from_bits(x.0).to_f32(), || format!("{bf:?}"));
    }
}

#[test]
fn f32_of_any_bits_convert_as_half_does() {
    // Prime steps over all bits: 14 million values, each exponent and sign.
    for bits in (0..=u32::MAX).step_by(307) {
        let x = f32::from_bits(bits);
        assert_same(F16::from_f32(x), F16(half::f16::from_f32_const(x).to_bits()), || format!("{bits:#x}"));
        let (got, want) = (Bf16::from_f32(x).0, half::bf16::from_f32(x).to_bits());
        assert!(got == want || x.is_nan() && half::bf16::from_bits(got).is_nan(), "{bits:#x}");
    }
}

#[test]
fn conversion_from_f32_rounds_in_every_mode() {
    let mut random = Random(7);
    for _ in 0..100_000 {
        let fraction = (random.next() & random.next()) as i32 & 0x7f_ffff;
        let x = f32::from_bits(fraction as u32).with_biased_exponent(127 - 24 + (random.next() % 42) as i32);
        let x = x.with_sign(random.next() & 1 == 1);
        let value = (f64::from(x) * 2f64.powi(48)) as i128;
        for round in ROUNDS {
            assert_same(rounding(round).convert::<f32, F16>(x), nearest(value, round), || format!("{round:?} {x:e}"));
        }
        assert_same(Fast.convert::<f32, F16>(x), nearest(value, Round::NearestEven), || format!("{x:e}"));
        assert_same(Fast.to_f16_rtz(x), nearest(value, Round::Zero), || format!("towards zero {x:e}"));
    }
    assert_eq!(Fast.to_f16_rtz(f32::NEG_INFINITY).0, 0xfc00);
    assert_eq!(Fast.to_f16_rtz(f32::MIN_POSITIVE).0, 0);
    assert_eq!(Fast.to_f16_rtz(f32::MAX).0, 0x7bff);
    assert!(Fast.to_f16_rtz(f32::NAN).is_nan());
}

#[test]
fn sums_products_and_multiply_adds_round_the_fixed_point_value_once() {
    let mut random = Random(8);
    for _ in 0..400_000 {
        let (a, b, c) = (random.float::<F16>(), random.float::<F16>(), random.float::<F16>());
        if [a, b, c].iter().any(|x| x.is_nan() || x.is_infinite()) {
            continue;
        }
        let (product, sum) = (units(a) * units(b), (units(a) + units(b)) << 24);
        let fused = product + (units(c) << 24);
        for round in ROUNDS {
            let exact = rounding(round);
            let about = || format!("{round:?} {a:?} {b:?} {c:?}");
            for (value, got) in [(product, exact.mul(a, b)), (sum, exact.add(a, b)), (fused, exact.fma(a, b, c))] {
                if value != 0 {
                    assert_same(got, nearest(value, round), about);
                }
            }
            let (a, b, c) = (a.to_f32(), b.to_f32(), c.to_f32());
            if fused != 0 {
                assert_same(exact.fma_mix_f16(a, b, c), nearest(fused, round), about);
            }
        }
        let about = || format!("fast {a:?} {b:?} {c:?}");
        assert_same(Fast.mul(a, b), rounding(Round::NearestEven).mul(a, b), about);
        assert_same(Fast.add(a, b), rounding(Round::NearestEven).add(a, b), about);
        assert_same(Fast.fma(a, b, c), rounding(Round::NearestEven).fma(a, b, c), about);
        let (a, b, c) = (a.to_f32(), b.to_f32(), c.to_f32());
        assert_same(Fast.fma_mix_f16(a, b, c), rounding(Round::NearestEven).fma_mix_f16(a, b, c), about);
    }
}

#[test]
fn arithmetic_on_infinities_and_nans_is_f32s() {
    let mut random = Random(9);
    for _ in 0..100_000 {
        let (a, b, c) = (random.float::<F16>(), random.float::<F16>(), random.float::<F16>());
        if ![a, b, c].iter().any(|x| x.is_nan() || x.is_infinite()) {
            continue;
        }
        let want = half::f16::from_f32(a.to_f32().mul_add(b.to_f32(), c.to_f32()));
        assert_same(Fast.fma(a, b, c), F16(want.to_bits()), || format!("{a:?} {b:?} {c:?}"));
        assert_same(rounding(Round::Up).fma(a, b, c), F16(want.to_bits()), || format!("{a:?} {b:?} {c:?}"));
    }
}

#[test]
fn a_mixed_multiply_add_of_f32_to_f16_rounds_once() {
    // 1 + 2^-11 lies halfway between two halves; the addend or product far below decides.
    let tiny = 2f32.powi(-100);
    assert_eq!(Fast.fma_mix_f16(1.0 + 2f32.powi(-11), 1.0, tiny).0, 0x3c01);
    assert_eq!(Fast.fma_mix_f16(1.0 + 2f32.powi(-11), 1.0, 0.0).0, 0x3c00);
    assert_eq!(Fast.fma_mix_f16(1.0 + 3.0 * 2f32.powi(-11), 1.0, -tiny).0, 0x3c01);
    assert_eq!(Fast.fma_mix_f16(tiny, tiny, 1.0 + 2f32.powi(-11)).0, 0x3c01);
    let mut random = Random(10);
    for _ in 0..200_000 {
        let mut near = || random.float::<f32>().with_biased_exponent(127 - 14 + (random.next() % 22) as i32);
        let (a, b, c) = (near(), near(), near());
        let want = rounding(Round::NearestEven).fma_mix_f16(a, b, c);
        assert_same(Fast.fma_mix_f16(a, b, c), want, || format!("{a:e} {b:e} {c:e}"));
    }
}

#[test]
fn rounding_to_integers_and_fractions_is_f64s() {
    for x in all() {
        let wide = x.to_f64();
        for exact in ROUNDS.map(rounding) {
            assert_same(exact.floor(x), F16::from_f64(wide.floor()), || format!("{x:?}"));
        }
        assert_same(Fast.floor(x), F16::from_f64(wide.floor()), || format!("{x:?}"));
        assert_same(Fast.ceil(x), F16::from_f64(wide.ceil()), || format!("{x:?}"));
        assert_same(Fast.trunc(x), F16::from_f64(wide.trunc()), || format!("{x:?}"));
        assert_same(Fast.rndne(x), F16::from_f64(wide.round_ties_even()), || format!("{x:?}"));
        let fraction = (wide - wide.floor()).min(F16::BELOW_ONE.to_f64());
        let fraction = if wide.is_finite() { fraction } else { f64::NAN };
        assert_same(Fast.fract(x), F16::from_f64(fraction), || format!("{x:?}"));
        assert_eq!(Fast.to_i16(x), wide as i16);
        assert_eq!(Fast.to_u16(x), wide as u16);
    }
}

#[test]
fn functions_of_every_f16_are_the_nearest_or_its_neighbour() {
    fn check(name: &str, x: F16, got: F16, want: f64) {
        let near = F16::from_f64(want);
        let place = |x: F16| i32::from(x.0 & 0x7fff) * if x.is_negative() { -1 } else { 1 };
        let distance = (place(got) - place(near)).abs();
        assert!(distance <= 1 || got.is_nan() && near.is_nan(), "{name} of {x:?}: got {got:?}, want {near:?}");
    }
    for x in all() {
        let wide = x.to_f64();
        check("1/x", x, Fast.rcp(x), 1.0 / wide);
        check("√x", x, Fast.sqrt(x), wide.sqrt());
        check("1/√x", x, Fast.rsq(x), 1.0 / wide.sqrt());
        check("2^x", x, Fast.exp(x), wide.exp2());
        check("log2 x", x, Fast.log(x), if wide == 0.0 { f64::NEG_INFINITY } else { wide.log2() });
        check("sin 2πx", x, Fast.sin(x), (wide.fract() * std::f64::consts::TAU).sin());
    }
}

#[test]
fn scaling_rounds_once() {
    for x in all().step_by(7) {
        for exponent in [i32::MIN, -40, -25, -11, -1, 0, 1, 9, 29, 41, i32::MAX] {
            let want = F16::from_f64(x.to_f64() * 2f64.powi(exponent.clamp(-100, 100)));
            assert_same(Fast.ldexp(x, exponent), want, || format!("{x:?} × 2^{exponent}"));
            let got = rounding(Round::NearestEven).ldexp(x, exponent);
            assert_same(got, want, || format!("exact {x:?} × 2^{exponent}"));
        }
    }
}

#[test]
fn dot_products_of_halves_sum_in_f32() {
    let half = |x: f32| F16::from_f32(x);
    let (a, b) = ([half(3.0), half(-0.5)], [half(7.0), half(1024.0)]);
    assert_eq!(dot::dot2_f32_f16(Fast, a, b, 0.25), 21.0 - 512.0 + 0.25);
    assert_eq!(dot::dot2_f16_f16(Fast, a, b, half(0.25)).to_f32(), -490.75);
    let brain = |x: f32| Bf16::from_f32(x);
    let (a, b) = ([brain(3.0), brain(-0.5)], [brain(7.0), brain(1024.0)]);
    assert_eq!(dot::dot2_f32_bf16(Fast, a, b, 0.25), 21.0 - 512.0 + 0.25);
    assert_eq!(dot::dot2_bf16_bf16(Fast, a, b, brain(1.0)).to_f32(), -490.0);
    let ones = std::array::from_fn(|i| i as f32);
    assert_eq!(dot::wmma_dot(&ones, &ones, 0.5), 1240.5);
}

#[test]
fn a_row_of_a_matrix_product_is_its_elements_dot_products() {
    let mut random = Random(11);
    let mut near_one = || random.float::<f32>().with_biased_exponent(120 + (random.next() % 16) as i32);
    let a = std::array::from_fn(|_| near_one());
    let b: [[f32; 16]; 16] = std::array::from_fn(|_| std::array::from_fn(|_| near_one()));
    let c: [f32; 16] = std::array::from_fn(|_| near_one());
    let mut row = c;
    dot::wmma_row(&a, &b, &mut row);
    for n in 0..16 {
        let column = b.map(|b| b[n]);
        assert_eq!(row[n].to_bits(), dot::wmma_dot(&a, &column, c[n]).to_bits());
        let exact: f64 = (0..16).map(|k| f64::from(a[k]) * f64::from(column[k])).sum::<f64>() + f64::from(c[n]);
        let size: f64 = (0..16).map(|k| f64::from(a[k] * column[k]).abs()).sum::<f64>() + f64::from(c[n].abs());
        assert!((f64::from(row[n]) - exact).abs() <= size * 17.0 * 2f64.powi(-24));
    }
}
