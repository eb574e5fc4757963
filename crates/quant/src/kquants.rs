//! The K types: super-blocks of 256 values, cut into 8 or 16 groups whose scales (and minimums)
//! are themselves stored in 4, 6 or 8 bits below one f16 scale.

use crate::codec::{Decode, Encode, f16_at, put_f16};
use crate::fit::{Reach, integer_level};
use crate::superblock::{Lined, Scaled, grouped, line_codes, scale_codes};

/// The eight 6-bit scales and eight 6-bit minimums packed in the 12 scale bytes of Q4_K and
/// Q5_K, as `(scales, minimums)`.
///
/// Bytes 0 to 3 hold scales 0 to 3 and bytes 4 to 7 hold minimums 0 to 3 in their low 6 bits.
/// Byte `8 + i` holds the low nibbles of scale `4 + i` (low half) and minimum `4 + i` (high
/// half), whose top 2 bits are those of bytes `i` and `4 + i`.
#[inline]
pub const fn q4_k_scales_mins(packed: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    let (mut scales, mut mins) = ([0; 8], [0; 8]);
    let mut i = 0;
    while i < 4 {
        scales[i] = packed[i] & 63;
        mins[i] = packed[4 + i] & 63;
        scales[4 + i] = packed[8 + i] & 15 | (packed[i] >> 6) << 4;
        mins[4 + i] = packed[8 + i] >> 4 | (packed[4 + i] >> 6) << 4;
        i += 1;
    }
    (scales, mins)
}

/// The sixteen scales, -32 to 31, packed in the 12 scale bytes of Q3_K.
///
/// Scale `j` has its low 4 bits in byte `j % 8` (low half for `j < 8`, else high half) and its
/// high 2 bits in byte `8 + j % 4`, at bit `2 * (j / 4)`; 32 is subtracted from the sum.
#[inline]
pub const fn q3_k_scales(packed: &[u8; 12]) -> [i8; 16] {
    let mut scales = [0; 16];
    let mut j = 0;
    while j < 16 {
        let low = packed[j % 8] >> (4 * (j / 8)) & 15;
        let high = packed[8 + j % 4] >> (2 * (j / 4)) & 3;
        scales[j] = (low | high << 4) as i8 - 32;
        j += 1;
    }
    scales
}

/// Where the 2-bit codes of Q2_K and Q3_K are: byte and shift for value `i`. In each 32 bytes,
/// the codes at bit `2 l` are values `32 l` and following.
#[inline(always)]
fn two_bit_place(i: usize) -> (usize, usize) {
    (i / 128 * 32 + i % 32, i / 32 % 4 * 2)
}

/// 2.625 bits a value: 16 bytes at 0, each a 4-bit scale (low) and a 4-bit minimum (high) for
/// 16 values; 64 bytes of 2-bit codes at 16; f16 scale of the scales at 80, of the minimums at
/// 82. Value = scale * code - minimum.
pub(crate) struct Q2K;

impl Decode<84, 256> for Q2K {
    fn decode(block: &[u8; 84], out: &mut [f32; 256]) {
        let (d, dmin) = (f16_at(block, 80), f16_at(block, 82));
        for (g, y) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(block[g] & 15);
            let min = dmin * f32::from(block[g] >> 4);
            let (byte, shift) = two_bit_place(16 * g);
            for (l, y) in y.iter_mut().enumerate() {
                let q = block[16 + byte + l] >> shift & 3;
                *y = scale * f32::from(q) - min;
            }
        }
    }
}

/// 3.4375 bits a value: 32 bytes of third bits at 0 (bit `i / 32` of byte `i % 32` for value
/// `i`); 64 bytes of 2-bit codes at 32; 12 bytes of scales at 96 (see [`q3_k_scales`]), one for
/// 16 values; f16 scale at 108. Value = scale * (code - 4).
pub(crate) struct Q3K;

impl Decode<110, 256> for Q3K {
    fn decode(block: &[u8; 110], out: &mut [f32; 256]) {
        let d = f16_at(block, 108);
        let mut packed = [0; 12];
        packed.copy_from_slice(&block[96..108]);
        let scales = q3_k_scales(&packed);
        for (g, y) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(scales[g]);
            let (byte, shift) = two_bit_place(16 * g);
            for (l, y) in y.iter_mut().enumerate() {
                let low = block[32 + byte + l] >> shift & 3;
                let third = block[(16 * g + l) % 32] >> (g / 2) & 1;
                *y = scale * (f32::from(low | third << 2) - 4.0);
            }
        }
    }
}

