//! Addition, multiplication, multiply-add and conversions of f32 and f64 in every rounding mode.

use std::cmp::Ordering;

use gfx_emu::arith::{Arith, Denorm, F16, Fast, Float, Round};

use super::{ROUNDS, Random, assert_same, denormals, directed, rounding};

/// `a × b + c` as an f64 and what it is off by, both exact together.
fn exact_fma(a: f32, b: f32, c: f32) -> (f64, f64) {
    let (product, c) = (f64::from(a) * f64::from(b), f64::from(c));
    let sum = product + c;
    let other = sum - product;
    (sum, (product - (sum - other)) + (c - other))
}

/// How `near` compares to `sum + error`, of which `sum` is the nearest f64.
fn compare(near: f32, sum: f64, error: f64) -> Ordering {
    f64::from(near)
        .partial_cmp(&sum)
        .unwrap_or(Ordering::Equal)
        .then(0.0f64.partial_cmp(&error).unwrap_or(Ordering::Equal))
}

#[test]
fn f32_multiply_add_rounds_the_exact_value_once() {
    let mut random = Random(1);
    for _ in 0..300_000 {
        let (a, b, c) = (random.float::<f32>(), random.float::<f32>(), random.float::<f32>());
        let near = a.mul_add(b, c);
        assert_same(Fast.fma(a, b, c), near, || format!("fast {a:e} × {b:e} + {c:e}"));
        let (sum, error) = exact_fma(a, b, c);
        for round in ROUNDS {
            let mut want = if sum.is_infinite() { near } else { directed(near, compare(near, sum, error), round) };
            if sum == 0.0 && round == Round::Down && (a * b).is_sign_negative() != c.is_sign_negative() {
                want = -0.0;
            }
            assert_same(rounding(round).fma(a, b, c), want, || format!("{round:?} {a:e} × {b:e} + {c:e}"));
        }
    }
}

#[test]
fn f32_sums_and_products_round_as_multiply_adds_with_one_and_zero_do() {
    let mut random = Random(2);
    for _ in 0..200_000 {
        let (a, b) = (random.float::<f32>(), random.float::<f32>());
        assert_same(Fast.add(a, b), a + b, || format!("fast {a:e} + {b:e}"));
        assert_same(Fast.mul(a, b), a * b, || format!("fast {a:e} × {b:e}"));
        let product = f64::from(a) * f64::from(b);
        let (sum, error) = exact_fma(a, 1.0, b);
        for round in ROUNDS {
            let want = directed(a * b, compare(a * b, product, 0.0), round);
            let want = if a.is_infinite() || b.is_infinite() { a * b } else { want };
            assert_same(rounding(round).mul(a, b), want, || format!("{round:?} {a:e} × {b:e}"));
            let mut want = if sum.is_infinite() { a + b } else { directed(a + b, compare(a + b, sum, error), round) };
            if sum == 0.0 && round == Round::Down && a.is_sign_negative() != b.is_sign_negative() {
                want = -0.0;
            }
            assert_same(rounding(round).add(a, b), want, || format!("{round:?} {a:e} + {b:e}"));
        }
    }
}

#[test]
fn f64_multiply_add_rounds_the_exact_integer_once() {
    let mut random = Random(3);
    for _ in 0..100_000 {
        // Integers of up to 53 bits, the addend moved by up to 60 bits: all exact in an i128.
        let mut integer = || (random.next() as i64 >> 11) >> (random.next() % 53);
        let (a, b, c) = (integer(), integer(), integer());
        let shift = random.next() % 60;
        let exact = i128::from(a) * i128::from(b) + (i128::from(c) << shift);
        if exact == 0 {
            continue;
        }
        let near = exact as f64;
        let near_is = (near as i128).cmp(&exact);
        let (a, b, c) = (a as f64, b as f64, c as f64 * (1u64 << shift) as f64);
        assert_same(Fast.fma(a, b, c), near, || format!("fast {a} × {b} + {c}"));
        for round in ROUNDS {
            let want = directed(near, near_is, round);
            assert_same(rounding(round).fma(a, b, c), want, || format!("{round:?} {a} × {b} + {c}"));
        }
    }
}

