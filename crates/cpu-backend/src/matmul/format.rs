//! Packed formats as data: which bit planes, scales and minima a panel of 16 rows holds.
//!
//! A panel is a run of records along the columns. A record covers one block of 32 columns, or
//! eight of them where scales are relative to a super-block's. Inside it, in this order:
//!
//! 1. the scale of each row (16 x f16 or bf16), and likewise the minimum;
//! 2. in a super-block, one byte for each row and sub-block: its scale, then likewise its minimum;
//! 3. for each block of 32 columns, its planes: first the low bits of every weight, then the high.
//!
//! Within a plane the unit is 64 bytes = four consecutive columns of 16 rows (row-major: the four
//! bytes of row 0 first), because a dot-product instruction eats exactly that. A block has eight
//! such groups; with 4-bit weights one unit carries group `j` in its low and `j + 4` in its high
//! nibbles, with 2 bits it carries `j`, `j + 2`, `j + 4`, `j + 6` from the low bits up, and with
//! one bit all eight.
//!
//! Weights are kept unsigned, raised by `offset`. A product then is
//! `scale * (sum(w * x) - offset * sum(x)) + min * sum(x)`.

use rocmforge_quant::{E2M1_VALUES_X2, GgmlType, IQ4_NL_VALUES};

/// Rows of a panel.
pub(super) const ROWS: usize = 16;
/// Columns of a block, the reach of one activation scale.
pub(super) const BLOCK: usize = 32;

/// How a packed format is laid out, and what its numbers mean.
#[derive(Debug)]
pub(super) struct Spec {
    /// Bits of a weight in the low plane: 1, 2, 4 or 8.
    pub low: usize,
    /// Further bits in the high plane: 0, 1 or 2.
    pub high: usize,
    /// What is subtracted from a weight: 0 or a power of two.
    pub offset: u32,
    /// Maps the stored bits, at most four, to a weight raised by `offset`.
    pub table: Option<[u8; 16]>,
    /// Columns that share a scale: 16 or 32.
    pub sub_block: usize,
    /// Where that scale comes from.
    pub scale: Scale,
    /// Whether a minimum of the same kind is added; then there is one sub-block in a block, or
    /// its scale is four bits.
    pub min: bool,
    /// What the scale of a super-block is multiplied by: a power of two.
    pub gain: f32,
    /// Whether activations come with what rounding to 8 bits left over, rounded to 8 bits in turn. Weights of 8 bits
    /// are so exact that a single rounding of the activations would be most of the error.
    pub fine: bool,
}

/// How the scales of a packed format are stored. Minima are stored alike, with their sign such
/// that they are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// One f16 for each row and sub-block.
    Half,
    /// One bf16 for each row and block: reaches the exponents of E8M0.
    Bfloat,
    /// One f16 for each row and super-block, times an unsigned byte for each sub-block.
    Unsigned,
    /// The same with a signed byte.
    Signed,
    /// The same with four bits: the low ones are the scale, the high ones the minimum.
    Nibbles,
}

impl Spec {
    /// Blocks of 32 columns in a record.
    pub const fn blocks(&self) -> usize {
        match self.scale {
            Scale::Half | Scale::Bfloat => 1,
            Scale::Unsigned | Scale::Signed | Scale::Nibbles => 8,
        }
    }

    /// Sub-blocks in a block: 1 or 2.
    pub const fn subs(&self) -> usize {
        BLOCK / self.sub_block
    }

    /// Whether a weight may exceed 128, see [`super::simd::Simd::dot`].
    pub const fn wide(&self) -> bool {
        self.offset > 64
    }

    /// The offset as [`super::simd::Simd::start`] wants it.
    pub const fn shift(&self) -> u32 {
        if self.offset == 0 { 32 } else { self.offset.trailing_zeros() }
    }

    /// Where the sub-block scales of a super-block begin.
    pub const fn sub_scales_at(&self) -> usize {
        let scales = match self.scale {
            Scale::Half | Scale::Bfloat => self.subs(),
            Scale::Unsigned | Scale::Signed | Scale::Nibbles => 1,
        };
        2 * ROWS * (scales + self.min as usize)
    }

    /// Where the sub-block minima of a super-block begin.
    pub const fn sub_mins_at(&self) -> usize {
        self.sub_scales_at() + self.sub_scale_bytes()
    }

