//! Matrix and dot product instructions, in waves of 32 and of 64.

use super::{Dispatch, between, buffer, line, object, random32, results, room, value};
use half::{bf16, f16};

const OBJECTS: [(&[u8], u32); 2] = [(object!("tiles.gfx1100"), 32), (object!("tiles.gfx1100-wave64"), 64)];

/// a * b^T + c of 16 by 16 numbers, and the sum of the magnitudes of what was added.
fn product(a: &[f64], b: &[f64], c: &[f64]) -> Vec<(f64, f64)> {
    let at = |i: usize| {
        let terms = || (0..16).map(|k| a[i / 16 * 16 + k] * b[i % 16 * 16 + k]).chain([c[i]]);
        (terms().sum(), terms().map(f64::abs).sum())
    };
    (0..256).map(at).collect()
}

fn check_floats(kernel: &str, bits: fn(f64) -> u16, number: fn(u16) -> f64) {
    let bits = |seed| between(256, seed, -4.0, 4.0).into_iter().map(bits).collect::<Vec<u16>>();
    let (a, b) = (bits(1), bits(2));
    let c: Vec<f32> = between(256, 3, -9.0, 9.0).into_iter().map(|x| x as f32).collect();
    let wide = |bits: &[u16]| bits.iter().map(|bits| number(*bits)).collect::<Vec<f64>>();
    let wide_c: Vec<f64> = c.iter().map(|x| f64::from(*x)).collect();
    let expected = product(&wide(&a), &wide(&b), &wide_c);
    for (object, items) in OBJECTS {
        let found = results(object, kernel, &line(1, items), &[buffer(&a), buffer(&b), buffer(&c)]).of::<f32>(2);
        for (found, (exact, magnitude)) in found.into_iter().zip(&expected) {
            let allowed = 16.0 * f64::from(f32::EPSILON) * magnitude;
            assert!((f64::from(found) - exact).abs() <= allowed, "{kernel} of {items} lanes: {found}, not {exact}");
        }
    }
}

#[test]
fn tiles_of_f16() {
    check_floats("wmma_f16", |x| f16::from_f64(x).to_bits(), |bits| f16::from_bits(bits).to_f64());
}

#[test]
fn tiles_of_bf16() {
    check_floats("wmma_bf16", |x| bf16::from_f64(x).to_bits(), |bits| bf16::from_bits(bits).to_f64());
}

/// An element of `width` bits, with or without a sign.
fn element(word: u32, at: usize, width: usize, signed: bool) -> i64 {
    let bits = i64::from(word) >> (at * width) & ((1 << width) - 1);
    if signed && bits >> (width - 1) == 1 { bits - (1 << width) } else { bits }
}

/// The products of packed elements, added to a number.
fn dot(a: &[u32], b: &[u32], width: usize, signed: [bool; 2], c: i64) -> i64 {
    let of = |(a, b): (&u32, &u32)| -> i64 {
        (0..32 / width).map(|at| element(*a, at, width, signed[0]) * element(*b, at, width, signed[1])).sum()
    };
    c + a.iter().zip(b).map(of).sum::<i64>()
}

fn saturated(sum: i64) -> i32 {
    sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32
}

/// Addends near both ends, so that sums wrap or saturate.
fn addends(count: usize) -> Vec<i32> {
    let near = |(i, x): (usize, u32)| match i % 4 {
        0 => i32::MAX - (x >> 18) as i32,
        1 => i32::MIN + (x >> 18) as i32,
        _ => x as i32 >> 8,
    };
    random32(count, 9).into_iter().enumerate().map(near).collect()
}

#[test]
fn tiles_of_bytes_with_and_without_signs() {
    let (a, b, c) = (random32(64, 4), random32(64, 5), addends(1280));
    let expected: Vec<i32> = (0..1280)
        .map(|i| {
            let (kind, row, column) = (i / 256, i / 16 % 16, i % 16);
            let signed = [kind >= 2, kind % 2 == 1 || kind == 4];
            let sum = dot(&a[4 * row..4 * row + 4], &b[4 * column..4 * column + 4], 8, signed, c[i].into());
            if kind == 4 { saturated(sum) } else { sum as i32 }
        })
        .collect();
    for (object, items) in OBJECTS {
        let found = results(object, "wmma_iu8", &line(1, items), &[buffer(&a), buffer(&b), buffer(&c)]).of::<i32>(2);
        assert_eq!(found, expected, "{items} lanes");
    }
}

