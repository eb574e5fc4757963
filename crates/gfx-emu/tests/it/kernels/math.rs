//! Arithmetic beyond one instruction, against the host's and within the errors that the device library states.

use super::{between, buffer, line, object, random, results, room, value};
use bytemuck::Pod;

const OBJECT: &[u8] = object!("math.gfx1100");

/// Runs a kernel of two operands; its results by kind.
fn run<T: Pod>(kernel: &str, a: &[T], b: &[T], kinds: usize) -> Vec<Vec<T>> {
    let n = a.len();
    let args = [buffer(a), buffer(b), room::<T>(kinds * n), value(n as u32)];
    let found = results(OBJECT, kernel, &line(n.div_ceil(96) as u32, 96), &args).of::<T>(2);
    found.chunks(n).map(<[T]>::to_vec).collect()
}

/// Numbers of all sizes, and edges, each with each.
fn operands64() -> (Vec<f64>, Vec<f64>) {
    let edges = [
        0.0,
        -0.0,
        1.0,
        -3.0,
        0.1,
        1e308,
        -1e308,
        1e-308,
        5e-324,
        -4e-320,
        f64::MAX,
        f64::MIN_POSITIVE,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        1.0 + f64::EPSILON,
        7e200,
        3e-200,
    ];
    let pairs = edges.iter().flat_map(|a| edges.iter().map(|b| (*a, *b)));
    let random: Vec<u64> = random(800, 1);
    let random = random.chunks(2).map(|pair| (f64::from_bits(pair[0]), f64::from_bits(pair[1])));
    pairs.chain(random).unzip()
}

fn operands32() -> (Vec<f32>, Vec<f32>) {
    let edges = [
        0.0,
        -0.0,
        1.0,
        -3.0,
        0.1,
        1e38,
        -1e38,
        1e-38,
        1e-45,
        -4e-40,
        f32::MAX,
        f32::MIN_POSITIVE,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        1.0 + f32::EPSILON,
        7e20,
        3e-20,
    ];
    let pairs = edges.iter().flat_map(|a| edges.iter().map(|b| (*a, *b)));
    let random =
        random(800, 2).into_iter().map(|bits| (f32::from_bits(bits as u32), f32::from_bits((bits >> 32) as u32)));
    pairs.chain(random).unzip()
}

