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
    /// Bits of a weight in the low plane: 2, 4 or 8.
    pub low: usize,
    /// Further bits in the high plane: 0, 1 or 2.
    pub high: usize,
    /// What is subtracted from a weight: 0 or a power of two.
    pub offset: u32,
    /// Maps the stored bits to a weight raised by `offset`.
    pub table: Option<[u8; 16]>,
    /// Columns that share a scale: 16 or 32.
    pub sub_block: usize,
    /// Where that scale comes from.
    pub scale: Scale,
    /// Whether a minimum of the same kind is added.
    pub min: bool,
}

/// How the scales of a packed format are stored. Minima are stored alike, with their sign such
/// that they are added.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// One f16 for each row and block.
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

    /// Whether a weight may exceed 63, see [`super::simd::Simd::dot`].
    pub const fn wide(&self) -> bool {
        self.offset > 64
    }

    /// The offset as [`super::simd::Simd::start`] wants it.
    pub const fn shift(&self) -> u32 {
        if self.offset == 0 { 32 } else { self.offset.trailing_zeros() }
    }

    /// Where the sub-block scales of a super-block begin.
    pub const fn sub_scales_at(&self) -> usize {
        2 * ROWS * (1 + self.min as usize)
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
    ($($name:ident { $($field:ident: $value:expr),* $(,)? })*) => {
        $(
            #[doc = concat!("Packed form of ", stringify!($name), ".")]
            #[allow(non_camel_case_types, reason = "the field's own names")]
            #[derive(Clone, Copy)]
            pub(super) struct $name;
            impl Format for $name {
                const SPEC: Spec = Spec { $($field: $value,)* ..PLAIN };
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

const PLAIN: Spec = Spec { low: 4, high: 0, offset: 0, table: None, sub_block: 32, scale: Scale::Half, min: false };

formats! {
    Q4_0 { offset: 8 }
    Q4_1 { min: true }
    Q5_0 { high: 1, offset: 16 }
    Q5_1 { high: 1, min: true }
    Q8_0 { low: 8, offset: 128 }
    Q2_K { low: 2, sub_block: 16, scale: Scale::Nibbles, min: true }
    Q3_K { low: 2, high: 1, offset: 4, sub_block: 16, scale: Scale::Signed }
    Q4_K { scale: Scale::Unsigned, min: true }
    Q5_K { high: 1, scale: Scale::Unsigned, min: true }
    Q6_K { high: 2, offset: 32, sub_block: 16, scale: Scale::Signed }
    IQ4_NL { offset: 128, table: Some(raised(&IQ4_NL_VALUES, 128)) }
    IQ4_XS { offset: 128, table: Some(raised(&IQ4_NL_VALUES, 128)), scale: Scale::Signed }
    MXFP4 { offset: 16, table: Some(raised(&E2M1_VALUES_X2, 16)), scale: Scale::Bfloat }
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

    /// Panels may not cost more than 6 % over the file, or a model that fits stops fitting.
    #[test]
    fn packed_weights_stay_small() {
        let packed = [
            GgmlType::Q4_0,
            GgmlType::Q4_1,
            GgmlType::Q5_0,
            GgmlType::Q5_1,
            GgmlType::Q8_0,
            GgmlType::Q2_K,
            GgmlType::Q3_K,
            GgmlType::Q4_K,
            GgmlType::Q5_K,
            GgmlType::Q6_K,
            GgmlType::IQ4_NL,
            GgmlType::IQ4_XS,
            GgmlType::MXFP4,
        ];
        for ty in packed {
            let spec = spec_of(ty).unwrap();
            let columns = BLOCK * spec.blocks();
            assert_eq!(columns, ty.block_elems(), "{ty}");
            let stored = ROWS * ty.block_bytes();
            assert!(spec.record_bytes() * 100 <= stored * 106, "{ty}: {} of {stored}", spec.record_bytes());
            assert!(spec.offset == 0 || spec.offset.is_power_of_two(), "{ty}");
            assert!(!spec.wide() || spec.offset == 128, "{ty}: wide weights are raised by 128");
        }
    }
}
