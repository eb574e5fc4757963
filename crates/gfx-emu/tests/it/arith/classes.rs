//! Comparison, classes, minimum and maximum, parts of a number, output modifiers.

use gfx_emu::arith::{Arith, Denorm, Exact, F16, Fast, Float, Mode, Predicate, Round, class_of};

use super::{Random, assert_same, rounding};

/// The place of a number that is not a NaN among all, -0 before +0.
fn place<F: Float>(x: F) -> i64 {
    let magnitude = x.abs().to_raw() as i64;
    if x.is_negative() { -magnitude - 1 } else { magnitude }
}

fn minimum_and_maximum_follow_ieee<F: Float>() {
    let mut random = Random(20);
    let quiet_mode = Exact { mode: Mode { ieee: false, ..Mode::HIP } };
    for _ in 0..200_000 {
        let (a, b) = (random.float::<F>(), random.float::<F>());
        let about = || format!("{:#x} {:#x}", a.to_raw(), b.to_raw());
        let (least, greatest) = match (a.is_nan(), b.is_nan()) {
            (false, false) if place(a) < place(b) => (a, b),
            (false, false) => (b, a),
            (true, _) => (b, b),
            (false, true) => (a, a),
        };
        let quieted = [a, b].into_iter().find(|x| x.is_signalling()).map(Float::quiet);
        let exactly = |got: F, want: F| assert_eq!(got.to_raw(), want.to_raw(), "{}", about());
        exactly(Fast.min(a, b), quieted.unwrap_or(least));
        exactly(Fast.max(a, b), quieted.unwrap_or(greatest));
        exactly(quiet_mode.min(a, b), least);
        exactly(quiet_mode.max(a, b), greatest);
    }
}

#[test]
fn minimum_and_maximum_order_zeros_and_prefer_numbers_to_quiet_nans() {
    minimum_and_maximum_follow_ieee::<F16>();
    minimum_and_maximum_follow_ieee::<f32>();
    minimum_and_maximum_follow_ieee::<f64>();
}

#[test]
fn of_three_numbers_one_is_least_one_in_the_middle_one_greatest() {
    let mut random = Random(21);
    for _ in 0..200_000 {
        let mut sorted = [random.float::<f32>(), random.float::<f32>(), random.float::<f32>()];
        let [a, b, c] = sorted;
        if sorted.iter().any(|x| x.is_nan()) {
            continue;
        }
        sorted.sort_by_key(|x| place(*x));
        assert_eq!(Fast.min3(a, b, c).to_bits(), sorted[0].to_bits());
        // Zeros of both signs are equal to the instruction, which then takes the greatest of the other two.
        assert_eq!(Fast.med3(a, b, c), sorted[1], "{a:e} {b:e} {c:e}");
        assert_eq!(Fast.max3(a, b, c).to_bits(), sorted[2].to_bits());
        assert_eq!(Fast.minmax(a, b, c), a.min(b).max(c));
        assert_eq!(Fast.maxmin(a, b, c), a.max(b).min(c));
    }
    assert_eq!(Fast.med3(5.0f32, f32::NAN, 3.0), 3.0);
}

#[test]
fn predicates_are_what_their_opcodes_bits_say() {
    // Bit 0 of a VOPC opcode asks for less, bit 1 for equal, bit 2 for greater; bit 3 for unordered, the others then
    // without their bits inverted.
    let mut random = Random(22);
    for _ in 0..50_000 {
        let (a, b) = (random.float::<f32>(), random.float::<f32>());
        let outcome = match a.partial_cmp(&b) {
            Some(std::cmp::Ordering::Less) => 1,
            Some(std::cmp::Ordering::Equal) => 2,
            Some(std::cmp::Ordering::Greater) => 4,
            None => 8,
        };
        for (opcode, predicate) in Predicate::ALL.into_iter().enumerate() {
            let want = opcode & outcome != 0;
            assert_eq!(Fast.compare(predicate, a, b), want, "{predicate:?} {a:e} {b:e}");
            assert_eq!(rounding(Round::Up).compare(predicate, a, b), want, "{predicate:?} {a:e} {b:e}");
        }
    }
}

#[test]
fn each_class_has_its_bit() {
    let single =
        [0x7f80_0001u32, 0x7fc0_0000, 0xff80_0000, 0xbf80_0000, 0x807f_ffff, 1 << 31, 0, 1, 0x0080_0000, 0x7f80_0000];
    let half = [0x7c01u16, 0xfe00, 0xfc00, 0x8400, 0x8001, 0x8000, 0, 0x3ff, 0x7bff, 0x7c00];
    for (bit, (single, half)) in single.into_iter().zip(half).enumerate() {
        assert_eq!(class_of(f32::from_bits(single)), 1 << bit);
        assert_eq!(class_of(F16(half)), 1 << bit);
        assert!(Fast.class(F16(half), 1 << bit) && !Fast.class(F16(half), !(1 << bit)));
    }
    assert_eq!(class_of(-f64::MIN_POSITIVE), 1 << 3);
}