#[test]
fn doubles_are_rounded_as_the_host_rounds_them() {
    type Formula = (&'static str, fn(f64, f64) -> f64);
    let formulas: [Formula; 9] = [
        ("sum", |x, y| x + y),
        ("difference", |x, y| x - y),
        ("product", |x, y| x * y),
        ("quotient", |x, y| x / y),
        ("root", |x, _| x.abs().sqrt()),
        ("fma", |x, y| x.mul_add(y, -x)),
        ("min", |x, y| x.min(y)),
        ("max", |x, y| x.max(y)),
        ("reciprocal", |_, y| 1.0 / y),
    ];
    let (a, b) = operands64();
    for ((name, formula), found) in formulas.into_iter().zip(run("doubles", &a, &b, 9)) {
        for ((a, b), found) in a.iter().zip(&b).zip(found) {
            let expected = formula(*a, *b);
            // Which of two zeros is the smaller one is left open.
            let same = found.to_bits() == expected.to_bits()
                || found.is_nan() && expected.is_nan()
                || found == expected && expected == 0.0 && name.starts_with('m');
            assert!(same, "{name} of {a:e}, {b:e}: {found:e}, not {expected:e}");
        }
    }
}

#[test]
fn floats_are_rounded_as_the_host_rounds_them() {
    type Formula = (&'static str, fn(f32, f32) -> f32);
    let formulas: [Formula; 5] = [
        ("quotient", |x, y| x / y),
        ("root", |x, _| x.abs().sqrt()),
        ("reciprocal", |_, y| 1.0 / y),
        ("fma", |x, y| x.mul_add(y, -x)),
        ("remainder", |x, y| x % y),
    ];
    let (a, b) = operands32();
    for ((name, formula), found) in formulas.into_iter().zip(run("floats", &a, &b, 5)) {
        for ((a, b), found) in a.iter().zip(&b).zip(found) {
            let expected = formula(*a, *b);
            let same = found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan();
            assert!(same, "{name} of {a:e}, {b:e}: {found:e}, not {expected:e}");
        }
    }
}

/// The error function by a series of positive terms.
fn erf(x: f64) -> f64 {
    let (mut term, mut sum) = (x, x);
    for n in 1..200 {
        term *= 2.0 * x * x / (2 * n + 1) as f64;
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

/// The distance of two neighbours near a number, of floats with so many bits of fraction.
fn ulp(x: f64, fraction: i32, least: i32) -> f64 {
    2f64.powi((x.abs().log2().floor() as i32 - fraction).max(least))
}

#[test]
fn functions_of_floats_are_within_their_errors() {
    // With the errors in units of the last place that the library's documentation states, and half of one for rounding.
    type Formula = (&'static str, f64, fn(f64, f64) -> f64);
    let formulas: [Formula; 14] = [
        ("exp", 1.5, |x, _| x.exp()),
        ("log", 2.0, |_, y| y.ln()),
        ("sin", 2.0, |x, _| x.sin()),
        ("cos", 2.0, |x, _| x.cos()),
        ("pow", 1.5, |x, y| y.powf(x / 16.0)),
        ("erf", 2.0, |x, _| erf(x / 16.0)),
        ("tanh", 2.5, |x, _| (x / 16.0).tanh()),
        ("exp2", 1.5, |x, _| x.exp2()),
        ("log2", 1.5, |_, y| y.log2()),
        ("log10", 2.5, |_, y| y.log10()),
        ("expm1", 1.5, |x, _| (x / 64.0).exp_m1()),
        ("log1p", 1.5, |_, y| y.ln_1p()),
        ("rsqrt", 1.5, |_, y| y.sqrt().recip()),
        ("sin of a large number", 2.0, |x, _| (x * 4096.0).sin()),
    ];
    let single = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect::<Vec<f32>>();
    let (a, b) = (single(between(1500, 3, -80.0, 80.0)), single(between(1500, 4, 0.0625, 16.0)));
    for ((name, error, formula), found) in formulas.into_iter().zip(run("functions_f32", &a, &b, 14)) {
        for ((a, b), found) in a.iter().zip(&b).zip(found) {
            let expected = formula(f64::from(*a), f64::from(*b));
            let off = (f64::from(found) - expected).abs() / ulp(expected, 23, -149);
            assert!(off <= error, "{name} of {a:e}, {b:e}: {found:e}, not {expected:e}: {off} ulp");
        }
    }
}

#[test]
fn functions_of_doubles_are_within_their_errors() {
    // One unit in the last place, two for the hyperbolic tangent; and one for the host's own.
    type Formula = (&'static str, f64, fn(f64, f64) -> f64);
    let formulas: [Formula; 6] = [
        ("exp", 2.0, |x, _| x.exp()),
        ("log", 2.0, |_, y| y.ln()),
        ("sin", 2.0, |x, _| x.sin()),
        ("cos", 2.0, |x, _| x.cos()),
        ("pow", 2.0, |x, y| y.powf(x / 16.0)),
        ("tanh", 3.0, |x, _| (x / 16.0).tanh()),
    ];
    let (a, b) = (between(400, 5, -80.0, 80.0), between(400, 6, 0.0625, 16.0));
    for ((name, error, formula), found) in formulas.into_iter().zip(run("functions_f64", &a, &b, 6)) {
        for ((a, b), found) in a.iter().zip(&b).zip(found) {
            let expected = formula(*a, *b);
            let off = (found - expected).abs() / ulp(expected, 52, -1074);
            assert!(off <= error, "{name} of {a:e}, {b:e}: {found:e}, not {expected:e}: {off} ulp");
        }
    }
}

#[test]
fn integers_of_64_bits_multiply_divide_and_shift() {
    type Formula = (&'static str, fn(u64, u64) -> u64);
    let formulas: [Formula; 16] = [
        ("product", u64::wrapping_mul),
        ("quotient", |x, y| x / y),
        ("remainder", |x, y| x % y),
        ("signed quotient", |x, y| (x as i64).wrapping_div(y as i64) as u64),
        ("signed remainder", |x, y| (x as i64).wrapping_rem(y as i64) as u64),
        ("high half", |x, y| ((u128::from(x) * u128::from(y)) >> 64) as u64),
        ("signed high half", |x, y| ((i128::from(x as i64) * i128::from(y as i64)) >> 64) as u64),
        ("left", |x, y| x << (y & 63)),
        ("right", |x, y| x >> (y & 63)),
        ("signed right", |x, y| (x as i64 >> (y & 63)) as u64),
        ("quotient of 32 bits", |x, y| u64::from(x as u32 / (y as u32 | 1))),
        ("remainder of 32 bits", |x, y| u64::from((x as i32).wrapping_rem(y as i32 | 1) as u32)),
        ("leading zeros", |x, _| x.leading_zeros().into()),
        ("ones", |x, _| x.count_ones().into()),
        ("first one", |x, _| if x == 0 { 0 } else { u64::from(x.trailing_zeros()) + 1 }),
        ("reversed", |x, _| x.reverse_bits()),
    ];
    let edges = [
        1,
        2,
        3,
        10,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_ffff,
        1 << 32,
        0x1_0000_0001,
        u64::MAX >> 1,
        1 << 63,
        u64::MAX - 1,
    ];
    let pairs = [0, u64::MAX].iter().chain(&edges).flat_map(|a| edges.iter().map(|b| (*a, *b)));
    let random: Vec<u64> = random(1000, 7);
    let sized = |bits: &u64, by: u64| (bits >> (by & 63)).max(1);
    let random = random.chunks(2).map(|pair| (sized(&pair[0], pair[1] >> 7), sized(&pair[1], pair[0] >> 9)));
    let (a, b): (Vec<u64>, Vec<u64>) = pairs.chain(random).unzip();
    for ((name, formula), found) in formulas.into_iter().zip(run("longs", &a, &b, 16)) {
        for ((a, b), found) in a.iter().zip(&b).zip(found) {
            assert_eq!(found, formula(*a, *b), "{name} of {a:#x}, {b:#x}");
        }
    }
}

/// An exact number as the float next to it in a direction: 0 nearest, 1 up, 2 down, 3 towards zero.
fn rounded(exact: f64, mode: usize) -> f32 {
    let nearest = exact as f32;
    let off = f64::from(nearest) - exact;
    let (is_above, is_below) = (off > 0.0, off < 0.0);
    match mode {
        1 if is_below => nearest.next_up(),
        2 if is_above => nearest.next_down(),
        3 if is_above && exact > 0.0 => nearest.next_down(),
        3 if is_below && exact < 0.0 => nearest.next_up(),
        _ => nearest,
    }
}

#[test]
fn the_mode_register_rounds_up_down_and_towards_zero() {
    // Sums of numbers of like size and products of two floats are exact as doubles.
    let single = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect::<Vec<f32>>();
    let (a, b) = (single(between(32, 8, -9.0, 9.0)), single(between(32, 9, -0.01, 0.01)));
    let args = [buffer(&a), buffer(&b), room::<f32>(8 * 32), value(32u32)];
    let found = results(OBJECT, "rounding", &line(1, 32), &args).of::<f32>(2);
    for (kind, found) in found.chunks(32).enumerate() {
        for ((a, b), found) in a.iter().zip(&b).zip(found) {
            let (x, y) = (f64::from(*a), f64::from(*b));
            let exact = if kind % 2 == 0 { x + y } else { x * y };
            assert_eq!(found.to_bits(), rounded(exact, kind / 2).to_bits(), "mode {} of {a:e}, {b:e}", kind / 2);
        }
    }
    assert_ne!(found[64..128], found[128..192], "up is not down");
}
