//! The codebook types IQ1, IQ2 and IQ3: a block of 256 values stores numbers of points of a
//! codebook (see [`crate::grids`]), their signs, and small scales below one f16 scale.
//!
//! Reading only: choosing the points needs a neighbour search over the codebook and, below
//! three bits, an importance matrix to be of use.

use crate::codec::{Decode, f16_at, u16_at, u32_at, widen};
use crate::iq_grids::{IQ1_GRID, IQ2_S_GRID, IQ2_XS_GRID, IQ2_XXS_GRID, IQ3_S_GRID, IQ3_XXS_GRID, even_signs};

/// How far the points of IQ1 are moved from the integers.
const IQ1_SHIFT: f32 = 0.125;

/// `scale * magnitude`, negative where the bit of `signs` is set.
#[inline(always)]
fn signed<const N: usize>(out: &mut [f32], magnitudes: [u8; N], scale: f32, signs: u8) {
    for (j, (y, m)) in out.iter_mut().zip(magnitudes).enumerate() {
        let value = scale * f32::from(m);
        *y = if signs >> j & 1 == 1 { -value } else { value };
    }
}

/// Eight values from two points of four coordinates.
#[inline(always)]
fn signed_pair(out: &mut [f32], points: [u32; 2], scale: f32, signs: u8) {
    let (low, high) = out.split_at_mut(4);
    signed(low, points[0].to_le_bytes(), scale, signs);
    signed(high, points[1].to_le_bytes(), scale, signs >> 4);
}

/// Eight values `scale * (coordinate + shift)` from a point of the IQ1 codebook.
#[inline(always)]
fn shifted(out: &mut [f32], point: u64, scale: f32, shift: f32) {
    for (y, c) in out.iter_mut().zip(point.to_le_bytes()) {
        *y = scale * (f32::from(c as i8) + shift);
    }
}

/// 2.0625 bits a value: f16 scale at 0; then for each 32 values 8 bytes, which are four point
/// numbers, four times 7 sign bits and a 4-bit scale.
pub(crate) struct Iq2Xxs;

impl Decode<66, 256> for Iq2Xxs {
    fn decode(block: &[u8; 66], out: &mut [f32; 256]) {
        let d = f16_at(block, 0);
        for (i, y) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let points = &block[2 + 8 * i..][..4];
            let word = u32_at(block, 6 + 8 * i);
            let scale = d * (0.5 + (word >> 28) as f32) * 0.25;
            for (l, y) in y.chunks_exact_mut(8).enumerate() {
                let point = IQ2_XXS_GRID[usize::from(points[l])];
                signed(y, point.to_le_bytes(), scale, even_signs((word >> (7 * l)) as u8));
            }
        }
    }
}

/// 2.3125 bits a value: f16 scale at 0; 32 words at 2, each a 9-bit point number and 7 sign
/// bits for 8 values; 16 scales of 4 bits at 66, one for 16 values.
pub(crate) struct Iq2Xs;

impl Decode<74, 256> for Iq2Xs {
    fn decode(block: &[u8; 74], out: &mut [f32; 256]) {
        let d = f16_at(block, 0);
        for (i, y) in out.chunks_exact_mut(8).enumerate() {
            let word = u16_at(block, 2 + 2 * i);
            let nibble = block[66 + i / 4] >> (4 * (i / 2 % 2)) & 15;
            let scale = d * (0.5 + f32::from(nibble)) * 0.25;
            let point = IQ2_XS_GRID[usize::from(word & 511)];
            signed(y, point.to_le_bytes(), scale, even_signs((word >> 9) as u8));
        }
    }
}

/// 2.5625 bits a value: f16 scale at 0; 32 low bytes of point numbers at 2; 32 bytes of signs
/// at 34; 8 bytes with the two high bits of the numbers at 66; 16 scales of 4 bits at 74.
pub(crate) struct Iq2S;

impl Decode<82, 256> for Iq2S {
    fn decode(block: &[u8; 82], out: &mut [f32; 256]) {
        let d = f16_at(block, 0);
        for (i, y) in out.chunks_exact_mut(8).enumerate() {
            let high = block[66 + i / 4] >> (2 * (i % 4)) & 3;
            let number = usize::from(block[2 + i]) | usize::from(high) << 8;
            let nibble = block[74 + i / 4] >> (4 * (i / 2 % 2)) & 15;
            let scale = d * (0.5 + f32::from(nibble)) * 0.25;
            signed(y, IQ2_S_GRID[number].to_le_bytes(), scale, block[34 + i]);
        }
    }
}

