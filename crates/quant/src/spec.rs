//! One row for each type: the place where a type is added.

use crate::codec::{Decode, decode_blocks, encode_row};
use crate::{GgmlType, float, iquants, kquants, legacy, microscaling, nonlinear, ternary};

/// Writes one row of values: the values, their importance (one entry a column), the blocks.
pub type QuantizeRow = fn(&[f32], Option<&[f32]>, &mut [u8]);

/// What there is to know about a type.
///
/// The two functions work on as many whole blocks as both slices hold and check nothing else;
/// [`dequantize`](crate::dequantize) and [`quantize`](crate::quantize) check lengths and values
/// and then call them.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct QuantSpec {
    /// The type this row describes.
    pub ty: GgmlType,
    /// Its name, as printed by every tool.
    pub name: &'static str,
    /// Values in one block.
    pub block_elems: usize,
    /// Bytes in one block.
    pub block_bytes: usize,
    /// Turns blocks into values, exactly: the truth that faster code is held against.
    pub dequantize: fn(&[u8], &mut [f32]),
    /// Turns one row of values into blocks; `None` where this crate only reads.
    pub quantize: Option<QuantizeRow>,
    /// Largest sum of squared errors, as a fraction of the sum of squares, that blocks of
    /// normally distributed weights with outliers may have. The tests hold both the stored
    /// samples and this crate's own quantizer to it. 0 where values are kept as they are.
    pub max_nmse: f64,
    /// One line about the format.
    pub doc: &'static str,
}

impl QuantSpec {
    /// Bits one value takes, scales included.
    pub const fn bits_per_weight(&self) -> f64 {
        (8 * self.block_bytes) as f64 / self.block_elems as f64
    }
}

/// A row whose sizes are those of the codec's own arrays.
const fn row<C, const BYTES: usize, const ELEMS: usize>(
    ty: GgmlType,
    quantize: Option<QuantizeRow>,
    max_nmse: f64,
    doc: &'static str,
) -> QuantSpec
where
    C: Decode<BYTES, ELEMS>,
{
    QuantSpec {
        ty,
        name: ty.name(),
        block_elems: ELEMS,
        block_bytes: BYTES,
        dequantize: decode_blocks::<C, BYTES, ELEMS>,
        quantize,
        max_nmse,
        doc,
    }
}

/// The last part of a row: `blocks` for a codec that can write, `plain(function)` for numbers
/// written one by one, `none` for types that are only read.
macro_rules! write {
    (none $codec:ty, $bytes:literal, $elems:literal) => {
        None
    };
    (blocks $codec:ty, $bytes:literal, $elems:literal) => {
        Some(encode_row::<$codec, $bytes, $elems>)
    };
    (plain $codec:ty, $bytes:literal, $elems:literal, $f:path) => {
        Some($f)
    };
}

/// Builds the table: a `match` without a wildcard, so that a type without a row, or a row whose
/// sizes are not its codec's, does not compile.
macro_rules! table {
    ($($ty:ident: $codec:ty, $bytes:literal B / $elems:literal, $write:ident $(($f:path))?, nmse $nmse:literal, $doc:literal;)*) => {
        /// The row of `ty`.
        pub(crate) const fn of(ty: GgmlType) -> &'static QuantSpec {
            match ty {
                $(GgmlType::$ty => {
                    static ROW: QuantSpec =
                        row::<$codec, $bytes, $elems>(GgmlType::$ty, write!($write $codec, $bytes, $elems $(, $f)?), $nmse, $doc);
                    &ROW
                })*
            }
        }
    };
}

