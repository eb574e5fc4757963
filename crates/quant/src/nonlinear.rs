//! IQ4_NL and IQ4_XS: four-bit codes for sixteen levels that lie closer together around zero.

use crate::codec::{Decode, f16_at, u16_at};

/// The sixteen levels of IQ4_NL and IQ4_XS, to be multiplied by the block's scale.
pub const IQ4_NL_VALUES: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 4.5 bits a value: f16 scale at 0; 16 bytes of codes at 2, values 0 to 15 in the low nibbles,
/// 16 to 31 in the high ones.
pub(crate) struct Iq4Nl;

impl Decode<18, 32> for Iq4Nl {
    fn decode(block: &[u8; 18], out: &mut [f32; 32]) {
        let d = f16_at(block, 0);
        levels(&block[2..], d, out);
    }
}

/// 4.25 bits a value: f16 scale at 0; the high 2 bits of eight scales in a word at 2; their low
/// 4 bits in 4 bytes at 4; 128 bytes of codes at 8, each 16 bytes laid out as in IQ4_NL. A
/// scale is `f16 * (6 bits - 32)`.
pub(crate) struct Iq4Xs;

impl Decode<136, 256> for Iq4Xs {
    fn decode(block: &[u8; 136], out: &mut [f32; 256]) {
        let d = f16_at(block, 0);
        let high = u16_at(block, 2);
        for (i, y) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let low = block[4 + i / 2] >> (4 * (i % 2)) & 15;
            let scale = i16::from(low) | ((high >> (2 * i) & 3) << 4) as i16;
            levels(&block[8 + 16 * i..], d * f32::from(scale - 32), y);
        }
    }
}

/// 32 values from the first 16 bytes of `codes`.
#[inline(always)]
fn levels(codes: &[u8], scale: f32, out: &mut [f32; 32]) {
    for (j, byte) in codes.iter().take(16).enumerate() {
        out[j] = scale * f32::from(IQ4_NL_VALUES[usize::from(byte & 15)]);
        out[j + 16] = scale * f32::from(IQ4_NL_VALUES[usize::from(byte >> 4)]);
    }
}