/// The scales and minimums of the eight groups of a Q4_K or Q5_K block, widened.
#[inline(always)]
fn eight_groups<const N: usize>(block: &[u8; N]) -> [(f32, f32); 8] {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let mut packed = [0; 12];
    packed.copy_from_slice(&block[4..16]);
    let (scales, mins) = q4_k_scales_mins(&packed);
    std::array::from_fn(|g| (d * f32::from(scales[g]), dmin * f32::from(mins[g])))
}

/// 4.5 bits a value: f16 scale of the scales at 0, of the minimums at 2; 12 bytes of scales at
/// 4 (see [`q4_k_scales_mins`]), one for 32 values; 128 bytes of codes at 16, in each 32 bytes
/// values 0 to 31 in the low nibbles, 32 to 63 in the high ones. Value = scale * code -
/// minimum.
pub(crate) struct Q4K;

impl Decode<144, 256> for Q4K {
    fn decode(block: &[u8; 144], out: &mut [f32; 256]) {
        let groups = eight_groups(block);
        for (g, y) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = groups[g];
            for (l, y) in y.iter_mut().enumerate() {
                let q = block[16 + g / 2 * 32 + l] >> (g % 2 * 4) & 15;
                *y = scale * f32::from(q) - min;
            }
        }
    }
}

/// 5.5 bits a value: as Q4_K, with 32 bytes of fifth bits at 16 (bit `i / 32` of byte `i % 32`
/// for value `i`) and the codes at 48.
pub(crate) struct Q5K;

impl Decode<176, 256> for Q5K {
    fn decode(block: &[u8; 176], out: &mut [f32; 256]) {
        let groups = eight_groups(block);
        for (g, y) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            let (scale, min) = groups[g];
            for (l, y) in y.iter_mut().enumerate() {
                let low = block[48 + g / 2 * 32 + l] >> (g % 2 * 4) & 15;
                let fifth = block[16 + l] >> g & 1;
                *y = scale * f32::from(low | fifth << 4) - min;
            }
        }
    }
}

/// 6.5625 bits a value: 128 bytes with the low 4 bits at 0; 64 bytes with the high 2 bits at
/// 128; 16 signed scales at 192, one for 16 values; f16 scale at 208. Value = scale * (code -
/// 32). In each 64 bytes of low bits values 0 to 63 are the low nibbles, 64 to 127 the high
/// ones; in each 32 bytes of high bits those at bit `2 l` are values `32 l` and following.
pub(crate) struct Q6K;

impl Decode<210, 256> for Q6K {
    fn decode(block: &[u8; 210], out: &mut [f32; 256]) {
        let d = f16_at(block, 208);
        for (g, y) in out.as_chunks_mut::<16>().0.iter_mut().enumerate() {
            let scale = d * f32::from(block[192 + g] as i8);
            let first = 16 * g;
            let (low_byte, low_shift) = (first / 128 * 64 + first % 64, first / 64 % 2 * 4);
            let (high_byte, high_shift) = two_bit_place(first);
            for (l, y) in y.iter_mut().enumerate() {
                let low = block[low_byte + l] >> low_shift & 15;
                let high = block[128 + high_byte + l] >> high_shift & 3;
                *y = scale * (f32::from(low | high << 4) - 32.0);
            }
        }
    }
}

/// The inverse of [`q4_k_scales_mins`].
fn pack_scales_mins(scales: &[f32; 8], mins: &[f32; 8]) -> [u8; 12] {
    let (scales, mins) = (scales.map(|v| v as u8), mins.map(|v| v as u8));
    let mut packed = [0; 12];
    for i in 0..4 {
        packed[i] = scales[i] | (scales[4 + i] >> 4) << 6;
        packed[4 + i] = mins[i] | (mins[4 + i] >> 4) << 6;
        packed[8 + i] = scales[4 + i] & 15 | (mins[4 + i] & 15) << 4;
    }
    packed
}

/// The inverse of [`q3_k_scales`].
fn pack_q3_k_scales(scales: &[f32; 16]) -> [u8; 12] {
    let mut packed = [0; 12];
    for (j, scale) in scales.iter().enumerate() {
        let scale = (scale + 32.0) as u8;
        packed[j % 8] |= (scale & 15) << (4 * (j / 8));
        packed[8 + j % 4] |= (scale >> 4) << (2 * (j / 4));
    }
    packed
}

impl Encode<84, 256> for Q2K {
    fn encode(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 84]) {
        let (x, w) = (grouped::<16, 16>(x), grouped::<16, 16>(w));
        let reach = Reach { first: 2.2, step: 0.12, count: 18, mirrored: false };
        let fit = Lined::fit(&x, &w, 3.0, 15.0, reach);
        block.fill(0);
        put_f16(block, 80, fit.d);
        put_f16(block, 82, fit.dmin);
        for (g, x) in x.iter().enumerate() {
            block[g] = fit.scales[g] as u8 | (fit.mins[g] as u8) << 4;
            let (byte, shift) = two_bit_place(16 * g);
            for (l, q) in line_codes(x, fit.group(g), 3.0).into_iter().enumerate() {
                block[16 + byte + l] |= q << shift;
            }
        }
    }
}