fn parts_multiply_to_the_number<F: Float + std::fmt::Debug>() {
    let mut random = Random(23);
    for _ in 0..100_000 {
        let x = random.float::<F>();
        let (mantissa, exponent) = (Fast.frexp_mant(x), Fast.frexp_exp(x));
        assert_same(Fast.ldexp(mantissa, exponent), x, || format!("{x:?}"));
        if x.is_zero() || x.is_nan() || x.is_infinite() {
            assert_eq!(exponent, 0);
        } else {
            assert!((0.5..1.0).contains(&mantissa.abs().to_f64()), "{x:?}");
        }
    }
}

#[test]
fn mantissa_and_exponent_multiply_to_the_number() {
    parts_multiply_to_the_number::<F16>();
    parts_multiply_to_the_number::<f32>();
    parts_multiply_to_the_number::<f64>();
}

#[test]
fn scaling_rounds_once_in_every_range() {
    let mut random = Random(24);
    for _ in 0..100_000 {
        let (x, wide) = (random.float::<f32>(), random.float::<f64>());
        let exponent = (random.next() % 700) as i32 - 350;
        let want = (f64::from(x) * 2f64.powi(exponent)) as f32;
        assert_same(Fast.ldexp(x, exponent), want, || format!("{x:e} × 2^{exponent}"));
        assert_same(rounding(Round::NearestEven).ldexp(x, exponent), want, || format!("{x:e} × 2^{exponent}"));
        // One product rounds once.
        assert_same(Fast.ldexp(wide, exponent), wide * 2f64.powi(exponent), || format!("{wide:e} × 2^{exponent}"));
    }
    assert_eq!(Fast.ldexp(f64::MIN_POSITIVE, 2045), 2f64.powi(1023));
    assert_eq!(Fast.ldexp(f64::from_bits(1), 2097), 2f64.powi(1023));
    assert_eq!(Fast.ldexp(1.0f64, i32::MIN), 0.0);
}

#[test]
fn a_fraction_stays_below_one() {
    assert_eq!(Fast.fract(-1e-30f32), 1.0f32.next_down());
    assert_eq!(Fast.fract(-1e-30f64), 1.0f64.next_down());
    assert_eq!(Fast.fract(-1.75f32), 0.25);
    assert!(Fast.fract(f32::INFINITY).is_nan());
}

#[test]
fn a_clamp_takes_nans_to_zero_if_the_mode_says_so() {
    assert_eq!([-1.0, 0.25, 7.0, f32::NAN].map(|x| Fast.clamp(x)), [0.0, 0.25, 1.0, 0.0]);
    assert_eq!(Fast.clamp(-0.0f32).to_bits(), 0);
    let keeps = Exact { mode: Mode { dx10_clamp: false, ..Mode::HIP } };
    assert!(keeps.clamp(f32::NAN).is_nan());
}

#[test]
fn an_output_modifier_needs_denormals_flushed_and_ieee_off() {
    let acting = Exact { mode: Mode { ieee: false, denorm_32: Denorm::FLUSH, ..Mode::HIP } };
    assert_eq!([0, 1, 2, 3].map(|omod| acting.omod(3.0f32, omod)), [3.0, 6.0, 12.0, 1.5]);
    assert_eq!(acting.omod(-0.0f32, 1).to_bits(), 0);
    assert_eq!(acting.omod(f32::MIN_POSITIVE, 3), 0.0);
    assert_eq!(acting.omod(3.0f64, 1), 3.0);
    assert_eq!(Fast.omod(3.0f32, 1), 3.0);
}

#[test]
fn dx9_products_with_zero_are_zero() {
    assert_eq!(Fast.mul_legacy(f32::NAN, -0.0).to_bits(), 0);
    assert_eq!(Fast.mul_legacy(3.0f32, -2.0), -6.0);
    assert_eq!(Fast.fma_legacy(0.0, f32::INFINITY, 4.0), 4.0);
    assert_eq!(Fast.fma_legacy(2.0, 3.0f32, 4.0), 10.0);
}

#[test]
fn small_packed_conversions() {
    assert_eq!([0, 1, 2, 3].map(|i| Fast.ubyte(0x8040_20ff, i)), [255.0, 32.0, 64.0, 128.0]);
    assert_eq!([0x17, 8, 15].map(|x| Fast.off_i4(x)), [7.0 / 16.0, -0.5, -1.0 / 16.0]);
    assert_eq!(Fast.pk_u8(2.5, 1, 0xffff_ffff), 0xffff_02ff);
    assert_eq!(rounding(Round::Up).pk_u8(2.5, 7, 0), 0x0300_0000);
    assert_eq!(Fast.pk_u8(f32::NAN, 0, 7) | Fast.pk_u8(-3.0, 0, 7), 0);
    assert_eq!(Fast.pk_u8(1e9, 2, 0), 0x00ff_0000);
    assert_eq!([-2.0f32, -0.5, 1.0, f32::NAN].map(|x| Fast.to_snorm16(x)), [-32767, -16384, 32767, 0]);
    assert_eq!([-2.0f32, 0.5, 1.5, f32::NAN].map(|x| Fast.to_unorm16(x)), [0, 32768, 65535, 0]);
    assert_eq!(Fast.to_unorm16(F16::ONE), 65535);
}
