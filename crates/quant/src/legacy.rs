//! The first generation: 32 values with one f16 scale, and in the `_1` types an f16 minimum.
//!
//! Four-bit codes are stored two a byte, values 0 to 15 in the low nibbles and 16 to 31 in the
//! high ones; the fifth bits of Q5_0 and Q5_1 are bit `i` of a 32-bit word for value `i`.

use crate::codec::{Decode, f16_at, u32_at};

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
