use crate::isa::memory::atomic::*;
use crate::isa::memory::format::*;
use crate::isa::memory::global::{Flat, Global};
use crate::isa::memory::{loads, stores};
use crate::isa::{Class, Row};

/// Loads and stores, which have the same numbers in all encodings for vector memory.
macro_rules! loads_and_stores {
    ($space:ty, $prefix:literal, $load:expr, $store:expr $(, $more:expr)*) => {
        &[
            Row::new($load, 16, concat!($prefix, "_load_u8"), loads::<$space, U8, 1>()),
            Row::new($load, 17, concat!($prefix, "_load_i8"), loads::<$space, I8, 1>()),
            Row::new($load, 18, concat!($prefix, "_load_u16"), loads::<$space, U16, 1>()),
            Row::new($load, 19, concat!($prefix, "_load_i16"), loads::<$space, I16, 1>()),
            Row::new($load, 20, concat!($prefix, "_load_b32"), loads::<$space, Words<1>, 1>()),
            Row::new($load, 21, concat!($prefix, "_load_b64"), loads::<$space, Words<2>, 2>()),
            Row::new($load, 22, concat!($prefix, "_load_b96"), loads::<$space, Words<3>, 3>()),
            Row::new($load, 23, concat!($prefix, "_load_b128"), loads::<$space, Words<4>, 4>()),
            Row::new($store, 24, concat!($prefix, "_store_b8"), stores::<$space, U8, 1>()),
            Row::new($store, 25, concat!($prefix, "_store_b16"), stores::<$space, U16, 1>()),
            Row::new($store, 26, concat!($prefix, "_store_b32"), stores::<$space, Words<1>, 1>()),
            Row::new($store, 27, concat!($prefix, "_store_b64"), stores::<$space, Words<2>, 2>()),
            Row::new($store, 28, concat!($prefix, "_store_b96"), stores::<$space, Words<3>, 3>()),
            Row::new($store, 29, concat!($prefix, "_store_b128"), stores::<$space, Words<4>, 4>()),
            Row::new($load, 30, concat!($prefix, "_load_d16_u8"), loads::<$space, LowU8, 1>()),
            Row::new($load, 31, concat!($prefix, "_load_d16_i8"), loads::<$space, LowI8, 1>()),
            Row::new($load, 32, concat!($prefix, "_load_d16_b16"), loads::<$space, LowB16, 1>()),
            Row::new($load, 33, concat!($prefix, "_load_d16_hi_u8"), loads::<$space, HighU8, 1>()),
            Row::new($load, 34, concat!($prefix, "_load_d16_hi_i8"), loads::<$space, HighI8, 1>()),
            Row::new($load, 35, concat!($prefix, "_load_d16_hi_b16"), loads::<$space, HighB16, 1>()),
            Row::new($store, 36, concat!($prefix, "_store_d16_hi_b8"), stores::<$space, HighU8, 1>()),
            Row::new($store, 37, concat!($prefix, "_store_d16_hi_b16"), stores::<$space, HighB16, 1>()),
            $($more),*
        ]
    };
}
pub(super) use loads_and_stores;

