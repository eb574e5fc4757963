//! How bytes of memory become registers, and registers bytes.

/// A format of loads and stores.
pub(crate) trait Format {
    /// Bytes of a lane.
    const BYTES: usize;
    /// A load keeps the other half of its register.
    const KEEPS_HALF: bool = false;
    /// A store takes the high half of its register.
    const TAKES_HIGH: bool = false;
    /// Whether a word of memory, as it is read, is what a store of a word would write there.
    fn same(there: u32, stored: u32) -> bool {
        let bits = 8 * Self::BYTES.min(4) as u32;
        there == stored & (u32::MAX >> (32 - bits))
    }
    /// What a load makes of a word of memory, and of the register's old value.
    fn place(raw: u32, old: u32) -> u32;
}

macro_rules! format {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, |$raw:ident| $place:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;
        impl Format for $name {
            const BYTES: usize = $bytes;
            #[inline(always)]
            fn place($raw: u32, _: u32) -> u32 {
                $place
            }
        }
    };
    ($(#[$doc:meta])* $name:ident, $bytes:literal, |$raw:ident, $old:ident| $place:expr, high: $high:literal) => {
        $(#[$doc])*
        pub(crate) struct $name;
        impl Format for $name {
            const BYTES: usize = $bytes;
            const KEEPS_HALF: bool = true;
            const TAKES_HIGH: bool = $high;
            #[inline(always)]
            fn place($raw: u32, $old: u32) -> u32 {
                $place
            }
        }
    };
}

/// So many whole registers.
pub(crate) struct Words<const N: usize>;

impl<const N: usize> Format for Words<N> {
    const BYTES: usize = 4 * N;
    #[inline(always)]
    fn place(raw: u32, _: u32) -> u32 {
        raw
    }
}

const LOW: u32 = 0xffff;
const HIGH: u32 = 0xffff_0000;

const fn sign8(raw: u32) -> u32 {
    raw as u8 as i8 as i32 as u32
}

format!(
    /// A byte without sign.
    U8, 1, |raw| raw
);
format!(
    /// A byte with sign.
    I8, 1, |raw| sign8(raw)
);
format!(
    /// Two bytes without sign.
    U16, 2, |raw| raw
);
format!(
    /// Two bytes with sign.
    I16, 2, |raw| raw as u16 as i16 as i32 as u32
);
format!(
    /// A byte without sign in the low half.
    LowU8, 1, |raw, old| old & HIGH | raw, high: false
);
format!(
    /// A byte with sign in the low half.
    LowI8, 1, |raw, old| old & HIGH | sign8(raw) & LOW, high: false
);
format!(
    /// Two bytes in the low half.
    LowB16, 2, |raw, old| old & HIGH | raw, high: false
);
format!(
    /// A byte without sign in the high half.
    HighU8, 1, |raw, old| old & LOW | raw << 16, high: true
);
format!(
    /// A byte with sign in the high half.
    HighI8, 1, |raw, old| old & LOW | sign8(raw) << 16, high: true
);
format!(
    /// Two bytes in the high half.
    HighB16, 2, |raw, old| old & LOW | raw << 16, high: true
);
