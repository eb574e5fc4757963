//! The numbers GGUF files use for tensor types, and the size of each type's block.

use std::{fmt, str::FromStr};

use crate::{QuantError, QuantSpec, spec};

macro_rules! ggml_types {
    ($($variant:ident = $id:literal,)*) => {
        /// Element type of a tensor in a GGUF file. The discriminant is the file's own number.
        ///
        /// The numbers 4, 5, 31 to 33 and 36 to 38 belonged to formats that were withdrawn, and
        /// 9 and 15 are activations that never reach a file; [`GgmlType::from_id`] knows none of
        /// them.
        #[allow(non_camel_case_types, missing_docs, reason = "the field's own names, as printed by every tool")]
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u32)]
        pub enum GgmlType {
            $($variant = $id,)*
        }

        impl GgmlType {
            /// Every type, in the order of the file's numbers.
            pub const ALL: &[GgmlType] = &[$(GgmlType::$variant),*];

            /// The type with the file's number `id`, or `None` for a number nobody uses.
            pub const fn from_id(id: u32) -> Option<GgmlType> {
                match id {
                    $($id => Some(GgmlType::$variant),)*
                    _ => None,
                }
            }

            /// The name every tool prints: `Q4_K`, `IQ2_XXS`, `F16`.
            pub const fn name(self) -> &'static str {
                match self {
                    $(GgmlType::$variant => stringify!($variant),)*
                }
            }
        }
    };
}

ggml_types! {
    F32 = 0,
    F16 = 1,
    Q4_0 = 2,
    Q4_1 = 3,
    Q5_0 = 6,
    Q5_1 = 7,
    Q8_0 = 8,
    Q2_K = 10,
    Q3_K = 11,
    Q4_K = 12,
    Q5_K = 13,
    Q6_K = 14,
    IQ2_XXS = 16,
    IQ2_XS = 17,
    IQ3_XXS = 18,
    IQ1_S = 19,
    IQ4_NL = 20,
    IQ3_S = 21,
    IQ2_S = 22,
    IQ4_XS = 23,
    I8 = 24,
    I16 = 25,
    I32 = 26,
    I64 = 27,
    F64 = 28,
    IQ1_M = 29,
    BF16 = 30,
    TQ1_0 = 34,
    TQ2_0 = 35,
    MXFP4 = 39,
    NVFP4 = 40,
    Q1_0 = 41,
    Q2_0 = 42,
}

impl GgmlType {
    /// The number a GGUF file stores for this type.
    pub const fn id(self) -> u32 {
        self as u32
    }

    /// The row of the table that says everything about this type.
    pub const fn spec(self) -> &'static QuantSpec {
        spec::of(self)
    }

    /// Values in one block; 1 for plain numbers.
    pub const fn block_elems(self) -> usize {
        self.spec().block_elems
    }

    /// Bytes in one block.
    pub const fn block_bytes(self) -> usize {
        self.spec().block_bytes
    }

    /// Whether values share a scale, so that a block is decoded as a whole. Plain floats and
    /// integers are not quantized.
    pub const fn is_quantized(self) -> bool {
        self.block_elems() > 1
    }

    /// Bytes taken by `elems` consecutive values; `None` if they are not a whole number of
    /// blocks or the product does not fit a `usize`.
    pub const fn row_bytes(self, elems: usize) -> Option<usize> {
        if !elems.is_multiple_of(self.block_elems()) {
            return None;
        }
        (elems / self.block_elems()).checked_mul(self.block_bytes())
    }
}

impl fmt::Display for GgmlType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for GgmlType {
    type Err = QuantError;

    /// Reads a name in any case.
    fn from_str(name: &str) -> Result<Self, QuantError> {
        let known = GgmlType::ALL.iter().find(|ty| ty.name().eq_ignore_ascii_case(name));
        known.copied().ok_or_else(|| QuantError::UnknownName { name: name.to_owned() })
    }
}

/// All names in one line, for the message about an unknown one.
pub(crate) fn known_names() -> String {
    let names: Vec<&str> = GgmlType::ALL.iter().map(|ty| ty.name()).collect();
    names.join(", ")
}
