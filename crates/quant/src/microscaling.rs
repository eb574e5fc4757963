//! Four-bit floats with small shared scales: MXFP4 of the OCP Microscaling specification v1.0
//! and NVFP4.

use crate::codec::{Decode, Encode, inverse};
use crate::fit::{peak, scale_error};

/// The sixteen E2M1 values, each doubled so that it is an integer. Code 8 is minus zero.
pub const E2M1_VALUES_X2: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The power of two that an E8M0 scale byte stands for: `2^(byte - 127)`.
///
/// The specification calls byte 255 NaN; as in every engine that reads such files it is
/// infinity here, which the check on a model's outputs finds just as well.
#[inline]
pub const fn e8m0_to_f32(byte: u8) -> f32 {
    // Byte 0 is 2^-127, below the smallest normal number.
    f32::from_bits(if byte == 0 { 1 << 22 } else { (byte as u32) << 23 })
}

/// Half of [`e8m0_to_f32`], the factor that goes with [`E2M1_VALUES_X2`].
#[inline]
pub const fn e8m0_to_f32_half(byte: u8) -> f32 {
    // Bytes 0 and 1 are 2^-128 and 2^-127, below the smallest normal number.
    f32::from_bits(if byte < 2 { 1 << (21 + byte as u32) } else { (byte as u32 - 1) << 23 })
}

/// The value of an NVFP4 scale byte: unsigned, 4 exponent bits with bias 7, 3 mantissa bits.
/// The top bit is ignored, and byte 127 (NaN in the standard) counts as zero.
#[inline]
pub const fn ue4m3_to_f32(byte: u8) -> f32 {
    if byte == 0x7f {
        return 0.0;
    }
    let (exponent, mantissa) = (byte >> 3 & 15, (byte & 7) as f32);
    match exponent {
        0 => mantissa / 512.0,
        e => (8.0 + mantissa) * e8m0_to_f32(e + 127 - 10),
    }
}

/// 4.25 bits a value: E8M0 scale at 0; 16 bytes of E2M1 codes at 1, values 0 to 15 in the low
/// nibbles, 16 to 31 in the high ones.
pub(crate) struct Mxfp4;

impl Decode<17, 32> for Mxfp4 {
    fn decode(block: &[u8; 17], out: &mut [f32; 32]) {
        let d = e8m0_to_f32_half(block[0]);
        for j in 0..16 {
            let byte = block[1 + j];
            out[j] = f32::from(E2M1_VALUES_X2[usize::from(byte & 15)]) * d;
            out[j + 16] = f32::from(E2M1_VALUES_X2[usize::from(byte >> 4)]) * d;
        }
    }
}

/// 4.5 bits a value: 4 scale bytes at 0, one for 16 values; 32 bytes of E2M1 codes at 4, in
/// each 8 bytes values 0 to 7 in the low nibbles, 8 to 15 in the high ones.
pub(crate) struct Nvfp4;

impl Decode<36, 64> for Nvfp4 {
    fn decode(block: &[u8; 36], out: &mut [f32; 64]) {
        for (s, y) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let d = ue4m3_to_f32(block[s]) * 0.5;
            for j in 0..8 {
                let byte = block[4 + 8 * s + j];
                y[j] = f32::from(E2M1_VALUES_X2[usize::from(byte & 15)]) * d;
                y[j + 8] = f32::from(E2M1_VALUES_X2[usize::from(byte >> 4)]) * d;
            }
        }
    }
}

/// The code of the doubled E2M1 value nearest to `v`; ties go to the smaller magnitude.
#[inline(always)]
fn e2m1_code(v: f32) -> u8 {
    const HALFWAY: [f32; 7] = [0.5, 1.5, 2.5, 3.5, 5.0, 7.0, 10.0];
    let magnitude = v.abs();
    let code: u8 = HALFWAY.iter().map(|&h| u8::from(magnitude > h)).sum();
    code | u8::from(v < 0.0) << 3
}

/// The doubled E2M1 value nearest to `v`.
#[inline(always)]
fn e2m1_level(v: f32) -> f32 {
    // What the next level adds once its halfway point is passed.
    const STEPS: [(f32, f32); 7] =
        [(0.5, 1.0), (1.5, 1.0), (2.5, 1.0), (3.5, 1.0), (5.0, 2.0), (7.0, 2.0), (10.0, 4.0)];
    let magnitude = v.abs();
    let level: f32 = STEPS.iter().map(|&(h, step)| if magnitude > h { step } else { 0.0 }).sum();
    level.copysign(v)
}

