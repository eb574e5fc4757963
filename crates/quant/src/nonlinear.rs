//! IQ4_NL and IQ4_XS: four-bit codes for sixteen levels that lie closer together around zero.

use crate::codec::{Decode, Encode, f16_at, inverse, put_f16, u16_at};
use crate::fit::{Reach, nearest_bits, scale};
use crate::legacy::put_nibbles;
use crate::superblock::{Scaled, grouped};

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

/// The code of the level nearest to the values from `bin / 2` to `(bin + 1) / 2`, for bins from
/// -256 to 255, given as 9 bits of two's complement. Halfway points between levels are multiples
/// of one half, so all values of a bin have the same nearest level.
static NEAREST_CODE: [u8; 512] = {
    let mut codes = [0; 512];
    let mut i = 0;
    while i < 512 {
        let bin = if i < 256 { i as i32 } else { i as i32 - 512 };
        let mut code = 0;
        // Twice the middle of the bin is `bin + 1/2`; twice the halfway point is a sum of levels.
        while code < 15 && bin >= IQ4_NL_VALUES[code] as i32 + IQ4_NL_VALUES[code + 1] as i32 {
            code += 1;
        }
        codes[i] = code as u8;
        i += 1;
    }
    codes
};

/// The levels that belong to [`NEAREST_CODE`].
static NEAREST_LEVEL: [f32; 512] = {
    let mut levels = [0.0; 512];
    let mut i = 0;
    while i < 512 {
        levels[i] = IQ4_NL_VALUES[NEAREST_CODE[i] as usize] as f32;
        i += 1;
    }
    levels
};

/// The bin of `v`. Between two bins either will do.
#[inline(always)]
fn bin(v: f32) -> usize {
    let doubled = 2.0 * v - 0.5;
    let doubled = if doubled > -256.0 { doubled } else { -256.0 };
    nearest_bits(if doubled < 255.0 { doubled } else { 255.0 }) as usize & 511
}

/// The code of the level nearest to `v`.
#[inline(always)]
fn code(v: f32) -> u8 {
    NEAREST_CODE[bin(v)]
}

/// The level nearest to `v`.
#[inline(always)]
fn level(v: f32) -> f32 {
    NEAREST_LEVEL[bin(v)]
}

/// The ends of the levels are -127 and 113; a little beyond them clips the peak, a little
/// before leaves it where levels lie closer.
const REACH: Reach = Reach { first: -145.0, step: 7.0, count: 8, mirrored: true };

impl Encode<18, 32> for Iq4Nl {
    fn encode(x: &[f32; 32], w: &[f32; 32], block: &mut [u8; 18]) {
        let d = put_f16(block, 0, scale(x, w, level, REACH));
        let inverse = inverse(d);
        put_nibbles(&mut block[2..], &x.map(|v| code(v * inverse)));
    }
}

impl Encode<136, 256> for Iq4Xs {
    fn encode(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 136]) {
        let (x, w) = (grouped::<32, 8>(x), grouped::<32, 8>(w));
        let fit = Scaled::fit(&x, &w, level, REACH, [-32.0, 31.0]);
        put_f16(block, 0, fit.d);
        block[2..8].fill(0);
        for (g, x) in x.iter().enumerate() {
            let inverse = inverse(fit.group(g));
            put_nibbles(&mut block[8 + 16 * g..], &x.map(|v| code(v * inverse)));
            let scale = (fit.scales[g] + 32.0) as u8;
            block[2 + g / 4] |= (scale >> 4) << (2 * (g % 4));
            block[4 + g / 2] |= (scale & 15) << (4 * (g % 2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_level_is_found() {
        for i in -3000..3000 {
            let v = i as f32 * 0.05;
            let distance = |l: f32| (v - l).abs();
            let least = IQ4_NL_VALUES.map(|l| distance(f32::from(l))).into_iter().fold(f32::MAX, f32::min);
            assert_eq!(distance(level(v)), least, "{v}");
            assert_eq!(f32::from(IQ4_NL_VALUES[usize::from(code(v))]), level(v), "{v}");
        }
    }
}
