//! Conversions among number types, at their edges.

use super::{buffer, line, object, random, results, room, value};
use bytemuck::NoUninit;
use half::{bf16, f16};

const OBJECT: &[u8] = object!("convert.gfx1100");

/// A conversion by name: the bits of its result, or nothing where the language leaves it open.
type Conversion<T> = (&'static str, fn(T) -> Option<u64>);

/// Whether bits are those of a NaN of so wide a float.
fn is_nan(name: &str, bits: u64) -> bool {
    match name.split(' ').next() {
        Some("f16") => f16::from_bits(bits as u16).is_nan(),
        Some("bf16") => bf16::from_bits(bits as u16).is_nan(),
        Some("f32") => f32::from_bits(bits as u32).is_nan(),
        Some("f64") => f64::from_bits(bits).is_nan(),
        _ => false,
    }
}

fn check<T: NoUninit + std::fmt::Debug>(kernel: &str, x: &[T], conversions: &[Conversion<T>]) {
    let args = [buffer(x), room::<u64>(conversions.len() * x.len()), value(x.len() as u32)];
    let found = results(OBJECT, kernel, &line(x.len().div_ceil(64) as u32, 64), &args).of::<u64>(1);
    for ((name, convert), found) in conversions.iter().zip(found.chunks(x.len())) {
        for (x, found) in x.iter().zip(found) {
            let Some(expected) = convert(*x) else { continue };
            let both_nan = is_nan(name, *found) && is_nan(name, expected);
            assert!(*found == expected || both_nan, "{name} of {x:?}: {found:#x}, not {expected:#x}");
        }
    }
}

fn bits32(x: f32) -> Option<u64> {
    Some(x.to_bits().into())
}

fn bits64(x: f64) -> Option<u64> {
    Some(x.to_bits())
}

fn bits16(x: f16) -> Option<u64> {
    Some(x.to_bits().into())
}

/// Where the whole part of a number is within limits, which both count.
fn within(x: f64, low: f64, high: f64, bits: u64) -> Option<u64> {
    (low..=high).contains(&x.trunc()).then_some(bits)
}

/// Rounds to the nearest float of 16 bits with seven of fraction, even ones on a tie, by integers.
fn nearest_bf16(x: f32) -> u64 {
    if x.is_nan() {
        return 0x7fc0;
    }
    let bits = u64::from(x.to_bits());
    (bits + 0x7fff + (bits >> 16 & 1)) >> 16
}

/// The float of 16 bits next to a number: of those around a guess, the nearest one, even ones on a tie.
fn nearest_f16(x: f64) -> f16 {
    let guess = f16::from_f64(x);
    if !guess.is_finite() && x.abs() >= 65_520.0 || x.is_nan() || x == 0.0 {
        return guess;
    }
    let magnitude = if guess.is_finite() { guess.to_bits() & 0x7fff } else { 0x7bff };
    let around = magnitude.saturating_sub(1)..=(magnitude + 1).min(0x7bff);
    let distance = |bits: &u16| (f16::from_bits(*bits).to_f64() - x.abs()).abs();
    let nearest = around.min_by(|a, b| distance(a).total_cmp(&distance(b)).then((a & 1).cmp(&(b & 1))));
    f16::from_bits(nearest.unwrap_or_default() | (x.is_sign_negative() as u16) << 15)
}

fn floats32() -> Vec<f32> {
    let edges = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        0.499_999_97,
        127.0,
        128.0,
        255.0,
        255.5,
        256.0,
        32_767.0,
        65_504.0,
        65_519.0,
        65_520.0,
        65_536.0,
        5.960_464_5e-8,
        2.980_232_2e-8,
        2.980_232_6e-8,
        6.103_515_6e-5,
        6.1e-5,
        2_147_483_500.0,
        2_147_483_600.0,
        -2_147_483_600.0,
        4_294_967_000.0,
        4_294_967_300.0,
        9.2e18,
        1.8e19,
        1e20,
        -1e20,
        f32::MAX,
        f32::MIN,
        f32::MIN_POSITIVE,
        1e-45,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        1.003_906_2,
        1.011_718_8,
        8_388_607.5,
        8_388_608.0,
        16_777_215.0,
    ];
    let random = random(500, 1).into_iter().flat_map(|bits| {
        [f32::from_bits(bits as u32), ((bits >> 32) as i32 as f32) / 65_536.0, (bits >> 40) as f32 * 0.000_06]
    });
    edges.into_iter().chain(random).collect()
}

#[test]
fn from_f32() {
    check(
        "from_f32",
        &floats32(),
        &[
            ("f16", |x| bits16(f16::from_f32(x))),
            ("bf16", |x| Some(nearest_bf16(x))),
            ("f64", |x| bits64(x.into())),
            ("i32", |x| within(x.into(), -2f64.powi(31), 2f64.powi(31) - 1.0, (x as i32 as u32).into())),
            ("u32", |x| within(x.into(), 0.0, 2f64.powi(32) - 1.0, (x as u32).into())),
            ("i64", |x| within(x.into(), -2f64.powi(63), 2f64.powi(63) - 1025.0, x as i64 as u64)),
            ("u8", |x| within(x.into(), 0.0, 2f64.powi(32) - 1.0, (x as u32 as u8).into())),
            ("i8", |x| within(x.into(), -2f64.powi(31), 2f64.powi(31) - 1.0, (x as i32 as u8).into())),
            ("i32 nearest", |x| {
                within(x.into(), -2f64.powi(31), 2f64.powi(31) - 1.0, (x.round_ties_even() as i32 as u32).into())
            }),
            ("f32 rint", |x| bits32(x.round_ties_even())),
            ("f32 trunc", |x| bits32(x.trunc())),
            ("f32 floor", |x| bits32(x.floor())),
            ("f32 ceil", |x| bits32(x.ceil())),
            ("f32 round", |x| bits32(x.round())),
        ],
    );
}

