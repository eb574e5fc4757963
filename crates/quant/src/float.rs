//! Plain numbers: one value a block, converted on its own.
//!
//! Writing keeps NaN and infinities where the type has them. Finite values beyond the range
//! become its largest finite number: one infinite weight would spoil a whole model.

use half::f16;

use crate::codec::Decode;

/// Defines a type whose block is one little-endian number.
macro_rules! plain {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, $read:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl Decode<$bytes, 1> for $name {
            #[inline(always)]
            fn decode(block: &[u8; $bytes], out: &mut [f32; 1]) {
                let read: fn([u8; $bytes]) -> f32 = $read;
                out[0] = read(*block);
            }
        }
    };
}

plain!(/** IEEE 754 binary32. */ F32, 4, f32::from_le_bytes);
plain!(/** IEEE 754 binary16. */ F16, 2, |b| f16::from_le_bytes(b).to_f32());
plain!(/** The upper half of a binary32. */ Bf16, 2, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16));
plain!(/** IEEE 754 binary64, rounded. */ F64, 8, |b| f64::from_le_bytes(b) as f32);
plain!(/** Signed 8-bit integer. */ I8, 1, |b| f32::from(i8::from_le_bytes(b)));
plain!(/** Signed 16-bit integer. */ I16, 2, |b| f32::from(i16::from_le_bytes(b)));
plain!(/** Signed 32-bit integer, rounded. */ I32, 4, |b| i32::from_le_bytes(b) as f32);
plain!(/** Signed 64-bit integer, rounded. */ I64, 8, |b| i64::from_le_bytes(b) as f32);