#[test]
fn tiles_of_nibbles() {
    let (a, b, c) = (random32(32, 6), random32(32, 7), addends(256));
    let of = |i: usize| {
        let (row, column) = (i / 16, i % 16);
        dot(&a[2 * row..2 * row + 2], &b[2 * column..2 * column + 2], 4, [true; 2], c[i].into()) as i32
    };
    let expected: Vec<i32> = (0..256).map(of).collect();
    for (object, items) in OBJECTS {
        let found = results(object, "wmma_iu4", &line(1, items), &[buffer(&a), buffer(&b), buffer(&c)]).of::<i32>(2);
        assert_eq!(found, expected, "{items} lanes");
    }
}

/// Width of the elements, signs, and whether the sum saturates: without any sign, as an unsigned one.
const DOTS: [(usize, [bool; 2], bool); 12] = [
    (8, [true, true], false),
    (8, [true, false], false),
    (8, [false, true], false),
    (8, [false, false], false),
    (8, [true, true], true),
    (8, [true, false], true),
    (8, [false, false], true),
    (4, [true, true], false),
    (4, [false, true], false),
    (4, [false, false], false),
    (4, [true, true], true),
    (4, [false, false], true),
];

#[test]
fn dot_products_wrap_or_saturate() {
    const N: usize = 64;
    let (a, b, c) = (random32(N, 8), random32(N, 10), addends(N));
    for (object, items) in OBJECTS {
        let args = [buffer(&a), buffer(&b), buffer(&c), room::<i32>(12 * N), value(N as u32)];
        let dispatch: Dispatch = line(1, N as u32);
        let found = results(object, "dots", &dispatch, &args).of::<i32>(3);
        for (kind, found) in DOTS.iter().zip(found.chunks(N)) {
            let (width, signed, saturates) = *kind;
            for (i, found) in found.iter().enumerate() {
                let is_unsigned = signed == [false; 2];
                let addend = if is_unsigned { i64::from(c[i] as u32) } else { c[i].into() };
                let sum = dot(&a[i..=i], &b[i..=i], width, signed, addend);
                let expected = match (saturates, is_unsigned) {
                    (false, _) => sum as i32,
                    (true, true) => sum.min(u32::MAX.into()) as u32 as i32,
                    (true, false) => saturated(sum),
                };
                assert_eq!(*found, expected, "{kind:?} in waves of {items}");
            }
        }
    }
}

#[test]
fn dot_products_of_halves() {
    const N: usize = 64;
    let pairs = |seed| between(2 * N, seed, -3.0, 3.0).into_iter().map(f16::from_f64).collect::<Vec<f16>>();
    let bits = |pairs: &[f16]| pairs.iter().map(|x| x.to_bits()).collect::<Vec<u16>>();
    let (a, b) = (pairs(11), pairs(12));
    let c: Vec<f32> = between(N, 13, -5.0, 5.0).into_iter().map(|x| x as f32).collect();
    for (object, items) in OBJECTS {
        let args = [buffer(&bits(&a)), buffer(&bits(&b)), buffer(&c), room::<f32>(N), value(N as u32)];
        let found = results(object, "dots_float", &line(1, N as u32), &args).of::<f32>(3);
        for (i, found) in found.into_iter().enumerate() {
            let terms =
                [a[2 * i].to_f64() * b[2 * i].to_f64(), a[2 * i + 1].to_f64() * b[2 * i + 1].to_f64(), c[i].into()];
            let (exact, magnitude): (f64, f64) = (terms.iter().sum(), terms.iter().map(|x| x.abs()).sum());
            let allowed = f64::from(f32::EPSILON) * magnitude;
            assert!((f64::from(found) - exact).abs() <= allowed, "{items} lanes: {found}, not {exact}");
        }
    }
}