#[test]
fn from_f64() {
    let edges = [
        1.0 + 2f64.powi(-24),
        1.0 + 2f64.powi(-24) + 2f64.powi(-52),
        1.0 + 3.0 * 2f64.powi(-24),
        65_519.999_999,
        65_520.0,
        // Rounded by way of f32 these would be rounded twice.
        1.0 + 2f64.powi(-11) + 2f64.powi(-40),
        1.0 + 3.0 * 2f64.powi(-11) - 2f64.powi(-40),
        2f64.powi(-25) * (1.0 + 1e-10),
        2f64.powi(-25),
        f64::from(f32::MAX),
        3.402_823_567e38,
        1e300,
        1e-300,
        1e-40,
        1e-46,
        5e-324,
        2_147_483_647.0,
        2_147_483_647.5,
        -2_147_483_648.0,
        4_294_967_295.0,
        9.223_372_036_854_775e18,
        1.844_674_407_370_955e19,
        4.5,
        5.5,
        0.499_999_999_999_999_94,
        f64::NAN,
    ];
    let random = random(500, 2)
        .into_iter()
        .flat_map(|bits| [f64::from_bits(bits), (bits as i64) as f64 / 2f64.powi(44), (bits as i64) as f64]);
    let x: Vec<f64> = floats32().into_iter().map(f64::from).chain(edges).chain(random).collect();
    check(
        "from_f64",
        &x,
        &[
            ("f32", |x| bits32(x as f32)),
            ("f16", |x| bits16(nearest_f16(x))),
            ("i32", |x| within(x, -2f64.powi(31), 2f64.powi(31) - 1.0, (x as i32 as u32).into())),
            ("u32", |x| within(x, 0.0, 2f64.powi(32) - 1.0, (x as u32).into())),
            ("i64", |x| within(x, -2f64.powi(63), 2f64.powi(63) - 1025.0, x as i64 as u64)),
            ("u64", |x| within(x, 0.0, 2f64.powi(64) - 2049.0, x as u64)),
            ("f64 rint", |x| bits64(x.round_ties_even())),
            ("f64 floor", |x| bits64(x.floor())),
            ("f64 trunc", |x| bits64(x.trunc())),
        ],
    );
}

#[test]
fn from_integers() {
    let edges: [u64; 18] = [
        0,
        1,
        0x7f,
        0x80,
        0xff,
        0x7fff,
        0x8000,
        0xffff,
        0xff_ffff,
        0x100_0001,
        0x100_0003,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        1 << 63,
        u64::MAX,
        (1 << 53) + 1,
        (1 << 40) + (1 << 16),
    ];
    let random =
        random(500, 3).into_iter().flat_map(|bits| [bits, bits >> (bits & 63), (bits as i64 >> (bits & 63)) as u64]);
    let x: Vec<u64> = edges.into_iter().chain(random).collect();
    check(
        "from_i64",
        &x,
        &[
            ("f32 of u64", |x| bits32(x as f32)),
            ("f32 of i64", |x| bits32(x as i64 as f32)),
            ("f64 of u64", |x| bits64(x as f64)),
            ("f64 of i64", |x| bits64(x as i64 as f64)),
            ("f32 of i32", |x| bits32(x as i32 as f32)),
            ("f32 of u32", |x| bits32(x as u32 as f32)),
            ("f64 of i32", |x| bits64((x as i32).into())),
            ("f64 of u32", |x| bits64((x as u32).into())),
            ("f32 of i8", |x| bits32((x as i8).into())),
            ("f32 of u8", |x| bits32((x as u8).into())),
            ("f16 of i8", |x| bits16(f16::from_f32((x as i8).into()))),
            ("f16 of u8", |x| bits16(f16::from_f32((x as u8).into()))),
            ("f16 of i16", |x| bits16(f16::from_f32((x as i16).into()))),
            ("bf16 of u8", |x| Some(nearest_bf16((x as u8).into()))),
            ("i64 of i8", |x| Some(x as i8 as u64)),
            ("i64 of i16", |x| Some(x as i16 as u64)),
        ],
    );
}

#[test]
fn from_every_float_of_16_bits() {
    let x: Vec<u16> = (0..=u16::MAX).collect();
    check(
        "from_16",
        &x,
        &[
            ("f32 of f16", |x| bits32(f16::from_bits(x).into())),
            ("f64 of f16", |x| bits64(f16::from_bits(x).into())),
            ("f32 of bf16", |x| bits32(f32::from_bits(u32::from(x) << 16))),
            ("i32 of f16", |x| {
                let x = f16::from_bits(x).to_f64();
                within(x, -65_504.0, 65_504.0, (x as i32 as u32).into())
            }),
            ("f16 of bf16", |x| bits16(f16::from_f32(f32::from_bits(u32::from(x) << 16)))),
        ],
    );
}
