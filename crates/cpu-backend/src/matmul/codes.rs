//! From a stored block to what a packed format keeps of it: bits, scales and minima.
//!
//! The layouts are those of [`rocmforge_quant`], which decodes the same blocks to floats; the
//! tests compare the two.

use rocmforge_quant::{GgmlType, e8m0_to_f32_half, q3_k_scales, q4_k_scales_mins};

/// One stored block.
#[derive(Debug, Clone)]
pub(super) struct Codes {
    /// The bits of each weight, for up to 256 columns.
    pub weights: [u8; 256],
    /// Scale of the block or super-block, as f16 or bf16 bits.
    pub scale: u16,
    /// Minimum likewise, with the sign with which it is added.
    pub min: u16,
    /// Scales of up to 16 sub-blocks.
    pub sub_scales: [u8; 16],
    /// Minima likewise.
    pub sub_mins: [u8; 16],
    /// Scales of sub-blocks that have an f16 each.
    pub halves: [u16; 16],
}

impl Codes {
    pub(super) const ZERO: Self =
        Self { weights: [0; 256], scale: 0, min: 0, sub_scales: [0; 16], sub_mins: [0; 16], halves: [0; 16] };
}

/// How to read a stored block of a type; the slice must hold exactly one.
pub(super) fn reader(ty: GgmlType) -> Option<fn(&[u8], &mut Codes)> {
    Some(match ty {
        GgmlType::Q4_0 | GgmlType::IQ4_NL => |b, c| {
            c.scale = word(b, 0);
            nibble_halves(&b[2..18], &mut c.weights);
        },
        GgmlType::Q4_1 => |b, c| {
            (c.scale, c.min) = (word(b, 0), word(b, 2));
            nibble_halves(&b[4..20], &mut c.weights);
        },
        GgmlType::Q5_0 => |b, c| {
            c.scale = word(b, 0);
            nibble_halves(&b[6..22], &mut c.weights);
            fifth_bits(&b[2..6], &mut c.weights);
        },
        GgmlType::Q5_1 => |b, c| {
            (c.scale, c.min) = (word(b, 0), word(b, 2));
            nibble_halves(&b[8..24], &mut c.weights);
            fifth_bits(&b[4..8], &mut c.weights);
        },
        GgmlType::Q8_0 => |b, c| {
            c.scale = word(b, 0);
            for (w, v) in c.weights.iter_mut().zip(&b[2..34]) {
                *w = v ^ 0x80;
            }
        },
        GgmlType::MXFP4 => |b, c| {
            // All powers of two of an E8M0 scale are bf16 numbers.
            c.scale = (e8m0_to_f32_half(b[0]).to_bits() >> 16) as u16;
            nibble_halves(&b[1..17], &mut c.weights);
        },
        GgmlType::Q2_K => q2_k,
        GgmlType::Q3_K => q3_k,
        GgmlType::Q4_K => q4_k,
        GgmlType::Q5_K => q5_k,
        GgmlType::Q6_K => q6_k,
        GgmlType::IQ4_XS => iq4_xs,
        _ => return super::codebooks::reader(ty),
    })
}

/// The 16-bit number at `at`.
pub(super) fn word(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

/// The f16 with the other sign.
fn negated(b: &[u8], at: usize) -> u16 {
    word(b, at) ^ 0x8000
}

/// `n` bytes carry `n` columns in their low nibbles, then `n` in their high ones.
fn nibble_halves(from: &[u8], to: &mut [u8]) {
    let (low, high) = to.split_at_mut(from.len());
    for ((low, high), b) in low.iter_mut().zip(high).zip(from) {
        (*low, *high) = (b & 15, b >> 4);
    }
}

/// Bit `i` of four bytes is bit 4 of column `i`.
fn fifth_bits(from: &[u8], to: &mut [u8]) {
    for (i, w) in to[..32].iter_mut().enumerate() {
        *w |= (from[i / 8] >> (i % 8) & 1) << 4;
    }
}

/// Each 32 bytes carry four times 32 columns, two bits each, from the low bits up.
fn two_bits(from: &[u8], to: &mut [u8; 256]) {
    for (half, from) in to.as_chunks_mut::<128>().0.iter_mut().zip(from.as_chunks::<32>().0) {
        for (j, part) in half.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (w, b) in part.iter_mut().zip(from) {
                *w = b >> (2 * j) & 3;
            }
        }
    }
}

/// Bit `j` of 32 bytes is bit `to_bit` of columns `32 j` and following.
fn high_bits(from: &[u8], to_bit: u32, to: &mut [u8; 256]) {
    for (j, part) in to.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (w, b) in part.iter_mut().zip(from) {
            *w |= (b >> j & 1) << to_bit;
        }
    }
}

fn q2_k(b: &[u8], c: &mut Codes) {
    (c.scale, c.min) = (word(b, 80), negated(b, 82));
    // A byte already is scale and minimum in the order of the packed form.
    c.sub_scales.copy_from_slice(&b[..16]);
    two_bits(&b[16..80], &mut c.weights);
}

fn q3_k(b: &[u8], c: &mut Codes) {
    c.scale = word(b, 108);
    let mut packed = [0; 12];
    packed.copy_from_slice(&b[96..108]);
    c.sub_scales = q3_k_scales(&packed).map(i8::cast_unsigned);
    two_bits(&b[32..96], &mut c.weights);
    high_bits(&b[..32], 2, &mut c.weights);
}

/// The part that Q4_K and Q5_K share; nibbles begin at `at`.
fn q45_k(b: &[u8], at: usize, c: &mut Codes) {
    (c.scale, c.min) = (word(b, 0), negated(b, 2));
    let mut packed = [0; 12];
    packed.copy_from_slice(&b[4..16]);
    let (scales, mins) = q4_k_scales_mins(&packed);
    c.sub_scales[..8].copy_from_slice(&scales);
    c.sub_mins[..8].copy_from_slice(&mins);
    for (from, to) in b[at..at + 128].chunks_exact(32).zip(c.weights.chunks_exact_mut(64)) {
        nibble_halves(from, to);
    }
}

fn q4_k(b: &[u8], c: &mut Codes) {
    q45_k(b, 16, c);
}

fn q5_k(b: &[u8], c: &mut Codes) {
    q45_k(b, 48, c);
    high_bits(&b[16..48], 4, &mut c.weights);
}

fn q6_k(b: &[u8], c: &mut Codes) {
    c.scale = word(b, 208);
    c.sub_scales.copy_from_slice(&b[192..208]);
    for (half, to) in c.weights.as_chunks_mut::<128>().0.iter_mut().enumerate() {
        nibble_halves(&b[64 * half..64 * half + 64], to);
        let high = &b[128 + 32 * half..128 + 32 * half + 32];
        for (j, part) in to.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (w, b) in part.iter_mut().zip(high) {
                *w |= (b >> (2 * j) & 3) << 4;
            }
        }
    }
}

fn iq4_xs(b: &[u8], c: &mut Codes) {
    c.scale = word(b, 0);
    let high = word(b, 2);
    for j in 0..8 {
        let low = b[4 + j / 2] >> (4 * (j % 2)) & 15;
        let scale = low | ((high >> (2 * j) & 3) as u8) << 4;
        c.sub_scales[j] = scale.wrapping_sub(32);
        nibble_halves(&b[8 + 16 * j..24 + 16 * j], &mut c.weights[32 * j..32 * j + 32]);
    }
}