/// Atomic operations, likewise.
macro_rules! atomics {
    ($space:ty, $prefix:literal) => {
        &[
            Row::new(Class::Atomic, 51, concat!($prefix, "_atomic_swap_b32"), behind::<$space, Swap32, 1>()),
            Row::new(Class::Atomic, 52, concat!($prefix, "_atomic_cmpswap_b32"), behind::<$space, CompareSwap32, 1>()),
            Row::new(Class::Atomic, 53, concat!($prefix, "_atomic_add_u32"), behind::<$space, Add32, 1>()),
            Row::new(Class::Atomic, 54, concat!($prefix, "_atomic_sub_u32"), behind::<$space, Sub32, 1>()),
            Row::new(Class::Atomic, 55, concat!($prefix, "_atomic_csub_u32"), behind::<$space, ClampedSub32, 1>()),
            Row::new(Class::Atomic, 56, concat!($prefix, "_atomic_min_i32"), behind::<$space, MinI32, 1>()),
            Row::new(Class::Atomic, 57, concat!($prefix, "_atomic_min_u32"), behind::<$space, MinU32, 1>()),
            Row::new(Class::Atomic, 58, concat!($prefix, "_atomic_max_i32"), behind::<$space, MaxI32, 1>()),
            Row::new(Class::Atomic, 59, concat!($prefix, "_atomic_max_u32"), behind::<$space, MaxU32, 1>()),
            Row::new(Class::Atomic, 60, concat!($prefix, "_atomic_and_b32"), behind::<$space, And32, 1>()),
            Row::new(Class::Atomic, 61, concat!($prefix, "_atomic_or_b32"), behind::<$space, Or32, 1>()),
            Row::new(Class::Atomic, 62, concat!($prefix, "_atomic_xor_b32"), behind::<$space, Xor32, 1>()),
            Row::new(Class::Atomic, 63, concat!($prefix, "_atomic_inc_u32"), behind::<$space, Inc32, 1>()),
            Row::new(Class::Atomic, 64, concat!($prefix, "_atomic_dec_u32"), behind::<$space, Dec32, 1>()),
            Row::new(Class::Atomic, 65, concat!($prefix, "_atomic_swap_b64"), behind::<$space, Swap64, 2>()),
            Row::new(Class::Atomic, 66, concat!($prefix, "_atomic_cmpswap_b64"), behind::<$space, CompareSwap64, 2>()),
            Row::new(Class::Atomic, 67, concat!($prefix, "_atomic_add_u64"), behind::<$space, Add64, 2>()),
            Row::new(Class::Atomic, 68, concat!($prefix, "_atomic_sub_u64"), behind::<$space, Sub64, 2>()),
            Row::new(Class::Atomic, 69, concat!($prefix, "_atomic_min_i64"), behind::<$space, MinI64, 2>()),
            Row::new(Class::Atomic, 70, concat!($prefix, "_atomic_min_u64"), behind::<$space, MinU64, 2>()),
            Row::new(Class::Atomic, 71, concat!($prefix, "_atomic_max_i64"), behind::<$space, MaxI64, 2>()),
            Row::new(Class::Atomic, 72, concat!($prefix, "_atomic_max_u64"), behind::<$space, MaxU64, 2>()),
            Row::new(Class::Atomic, 73, concat!($prefix, "_atomic_and_b64"), behind::<$space, And64, 2>()),
            Row::new(Class::Atomic, 74, concat!($prefix, "_atomic_or_b64"), behind::<$space, Or64, 2>()),
            Row::new(Class::Atomic, 75, concat!($prefix, "_atomic_xor_b64"), behind::<$space, Xor64, 2>()),
            Row::new(Class::Atomic, 76, concat!($prefix, "_atomic_inc_u64"), behind::<$space, Inc64, 2>()),
            Row::new(Class::Atomic, 77, concat!($prefix, "_atomic_dec_u64"), behind::<$space, Dec64, 2>()),
            Row::new(Class::Atomic, 80, concat!($prefix, "_atomic_cmpswap_f32"), behind::<$space, CompareSwapF32, 1>()),
            Row::new(Class::Atomic, 81, concat!($prefix, "_atomic_min_f32"), behind::<$space, MinF32, 1>()),
            Row::new(Class::Atomic, 82, concat!($prefix, "_atomic_max_f32"), behind::<$space, MaxF32, 1>()),
            Row::new(Class::Atomic, 86, concat!($prefix, "_atomic_add_f32"), behind::<$space, AddF32, 1>()),
        ]
    };
}
pub(super) use atomics;

/// FLAT.
pub(super) static FLAT: &[Row] = loads_and_stores!(Flat, "flat", Class::Load, Class::Store);
/// FLAT, atomic.
pub(super) static FLAT_ATOMICS: &[Row] = atomics!(Flat, "flat");
/// GLOBAL.
pub(super) static GLOBAL: &[Row] = loads_and_stores!(
    Global,
    "global",
    Class::Load,
    Class::Store,
    super::unsupported(Class::Load, 40, "global_load_addtid_b32"),
    super::unsupported(Class::Store, 41, "global_store_addtid_b32")
);
/// GLOBAL, atomic.
pub(super) static GLOBAL_ATOMICS: &[Row] = atomics!(Global, "global");