/// Of the scale bytes `first..=last`, the one with the least error, and its scale for doubled
/// values. The first of equals wins.
#[inline(always)]
fn best_scale<const N: usize>(
    x: &[f32; N],
    w: &[f32; N],
    bytes: impl Iterator<Item = u8>,
    value: impl Fn(u8) -> f32,
) -> (u8, f32) {
    let (mut best, mut least) = ((0, 0.0), f32::INFINITY);
    for byte in bytes {
        let d = value(byte);
        let error = scale_error(x, w, e2m1_level, d);
        if error < least {
            (best, least) = ((byte, d), error);
        }
    }
    best
}

impl Encode<17, 32> for Mxfp4 {
    fn encode(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 17]) {
        // The specification's scale puts the peak between 4 and 8 where the largest value is 6.
        // The next scale up keeps a peak beyond 6, at the price of the small values.
        let exponent = (peak(x).to_bits() >> 23 & 255) as u8;
        let usual = exponent.saturating_sub(2);
        let (byte, d) = best_scale(x, w, [usual, usual + 1, usual.saturating_sub(1)].into_iter(), e8m0_to_f32_half);
        block[0] = byte;
        let inverse = inverse(d);
        for j in 0..16 {
            block[1 + j] = e2m1_code(x[j] * inverse) | e2m1_code(x[j + 16] * inverse) << 4;
        }
    }
}

/// The scale byte nearest to `v` from below, at most the largest finite one, 448.
fn ue4m3_floor(v: f32) -> u8 {
    let mut byte = 0;
    // Values grow with their bytes: a search over the bits, from the highest.
    for bit in (0..7).rev() {
        let candidate = byte | 1 << bit;
        if candidate < 0x7f && ue4m3_to_f32(candidate) <= v {
            byte = candidate;
        }
    }
    byte
}

impl Encode<36, 64> for Nvfp4 {
    fn encode(x: &[f32; 64], w: &[f32; 64], block: &mut [u8; 36]) {
        let groups = x.as_chunks::<16>().0.iter().zip(w.as_chunks::<16>().0);
        for (s, (x, w)) in groups.enumerate() {
            // From a peak a little beyond the largest value, 6, to a peak at 4; eight bytes
            // are a factor of two.
            let full = ue4m3_floor(peak(x).abs() / 6.0);
            let bytes = full.saturating_sub(2)..=(full + 7).min(0x7e);
            let (byte, d) = best_scale(x, w, bytes, |byte| ue4m3_to_f32(byte) * 0.5);
            block[s] = byte;
            let inverse = inverse(d);
            for j in 0..8 {
                block[4 + 8 * s + j] = e2m1_code(x[j] * inverse) | e2m1_code(x[j + 8] * inverse) << 4;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_four_bit_float_is_found() {
        for i in -1500..1500 {
            let v = i as f32 * 0.01;
            let distance = |l: f32| (v - l).abs();
            let least = E2M1_VALUES_X2.map(|l| distance(f32::from(l))).into_iter().fold(f32::MAX, f32::min);
            assert_eq!(distance(e2m1_level(v)), least, "{v}");
            assert_eq!(f32::from(E2M1_VALUES_X2[usize::from(e2m1_code(v))]), e2m1_level(v), "{v}");
        }
    }

    #[test]
    fn scale_bytes_are_powers_of_two() {
        for byte in 0..255u8 {
            let expected = 2f64.powi(i32::from(byte) - 127);
            assert_eq!(f64::from(e8m0_to_f32(byte)), expected);
            assert_eq!(f64::from(e8m0_to_f32_half(byte)), expected / 2.0);
        }
    }

    #[test]
    fn small_floats_follow_their_definition() {
        for byte in 0..0x7fu8 {
            let (e, m) = (i32::from(byte >> 3), f64::from(byte & 7) / 8.0);
            let expected = if e == 0 { m * 2f64.powi(-6) } else { (1.0 + m) * 2f64.powi(e - 7) };
            assert_eq!(f64::from(ue4m3_to_f32(byte)), expected, "{byte:#x}");
            assert_eq!(ue4m3_floor(ue4m3_to_f32(byte)), byte);
            assert_eq!(ue4m3_floor(ue4m3_to_f32(byte) * 1.001), byte);
        }
        assert_eq!((ue4m3_to_f32(0x7e), ue4m3_to_f32(0x7f)), (448.0, 0.0));
        assert_eq!(ue4m3_floor(f32::MAX), 0x7e);
    }
}
