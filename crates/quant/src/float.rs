//! Plain numbers: one value a block, converted on its own.
//!
//! Writing keeps NaN and infinities where the type has them. Finite values beyond the range
//! become its largest finite number: one infinite weight would spoil a whole model.

use half::{bf16, f16};

use crate::codec::{Decode, widen};

/// Defines a type whose block is one little-endian number.
macro_rules! plain {
    ($(#[$doc:meta])* $name:ident, $bytes:literal, |$b:ident| $value:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl Decode<$bytes, 1> for $name {
            #[inline(always)]
            fn decode(&$b: &[u8; $bytes], out: &mut [f32; 1]) {
                out[0] = $value;
            }
        }
    };
}

plain!(/** IEEE 754 binary32. */ F32, 4, |b| f32::from_le_bytes(b));
plain!(/** IEEE 754 binary16. */ F16, 2, |b| widen(u16::from_le_bytes(b)));
plain!(/** The upper half of a binary32. */ Bf16, 2, |b| f32::from_bits(u32::from(u16::from_le_bytes(b)) << 16));
plain!(/** IEEE 754 binary64, rounded. */ F64, 8, |b| f64::from_le_bytes(b) as f32);
plain!(/** Signed 8-bit integer. */ I8, 1, |b| f32::from(i8::from_le_bytes(b)));
plain!(/** Signed 16-bit integer. */ I16, 2, |b| f32::from(i16::from_le_bytes(b)));
plain!(/** Signed 32-bit integer, rounded. */ I32, 4, |b| i32::from_le_bytes(b) as f32);
plain!(/** Signed 64-bit integer, rounded. */ I64, 8, |b| i64::from_le_bytes(b) as f32);

/// Writes each value on its own; a column's importance cannot matter.
fn write<const BYTES: usize>(row: &[f32], out: &mut [u8], to: impl Fn(f32) -> [u8; BYTES]) {
    for (value, bytes) in row.iter().zip(out.as_chunks_mut::<BYTES>().0) {
        *bytes = to(*value);
    }
}

/// A finite value within `-max..=max`; anything else as it is.
fn saturate(value: f32, max: f32) -> f32 {
    if value.is_finite() { value.clamp(-max, max) } else { value }
}

pub(crate) fn write_f32(row: &[f32], _: Option<&[f32]>, out: &mut [u8]) {
    write(row, out, f32::to_le_bytes);
}

pub(crate) fn write_f16(row: &[f32], _: Option<&[f32]>, out: &mut [u8]) {
    write(row, out, |v| f16::from_f32(saturate(v, f16::MAX.to_f32())).to_le_bytes());
}

pub(crate) fn write_bf16(row: &[f32], _: Option<&[f32]>, out: &mut [u8]) {
    write(row, out, |v| bf16::from_f32(saturate(v, bf16::MAX.to_f32())).to_le_bytes());
}

pub(crate) fn write_f64(row: &[f32], _: Option<&[f32]>, out: &mut [u8]) {
    write(row, out, |v| f64::from(v).to_le_bytes());
}