#[test]
fn f64_arithmetic_to_nearest_is_the_hosts_and_directed_results_enclose_it() {
    let mut random = Random(4);
    for _ in 0..200_000 {
        let (a, b, c) = (random.float::<f64>(), random.float::<f64>(), random.float::<f64>());
        let near = rounding(Round::NearestEven);
        let about = || format!("{a:e}, {b:e}, {c:e}");
        assert_same(near.add(a, b), a + b, about);
        assert_same(near.sub(a, b), a - b, about);
        assert_same(near.mul(a, b), a * b, about);
        assert_same(near.fma(a, b, c), a.mul_add(b, c), about);
        let (up, down) = (rounding(Round::Up).fma(a, b, c), rounding(Round::Down).fma(a, b, c));
        let toward_zero = rounding(Round::Zero).fma(a, b, c);
        if !up.is_nan() {
            assert!(up == down || up == down.next_up(), "{} {up:e} {down:e}", about());
            let nearest = a.mul_add(b, c);
            assert!(nearest == up || nearest == down, "{}", about());
            assert!(toward_zero == if up > 0.0 { down } else { up }, "{}", about());
        }
    }
}

#[test]
fn f64_to_f32_and_back() {
    let mut random = Random(5);
    for _ in 0..200_000 {
        let a = random.float::<f64>();
        // Half of them where an f32 is denormal, a number, or just infinite.
        let a =
            if random.next() & 1 == 0 { a } else { a.with_biased_exponent(1023 - 152 + (random.next() % 284) as i32) };
        assert_same(Fast.convert::<f64, f32>(a), a as f32, || format!("fast {a:e}"));
        for round in ROUNDS {
            let want = if a.is_infinite() { a as f32 } else { directed(a as f32, compare(a as f32, a, 0.0), round) };
            assert_same(rounding(round).convert::<f64, f32>(a), want, || format!("{round:?} {a:e}"));
        }
        let single = a as f32;
        assert_same(Fast.convert::<f32, f64>(single), single.into(), || format!("{single:e}"));
        assert_same(rounding(Round::Up).convert::<f32, f64>(single), single.into(), || format!("{single:e}"));
    }
}

#[test]
fn a_nan_passes_conversions_quieted_with_sign_and_upper_bits() {
    for exact in ROUNDS.map(rounding) {
        assert_eq!(exact.convert::<f32, f64>(f32::from_bits(0xff80_0001)).to_bits(), 0xfff8_0000_2000_0000);
        assert_eq!(exact.convert::<f64, f32>(f64::from_bits(0x7ff0_0000_2000_0000)).to_bits(), 0x7fc0_0001);
        assert_eq!(exact.convert::<f32, F16>(f32::from_bits(0x7f80_2000)).0, 0x7e01);
        assert_eq!(exact.convert::<F16, f32>(F16(0xfc01)).to_bits(), 0xffc0_2000);
    }
    assert_eq!(Fast.convert::<f32, F16>(f32::from_bits(0x7f80_2000)).0, 0x7e01);
    assert_eq!(Fast.convert::<F16, f32>(F16(0xfc01)).to_bits(), 0xffc0_2000);
}

