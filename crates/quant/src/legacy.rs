//! The first generation: 32 values with one f16 scale, and in the `_1` types an f16 minimum.
//!
//! Four-bit codes are stored two a byte, values 0 to 15 in the low nibbles and 16 to 31 in the
//! high ones; the fifth bits of Q5_0 and Q5_1 are bit `i` of a 32-bit word for value `i`.

use crate::codec::{Decode, Encode, f16_at, inverse, put_f16, u32_at};
use crate::fit::{Affine, Reach, affine, integer_level, peak, scale};
use crate::superblock::{line_codes, scale_codes};

/// The 32 nibbles of 16 bytes.
#[inline(always)]
fn nibbles(bytes: &[u8]) -> [u8; 32] {
    let mut codes = [0; 32];
    for (j, byte) in bytes.iter().take(16).enumerate() {
        codes[j] = byte & 15;
        codes[j + 16] = byte >> 4;
    }
    codes
}

/// The nibbles of 16 bytes with the fifth bits of `high`.
#[inline(always)]
fn five_bits(bytes: &[u8], high: u32) -> [u8; 32] {
    let mut codes = nibbles(bytes);
    for (i, code) in codes.iter_mut().enumerate() {
        *code |= ((high >> i & 1) as u8) << 4;
    }
    codes
}

/// 4.5 bits a value: f16 scale at 0; 16 bytes of codes at 2. Value = scale * (code - 8).
pub(crate) struct Q4_0;

impl Decode<18, 32> for Q4_0 {
    fn decode(block: &[u8; 18], out: &mut [f32; 32]) {
        let d = f16_at(block, 0);
        for (y, q) in out.iter_mut().zip(nibbles(&block[2..])) {
            *y = (f32::from(q) - 8.0) * d;
        }
    }
}

/// 5 bits a value: f16 scale at 0, f16 minimum at 2; 16 bytes of codes at 4. Value = scale *
/// code + minimum.
pub(crate) struct Q4_1;

impl Decode<20, 32> for Q4_1 {
    fn decode(block: &[u8; 20], out: &mut [f32; 32]) {
        let (d, m) = (f16_at(block, 0), f16_at(block, 2));
        for (y, q) in out.iter_mut().zip(nibbles(&block[4..])) {
            *y = f32::from(q) * d + m;
        }
    }
}

/// 5.5 bits a value: f16 scale at 0; 32 fifth bits at 2; 16 bytes of codes at 6. Value = scale
/// * (code - 16).
pub(crate) struct Q5_0;

impl Decode<22, 32> for Q5_0 {
    fn decode(block: &[u8; 22], out: &mut [f32; 32]) {
        let d = f16_at(block, 0);
        for (y, q) in out.iter_mut().zip(five_bits(&block[6..], u32_at(block, 2))) {
            *y = (f32::from(q) - 16.0) * d;
        }
    }
}

/// 6 bits a value: f16 scale at 0, f16 minimum at 2; 32 fifth bits at 4; 16 bytes of codes at
/// 8. Value = scale * code + minimum.
pub(crate) struct Q5_1;

impl Decode<24, 32> for Q5_1 {
    fn decode(block: &[u8; 24], out: &mut [f32; 32]) {
        let (d, m) = (f16_at(block, 0), f16_at(block, 2));
        for (y, q) in out.iter_mut().zip(five_bits(&block[8..], u32_at(block, 4))) {
            *y = f32::from(q) * d + m;
        }
    }
}

/// 8.5 bits a value: f16 scale at 0; 32 signed bytes at 2. Value = scale * byte.
pub(crate) struct Q8_0;

impl Decode<34, 32> for Q8_0 {
    fn decode(block: &[u8; 34], out: &mut [f32; 32]) {
        let d = f16_at(block, 0);
        for (y, &q) in out.iter_mut().zip(&block[2..]) {
            *y = f32::from(q as i8) * d;
        }
    }
}

/// Stores 32 four-bit codes in 16 bytes.
#[inline(always)]
pub(crate) fn put_nibbles(bytes: &mut [u8], codes: &[u8; 32]) {
    for (j, byte) in bytes.iter_mut().take(16).enumerate() {
        *byte = codes[j] & 15 | codes[j + 16] << 4;
    }
}

/// Stores 32 five-bit codes: the fifth bits in 4 bytes, then the rest in 16.
#[inline(always)]
fn put_five_bits(bytes: &mut [u8], codes: &[u8; 32]) {
    let high = codes.iter().rev().fold(0u32, |bits, code| bits << 1 | u32::from(code >> 4));
    bytes[..4].copy_from_slice(&high.to_le_bytes());
    put_nibbles(&mut bytes[4..], codes);
}

/// Searches and stores a scale at 0 and returns the codes, counted from `lo`.
#[inline(always)]
fn put_scaled<const N: usize>(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; N], [lo, hi]: [f32; 2]) -> [u8; 32] {
    let reach = Reach { first: lo - 1.2, step: 0.15, count: 16, mirrored: true };
    let d = scale(x, w, |v| integer_level(v, lo, hi), reach);
    let d = put_f16(block, 0, d);
    scale_codes(x, d, [lo, hi])
}

/// Searches and stores a scale at 0 and a minimum at 2, and returns the codes.
#[inline(always)]
fn put_lined<const N: usize>(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; N], top: f32) -> [u8; 32] {
    let reach = Reach { first: top - 1.0, step: 0.15, count: 16, mirrored: false };
    let line = affine(x, w, top, false, reach);
    let (d, m) = (put_f16(block, 0, line.scale), put_f16(block, 2, line.min));
    line_codes(x, Affine { scale: d, min: m }, top)
}

impl Encode<18, 32> for Q4_0 {
    fn encode(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 18]) {
        let codes = put_scaled(x, w, block, [-8.0, 7.0]);
        put_nibbles(&mut block[2..], &codes);
    }
}

impl Encode<20, 32> for Q4_1 {
    fn encode(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 20]) {
        let codes = put_lined(x, w, block, 15.0);
        put_nibbles(&mut block[4..], &codes);
    }
}

impl Encode<22, 32> for Q5_0 {
    fn encode(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 22]) {
        let codes = put_scaled(x, w, block, [-16.0, 15.0]);
        put_five_bits(&mut block[2..], &codes);
    }
}

impl Encode<24, 32> for Q5_1 {
    fn encode(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 24]) {
        let codes = put_lined(x, w, block, 31.0);
        put_five_bits(&mut block[4..], &codes);
    }
}

impl Encode<34, 32> for Q8_0 {
    /// With 255 levels a search gains next to nothing over letting the peak be the last one.
    fn encode(x: &[f32; 32], _: &[f32; 32], block: &mut [u8; 34]) {
        let d = put_f16(block, 0, peak(x).abs() / 127.0);
        let inverse = inverse(d);
        for (byte, &v) in block[2..].iter_mut().zip(x) {
            *byte = integer_level(v * inverse, -127.0, 127.0) as i8 as u8;
        }
    }
}
