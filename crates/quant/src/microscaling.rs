//! Four-bit floats with small shared scales: MXFP4 of the OCP Microscaling specification v1.0
//! and NVFP4.

use crate::codec::Decode;

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