    const fn sub_scale_bytes(&self) -> usize {
        match self.scale {
            Scale::Half | Scale::Bfloat => 0,
            Scale::Unsigned | Scale::Signed | Scale::Nibbles => ROWS * self.blocks() * self.subs(),
        }
    }

    /// Where the planes of the first block begin.
    pub const fn planes_at(&self) -> usize {
        let mins = self.min && matches!(self.scale, Scale::Unsigned | Scale::Signed);
        self.sub_mins_at() + if mins { self.sub_scale_bytes() } else { 0 }
    }

    /// Bytes of a block's low plane; its high plane follows.
    pub const fn low_bytes(&self) -> usize {
        self.low * ROWS * BLOCK / 8
    }

    /// Bytes of a block's planes.
    pub const fn block_bytes(&self) -> usize {
        (self.low + self.high) * ROWS * BLOCK / 8
    }

    /// Bytes of a record.
    pub const fn record_bytes(&self) -> usize {
        self.planes_at() + self.blocks() * self.block_bytes()
    }
}

/// A packed format at compile time, so that kernels are straight-line code.
pub(super) trait Format {
    /// The layout.
    const SPEC: Spec;
}

/// Defines each format as a type and finds it by the file's type.
macro_rules! formats {
    ($($name:ident { $($field:ident: $value:expr,)* ..$base:ident })*) => {
        $(
            #[doc = concat!("Packed form of ", stringify!($name), ".")]
            #[allow(non_camel_case_types, reason = "the field's own names")]
            #[derive(Clone, Copy)]
            pub(super) struct $name;
            impl Format for $name {
                const SPEC: Spec = Spec { $($field: $value,)* ..$base };
            }
        )*
        /// The packed form of a type; `None` for types that are not packed into integers.
        pub(super) const fn spec_of(ty: GgmlType) -> Option<&'static Spec> {
            match ty {
                $(GgmlType::$name => Some(&$name::SPEC),)*
                _ => None,
            }
        }
        /// Calls `$then!(Format)` for the format of a type, `$other` for any other type.
        macro_rules! with_format {
            ($ty:expr, $then:ident, $other:expr) => {
                match $ty {
                    $(rocmforge_quant::GgmlType::$name => $then!($crate::matmul::format::$name),)*
                    _ => $other,
                }
            };
        }
        pub(super) use with_format;
    };
}

const PLAIN: Spec = Spec {
    low: 4,
    high: 0,
    offset: 0,
    table: None,
    sub_block: 32,
    scale: Scale::Half,
    min: false,
    gain: 1.0,
    fine: false,
};