impl Encode<110, 256> for Q3K {
    fn encode(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 110]) {
        let (x, w) = (grouped::<16, 16>(x), grouped::<16, 16>(w));
        let reach = Reach { first: -5.4, step: 0.2, count: 13, mirrored: true };
        let fit = Scaled::fit(&x, &w, |v| integer_level(v, -4.0, 3.0), reach, [-32.0, 31.0]);
        block.fill(0);
        block[96..108].copy_from_slice(&pack_q3_k_scales(&fit.scales));
        put_f16(block, 108, fit.d);
        for (g, x) in x.iter().enumerate() {
            let (byte, shift) = two_bit_place(16 * g);
            for (l, q) in scale_codes(x, fit.group(g), [-4.0, 3.0]).into_iter().enumerate() {
                block[32 + byte + l] |= (q & 3) << shift;
                block[(16 * g + l) % 32] |= (q >> 2) << (g / 2);
            }
        }
    }
}

/// Searches the scales of a Q4_K or Q5_K block, stores them, and returns the codes.
#[inline(always)]
fn put_eight_groups<const N: usize>(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; N], top: f32) -> [[u8; 32]; 8] {
    let (x, w) = (grouped::<32, 8>(x), grouped::<32, 8>(w));
    let reach = Reach { first: top - 1.5, step: 0.2, count: 14, mirrored: false };
    let fit = Lined::fit(&x, &w, top, 63.0, reach);
    put_f16(block, 0, fit.d);
    put_f16(block, 2, fit.dmin);
    block[4..16].copy_from_slice(&pack_scales_mins(&fit.scales, &fit.mins));
    std::array::from_fn(|g| line_codes(&x[g], fit.group(g), top))
}

impl Encode<144, 256> for Q4K {
    fn encode(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 144]) {
        let codes = put_eight_groups(x, w, block, 15.0);
        for (pair, bytes) in codes.as_chunks::<2>().0.iter().zip(block[16..].chunks_exact_mut(32)) {
            for (l, byte) in bytes.iter_mut().enumerate() {
                *byte = pair[0][l] | pair[1][l] << 4;
            }
        }
    }
}

impl Encode<176, 256> for Q5K {
    fn encode(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 176]) {
        let codes = put_eight_groups(x, w, block, 31.0);
        block[16..].fill(0);
        for (g, codes) in codes.iter().enumerate() {
            for (l, q) in codes.iter().enumerate() {
                block[48 + g / 2 * 32 + l] |= (q & 15) << (g % 2 * 4);
                block[16 + l] |= (q >> 4) << g;
            }
        }
    }
}

impl Encode<210, 256> for Q6K {
    fn encode(x: &[f32; 256], w: &[f32; 256], block: &mut [u8; 210]) {
        let (x, w) = (grouped::<16, 16>(x), grouped::<16, 16>(w));
        let reach = Reach { first: -33.0, step: 0.25, count: 9, mirrored: true };
        let fit = Scaled::fit(&x, &w, |v| integer_level(v, -32.0, 31.0), reach, [-128.0, 127.0]);
        block.fill(0);
        put_f16(block, 208, fit.d);
        for (g, x) in x.iter().enumerate() {
            block[192 + g] = fit.scales[g] as i8 as u8;
            let first = 16 * g;
            let (low_byte, low_shift) = (first / 128 * 64 + first % 64, first / 64 % 2 * 4);
            let (high_byte, high_shift) = two_bit_place(first);
            for (l, q) in scale_codes(x, fit.group(g), [-32.0, 31.0]).into_iter().enumerate() {
                block[low_byte + l] |= (q & 15) << low_shift;
                block[128 + high_byte + l] |= (q >> 4) << high_shift;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_scales_come_back() {
        for seed in 0..64u32 {
            let six = |i: usize| ((seed as usize * 37 + i * 29) % 64) as f32;
            let (scales, mins) = (std::array::from_fn(six), std::array::from_fn(|i| six(i + 8)));
            let (s, m) = q4_k_scales_mins(&pack_scales_mins(&scales, &mins));
            assert_eq!((s.map(f32::from), m.map(f32::from)), (scales, mins));
            let signed = std::array::from_fn(|i| six(i) - 32.0);
            assert_eq!(q3_k_scales(&pack_q3_k_scales(&signed)).map(f32::from), signed);
        }
    }
}
