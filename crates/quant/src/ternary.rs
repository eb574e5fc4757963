//! Types of one to two bits: TQ1_0 and TQ2_0 for models trained with ternary weights, Q1_0 with
//! signs alone, Q2_0 with four levels.

use crate::codec::{Decode, Encode, f16_at, put_f16};
use crate::fit::{Reach, integer_level, scale, sums};
use crate::superblock::scale_codes;

/// The digit at `place` (0 is the first) of a byte that holds five base-3 digits as the
/// fraction `byte / 256`: multiplying by 3 moves one digit before the point.
#[inline(always)]
fn trit(byte: u8, place: usize) -> u8 {
    const POW3: [u8; 5] = [1, 3, 9, 27, 81];
    let fraction = byte.wrapping_mul(POW3[place]);
    ((u16::from(fraction) * 3) >> 8) as u8
}

/// 1.6875 bits a value: 48 bytes of five base-3 digits at 0; 4 bytes of four digits at 48; f16
/// scale at 52. Digit `n` of the first 32 bytes is value `32 n + byte`; the next 16 bytes and
/// the last 4 continue in the same way.
pub(crate) struct Tq1_0;

impl Tq1_0 {
    /// `(first byte, bytes, digits, first value)` of the three runs of a block.
    const RUNS: [(usize, usize, usize, usize); 3] = [(0, 32, 5, 0), (32, 16, 5, 160), (48, 4, 4, 240)];
}

impl Decode<54, 256> for Tq1_0 {
    fn decode(block: &[u8; 54], out: &mut [f32; 256]) {
        let d = f16_at(block, 52);
        for (first, len, digits, start) in Tq1_0::RUNS {
            for n in 0..digits {
                for m in 0..len {
                    let t = i16::from(trit(block[first + m], n)) - 1;
                    out[start + n * len + m] = f32::from(t) * d;
                }
            }
        }
    }
}

/// 2.0625 bits a value: 64 bytes of four 2-bit codes at 0; f16 scale at 64. In each half of 32
/// bytes, the codes at bit `2 l` are values `32 l` and following.
pub(crate) struct Tq2_0;

impl Decode<66, 256> for Tq2_0 {
    fn decode(block: &[u8; 66], out: &mut [f32; 256]) {
        let d = f16_at(block, 64);
        for (i, y) in out.iter_mut().enumerate() {
            let code = block[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
            *y = (f32::from(code) - 1.0) * d;
        }
    }
}

/// 1.125 bits a value: f16 scale at 0; 16 bytes of signs at 2, a set bit meaning plus.
pub(crate) struct Q1_0;

impl Decode<18, 128> for Q1_0 {
    fn decode(block: &[u8; 18], out: &mut [f32; 128]) {
        let d = f16_at(block, 0);
        for (i, y) in out.iter_mut().enumerate() {
            *y = if block[2 + i / 8] >> (i % 8) & 1 == 1 { d } else { -d };
        }
    }
}

/// 2.25 bits a value: f16 scale at 0; 16 bytes of four 2-bit codes at 2, for -1, 0, 1 and 2
/// times the scale.
pub(crate) struct Q2_0;

impl Decode<18, 64> for Q2_0 {
    fn decode(block: &[u8; 18], out: &mut [f32; 64]) {
        let d = f16_at(block, 0);
        for (i, y) in out.iter_mut().enumerate() {
            let code = block[2 + i / 4] >> (i % 4 * 2) & 3;
            *y = (f32::from(code) - 1.0) * d;
        }
    }
}

/// The scale of least weighted squared error for `x ~ scale * {-1, 0, 1}`.
///
/// For any scale the values stored as +-1 are those above half of it, so it is enough to look
/// at the values from the largest down and stop where the most is explained.
fn ternary_scale(x: &[f32; 256], w: &[f32; 256]) -> f32 {
    let mut sorted: [(f32, f32); 256] = std::array::from_fn(|i| (x[i].abs(), w[i]));
    sorted.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(b.1.total_cmp(&a.1)));
    let (mut sum, mut weight) = (0.0, 0.0);
    let (mut best, mut gain) = (0.0, 0.0);
    for (magnitude, w) in sorted {
        sum += f64::from(w) * f64::from(magnitude);
        weight += f64::from(w);
        if sum * sum / weight > gain {
            (best, gain) = (sum / weight, sum * sum / weight);
        }
    }
    best as f32
}

