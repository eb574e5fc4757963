//! The vector vocabulary of the kernels, and its three implementations.
//!
//! Kernels are written once over [`Simd`]: the 16 rows of a panel at one column, or at four
//! columns where the numbers are bytes. Because every operation here is exact or rounds once in
//! the way IEEE 754 prescribes, all implementations give the same bits.
//!
//! The instructions become available when everything was inlined into a function that enables
//! them (see `isa.rs`). So all of it is `inline(always)`, and no closure handles a vector: one
//! that is not inlined would call each instruction as a function.

#[cfg(target_arch = "x86_64")]
pub(super) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
pub(super) mod scalar;

/// 16 lanes: one for each row of a panel.
///
/// Values named `Bytes` hold 64 bytes, four consecutive columns of each row, as a packed panel
/// stores them. Where a method takes a pointer it reads or writes as many bytes as its result
/// or argument holds, at any alignment.
///
/// # Safety
/// Every method may be called only on a processor that has the instructions of the
/// implementation, and every pointer must be valid for the access named above.
pub(super) trait Simd: Copy {
    /// 16 `f32`.
    type Floats: Copy;
    /// 16 `i32`.
    type Ints: Copy;
    /// 16 x 4 bytes.
    type Bytes: Copy;

    /// +0 in each lane.
    unsafe fn zero() -> Self::Floats;
    /// 16 floats.
    unsafe fn load(at: *const f32) -> Self::Floats;
    /// Writes 16 floats.
    unsafe fn store(at: *mut f32, v: Self::Floats);
    /// One float in each lane.
    unsafe fn splat(at: *const f32) -> Self::Floats;
    /// `a + b`.
    unsafe fn add(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b`.
    unsafe fn mul(a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// `a * b + c`, rounded once.
    unsafe fn fma(a: Self::Floats, b: Self::Floats, c: Self::Floats) -> Self::Floats;
    /// 16 half-precision numbers, widened.
    unsafe fn half(at: *const u8) -> Self::Floats;
    /// 16 bfloat16 numbers, widened.
    unsafe fn bfloat(at: *const u8) -> Self::Floats;
    /// 16 unsigned bytes as floats.
    unsafe fn unsigned(at: *const u8) -> Self::Floats;
    /// 16 signed bytes as floats.
    unsafe fn signed(at: *const u8) -> Self::Floats;
    /// The low four bits of each of 16 bytes as floats.
    unsafe fn low_nibbles(at: *const u8) -> Self::Floats;
    /// The high four bits of each of 16 bytes as floats.
    unsafe fn high_nibbles(at: *const u8) -> Self::Floats;

    /// 64 bytes.
    unsafe fn bytes(at: *const u8) -> Self::Bytes;
    /// Writes 64 bytes.
    unsafe fn put_bytes(at: *mut u8, v: Self::Bytes);
    /// `a & mask` in each byte.
    unsafe fn and(a: Self::Bytes, mask: u8) -> Self::Bytes;
    /// `(a & mask) | b` in each byte.
    unsafe fn and_or(a: Self::Bytes, mask: u8, b: Self::Bytes) -> Self::Bytes;
    /// Each byte shifted right by `n` < 8; the vacated bits hold anything.
    unsafe fn right(a: Self::Bytes, n: u32) -> Self::Bytes;
    /// Each byte shifted left by `n` < 8; the vacated bits hold anything.
    unsafe fn left(a: Self::Bytes, n: u32) -> Self::Bytes;
    /// `table[i]` for each byte `i` < 16.
    unsafe fn look_up(table: &[u8; 16], i: Self::Bytes) -> Self::Bytes;

    /// Where a dot product of weights that were raised by an offset starts: `-offset * sum(x)`,
    /// with `offset` = 2^`shift`, or 0 for a shift of 32, and `*nsum` = `-sum(x)`. `WIDE` must
    /// be the one given to `dot`, and goes with a shift of 7.
    unsafe fn start<const WIDE: bool>(nsum: *const i32, shift: u32) -> Self::Ints;
    /// The same four signed bytes in each lane.
    unsafe fn quad(at: *const i8) -> Self::Bytes;
    /// Adds to each lane the dot product of four unsigned weights and four signed activations in
    /// -127..=127. `WIDE` says that weights may exceed 128.
    unsafe fn dot<const WIDE: bool>(acc: Self::Ints, w: Self::Bytes, x: Self::Bytes) -> Self::Ints;
    /// Each lane as a float, rounded to nearest.
    unsafe fn float(v: Self::Ints) -> Self::Floats;

    /// Asks for the cache line at `at`, which need not be a valid address.
    unsafe fn prefetch(at: *const u8);
}