#[test]
fn integers_convert_by_rounding_and_back_by_truncation_with_saturation() {
    let mut random = Random(6);
    for i in 0..100_000 {
        let edge = [0, 1, u32::MAX, i32::MAX as u32, i32::MIN as u32, 1 << 24, (1 << 24) + 1, (1 << 25) + 2];
        let a = if i % 4 == 0 { edge[i / 4 % edge.len()] } else { random.next() as u32 >> (random.next() % 32) };
        assert_same(Fast.u32_to::<f32>(a), a as f32, || format!("{a}"));
        assert_same(Fast.i32_to::<f32>(a as i32), a as i32 as f32, || format!("{a}"));
        assert_same(Fast.u32_to::<F16>(a), F16(half::f16::from_f64(a.into()).to_bits()), || format!("{a}"));
        assert_same(Fast.u32_to::<f64>(a), a.into(), || format!("{a}"));
        for round in ROUNDS {
            let near = a as f32;
            let want = directed(near, (near as i64).cmp(&i64::from(a)), round);
            assert_same(rounding(round).u32_to(a), want, || format!("{round:?} {a}"));
            let near = a as i32 as f32;
            let want = directed(near, (near as i64).cmp(&i64::from(a as i32)), round);
            assert_same(rounding(round).i32_to(a as i32), want, || format!("{round:?} {}", a as i32));
        }
        let x = random.float::<f32>();
        let truncated = if x.is_nan() { 0.0 } else { x.trunc() };
        assert_eq!(f64::from(Fast.to_i32(x)), f64::from(truncated).clamp(i32::MIN.into(), i32::MAX.into()));
        assert_eq!(f64::from(Fast.to_u32(x)), f64::from(truncated).clamp(0.0, u32::MAX.into()));
    }
    assert_eq!(Fast.floor_to_i32(-0.5), -1);
    assert_eq!(Fast.nearest_to_i32(-0.5), 0);
    assert_eq!(Fast.nearest_to_i32(0.499_999_97), 0);
    assert_eq!(Fast.nearest_to_i32(f32::INFINITY), i32::MAX);
    assert_eq!(Fast.floor_to_i32(f32::NAN), 0);
}

#[test]
fn denormals_are_flushed_as_the_mode_says() {
    let (denormal, least) = (f32::from_bits(1), f32::MIN_POSITIVE);
    let only_in = Denorm { flush_in: true, flush_out: false };
    let only_out = Denorm { flush_in: false, flush_out: true };
    assert_eq!(denormals(Denorm::KEEP).add(denormal, denormal).to_bits(), 2);
    assert_eq!(denormals(only_in).add(denormal, 1.0), 1.0);
    assert_eq!(denormals(only_in).mul(-denormal, 1e30).to_bits(), 1 << 31);
    assert_eq!(denormals(only_in).mul(least, 0.5).to_bits(), 1 << 22);
    assert_eq!(denormals(only_out).mul(denormal, 1e30), denormal * 1e30);
    assert_eq!(denormals(only_out).mul(-least, 0.5).to_bits(), 1 << 31);
    assert_eq!(denormals(Denorm::FLUSH).add(denormal, least).to_bits(), least.to_bits());
    assert_eq!(denormals(only_out).convert::<f32, F16>(1e-7).0, 0);
    assert_eq!(denormals(only_in).convert::<F16, f32>(F16(0x8001)).to_bits(), 1 << 31);
    assert_eq!(denormals(only_in).max(denormal, -1.0).to_bits(), 0);
    assert!(denormals(only_in).compare(gfx_emu::arith::Predicate::Equal, denormal, 0.0));
}

#[test]
fn an_f16_overflow_is_bounded_if_the_mode_says_so_but_an_infinity_stays() {
    let mut exact = rounding(Round::NearestEven);
    assert_eq!(exact.convert::<f32, F16>(1e6).0, 0x7c00);
    exact.mode.fp16_ovfl = true;
    assert_eq!(exact.convert::<f32, F16>(-1e6).0, 0xfbff);
    assert_eq!(exact.convert::<f32, F16>(f32::INFINITY).0, 0x7c00);
    assert_eq!(exact.add(F16(0x7bff), F16(0x7bff)).0, 0x7bff);
    assert_eq!(exact.fma_mix_f16(1e5, 1e5, 0.0).0, 0x7bff);
    assert_eq!(exact.mul(f32::MAX, 2.0), f32::INFINITY);
}
