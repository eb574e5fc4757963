//! Vector operations of three operands, and others without a short encoding (VOP3).

use crate::arith::{Arith, Bf16, F16, dot, int};
use crate::isa::macros::{ints, lanes};
use crate::isa::row::Semantics;
use crate::isa::{Class, Depends, Form, Row};

use super::vector_two::{add_carry, sub_borrow};

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Vector, opcode, name, semantics)
}

/// On the slow path.
const fn slow(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    row(opcode, name, semantics).class(Class::Transcendental)
}

/// `wide` in 16 bits, saturated if `clamp`.
#[inline(always)]
pub(super) fn narrow_i16(wide: i32, clamp: bool) -> i16 {
    if clamp { wide.clamp(i16::MIN.into(), i16::MAX.into()) as i16 } else { wide as i16 }
}

/// `wide`, which may be negative, in 16 bits without sign, saturated if `clamp`.
#[inline(always)]
pub(super) fn narrow_u16(wide: i32, clamp: bool) -> u16 {
    if clamp { wide.clamp(0, u16::MAX.into()) as u16 } else { wide as u16 }
}

#[inline(always)]
fn narrow_i32(wide: i64, clamp: bool) -> i32 {
    if clamp { wide.clamp(i32::MIN.into(), i32::MAX.into()) as i32 } else { wide as i32 }
}

#[inline(always)]
fn narrow_u32(wide: u64, clamp: bool) -> u32 {
    if clamp { wide.min(u32::MAX.into()) as u32 } else { wide as u32 }
}

/// `a × b + c` of 16-bit numbers without sign, which may need all 32 bits.
#[inline(always)]
pub(super) fn mad_u16(a: u16, b: u16, c: u16, clamp: bool) -> u16 {
    let wide = u32::from(a) * u32::from(b) + u32::from(c);
    if clamp { wide.min(u16::MAX.into()) as u16 } else { wide as u16 }
}

/// `a × b + c` of 16-bit numbers with sign.
#[inline(always)]
pub(super) fn mad_i16(a: i16, b: i16, c: i16, clamp: bool) -> i16 {
    narrow_i16(i32::from(a) * i32::from(b) + i32::from(c), clamp)
}