/// Stores the ternary scale at `at` and returns the codes 0, 1 and 2.
fn put_ternary<const N: usize>(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; N], at: usize) -> [u8; 256] {
    let d = put_f16(block, at, ternary_scale(x, w));
    scale_codes(x, d, [-1.0, 1.0])
}

impl Encode<54, 256> for Tq1_0 {
    fn encode(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 54]) {
        let codes = put_ternary(x, w, block, 52);
        for (first, len, digits, start) in Tq1_0::RUNS {
            for m in 0..len {
                // Always five digits, so that the first is the most significant.
                let digit = |n| if n < digits { u16::from(codes[start + n * len + m]) } else { 0 };
                let number = (0..5).fold(0, |number, n| number * 3 + digit(n));
                // Rounded up, so that multiplying by 3 brings the digits back.
                block[first + m] = (number * 256).div_ceil(243) as u8;
            }
        }
    }
}

impl Encode<66, 256> for Tq2_0 {
    fn encode(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 66]) {
        let codes = put_ternary(x, w, block, 64);
        block[..64].fill(0);
        for (i, code) in codes.into_iter().enumerate() {
            block[i / 128 * 32 + i % 32] |= code << (i / 32 % 4 * 2);
        }
    }
}

impl Encode<18, 128> for Q1_0 {
    /// The best scale for signs alone is the mean magnitude.
    fn encode(x: &[f32; 128], w: &[f32; 128], block: &mut [u8; 18]) {
        let [sum, weight] = sums::<2, 128>(|i| [w[i] * x[i].abs(), w[i]]);
        put_f16(block, 0, sum / weight);
        for (byte, x) in block[2..].iter_mut().zip(x.as_chunks::<8>().0) {
            *byte = x.iter().rev().fold(0, |bits, &v| bits << 1 | u8::from(v >= 0.0));
        }
    }
}

impl Encode<18, 64> for Q2_0 {
    fn encode(x: &[f32; 64], w: &[f32; 64], block: &mut [u8; 18]) {
        // From the peak at the far end of the range to well beyond the near one.
        let reach = Reach { first: 0.6, step: 0.15, count: 16, mirrored: true };
        let d = scale(x, w, |v| integer_level(v, -1.0, 2.0), reach);
        let d = put_f16(block, 0, d);
        let codes = scale_codes(x, d, [-1.0, 2.0]);
        for (byte, codes) in block[2..].iter_mut().zip(codes.as_chunks::<4>().0) {
            *byte = codes.iter().rev().fold(0, |bits, code| bits << 2 | code);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_of_five_digits_comes_back() {
        for number in 0..243u16 {
            let byte = (number * 256).div_ceil(243) as u8;
            let digits: Vec<u8> = (0..5).map(|place| trit(byte, place)).collect();
            let expected: Vec<u8> = [81, 27, 9, 3, 1].iter().map(|p| (number / p % 3) as u8).collect();
            assert_eq!(digits, expected);
        }
    }

    #[test]
    fn the_ternary_scale_is_the_best_one() {
        let x: [f32; 256] = std::array::from_fn(|i| ((i * 7919 % 256) as f32 - 128.0) / 100.0);
        let w: [f32; 256] = std::array::from_fn(|i| 1.0 + (i % 3) as f32);
        let error = |d: f32| crate::fit::scale_error(&x, &w, |v| integer_level(v, -1.0, 1.0), d);
        let best = error(ternary_scale(&x, &w));
        for i in 1..400 {
            assert!(best <= error(i as f32 * 0.005) * 1.00001, "{i}");
        }
    }
}
