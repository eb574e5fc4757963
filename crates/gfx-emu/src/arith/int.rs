//! Integer instructions that are more than one Rust operator.
//!
//! Each is free of branches, so that a loop over lanes is vectorised. Names and operand order are the instructions'
//! (RDNA3 ISA guide, "VOP2" and "VOP3").

/// Byte `index` of a word.
#[inline(always)]
fn byte(word: u32, index: u32) -> u32 {
    word >> (8 * index) & 0xff
}

/// V_PERM_B32: four bytes, each chosen by a byte of `selector`.
///
/// 0 to 7 choose a byte of `high:low`; 8 to 11 the sign of its byte 1, 3, 5 or 7, repeated; 12 chooses 0 and all above
/// 0xff.
#[inline(always)]
pub fn perm(high: u32, low: u32, selector: u32) -> u32 {
    let pick = |selector: u32| {
        let index = if selector < 8 { selector } else { 2 * (selector & 3) + 1 };
        let word = if index & 4 == 0 { low } else { high };
        let chosen = byte(word, index & 3);
        let sign = if chosen & 0x80 == 0 { 0 } else { 0xff };
        let constant = if selector == 12 { 0 } else { 0xff };
        let special = if selector < 12 { sign } else { constant };
        if selector < 8 { chosen } else { special }
    };
    let place = |i: u32| pick(byte(selector, i)) << (8 * i);
    place(0) | place(1) | place(2) | place(3)
}

/// V_ALIGNBIT_B32: the low word of `high:low` shifted right by the low five bits of `shift`.
#[inline(always)]
pub fn alignbit(high: u32, low: u32, shift: u32) -> u32 {
    ((u64::from(high) << 32 | u64::from(low)) >> (shift & 31)) as u32
}

/// V_ALIGNBYTE_B32: the low word of `high:low` shifted right by up to three bytes.
#[inline(always)]
pub fn alignbyte(high: u32, low: u32, bytes: u32) -> u32 {
    alignbit(high, low, 8 * (bytes & 3))
}

/// The low `width` bits set; `width` counts modulo 32.
#[inline(always)]
fn low_bits(width: u32) -> u32 {
    (1 << (width & 31)) - 1
}

/// V_BFE_U32: `width` bits of `a` from bit `offset` on; both count modulo 32.
#[inline(always)]
pub fn bfe_u32(a: u32, offset: u32, width: u32) -> u32 {
    a >> (offset & 31) & low_bits(width)
}

/// V_BFE_I32: as [`bfe_u32`], with the highest bit of the field as sign. Bits past the word's end repeat its sign.
#[inline(always)]
pub fn bfe_i32(a: i32, offset: u32, width: u32) -> i32 {
    let field = (a >> (offset & 31)) as u32 & low_bits(width);
    let sign = (low_bits(width) >> 1) + 1;
    let sign = if width & 31 == 0 { 0 } else { sign };
    (field ^ sign).wrapping_sub(sign) as i32
}

/// V_BFI_B32: bits of `b` where `mask` is set, of `c` elsewhere.
#[inline(always)]
pub fn bfi(mask: u32, b: u32, c: u32) -> u32 {
    mask & b | !mask & c
}

/// V_BFM_B32: `width` set bits from bit `offset` on; both count modulo 32.
#[inline(always)]
pub fn bfm(width: u32, offset: u32) -> u32 {
    low_bits(width) << (offset & 31)
}

/// V_MUL_HI_U32: the upper half of the product.
#[inline(always)]
pub fn mul_hi_u32(a: u32, b: u32) -> u32 {
    ((u64::from(a) * u64::from(b)) >> 32) as u32
}

/// V_MUL_HI_I32: the upper half of the product.
#[inline(always)]
pub fn mul_hi_i32(a: i32, b: i32) -> i32 {
    ((i64::from(a) * i64::from(b)) >> 32) as i32
}

/// V_MAD_U64_U32: `a × b + c` and the carry.
#[inline(always)]
pub fn mad_u64_u32(a: u32, b: u32, c: u64) -> (u64, bool) {
    (u64::from(a) * u64::from(b)).overflowing_add(c)
}

/// V_MAD_I64_I32: `a × b + c` and the sum's 65th bit, which is its true sign.
#[inline(always)]
pub fn mad_i64_i32(a: i32, b: i32, c: i64) -> (i64, bool) {
    let (sum, overflow) = (i64::from(a) * i64::from(b)).overflowing_add(c);
    (sum, (sum < 0) != overflow)
}

/// The low 24 bits.
#[inline(always)]
fn low_24(a: u32) -> u32 {
    a & 0x00ff_ffff
}

/// The low 24 bits as a signed number.
#[inline(always)]
fn signed_24(a: i32) -> i32 {
    a << 8 >> 8
}

/// V_MUL_U32_U24: the low word of the product of 24-bit numbers.
#[inline(always)]
pub fn mul_u24(a: u32, b: u32) -> u32 {
    low_24(a).wrapping_mul(low_24(b))
}

/// V_MUL_HI_U32_U24: the high word of the product of 24-bit numbers.
#[inline(always)]
pub fn mul_hi_u24(a: u32, b: u32) -> u32 {
    mul_hi_u32(low_24(a), low_24(b))
}

/// V_MUL_I32_I24: the low word of the product of signed 24-bit numbers.
#[inline(always)]
pub fn mul_i24(a: i32, b: i32) -> i32 {
    signed_24(a).wrapping_mul(signed_24(b))
}