/// Two results of 16 bits in a register.
#[inline(always)]
fn pair(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

/// VOP3.
pub(super) static VOP3: &[&[Row]] =
    &[FLOATS, DOUBLES, HALVES, DIVISIONS, INTEGERS, BYTES, SHORTS, EXTREMES, CARRIES, CONVERSIONS, DOTS];

static FLOATS: &[Row] = &[
    row(521, "v_fma_dx9_zero_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.fma_legacy(a, b, c) })),
    row(531, "v_fma_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.fma(a, b, c) })),
    row(796, "v_ldexp_f32", lanes!(|e, a: f32, b: i32| -> f32 { e.ldexp(a, b) })),
];

static DOUBLES: &[Row] = &[
    slow(532, "v_fma_f64", lanes!(|e, a: f64, b: f64, c: f64| -> f64 { e.fma(a, b, c) })),
    slow(807, "v_add_f64", lanes!(|e, a: f64, b: f64| -> f64 { e.add(a, b) })),
    slow(808, "v_mul_f64", lanes!(|e, a: f64, b: f64| -> f64 { e.mul(a, b) })),
    slow(809, "v_min_f64", lanes!(|e, a: f64, b: f64| -> f64 { e.min(a, b) })),
    slow(810, "v_max_f64", lanes!(|e, a: f64, b: f64| -> f64 { e.max(a, b) })),
    slow(815, "v_trig_preop_f64", lanes!(|e, a: f64, b: u32| -> f64 { trig_preop(e, a, b) })),
    slow(811, "v_ldexp_f64", lanes!(|e, a: f64, b: i32| -> f64 { e.ldexp(a, b) })),
];

static HALVES: &[Row] = &[
    row(584, "v_fma_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.fma(a, b, c) })),
    row(785, "v_pack_b32_f16", lanes!(|e, a: F16, b: F16| -> u32 { pair(a.0, b.0) })),
    row(
        605,
        "v_cndmask_b16",
        // The sources may have a sign flipped or removed, as floats may.
        ints!(|i, a: F16, b: F16, c: bool| -> u16 { if c { b.0 } else { a.0 } }),
    )
    .depends(Depends::OnSelected),
];

/// The bits of 2/π behind the point, the highest first.
static TWO_OVER_PI: [u32; 38] = [
    0xa2f9_836e,
    0x4e44_1529,
    0xfc27_57d1,
    0xf534_ddc0,
    0xdb62_9599,
    0x3c43_9041,
    0xfe51_63ab,
    0xdebb_c561,
    0xb724_6e3a,
    0x424d_d2e0,
    0x0649_2eea,
    0x09d1_921c,
    0xfe1d_eb1c,
    0xb129_a73e,
    0xe882_35f5,
    0x2ebb_4484,
    0xe99c_7026,
    0xb45f_7e41,
    0x3991_d639,
    0x8353_39f4,
    0x9c84_5f8b,
    0xbdf9_283b,
    0x1ff8_97ff,
    0xde05_980f,
    0xef2f_118b,
    0x5a0a_6d1f,
    0x6d36_7ecf,
    0x27cb_09b7,
    0x4f46_3f66,
    0x9e5f_ea2d,
    0x7527_bac7,
    0xebe5_f17b,
    0x3d07_39f7,
    0x8a52_92ea,
    0x6bfb_5fb1,
    0x1f8d_5d08,
    0x5603_3046,
    0xfc7b_6bab,
];

/// 53 bits of 2/π from where they matter for the remainder of `a` by π/2, the `segment`th such group, as a double of
/// their weight; of a large `a` both are scaled by 2^128.
#[inline(always)]
fn trig_preop(e: impl Arith, a: f64, segment: u32) -> f64 {
    let exponent = a.to_bits() >> 52 & 0x7ff;
    let first = 53 * u64::from(segment & 31) + exponent.saturating_sub(1077);
    let word = |n: u64| u128::from(TWO_OVER_PI.get(n as usize).copied().unwrap_or(0));
    let words = (0..3).fold(0, |bits, n| bits << 32 | word(first / 32 + n));
    let significand = (words >> (96 - 53 - first % 32)) as u64 & ((1 << 53) - 1);
    let scale = if exponent >= 1968 { 128 } else { 0 };
    e.ldexp(significand as f64, -53 - first as i32 + scale)
}

static DIVISIONS: &[Row] = &[
    row(551, "v_div_fixup_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.div_fixup(a, b, c) })),
    slow(552, "v_div_fixup_f64", lanes!(|e, a: f64, b: f64, c: f64| -> f64 { e.div_fixup(a, b, c) })),
    row(
        567,
        "v_div_fmas_f32",
        lanes!(|e, a: f32, b: f32, c: f32, scaled: bool| -> f32 { e.div_fmas(a, b, c, scaled) }),
    )
    .form(Form::WithVcc),
    slow(
        568,
        "v_div_fmas_f64",
        lanes!(|e, a: f64, b: f64, c: f64, scaled: bool| -> f64 { e.div_fmas(a, b, c, scaled) }),
    )
    .form(Form::WithVcc),
    row(596, "v_div_fixup_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.div_fixup(a, b, c) })),
    row(764, "v_div_scale_f32", lanes!(|e, a: f32, b: f32, c: f32| -> (f32, bool) { e.div_scale(a, b, c) })),
    slow(765, "v_div_scale_f64", lanes!(|e, a: f64, b: f64, c: f64| -> (f64, bool) { e.div_scale(a, b, c) })),
];

static INTEGERS: &[Row] = &[
    row(522, "v_mad_i32_i24", ints!(|i, a: i32, b: i32, c: i32| -> i32 { int::mad_i24(a, b, c, i.clamp) })),
    row(523, "v_mad_u32_u24", ints!(|i, a: u32, b: u32, c: u32| -> u32 { int::mad_u24(a, b, c, i.clamp) })),
    row(528, "v_bfe_u32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { int::bfe_u32(a, b, c) })),
    row(529, "v_bfe_i32", ints!(|i, a: i32, b: u32, c: u32| -> i32 { int::bfe_i32(a, b, c) })),
    row(530, "v_bfi_b32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { int::bfi(a, b, c) })),
    row(534, "v_alignbit_b32", ints!(|i, a: u32, b: u32, c: u16| -> u32 { int::alignbit(a, b, u32::from(c)) })),
    row(535, "v_alignbyte_b32", ints!(|i, a: u32, b: u32, c: u16| -> u32 { int::alignbyte(a, b, u32::from(c)) })),
    row(576, "v_xor3_b32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { a ^ b ^ c })),
    row(580, "v_perm_b32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { int::perm(a, b, c) })),
    row(581, "v_xad_u32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { (a ^ b).wrapping_add(c) })),
    row(582, "v_lshl_add_u32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { (a << (b & 31)).wrapping_add(c) })),
    row(583, "v_add_lshl_u32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { a.wrapping_add(b) << (c & 31) })),
    row(597, "v_add3_u32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { a.wrapping_add(b).wrapping_add(c) })),
    row(598, "v_lshl_or_b32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { a << (b & 31) | c })),
    row(599, "v_and_or_b32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { a & b | c })),
    row(600, "v_or3_b32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { a | b | c })),
    row(797, "v_bfm_b32", ints!(|i, a: u32, b: u32| -> u32 { int::bfm(a, b) })),
    row(798, "v_bcnt_u32_b32", ints!(|i, a: u32, b: u32| -> u32 { int::bcnt(a, b) })),
    row(805, "v_sub_nc_i32", ints!(|i, a: i32, b: i32| -> i32 { narrow_i32(i64::from(a) - i64::from(b), i.clamp) })),
    row(806, "v_add_nc_i32", ints!(|i, a: i32, b: i32| -> i32 { narrow_i32(i64::from(a) + i64::from(b), i.clamp) })),
    slow(812, "v_mul_lo_u32", ints!(|i, a: u32, b: u32| -> u32 { a.wrapping_mul(b) })),
    slow(813, "v_mul_hi_u32", ints!(|i, a: u32, b: u32| -> u32 { int::mul_hi_u32(a, b) })),
    slow(814, "v_mul_hi_i32", ints!(|i, a: i32, b: i32| -> i32 { int::mul_hi_i32(a, b) })),
    row(828, "v_lshlrev_b64", ints!(|i, a: u32, b: u64| -> u64 { b << (a & 63) })).depends(Depends::LowOnLow),
    row(829, "v_lshrrev_b64", ints!(|i, a: u32, b: u64| -> u64 { b >> (a & 63) })),
    row(830, "v_ashrrev_i64", ints!(|i, a: u32, b: i64| -> i64 { b >> (a & 63) })),
];

/// Sums of absolute differences, and means.
static BYTES: &[Row] = &[
    row(533, "v_lerp_u8", ints!(|i, a: u32, b: u32, c: u32| -> u32 { int::lerp_u8(a, b, c) })),
    row(546, "v_sad_u8", ints!(|i, a: u32, b: u32, c: u32| -> u32 { plus(int::sad_u8(a, b, 0), c, i.clamp) })),
    row(547, "v_sad_hi_u8", ints!(|i, a: u32, b: u32, c: u32| -> u32 { plus(int::sad_hi_u8(a, b, 0), c, i.clamp) })),
    row(548, "v_sad_u16", ints!(|i, a: u32, b: u32, c: u32| -> u32 { plus(int::sad_u16(a, b, 0), c, i.clamp) })),
    row(549, "v_sad_u32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { plus(int::sad_u32(a, b, 0), c, i.clamp) })),
    row(569, "v_msad_u8", ints!(|i, a: u32, b: u32, c: u32| -> u32 { plus(int::msad_u8(a, b, 0), c, i.clamp) })),
    slow(570, "v_qsad_pk_u16_u8", ints!(|i, a: u64, b: u32, c: u64| -> u64 { four(a, b, c, int::sad_u8, i.clamp) })),
    slow(571, "v_mqsad_pk_u16_u8", ints!(|i, a: u64, b: u32, c: u64| -> u64 { four(a, b, c, int::msad_u8, i.clamp) })),
    slow(
        573,
        "v_mqsad_u32_u8",
        ints!(|i, a: u64, b: u32, c: [u32; 4]| -> [u32; 4] {
            std::array::from_fn(|n| plus(int::msad_u8((a >> (8 * n)) as u32, b, 0), c[n], i.clamp))
        }),
    ),
];

#[inline(always)]
fn plus(a: u32, b: u32, clamp: bool) -> u32 {
    if clamp { a.saturating_add(b) } else { a.wrapping_add(b) }
}

/// Four sums of absolute differences, of the four bytes from each of the first four on, added to 16 bits each.
#[inline(always)]
fn four(a: u64, b: u32, c: u64, sad: impl Fn(u32, u32, u32) -> u32, clamp: bool) -> u64 {
    (0..4).fold(0, |packed, n| {
        let sum = sad((a >> (8 * n)) as u32, b, 0) as i32 + i32::from((c >> (16 * n)) as u16);
        packed | u64::from(narrow_u16(sum, clamp)) << (16 * n)
    })
}

static SHORTS: &[Row] = &[
    row(577, "v_mad_u16", ints!(|i, a: u16, b: u16, c: u16| -> u16 { mad_u16(a, b, c, i.clamp) })),
    row(595, "v_mad_i16", ints!(|i, a: i16, b: i16, c: i16| -> i16 { mad_i16(a, b, c, i.clamp) })),
    row(
        601,
        "v_mad_u32_u16",
        ints!(|i, a: u16, b: u16, c: u32| -> u32 { narrow_u32(u64::from(a) * u64::from(b) + u64::from(c), i.clamp) }),
    ),
    row(
        602,
        "v_mad_i32_i16",
        ints!(|i, a: i16, b: i16, c: i32| -> i32 { narrow_i32(i64::from(a) * i64::from(b) + i64::from(c), i.clamp) }),
    ),
    row(771, "v_add_nc_u16", ints!(|i, a: u16, b: u16| -> u16 { narrow_u16(i32::from(a) + i32::from(b), i.clamp) })),
    row(772, "v_sub_nc_u16", ints!(|i, a: u16, b: u16| -> u16 { narrow_u16(i32::from(a) - i32::from(b), i.clamp) })),
    row(773, "v_mul_lo_u16", ints!(|i, a: u16, b: u16| -> u16 { a.wrapping_mul(b) })),
    row(781, "v_add_nc_i16", ints!(|i, a: i16, b: i16| -> i16 { narrow_i16(i32::from(a) + i32::from(b), i.clamp) })),
    row(782, "v_sub_nc_i16", ints!(|i, a: i16, b: i16| -> i16 { narrow_i16(i32::from(a) - i32::from(b), i.clamp) })),
    row(824, "v_lshlrev_b16", ints!(|i, a: u16, b: u16| -> u16 { b << (a & 15) })),
    row(825, "v_lshrrev_b16", ints!(|i, a: u16, b: u16| -> u16 { b >> (a & 15) })),
    row(826, "v_ashrrev_i16", ints!(|i, a: u16, b: i16| -> i16 { b >> (a & 15) })),
    row(866, "v_and_b16", ints!(|i, a: u16, b: u16| -> u16 { a & b })),
    row(867, "v_or_b16", ints!(|i, a: u16, b: u16| -> u16 { a | b })),
    row(868, "v_xor_b16", ints!(|i, a: u16, b: u16| -> u16 { a ^ b })),
];

/// The least, the greatest and the middle.
static EXTREMES: &[Row] = &[
    row(537, "v_min3_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.min3(a, b, c) })),
    row(538, "v_min3_i32", ints!(|i, a: i32, b: i32, c: i32| -> i32 { a.min(b).min(c) })),
    row(539, "v_min3_u32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { a.min(b).min(c) })),
    row(540, "v_max3_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.max3(a, b, c) })),
    row(541, "v_max3_i32", ints!(|i, a: i32, b: i32, c: i32| -> i32 { a.max(b).max(c) })),
    row(542, "v_max3_u32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { a.max(b).max(c) })),
    row(543, "v_med3_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.med3(a, b, c) })),
    row(544, "v_med3_i32", ints!(|i, a: i32, b: i32, c: i32| -> i32 { int::med3(a, b, c) })),
    row(545, "v_med3_u32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { int::med3(a, b, c) })),
    row(585, "v_min3_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.min3(a, b, c) })),
    row(586, "v_min3_i16", ints!(|i, a: i16, b: i16, c: i16| -> i16 { a.min(b).min(c) })),
    row(587, "v_min3_u16", ints!(|i, a: u16, b: u16, c: u16| -> u16 { a.min(b).min(c) })),
    row(588, "v_max3_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.max3(a, b, c) })),
    row(589, "v_max3_i16", ints!(|i, a: i16, b: i16, c: i16| -> i16 { a.max(b).max(c) })),
    row(590, "v_max3_u16", ints!(|i, a: u16, b: u16, c: u16| -> u16 { a.max(b).max(c) })),
    row(591, "v_med3_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.med3(a, b, c) })),
    row(592, "v_med3_i16", ints!(|i, a: i16, b: i16, c: i16| -> i16 { int::med3(a, b, c) })),
    row(593, "v_med3_u16", ints!(|i, a: u16, b: u16, c: u16| -> u16 { int::med3(a, b, c) })),
    row(606, "v_maxmin_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.maxmin(a, b, c) })),
    row(607, "v_minmax_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.minmax(a, b, c) })),
    row(608, "v_maxmin_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.maxmin(a, b, c) })),
    row(609, "v_minmax_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.minmax(a, b, c) })),
    row(610, "v_maxmin_u32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { a.max(b).min(c) })),
    row(611, "v_minmax_u32", ints!(|i, a: u32, b: u32, c: u32| -> u32 { a.min(b).max(c) })),
    row(612, "v_maxmin_i32", ints!(|i, a: i32, b: i32, c: i32| -> i32 { a.max(b).min(c) })),
    row(613, "v_minmax_i32", ints!(|i, a: i32, b: i32, c: i32| -> i32 { a.min(b).max(c) })),
    row(777, "v_max_u16", ints!(|i, a: u16, b: u16| -> u16 { a.max(b) })),
    row(778, "v_max_i16", ints!(|i, a: i16, b: i16| -> i16 { a.max(b) })),
    row(779, "v_min_u16", ints!(|i, a: u16, b: u16| -> u16 { a.min(b) })),
    row(780, "v_min_i16", ints!(|i, a: i16, b: i16| -> i16 { a.min(b) })),
];

/// Operations with a carry besides their result.
static CARRIES: &[Row] = &[
    slow(766, "v_mad_u64_u32", ints!(|i, a: u32, b: u32, c: u64| -> (u64, bool) { mad_u64_u32(a, b, c, i.clamp) }))
        .depends(Depends::LowOnLow),
    slow(767, "v_mad_i64_i32", ints!(|i, a: i32, b: i32, c: i64| -> (i64, bool) { mad_i64_i32(a, b, c, i.clamp) }))
        .depends(Depends::LowOnLow),
    row(768, "v_add_co_u32", ints!(|i, a: u32, b: u32| -> (u32, bool) { add_carry(a, b, false, i.clamp) })),
    row(769, "v_sub_co_u32", ints!(|i, a: u32, b: u32| -> (u32, bool) { sub_borrow(a, b, false, i.clamp) })),
    row(770, "v_subrev_co_u32", ints!(|i, a: u32, b: u32| -> (u32, bool) { sub_borrow(b, a, false, i.clamp) })),
];

#[inline(always)]
fn mad_u64_u32(a: u32, b: u32, c: u64, clamp: bool) -> (u64, bool) {
    let (sum, carries) = int::mad_u64_u32(a, b, c);
    (if clamp & carries { u64::MAX } else { sum }, carries)
}

#[inline(always)]
fn mad_i64_i32(a: i32, b: i32, c: i64, clamp: bool) -> (i64, bool) {
    let (sum, carries) = int::mad_i64_i32(a, b, c);
    let saturated = (i64::from(a) * i64::from(b)).saturating_add(c);
    (if clamp { saturated } else { sum }, carries)
}

static CONVERSIONS: &[Row] = &[
    row(550, "v_cvt_pk_u8_f32", lanes!(|e, a: f32, b: u32, c: u32| -> u32 { e.pk_u8(a, b, c) })),
    // These saturate as Rust's conversions do.
    row(774, "v_cvt_pk_i16_f32", lanes!(|e, a: f32, b: f32| -> u32 { pair(a as i16 as u16, b as i16 as u16) })),
    row(775, "v_cvt_pk_u16_f32", lanes!(|e, a: f32, b: f32| -> u32 { pair(a as u16, b as u16) })),
    row(
        786,
        "v_cvt_pk_norm_i16_f16",
        lanes!(|e, a: F16, b: F16| -> u32 { pair(e.to_snorm16(a) as u16, e.to_snorm16(b) as u16) }),
    ),
    row(787, "v_cvt_pk_norm_u16_f16", lanes!(|e, a: F16, b: F16| -> u32 { pair(e.to_unorm16(a), e.to_unorm16(b)) })),
    row(
        801,
        "v_cvt_pk_norm_i16_f32",
        lanes!(|e, a: f32, b: f32| -> u32 { pair(e.to_snorm16(a) as u16, e.to_snorm16(b) as u16) }),
    ),
    row(802, "v_cvt_pk_norm_u16_f32", lanes!(|e, a: f32, b: f32| -> u32 { pair(e.to_unorm16(a), e.to_unorm16(b)) })),
    row(
        803,
        "v_cvt_pk_u16_u32",
        ints!(|i, a: u32, b: u32| -> u32 { pair(a.min(0xffff) as u16, b.min(0xffff) as u16) }),
    ),
    row(
        804,
        "v_cvt_pk_i16_i32",
        ints!(|i, a: i32, b: i32| -> u32 { pair(narrow_i16(a, true) as u16, narrow_i16(b, true) as u16) }),
    ),
];

static DOTS: &[Row] = &[
    row(614, "v_dot2_f16_f16", lanes!(|e, a: [F16; 2], b: [F16; 2], c: F16| -> F16 { dot::dot2_f16_f16(e, a, b, c) }))
        .class(Class::Dot),
    row(
        615,
        "v_dot2_bf16_bf16",
        lanes!(|e, a: [Bf16; 2], b: [Bf16; 2], c: Bf16| -> Bf16 { dot::dot2_bf16_bf16(e, a, b, c) }),
    )
    .class(Class::Dot),
];