#[rustfmt::skip]
table! {
    F32: float::F32, 4 B / 1, plain(float::write_f32), nmse 0.0, "IEEE 754 binary32";
    F16: float::F16, 2 B / 1, plain(float::write_f16), nmse 4e-8, "IEEE 754 binary16";
    BF16: float::Bf16, 2 B / 1, plain(float::write_bf16), nmse 2.7e-6, "upper half of a binary32";
    F64: float::F64, 8 B / 1, plain(float::write_f64), nmse 0.0, "IEEE 754 binary64, read as binary32";
    I8: float::I8, 1 B / 1, none, nmse 0.0, "signed 8-bit integers";
    I16: float::I16, 2 B / 1, none, nmse 0.0, "signed 16-bit integers";
    I32: float::I32, 4 B / 1, none, nmse 0.0, "signed 32-bit integers, read as binary32";
    I64: float::I64, 8 B / 1, none, nmse 0.0, "signed 64-bit integers, read as binary32";
    Q4_0: legacy::Q4_0, 18 B / 32, blocks, nmse 1.62e-2, "4 bits, one scale for 32";
    Q4_1: legacy::Q4_1, 20 B / 32, blocks, nmse 7.0e-3, "4 bits, scale and minimum for 32";
    Q5_0: legacy::Q5_0, 22 B / 32, blocks, nmse 4.0e-3, "5 bits, one scale for 32";
    Q5_1: legacy::Q5_1, 24 B / 32, blocks, nmse 1.64e-3, "5 bits, scale and minimum for 32";
    Q8_0: legacy::Q8_0, 34 B / 32, blocks, nmse 7.0e-5, "8 bits, one scale for 32";
    Q2_K: kquants::Q2K, 84 B / 256, blocks, nmse 8.52e-2, "2 bits, 4-bit scale and minimum for 16";
    Q3_K: kquants::Q3K, 110 B / 256, blocks, nmse 3.29e-2, "3 bits, 6-bit scale for 16";
    Q4_K: kquants::Q4K, 144 B / 256, blocks, nmse 7.25e-3, "4 bits, 6-bit scale and minimum for 32";
    Q5_K: kquants::Q5K, 176 B / 256, blocks, nmse 1.82e-3, "5 bits, 6-bit scale and minimum for 32";
    Q6_K: kquants::Q6K, 210 B / 256, blocks, nmse 6.1e-4, "6 bits, 8-bit scale for 16";
    IQ2_XXS: iquants::Iq2Xxs, 66 B / 256, none, nmse 2.35e-1, "256 points of 8 values, 4-bit scale for 32";
    IQ2_XS: iquants::Iq2Xs, 74 B / 256, none, nmse 1.49e-1, "512 points of 8 values, 4-bit scale for 16";
    IQ2_S: iquants::Iq2S, 82 B / 256, none, nmse 1.22e-1, "1024 points of 8 values, 4-bit scale for 16";
    IQ3_XXS: iquants::Iq3Xxs, 98 B / 256, none, nmse 4.84e-2, "256 points of 4 values, 4-bit scale for 32";
    IQ3_S: iquants::Iq3S, 110 B / 256, none, nmse 1.13e-1, "512 points of 4 values, 4-bit scale for 32";
    IQ1_S: iquants::Iq1S, 50 B / 256, none, nmse 3.7e-1, "2048 points of 8 values, 3-bit scale for 32";
    IQ1_M: iquants::Iq1M, 56 B / 256, none, nmse 2.54e-1, "2048 points of 8 values, 3-bit scale for 16";
    IQ4_NL: nonlinear::Iq4Nl, 18 B / 32, blocks, nmse 9.9e-3, "4 bits naming uneven levels, one scale for 32";
    IQ4_XS: nonlinear::Iq4Xs, 136 B / 256, blocks, nmse 1.03e-2, "4 bits naming uneven levels, 6-bit scale for 32";
    TQ1_0: ternary::Tq1_0, 54 B / 256, blocks, nmse 6.6e-1, "ternary, five values a byte";
    TQ2_0: ternary::Tq2_0, 66 B / 256, blocks, nmse 6.6e-1, "ternary, four values a byte";
    Q1_0: ternary::Q1_0, 18 B / 128, blocks, nmse 5.13e-1, "signs, one scale for 128";
    Q2_0: ternary::Q2_0, 18 B / 64, blocks, nmse 4.54e-1, "-1, 0, 1 or 2 times one scale for 64";
    MXFP4: microscaling::Mxfp4, 17 B / 32, blocks, nmse 1.8e-2, "E2M1 floats, power-of-two scale for 32";
    NVFP4: microscaling::Nvfp4, 36 B / 64, blocks, nmse 1.01e-2, "E2M1 floats, E4M3 scale for 16";
}