/// 3.0625 bits a value: f16 scale at 0; 64 point numbers at 2, one for 4 values; 8 words at 66,
/// each four times 7 sign bits and a 4-bit scale for 32 values.
pub(crate) struct Iq3Xxs;

impl Decode<98, 256> for Iq3Xxs {
    fn decode(block: &[u8; 98], out: &mut [f32; 256]) {
        let d = f16_at(block, 0);
        for (i, y) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let points = &block[2 + 8 * i..][..8];
            let word = u32_at(block, 66 + 4 * i);
            let scale = d * (0.5 + (word >> 28) as f32) * 0.5;
            for (l, y) in y.chunks_exact_mut(8).enumerate() {
                let pair = [0, 1].map(|k| IQ3_XXS_GRID[usize::from(points[2 * l + k])]);
                signed_pair(y, pair, scale, even_signs((word >> (7 * l)) as u8));
            }
        }
    }
}

/// 3.4375 bits a value: f16 scale at 0; 64 low bytes of point numbers at 2, one for 4 values;
/// 8 bytes with their ninth bits at 66; 32 bytes of signs at 74; 8 scales of 4 bits at 106, one
/// for 32 values.
pub(crate) struct Iq3S;

impl Decode<110, 256> for Iq3S {
    fn decode(block: &[u8; 110], out: &mut [f32; 256]) {
        let d = f16_at(block, 0);
        for (i, y) in out.chunks_exact_mut(8).enumerate() {
            let nibble = block[106 + i / 8] >> (4 * (i / 4 % 2)) & 15;
            let scale = d * f32::from(1 + 2 * nibble);
            let pair = [0, 1].map(|k| {
                let n = 2 * i + k;
                let ninth = block[66 + n / 8] >> (n % 8) & 1;
                IQ3_S_GRID[usize::from(block[2 + n]) | usize::from(ninth) << 8]
            });
            signed_pair(y, pair, scale, block[74 + i]);
        }
    }
}

/// 1.5625 bits a value: f16 scale at 0; 32 low bytes of point numbers at 2, one for 8 values;
/// 8 words at 34, each for 32 values: four times the 3 high bits of a number, a 3-bit scale and
/// the sign of the shift.
pub(crate) struct Iq1S;

impl Decode<50, 256> for Iq1S {
    fn decode(block: &[u8; 50], out: &mut [f32; 256]) {
        let d = f16_at(block, 0);
        for (i, y) in out.chunks_exact_mut(8).enumerate() {
            let word = u16_at(block, 34 + i / 4 * 2);
            let scale = d * f32::from(2 * (word >> 12 & 7) + 1);
            let shift = if word >> 15 == 1 { -IQ1_SHIFT } else { IQ1_SHIFT };
            let high = word >> (3 * (i % 4)) & 7;
            let number = usize::from(block[2 + i]) | usize::from(high) << 8;
            shifted(y, IQ1_GRID[number], scale, shift);
        }
    }
}

/// 1.75 bits a value: 32 low bytes of point numbers at 0, one for 8 values; 16 bytes at 32, a
/// nibble a point with its 3 high bits and the sign of its shift; 4 words at 48, each four
/// 3-bit scales for 16 values and, in the top bits, a quarter of the f16 scale.
pub(crate) struct Iq1M;

impl Decode<56, 256> for Iq1M {
    fn decode(block: &[u8; 56], out: &mut [f32; 256]) {
        let words = [48, 50, 52, 54].map(|at| u16_at(block, at));
        let bits = words.iter().rev().fold(0, |bits, word| bits << 4 | word >> 12);
        let d = widen(bits);
        for (i, y) in out.chunks_exact_mut(8).enumerate() {
            let scale = d * f32::from(2 * (words[i / 8] >> (3 * (i / 2 % 4)) & 7) + 1);
            let nibble = block[32 + i / 2] >> (4 * (i % 2));
            let shift = if nibble & 8 != 0 { -IQ1_SHIFT } else { IQ1_SHIFT };
            let number = usize::from(block[i]) | usize::from(nibble & 7) << 8;
            shifted(y, IQ1_GRID[number], scale, shift);
        }
    }
}