/// V_MUL_HI_I32_I24: the high word of the product of signed 24-bit numbers.
#[inline(always)]
pub fn mul_hi_i24(a: i32, b: i32) -> i32 {
    mul_hi_i32(signed_24(a), signed_24(b))
}

/// V_MAD_U32_U24: [`mul_u24`] plus `c`, saturated if `clamp`.
#[inline(always)]
pub fn mad_u24(a: u32, b: u32, c: u32, clamp: bool) -> u32 {
    let product = u64::from(low_24(a)) * u64::from(low_24(b));
    let sum = product + u64::from(c);
    if clamp { sum.min(u32::MAX.into()) as u32 } else { sum as u32 }
}

/// V_MAD_I32_I24: [`mul_i24`] plus `c`, saturated if `clamp`.
#[inline(always)]
pub fn mad_i24(a: i32, b: i32, c: i32, clamp: bool) -> i32 {
    let sum = i64::from(signed_24(a)) * i64::from(signed_24(b)) + i64::from(c);
    if clamp { sum.clamp(i32::MIN.into(), i32::MAX.into()) as i32 } else { sum as i32 }
}

/// V_SAD_U8: the sum of the four bytes' absolute differences, plus `c`.
#[inline(always)]
pub fn sad_u8(a: u32, b: u32, c: u32) -> u32 {
    (0..4).fold(c, |sum, i| sum.wrapping_add(byte(a, i).abs_diff(byte(b, i))))
}

/// V_SAD_HI_U8: as [`sad_u8`], the sum moved to the upper half before `c` is added.
#[inline(always)]
pub fn sad_hi_u8(a: u32, b: u32, c: u32) -> u32 {
    (sad_u8(a, b, 0) << 16).wrapping_add(c)
}

/// V_MSAD_U8: as [`sad_u8`], without the bytes that are zero in the reference `b`.
#[inline(always)]
pub fn msad_u8(a: u32, b: u32, c: u32) -> u32 {
    (0..4).fold(c, |sum, i| {
        let (a, b) = (byte(a, i), byte(b, i));
        sum.wrapping_add(if b == 0 { 0 } else { a.abs_diff(b) })
    })
}

/// V_SAD_U16: the sum of the two halves' absolute differences, plus `c`.
#[inline(always)]
pub fn sad_u16(a: u32, b: u32, c: u32) -> u32 {
    let low = (a & 0xffff).abs_diff(b & 0xffff);
    let high = (a >> 16).abs_diff(b >> 16);
    low.wrapping_add(high).wrapping_add(c)
}

/// V_SAD_U32: the absolute difference, plus `c`.
#[inline(always)]
pub fn sad_u32(a: u32, b: u32, c: u32) -> u32 {
    a.abs_diff(b).wrapping_add(c)
}

/// V_LERP_U8: the mean of each pair of bytes, rounded up where the lowest bit of `round`'s byte is set.
#[inline(always)]
pub fn lerp_u8(a: u32, b: u32, round: u32) -> u32 {
    (0..4).fold(0, |result, i| result | (byte(a, i) + byte(b, i) + (byte(round, i) & 1)) >> 1 << (8 * i))
}

/// V_CLZ_I32_U32: zeros above the highest set bit, -1 of zero.
#[inline(always)]
pub fn clz(a: u32) -> i32 {
    if a == 0 { -1 } else { a.leading_zeros() as i32 }
}

/// V_CTZ_I32_B32: zeros below the lowest set bit, -1 of zero.
#[inline(always)]
pub fn ctz(a: u32) -> i32 {
    if a == 0 { -1 } else { a.trailing_zeros() as i32 }
}

/// V_CLS_I32: how many of the highest bits equal the sign, -1 if all do.
#[inline(always)]
pub fn cls(a: i32) -> i32 {
    clz((a ^ a >> 31) as u32)
}

/// V_BCNT_U32_B32: the set bits of `a`, plus `b`.
#[inline(always)]
pub fn bcnt(a: u32, b: u32) -> u32 {
    a.count_ones().wrapping_add(b)
}

/// V_MBCNT_LO_U32_B32: the set bits of `mask` that belong to lanes below `lane` (0 to 63), plus `b`.
#[inline(always)]
pub fn mbcnt_lo(mask: u32, b: u32, lane: u32) -> u32 {
    let below = if lane < 32 { low_bits(lane) } else { u32::MAX };
    bcnt(mask & below, b)
}

/// V_MBCNT_HI_U32_B32: as [`mbcnt_lo`] for a `mask` of lanes 32 to 63.
#[inline(always)]
pub fn mbcnt_hi(mask: u32, b: u32, lane: u32) -> u32 {
    let below = if lane < 32 { 0 } else { low_bits(lane) };
    bcnt(mask & below, b)
}

/// V_MED3 on integers: the middle of three.
#[inline(always)]
pub fn med3<T: Ord + Copy>(a: T, b: T, c: T) -> T {
    a.min(b).max(a.max(b).min(c))
}

/// V_SAT_PK_U8_I16: the two signed halves saturated to bytes, in the low half.
#[inline(always)]
pub fn sat_pk_u8_i16(a: u32) -> u32 {
    let low = (a as i16).clamp(0, 255) as u32;
    let high = ((a >> 16) as i16).clamp(0, 255) as u32;
    high << 8 | low
}
