//! From stored blocks of codebook types to bits and scales.
//!
//! These types store numbers of groups of weights, which no dot product can use. Packed, each
//! weight has the few bits that its own magnitude and sign need: more memory, and far less time
//! than looking up groups at every use. As all of them are whole numbers times the scale of
//! their sub-block, the numbers are read off the decoded block.

use super::codes::{Codes, word};
use super::format::{BLOCK, Scale, Spec, spec_of};
use half::f16;
use rocmforge_quant::{GgmlType, dequantize, ue4m3_to_f32};

/// How to read a stored block of a codebook type.
pub(super) fn reader(ty: GgmlType) -> Option<fn(&[u8], &mut Codes)> {
    Some(match ty {
        GgmlType::IQ1_S => |b, c| {
            c.scale = word(b, 0);
            for j in 0..8 {
                c.sub_scales[j] = odd(word(b, 34 + 2 * j) >> 12 & 7);
            }
            read_off(GgmlType::IQ1_S, b, c);
        },
        GgmlType::IQ1_M => |b, c| {
            // The scale is in the top four bits of four words.
            let words = [48, 50, 52, 54].map(|at| word(b, at));
            c.scale = words.iter().rev().fold(0, |bits, word| bits << 4 | word >> 12);
            for j in 0..16 {
                c.sub_scales[j] = odd(words[j / 4] >> (3 * (j % 4)) & 7);
            }
            read_off(GgmlType::IQ1_M, b, c);
        },
        GgmlType::IQ2_XXS => |b, c| {
            c.scale = word(b, 0);
            for j in 0..8 {
                c.sub_scales[j] = odd(word(b, 8 + 8 * j) >> 12);
            }
            read_off(GgmlType::IQ2_XXS, b, c);
        },
        GgmlType::IQ2_XS => |b, c| {
            c.scale = word(b, 0);
            nibble_scales(&b[66..74], &mut c.sub_scales);
            read_off(GgmlType::IQ2_XS, b, c);
        },
        GgmlType::IQ2_S => |b, c| {
            c.scale = word(b, 0);
            nibble_scales(&b[74..82], &mut c.sub_scales);
            read_off(GgmlType::IQ2_S, b, c);
        },
        GgmlType::IQ3_XXS => |b, c| {
            c.scale = word(b, 0);
            for j in 0..8 {
                c.sub_scales[j] = odd(word(b, 68 + 4 * j) >> 12);
            }
            read_off(GgmlType::IQ3_XXS, b, c);
        },
        GgmlType::IQ3_S => |b, c| {
            c.scale = word(b, 0);
            nibble_scales(&b[106..110], &mut c.sub_scales);
            read_off(GgmlType::IQ3_S, b, c);
        },
        GgmlType::TQ1_0 => |b, c| {
            c.scale = word(b, 52);
            read_off(GgmlType::TQ1_0, b, c);
        },
        GgmlType::TQ2_0 => |b, c| {
            c.scale = word(b, 64);
            read_off(GgmlType::TQ2_0, b, c);
        },
        GgmlType::Q1_0 => |b, c| {
            c.scale = word(b, 0);
            read_off(GgmlType::Q1_0, b, c);
        },
        GgmlType::Q2_0 => |b, c| {
            c.scale = word(b, 0);
            read_off(GgmlType::Q2_0, b, c);
        },
        GgmlType::NVFP4 => |b, c| {
            for (half, byte) in c.halves.iter_mut().zip(&b[..4]) {
                // Four significant bits and a small exponent: exact in half precision.
                *half = f16::from_f32(ue4m3_to_f32(*byte) * 0.5).to_bits();
            }
            read_off(GgmlType::NVFP4, b, c);
        },
        _ => return None,
    })
}

/// Scales of these types count from a half upwards: `2 s + 1` of a smaller unit.
fn odd(s: u16) -> u8 {
    (2 * s + 1) as u8
}

/// Two scales a byte, the low nibble first.
fn nibble_scales(from: &[u8], to: &mut [u8; 16]) {
    for (pair, b) in to.as_chunks_mut::<2>().0.iter_mut().zip(from) {
        *pair = [odd(u16::from(b & 15)), odd(u16::from(b >> 4))];
    }
}

/// Decodes a block and divides by the scales, which must be filled in. Where a scale is zero or
/// no number, the weights mean nothing and come out as any.
fn read_off(ty: GgmlType, block: &[u8], c: &mut Codes) {
    let Some(spec) = spec_of(ty) else { return };
    let mut values = [0f32; 256];
    let values = &mut values[..ty.block_elems()];
    if dequantize(ty, block, values).is_err() {
        return;
    }
    let codes = numbers(spec);
    let parts = values.chunks_exact(spec.sub_block).zip(c.weights.chunks_exact_mut(spec.sub_block));
    for (j, (values, weights)) in parts.enumerate() {
        let unit = spec.gain
            * match spec.scale {
                Scale::Unsigned => f16::from_bits(c.scale).to_f32() * f32::from(c.sub_scales[j]),
                _ if spec.sub_block < BLOCK => f16::from_bits(c.halves[j]).to_f32(),
                _ => f16::from_bits(c.scale).to_f32(),
            };
        let inverse = 1.0 / unit;
        for (value, weight) in values.iter().zip(weights) {
            // The quotient is a whole number up to rounding, above -256; cutting off after 256.5
            // was added rounds it to nearest.
            let raised = (value * inverse + 256.5) as i32 - 256 + spec.offset as i32;
            *weight = codes[(raised & 255) as usize];
        }
    }
}

/// The bits that stand for each raised weight.
fn numbers(spec: &Spec) -> [u8; 256] {
    let mut codes = [0; 256];
    for code in (0..1u8 << (spec.low + spec.high)).rev() {
        let weight = spec.table.map_or(code, |table| table[usize::from(code)]);
        codes[usize::from(weight)] = code;
    }
    codes
}
