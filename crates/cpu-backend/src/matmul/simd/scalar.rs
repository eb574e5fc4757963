//! Plain arrays: runs anywhere, and is what other architectures compile to vector code.

use super::Simd;

#[derive(Clone, Copy)]
pub(in super::super) struct Scalar;

/// # Safety
/// 16 bytes can be read at `at`.
#[inline(always)]
unsafe fn sixteen(at: *const u8) -> [u8; 16] {
    // SAFETY: as promised by the caller; an array of bytes has no alignment.
    unsafe { at.cast::<[u8; 16]>().read() }
}

/// # Safety
/// 32 bytes can be read at `at`.
#[inline(always)]
unsafe fn words(at: *const u8) -> [u16; 16] {
    // SAFETY: as promised by the caller.
    let bytes = unsafe { at.cast::<[[u8; 2]; 16]>().read() };
    bytes.map(u16::from_le_bytes)
}

macro_rules! lanes {
    ($i:ident => $e:expr) => {
        std::array::from_fn(|$i| $e)
    };
}

impl Simd for Scalar {
    type Floats = [f32; 16];
    type Ints = [i32; 16];
    type Bytes = [[u8; 4]; 16];

    #[inline(always)]
    unsafe fn zero() -> Self::Floats {
        [0.0; 16]
    }
    #[inline(always)]
    unsafe fn load(at: *const f32) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<[f32; 16]>().read_unaligned() }
    }
    #[inline(always)]
    unsafe fn store(at: *mut f32, v: Self::Floats) {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<[f32; 16]>().write_unaligned(v) }
    }
    #[inline(always)]
    unsafe fn splat(at: *const f32) -> Self::Floats {
        // SAFETY: the caller's promise.
        [unsafe { at.read_unaligned() }; 16]
    }
    #[inline(always)]
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        lanes!(i => a[i] + b[i])
    }
    #[inline(always)]
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats {
        lanes!(i => a[i] * b[i])
    }
    #[inline(always)]
    unsafe fn fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats {
        lanes!(i => a[i].mul_add(b[i], c[i]))
    }
    #[inline(always)]
    unsafe fn half(at: *const u8) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { words(at) }.map(|v| half::f16::from_bits(v).to_f32())
    }
    #[inline(always)]
    unsafe fn bfloat(at: *const u8) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { words(at) }.map(|v| f32::from_bits(u32::from(v) << 16))
    }
    #[inline(always)]
    unsafe fn unsigned(at: *const u8) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { sixteen(at) }.map(f32::from)
    }
    #[inline(always)]
    unsafe fn signed(at: *const u8) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { sixteen(at) }.map(|v| f32::from(v.cast_signed()))
    }
    #[inline(always)]
    unsafe fn low_nibbles(at: *const u8) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { sixteen(at) }.map(|v| f32::from(v & 15))
    }
    #[inline(always)]
    unsafe fn high_nibbles(at: *const u8) -> Self::Floats {
        // SAFETY: the caller's promise.
        unsafe { sixteen(at) }.map(|v| f32::from(v >> 4))
    }
    #[inline(always)]
    unsafe fn bytes(at: *const u8) -> Self::Bytes {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<Self::Bytes>().read() }
    }
    #[inline(always)]
    unsafe fn put_bytes(at: *mut u8, v: Self::Bytes) {
        // SAFETY: the caller's promise.
        unsafe { at.cast::<Self::Bytes>().write(v) }
    }
    #[inline(always)]
    unsafe fn and(a: Self::Bytes, mask: u8) -> Self::Bytes {
        a.map(|q| q.map(|v| v & mask))
    }
    #[inline(always)]
    unsafe fn and_or(a: Self::Bytes, mask: u8, b: Self::Bytes) -> Self::Bytes {
        lanes!(i => lanes!(k => a[i][k] & mask | b[i][k]))
    }
    #[inline(always)]
    unsafe fn right(a: Self::Bytes, n: u32) -> Self::Bytes {
        a.map(|q| q.map(|v| v >> n))
    }
    #[inline(always)]
    unsafe fn left(a: Self::Bytes, n: u32) -> Self::Bytes {
        a.map(|q| q.map(|v| v << n))
    }
    #[inline(always)]
    unsafe fn look_up(table: &[u8; 16], i: Self::Bytes) -> Self::Bytes {
        i.map(|q| q.map(|v| table[usize::from(v & 15)]))
    }
    #[inline(always)]
    unsafe fn start<const WIDE: bool>(nsum: *const i32, shift: u32) -> Self::Ints {
        // SAFETY: the caller's promise.
        let nsum = unsafe { nsum.read_unaligned() };
        [nsum.checked_shl(shift).unwrap_or(0); 16]
    }
    #[inline(always)]
    unsafe fn quad(at: *const i8) -> Self::Bytes {
        // SAFETY: the caller's promise.
        [unsafe { at.cast::<[u8; 4]>().read() }; 16]
    }
    #[inline(always)]
    unsafe fn dot<const WIDE: bool>(acc: Self::Ints, w: Self::Bytes, x: Self::Bytes) -> Self::Ints {
        lanes!(i => {
            let products: [i32; 4] = lanes!(k => i32::from(w[i][k]) * i32::from(x[i][k].cast_signed()));
            acc[i] + products.iter().sum::<i32>()
        })
    }
    #[inline(always)]
    unsafe fn float(v: Self::Ints) -> Self::Floats {
        v.map(|v| v as f32)
    }
    #[inline(always)]
    unsafe fn prefetch(_: *const u8) {}
}