formats! {
    Q4_0 { offset: 8, ..PLAIN }
    Q4_1 { min: true, ..PLAIN }
    Q5_0 { high: 1, offset: 16, ..PLAIN }
    Q5_1 { high: 1, min: true, ..PLAIN }
    Q8_0 { low: 8, offset: 128, fine: true, ..PLAIN }
    Q2_K { low: 2, sub_block: 16, scale: Scale::Nibbles, min: true, ..PLAIN }
    Q3_K { low: 2, high: 1, offset: 4, sub_block: 16, scale: Scale::Signed, ..PLAIN }
    Q4_K { scale: Scale::Unsigned, min: true, ..PLAIN }
    Q5_K { high: 1, scale: Scale::Unsigned, min: true, ..PLAIN }
    Q6_K { high: 2, offset: 32, sub_block: 16, scale: Scale::Signed, ..PLAIN }
    IQ4_NL { offset: 128, table: Some(raised(&IQ4_NL_VALUES, 128)), ..PLAIN }
    IQ4_XS { offset: 128, table: Some(raised(&IQ4_NL_VALUES, 128)), scale: Scale::Signed, ..PLAIN }
    MXFP4 { offset: 16, table: Some(raised(&E2M1_VALUES_X2, 16)), scale: Scale::Bfloat, ..PLAIN }
    NVFP4 { offset: 16, table: Some(raised(&E2M1_VALUES_X2, 16)), sub_block: 16, ..PLAIN }
    IQ3_S { offset: 16, table: Some(mirrored([1, 3, 5, 7, 9, 11, 13, 15], 16)), scale: Scale::Unsigned, ..PLAIN }
    IQ3_XXS {
        offset: 64,
        table: Some(mirrored([4, 12, 20, 28, 36, 44, 52, 62], 64)),
        scale: Scale::Unsigned,
        gain: 0.25,
        ..PLAIN
    }
    IQ2_S { sub_block: 16, ..IQ2 }
    IQ2_XS { sub_block: 16, ..IQ2 }
    IQ2_XXS { ..IQ2 }
    IQ1_M { sub_block: 16, ..IQ1 }
    IQ1_S { ..IQ1 }
    Q2_0 { low: 2, offset: 1, ..PLAIN }
    Q1_0 { low: 1, offset: 1, table: Some(raised(&[-1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1)), ..PLAIN }
    TQ2_0 { low: 2, offset: 1, ..PLAIN }
    TQ1_0 { low: 2, offset: 1, ..PLAIN }
}

/// Codebooks of 2-bit types have three magnitudes.
const IQ2: Spec = Spec {
    low: 2,
    high: 1,
    offset: 64,
    table: Some(mirrored([8, 25, 43, 0, 0, 0, 0, 0], 64)),
    scale: Scale::Unsigned,
    gain: 0.125,
    ..PLAIN
};

/// Codebooks of 1-bit types have -1, 0 and 1, and then an eighth is added or subtracted.
const IQ1: Spec = Spec {
    low: 2,
    high: 1,
    offset: 16,
    table: Some(mirrored([1, 7, 9, 0, 0, 0, 0, 0], 16)),
    scale: Scale::Unsigned,
    gain: 0.125,
    ..PLAIN
};

/// The codebook of these magnitudes with both signs, in turn; zeros are places not used.
const fn mirrored(magnitudes: [i8; 8], offset: i32) -> [u8; 16] {
    let mut values = [0; 16];
    let mut i = 0;
    while i < 8 {
        values[2 * i] = magnitudes[i];
        values[2 * i + 1] = -magnitudes[i];
        i += 1;
    }
    raised(&values, offset)
}

/// A codebook with `offset` added, so that no entry is negative.
const fn raised(values: &[i8; 16], offset: i32) -> [u8; 16] {
    let mut table = [0; 16];
    let mut i = 0;
    while i < 16 {
        let value = values[i] as i32 + offset;
        assert!(value >= 0 && value < 256);
        table[i] = value as u8;
        i += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Panels of the common types may not cost more than 6 % over the file, or a model that fits
    /// stops fitting. Types of codebooks cost up to twice their file, see `codebooks.rs`.
    #[test]
    fn packed_weights_stay_small() {
        for ty in GgmlType::ALL.iter().copied() {
            let Some(spec) = spec_of(ty) else { continue };
            let limit = match ty {
                GgmlType::NVFP4 | GgmlType::Q2_0 => 112,
                GgmlType::TQ2_0 | GgmlType::IQ3_S => 125,
                GgmlType::Q1_0 | GgmlType::IQ2_S | GgmlType::IQ3_XXS => 142,
                GgmlType::TQ1_0 | GgmlType::IQ2_XS | GgmlType::IQ2_XXS => 165,
                GgmlType::IQ1_S | GgmlType::IQ1_M => 215,
                _ => 106,
            };
            let columns = BLOCK * spec.blocks();
            assert!(ty.block_elems().is_multiple_of(columns), "{ty}");
            let stored = ROWS * ty.block_bytes() * columns / ty.block_elems();
            let packed = spec.record_bytes() * 100 / stored;
            assert!(packed <= limit, "{ty}: {packed} % of {stored} bytes");
        }
    }

    #[test]
    fn numbers_stay_in_the_range_of_the_kernels() {
        for spec in GgmlType::ALL.iter().filter_map(|ty| spec_of(*ty)) {
            assert!(spec.offset == 0 || spec.offset.is_power_of_two());
            assert!(!spec.wide() || spec.offset == 128, "wide weights are raised by 128");
            assert!(spec.table.is_none() || spec.low + spec.high <= 4);
            let bits = spec.low + spec.high;
            let largest = spec.table.map_or((1u32 << bits) - 1, |t| t.into_iter().fold(0, |m, w| m.max(w.into())));
            assert!(spec.wide() || largest <= 128);
            assert!(!spec.min || spec.subs() == 1 || spec.scale == Scale::Nibbles);
        }
    }
}
