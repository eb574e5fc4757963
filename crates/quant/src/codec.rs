//! From a function over one block to functions over rows: the loops every format shares.

use half::f16;

/// A block format: how `BYTES` bytes become `ELEMS` values.
///
/// The two numbers are those of the arrays, so a layout cannot disagree with its size.
pub(crate) trait Decode<const BYTES: usize, const ELEMS: usize> {
    /// Writes every value of the block. Any bytes are a valid block.
    fn decode(block: &[u8; BYTES], out: &mut [f32; ELEMS]);
}

/// A block format that can also be written.
pub(crate) trait Encode<const BYTES: usize, const ELEMS: usize>: Decode<BYTES, ELEMS> {
    /// Chooses the block that decodes closest to `x`, in the sense of the least sum of
    /// `w * error^2`. All `x` are finite and at most [`LARGEST`] in magnitude; all `w` are
    /// finite and positive. Every byte of `block` is overwritten.
    fn encode(x: &[f32; ELEMS], w: &[f32; ELEMS], block: &mut [u8; BYTES]);
}

/// Values are brought into this range before a scale is searched, so that sums of squares stay
/// finite. No block with an f16 scale reaches a tenth of it.
pub(crate) const LARGEST: f32 = 1e10;

/// A block whose largest magnitude lies below this is stored as zeros: every format's smallest
/// f16 scale is far above it, and squares of such values vanish.
pub(crate) const TINY: f32 = 1e-15;

/// Decodes as many whole blocks as both slices hold.
pub(crate) fn decode_blocks<C, const BYTES: usize, const ELEMS: usize>(bytes: &[u8], out: &mut [f32])
where
    C: Decode<BYTES, ELEMS>,
{
    let (blocks, _) = bytes.as_chunks::<BYTES>();
    let (rows, _) = out.as_chunks_mut::<ELEMS>();
    for (block, values) in blocks.iter().zip(rows) {
        C::decode(block, values);
    }
}

/// Encodes one row, as many whole blocks as both slices hold. `importance` has one entry a
/// column.
pub(crate) fn encode_row<C, const BYTES: usize, const ELEMS: usize>(
    row: &[f32],
    importance: Option<&[f32]>,
    out: &mut [u8],
) where
    C: Encode<BYTES, ELEMS>,
{
    let (values, _) = row.as_chunks::<ELEMS>();
    let (blocks, _) = out.as_chunks_mut::<BYTES>();
    let scale = importance.map_or(1.0, importance_scale);
    for (i, (x, block)) in values.iter().zip(blocks).enumerate() {
        let x = x.map(|v| v.clamp(-LARGEST, LARGEST));
        let start = i * ELEMS;
        match importance.and_then(|all| all.get(start..)?.first_chunk::<ELEMS>()) {
            Some(w) => C::encode(&x, &w.map(|v| (v * scale).clamp(1e-4, 1e6)), block),
            None => C::encode(&x, &[1.0; ELEMS], block),
        }
    }
}

/// What brings an importance row to a mean of one. Columns that were never active keep a small
/// weight (the lower clamp above), so that they are still stored sensibly.
fn importance_scale(importance: &[f32]) -> f32 {
    let sum: f64 = importance.iter().map(|&v| f64::from(v)).sum();
    let mean = sum / importance.len().max(1) as f64;
    if mean > 0.0 { (1.0 / mean).min(f64::from(f32::MAX)) as f32 } else { 1.0 }
}

/// The little-endian 16-bit word at `at`.
#[inline(always)]
pub(crate) fn u16_at<const N: usize>(block: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

/// The little-endian 32-bit word at `at`.
#[inline(always)]
pub(crate) fn u32_at<const N: usize>(block: &[u8; N], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// The half-precision number at `at`, widened.
#[inline(always)]
pub(crate) fn f16_at<const N: usize>(block: &[u8; N], at: usize) -> f32 {
    widen(u16_at(block, at))
}

/// A half-precision number, exactly.
///
/// Three selects without branches, which compilers vectorize; the conversion of the `half` crate
/// asks for processor features at every call (0.4 instead of 4 G/s in the bench `F16/dequantize`).
#[inline(always)]
pub(crate) fn widen(bits: u16) -> f32 {
    const EXPONENT: u32 = 0x7c00 << 13;
    const REBIAS: u32 = (127 - 15) << 23;
    let sign = u32::from(bits & 0x8000) << 16;
    let shifted = u32::from(bits & 0x7fff) << 13;
    let normal = shifted + REBIAS;
    // Below the normal numbers there is no leading one: give it one and take it away again.
    let subnormal = (f32::from_bits(normal + (1 << 23)) - f32::from_bits(REBIAS + (1 << 23))).to_bits();
    let special = normal + REBIAS;
    let magnitude = if shifted >= EXPONENT {
        special
    } else if shifted < 1 << 23 {
        subnormal
    } else {
        normal
    };
    f32::from_bits(sign | magnitude)
}

/// Stores `value` at `at` in half precision and returns what a reader will see. Values beyond
/// the range become its ends, for an infinite scale would turn the block into NaN.
#[inline(always)]
pub(crate) fn put_f16<const N: usize>(block: &mut [u8; N], at: usize, value: f32) -> f32 {
    let half = f16::from_f32(value.clamp(-65504.0, 65504.0));
    block[at..at + 2].copy_from_slice(&half.to_le_bytes());
    half.to_f32()
}

/// `1 / d`, or 0 where that is not a finite number: then every quant becomes 0, as it should.
#[inline(always)]
pub(crate) fn inverse(d: f32) -> f32 {
    let id = 1.0 / d;
    if id.is_finite() { id } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_half_is_widened_exactly() {
        for bits in 0..=u16::MAX {
            let expected = f16::from_bits(bits).to_f32();
            let found = widen(bits);
            assert!(found.to_bits() == expected.to_bits() || found.is_nan() && expected.is_nan(), "{bits:#06x}");
        }
    }

    #[test]
    fn a_stored_scale_is_never_infinite() {
        let mut block = [0; 4];
        for (value, expected) in [(1e30, 65504.0), (-1e30, -65504.0), (65519.0, 65504.0), (1e-9, 0.0), (0.5, 0.5)] {
            assert_eq!(put_f16(&mut block, 1, value), expected);
            assert_eq!(f16_at(&block, 1), expected);
        }
    }
}
