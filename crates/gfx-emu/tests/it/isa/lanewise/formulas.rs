//! Formulas of lane-wise instructions.

use super::Case;
use half::{bf16, f16};

/// A type of operands and results.
trait Bits: Sized {
    fn get(bits: u64) -> Self;
    fn bits(self) -> u64;
}

macro_rules! bits {
    ($($type:ty: |$bits:ident| $get:expr, |$value:ident| $put:expr;)*) => {
        $(impl Bits for $type {
            fn get($bits: u64) -> Self {
                $get
            }
            fn bits(self) -> u64 {
                let $value = self;
                $put
            }
        })*
    };
}

bits! {
    u16: |x| x as u16, |x| u64::from(x);
    i16: |x| x as i16, |x| u64::from(x as u16);
    u32: |x| x as u32, |x| u64::from(x);
    i32: |x| x as i32, |x| u64::from(x as u32);
    u64: |x| x, |x| x;
    i64: |x| x as i64, |x| x as u64;
    bool: |x| x != 0, |x| u64::from(x);
    f16: |x| f16::from_bits(x as u16), |x| u64::from(x.to_bits());
    bf16: |x| bf16::from_bits(x as u16), |x| u64::from(x.to_bits());
    f32: |x| f32::from_bits(x as u32), |x| u64::from(x.to_bits());
    f64: |x| f64::from_bits(x), |x| x.to_bits();
}

impl<T: Bits> Bits for [T; 2] {
    fn get(bits: u64) -> Self {
        [T::get(bits & 0xffff), T::get(bits >> 16 & 0xffff)]
    }
    fn bits(self) -> u64 {
        let [low, high] = self.map(T::bits);
        low & 0xffff | (high & 0xffff) << 16
    }
}

/// A result, alone or with a flag.
trait Answer {
    fn answer(self) -> (u64, bool);
}

impl<T: Bits> Answer for T {
    fn answer(self) -> (u64, bool) {
        (self.bits(), false)
    }
}

struct With<T>(T, bool);

impl<T: Bits> Answer for With<T> {
    fn answer(self) -> (u64, bool) {
        (self.0.bits(), self.1)
    }
}

macro_rules! cases {
    ($($name:literal $(~ $tolerance:literal)? |$($a:ident: $type:ty),*| $body:expr;)*) => {
        vec![$(Case {
            name: $name,
            tolerance: 0.0 $(+ $tolerance)?,
            formula: |operands| {
                let mut operands = operands.iter();
                $(let $a = <$type>::get(*operands.next().unwrap());)*
                let answer = $body;
                answer.answer()
            },
        }),*]
    };
}

/// Floats with the order that minimum and maximum have.
trait Real: Bits + Copy {
    const SIGNALLING: fn(u64) -> bool;
    fn value(self) -> f64;
    fn nan() -> Self;
}

macro_rules! real {
    ($type:ty, $quiet:expr, $value:expr, $nan:expr) => {
        impl Real for $type {
            const SIGNALLING: fn(u64) -> bool = |bits| bits & $quiet == 0;
            fn value(self) -> f64 {
                $value(self)
            }
            fn nan() -> Self {
                $nan
            }
        }
    };
}

real!(f16, 1 << 9, f16::to_f64, f16::NAN);
real!(f32, 1 << 22, f64::from, f32::NAN);
real!(f64, 1 << 51, std::convert::identity, f64::NAN);

/// The lesser, or for `sign` -1 the greater.
fn extreme<T: Real>(a: T, b: T, sign: f64) -> T {
    let (x, y) = (a.value() * sign, b.value() * sign);
    let signals = |x: T| x.value().is_nan() && T::SIGNALLING(x.bits());
    if signals(a) || signals(b) {
        T::nan()
    } else if x.is_nan() {
        b
    } else if y.is_nan() || x.total_cmp(&y).is_le() {
        a
    } else {
        b
    }
}

fn min<T: Real>(a: T, b: T) -> T {
    extreme(a, b, 1.0)
}

fn max<T: Real>(a: T, b: T) -> T {
    extreme(a, b, -1.0)
}

fn middle<T: Real>(a: T, b: T, c: T) -> T {
    if [a, b, c].iter().any(|x| x.value().is_nan()) {
        return min(min(a, b), c);
    }
    let mut all = [a, b, c];
    all.sort_by(|x, y| x.value().total_cmp(&y.value()));
    all[1]
}

fn middle_of<T: Ord + Copy>(a: T, b: T, c: T) -> T {
    let mut all = [a, b, c];
    all.sort_unstable();
    all[1]
}

fn h(x: f64) -> f16 {
    f16::from_f64(x)
}

/// An operation on halves as f64 does it, which holds every sum and product of two.
fn h2(a: f16, b: f16, operation: fn(f64, f64) -> f64) -> f16 {
    h(operation(a.to_f64(), b.to_f64()))
}

fn h3(a: f16, b: f16, c: f16) -> f16 {
    h(a.to_f64().mul_add(b.to_f64(), c.to_f64()))
}

fn pairs<T: Copy, R>(a: [T; 2], b: [T; 2], operation: impl Fn(T, T) -> R) -> [R; 2] {
    [operation(a[0], b[0]), operation(a[1], b[1])]
}

/// The f16 between zero and a number that is nearest to it.
fn towards_zero(x: f32) -> f16 {
    let near = f16::from_f32(x);
    let is_far = near.to_f32().abs() > x.abs();
    if is_far { f16::from_bits(near.to_bits() - 1) } else { near }
}

fn sext24(x: u32) -> i64 {
    i64::from((x << 8) as i32 >> 8)
}

fn bytes(x: u32) -> [u8; 4] {
    x.to_le_bytes()
}

fn sad(a: u32, b: u32) -> u32 {
    bytes(a).iter().zip(bytes(b)).map(|(a, b)| u32::from(a.abs_diff(b))).sum()
}

fn masked_sad(a: u32, b: u32) -> u32 {
    bytes(a).iter().zip(bytes(b)).map(|(a, b)| if b == 0 { 0 } else { u32::from(a.abs_diff(b)) }).sum()
}

fn four_sads(a: u64, b: u32, c: u64, sad: fn(u32, u32) -> u32) -> u64 {
    (0..4).fold(0, |all, n| {
        let sum = (c >> (16 * n)) as u16;
        all | u64::from(sum.wrapping_add(sad((a >> (8 * n)) as u32, b) as u16)) << (16 * n)
    })
}

fn permuted(a: u32, b: u32, c: u32) -> u32 {
    let data = (u64::from(a) << 32 | u64::from(b)).to_le_bytes();
    u32::from_le_bytes(bytes(c).map(|select| match select {
        0..=7 => data[usize::from(select)],
        8..=11 => ((data[2 * usize::from(select) - 15] as i8) >> 7) as u8,
        12 => 0,
        _ => 255,
    }))
}

/// The exponent that `frexp` takes out, and what it leaves.
fn frexp(x: f64) -> (i32, f64) {
    if x == 0.0 || !x.is_finite() {
        return (0, x);
    }
    let scaled = if x.abs() < f64::MIN_POSITIVE { x * 2f64.powi(64) } else { x };
    let exponent = (scaled.to_bits() >> 52 & 0x7ff) as i32 - 1022;
    let mantissa = f64::from_bits(scaled.to_bits() & !(0x7ff << 52) | 1022 << 52);
    (if scaled == x { exponent } else { exponent - 64 }, mantissa)
}

/// `x × 2^n` in steps that are exact but for the last.
fn scaled(x: f64, n: i32) -> f64 {
    let n = n.clamp(-2200, 2200);
    let part = if n < 0 { n.max(-900) } else { n.min(900) };
    if x != 0.0 && x.is_finite() && n < -900 {
        // Below the normal numbers only the last product may round.
        let (exponent, mantissa) = frexp(x);
        let total = exponent + n;
        return if total < -1200 { 0.0 * x } else { mantissa * 2f64.powi(total / 2) * 2f64.powi(total - total / 2) };
    }
    if part == n { x * 2f64.powi(n) } else { scaled(x * 2f64.powi(part), n - part) }
}

fn fract(x: f64) -> f64 {
    x - x.floor()
}

fn snorm(x: f64) -> i16 {
    if x.is_nan() { 0 } else { (x.clamp(-1.0, 1.0) * 32767.0).round_ties_even() as i16 }
}

fn unorm(x: f64) -> u16 {
    if x.is_nan() { 0 } else { (x.clamp(0.0, 1.0) * 65535.0).round_ties_even() as u16 }
}

/// A denormal is zero to the transcendental functions of floats.
fn flushed(x: f32) -> f64 {
    f64::from(if x.is_subnormal() { 0.0 * x } else { x })
}

fn turns(x: f64) -> f64 {
    (x - x.round()) * std::f64::consts::TAU
}

fn of_flushed(x: f64) -> f32 {
    let x = x as f32;
    if x.is_subnormal() { 0.0 * x } else { x }
}

fn nibble(x: u32, n: u32, signed: bool) -> i64 {
    let bits = i64::from(x >> (4 * n) & 15);
    if signed && bits > 7 { bits - 16 } else { bits }
}

fn two_products(a: [f32; 2], b: [f32; 2], c: f32) -> f64 {
    let sum = a[0].mul_add(b[0], c);
    f64::from(a[1].mul_add(b[1], sum))
}

fn halves(a: [f16; 2]) -> [f32; 2] {
    a.map(f16::to_f32)
}

fn brains(a: [bf16; 2]) -> [f32; 2] {
    a.map(bf16::to_f32)
}

/// Of operands as the long encoding without modifiers has them; a packed one's OP_SEL_HI takes halves as they lie.
pub(super) fn cases() -> Vec<Case> {
    let mut all = one_operand();
    all.extend(two_operands());
    all.extend(three_operands());
    all.extend(shorts());
    all.extend(extremes());
    all.extend(wide());
    all.extend(packed());
    all
}

fn one_operand() -> Vec<Case> {
    cases! {
        "v_mov_b32" |a: u32| a;
        "v_mov_b16" |a: u16| a;
        "v_not_b32" |a: u32| a ^ u32::MAX;
        "v_not_b16" |a: u16| a ^ u16::MAX;
        "v_bfrev_b32" |a: u32| (0..32).fold(0u32, |r, n| r | (a >> n & 1) << (31 - n));
        "v_clz_i32_u32" |a: u32| (0..32).find(|n| a >> (31 - n) & 1 == 1).unwrap_or(u32::MAX);
        "v_ctz_i32_b32" |a: u32| (0..32).find(|n| a >> n & 1 == 1).unwrap_or(u32::MAX);
        "v_cls_i32" |a: u32| (1..32).find(|n| a >> (31 - n) & 1 != a >> 31).unwrap_or(u32::MAX);
        "v_cvt_i32_f64" |a: f64| a as i32;
        "v_cvt_u32_f64" |a: f64| a as u32;
        "v_cvt_f64_i32" |a: i32| f64::from(a);
        "v_cvt_f64_u32" |a: u32| f64::from(a);
        "v_cvt_f32_i32" |a: i32| a as f32;
        "v_cvt_f32_u32" |a: u32| a as f32;
        "v_cvt_u32_f32" |a: f32| a as u32;
        "v_cvt_i32_f32" |a: f32| a as i32;
        "v_cvt_f16_f32" |a: f32| f16::from_f32(a);
        "v_cvt_f32_f16" |a: f16| a.to_f32();
        "v_cvt_nearest_i32_f32" |a: f32| (f64::from(a) + 0.5).floor() as i32;
        "v_cvt_floor_i32_f32" |a: f32| f64::from(a).floor() as i32;
        "v_cvt_off_f32_i4" |a: u32| [0.0, 0.0625, 0.125, 0.1875, 0.25, 0.3125, 0.375, 0.4375,
            -0.5, -0.4375, -0.375, -0.3125, -0.25, -0.1875, -0.125, -0.0625f32][a as usize & 15];
        "v_cvt_f32_f64" |a: f64| a as f32;
        "v_cvt_f64_f32" |a: f32| f64::from(a);
        "v_cvt_f32_ubyte0" |a: u32| f32::from(bytes(a)[0]);
        "v_cvt_f32_ubyte1" |a: u32| f32::from(bytes(a)[1]);
        "v_cvt_f32_ubyte2" |a: u32| f32::from(bytes(a)[2]);
        "v_cvt_f32_ubyte3" |a: u32| f32::from(bytes(a)[3]);
        "v_cvt_f16_u16" |a: u16| h(f64::from(a));
        "v_cvt_f16_i16" |a: i16| h(f64::from(a));
        "v_cvt_u16_f16" |a: f16| a.to_f64() as u16;
        "v_cvt_i16_f16" |a: f16| a.to_f64() as i16;
        "v_cvt_i32_i16" |a: i16| i32::from(a);
        "v_cvt_u32_u16" |a: u16| u32::from(a);
        "v_cvt_norm_i16_f16" |a: f16| snorm(f64::from(a.to_f32()));
        "v_cvt_norm_u16_f16" |a: f16| unorm(f64::from(a.to_f32()));
        "v_sat_pk_u8_i16" |a: [i16; 2]| u16::from_le_bytes(a.map(|x| x.clamp(0, 255) as u8));
        "v_trunc_f32" |a: f32| f64::from(a).trunc() as f32;
        "v_ceil_f32" |a: f32| f64::from(a).ceil() as f32;
        "v_floor_f32" |a: f32| f64::from(a).floor() as f32;
        "v_rndne_f32" |a: f32| f64::from(a).round_ties_even() as f32;
        "v_fract_f32" ~ 1e-7 |a: f32| (fract(f64::from(a)) as f32).min(1.0f32.next_down()) + 0.0 * a;
        "v_trunc_f64" |a: f64| a.trunc();
        "v_ceil_f64" |a: f64| a.ceil();
        "v_floor_f64" |a: f64| a.floor();
        "v_rndne_f64" |a: f64| a.round_ties_even();
        "v_fract_f64" ~ 1e-15 |a: f64| fract(a).min(1.0f64.next_down()) + 0.0 * a;
        "v_trunc_f16" |a: f16| h(a.to_f64().trunc());
        "v_ceil_f16" |a: f16| h(a.to_f64().ceil());
        "v_floor_f16" |a: f16| h(a.to_f64().floor());
        "v_rndne_f16" |a: f16| h(a.to_f64().round_ties_even());
        "v_fract_f16" ~ 1e-3 |a: f16| h(fract(a.to_f64()) + 0.0 * a.to_f64());
        "v_exp_f32" ~ 2e-7 |a: f32| of_flushed(flushed(a).exp2());
        "v_log_f32" ~ 1e-6 |a: f32| flushed(a).log2() as f32;
        "v_rcp_f32" ~ 2e-7 |a: f32| of_flushed(1.0 / flushed(a));
        "v_rcp_iflag_f32" ~ 2e-7 |a: f32| of_flushed(1.0 / flushed(a));
        "v_rsq_f32" ~ 2e-7 |a: f32| (1.0 / flushed(a).sqrt()) as f32;
        "v_sqrt_f32" ~ 2e-7 |a: f32| flushed(a).sqrt() as f32;
        "v_sin_f32" ~ 1e-6 |a: f32| turns(f64::from(a)).sin() as f32;
        "v_cos_f32" ~ 1e-6 |a: f32| turns(f64::from(a)).cos() as f32;
        "v_rcp_f64" ~ 1e-15 |a: f64| 1.0 / a;
        "v_rsq_f64" ~ 1e-15 |a: f64| 1.0 / a.sqrt();
        "v_sqrt_f64" ~ 1e-15 |a: f64| a.sqrt();
        "v_rcp_f16" ~ 2e-3 |a: f16| h(1.0 / a.to_f64());
        "v_rsq_f16" ~ 2e-3 |a: f16| h(1.0 / a.to_f64().sqrt());
        "v_sqrt_f16" ~ 2e-3 |a: f16| h(a.to_f64().sqrt());
        "v_log_f16" ~ 2e-3 |a: f16| h(a.to_f64().log2());
        "v_exp_f16" ~ 2e-3 |a: f16| h(a.to_f64().exp2());
        "v_sin_f16" ~ 2e-3 |a: f16| h(turns(a.to_f64()).sin());
        "v_cos_f16" ~ 2e-3 |a: f16| h(turns(a.to_f64()).cos());
        "v_frexp_exp_i32_f32" |a: f32| frexp(f64::from(a)).0;
        "v_frexp_mant_f32" |a: f32| frexp(f64::from(a)).1 as f32;
        "v_frexp_exp_i32_f64" |a: f64| frexp(a).0;
        "v_frexp_mant_f64" |a: f64| frexp(a).1;
        "v_frexp_exp_i16_f16" |a: f16| frexp(a.to_f64()).0 as i16;
        "v_frexp_mant_f16" |a: f16| h(frexp(a.to_f64()).1);
    }
}

fn two_operands() -> Vec<Case> {
    cases! {
        "v_add_f32" |a: f32, b: f32| (f64::from(a) + f64::from(b)) as f32;
        "v_sub_f32" |a: f32, b: f32| (f64::from(a) - f64::from(b)) as f32;
        "v_subrev_f32" |a: f32, b: f32| (f64::from(b) - f64::from(a)) as f32;
        "v_mul_f32" |a: f32, b: f32| (f64::from(a) * f64::from(b)) as f32;
        "v_mul_dx9_zero_f32" |a: f32, b: f32| if a == 0.0 || b == 0.0 { 0.0 } else { (f64::from(a) * f64::from(b)) as f32 };
        "v_fmac_f32" |a: f32, b: f32, c: f32| a.mul_add(b, c);
        "v_fmac_dx9_zero_f32" |a: f32, b: f32, c: f32| if a == 0.0 || b == 0.0 { c } else { a.mul_add(b, c) };
        "v_cvt_pk_rtz_f16_f32" |a: f32, b: f32| [towards_zero(a), towards_zero(b)];
        "v_cndmask_b32" |a: u32, b: u32, c: bool| [a, b][usize::from(c)];
        "v_mul_i32_i24" |a: u32, b: u32| (sext24(a) * sext24(b)) as i32;
        "v_mul_hi_i32_i24" |a: u32, b: u32| ((sext24(a) * sext24(b)) >> 32) as i32;
        "v_mul_u32_u24" |a: u32, b: u32| (u64::from(a % (1 << 24)) * u64::from(b % (1 << 24))) as u32;
        "v_mul_hi_u32_u24" |a: u32, b: u32| ((u64::from(a % (1 << 24)) * u64::from(b % (1 << 24))) >> 32) as u32;
        "v_min_i32" |a: i32, b: i32| if a < b { a } else { b };
        "v_max_i32" |a: i32, b: i32| if a > b { a } else { b };
        "v_min_u32" |a: u32, b: u32| if a < b { a } else { b };
        "v_max_u32" |a: u32, b: u32| if a > b { a } else { b };
        "v_lshlrev_b32" |a: u32, b: u32| (u64::from(b) << (a % 32)) as u32;
        "v_lshrrev_b32" |a: u32, b: u32| b / 2u32.pow(a % 32);
        "v_ashrrev_i32" |a: u32, b: i32| i64::from(b).div_euclid(2i64.pow(a % 32)) as i32;
        "v_and_b32" |a: u32, b: u32| a & b;
        "v_or_b32" |a: u32, b: u32| a | b;
        "v_xor_b32" |a: u32, b: u32| a ^ b;
        "v_xnor_b32" |a: u32, b: u32| a ^ !b;
        "v_add_nc_u32" |a: u32, b: u32| a.wrapping_add(b);
        "v_sub_nc_u32" |a: u32, b: u32| a.wrapping_sub(b);
        "v_subrev_nc_u32" |a: u32, b: u32| b.wrapping_sub(a);
        "v_add_nc_i32" |a: u32, b: u32| a.wrapping_add(b);
        "v_sub_nc_i32" |a: u32, b: u32| a.wrapping_sub(b);
        "v_add_co_ci_u32" |a: u32, b: u32, c: bool| {
            let sum = u64::from(a) + u64::from(b) + u64::from(c);
            With(sum as u32, sum >> 32 == 1)
        };
        "v_sub_co_ci_u32" |a: u32, b: u32, c: bool| {
            let difference = i64::from(a) - i64::from(b) - i64::from(c);
            With(difference as u32, difference < 0)
        };
        "v_subrev_co_ci_u32" |a: u32, b: u32, c: bool| {
            let difference = i64::from(b) - i64::from(a) - i64::from(c);
            With(difference as u32, difference < 0)
        };
        "v_add_co_u32" |a: u32, b: u32| {
            let (sum, carries) = a.overflowing_add(b);
            With(sum, carries)
        };
        "v_sub_co_u32" |a: u32, b: u32| With(a.wrapping_sub(b), a < b);
        "v_subrev_co_u32" |a: u32, b: u32| With(b.wrapping_sub(a), b < a);
        "v_bfm_b32" |a: u32, b: u32| ((1u32 << (a % 32)) - 1) << (b % 32);
        "v_bcnt_u32_b32" |a: u32, b: u32| (0..32).fold(b, |n, bit| n.wrapping_add(a >> bit & 1));
        "v_mul_lo_u32" |a: u32, b: u32| (u64::from(a) * u64::from(b)) as u32;
        "v_mul_hi_u32" |a: u32, b: u32| ((u64::from(a) * u64::from(b)) >> 32) as u32;
        "v_mul_hi_i32" |a: i32, b: i32| ((i64::from(a) * i64::from(b)) >> 32) as i32;
        "v_ldexp_f32" |a: f32, b: i32| scaled(f64::from(a), b.clamp(-600, 600)) as f32;
        "v_add_f16" |a: f16, b: f16| h2(a, b, |a, b| a + b);
        "v_sub_f16" |a: f16, b: f16| h2(a, b, |a, b| a - b);
        "v_subrev_f16" |a: f16, b: f16| h2(a, b, |a, b| b - a);
        "v_mul_f16" |a: f16, b: f16| h2(a, b, |a, b| a * b);
        "v_fmac_f16" |a: f16, b: f16, c: f16| h3(a, b, c);
        "v_ldexp_f16" |a: f16, b: i16| h(scaled(a.to_f64(), i32::from(b).clamp(-100, 100)));
        "v_pack_b32_f16" |a: f16, b: f16| [a, b];
        "v_cvt_pk_i16_f32" |a: f32, b: f32| [a, b].map(|x| x as i16);
        "v_cvt_pk_u16_f32" |a: f32, b: f32| [a, b].map(|x| x as u16);
        "v_cvt_pk_norm_i16_f16" |a: f16, b: f16| [a, b].map(|x| snorm(x.to_f64()));
        "v_cvt_pk_norm_u16_f16" |a: f16, b: f16| [a, b].map(|x| unorm(x.to_f64()));
        "v_cvt_pk_norm_i16_f32" |a: f32, b: f32| [a, b].map(|x| if x.is_nan() { 0 } else { (x.clamp(-1.0, 1.0) * 32767.0).round_ties_even() as i16 });
        "v_cvt_pk_norm_u16_f32" |a: f32, b: f32| [a, b].map(|x| if x.is_nan() { 0 } else { (x.clamp(0.0, 1.0) * 65535.0).round_ties_even() as u16 });
        "v_cvt_pk_u16_u32" |a: u32, b: u32| [a, b].map(|x| u16::try_from(x).unwrap_or(u16::MAX));
        "v_cvt_pk_i16_i32" |a: i32, b: i32| [a, b].map(|x| x.clamp(-32768, 32767) as i16);
        "v_mbcnt_hi_u32_b32" |_a: u32, b: u32| b;
    }
}

fn three_operands() -> Vec<Case> {
    cases! {
        "v_fma_f32" |a: f32, b: f32, c: f32| a.mul_add(b, c);
        "v_fma_dx9_zero_f32" |a: f32, b: f32, c: f32| if a == 0.0 || b == 0.0 { c } else { a.mul_add(b, c) };
        "v_fma_f16" |a: f16, b: f16, c: f16| h3(a, b, c);
        "v_mad_i32_i24" |a: u32, b: u32, c: i32| (sext24(a) * sext24(b) + i64::from(c)) as i32;
        "v_mad_u32_u24" |a: u32, b: u32, c: u32| (u64::from(a << 8 >> 8) * u64::from(b << 8 >> 8) + u64::from(c)) as u32;
        "v_bfe_u32" |a: u32, b: u32, c: u32| (u64::from(a) >> (b % 32)) as u32 & (2u64.pow(c % 32) - 1) as u32;
        "v_bfe_i32" |a: i32, b: u32, c: u32| {
            let field = i64::from(a) >> (b % 32) & ((1 << (c % 32)) - 1);
            let is_negative = c % 32 > 0 && field >> (c % 32 - 1) == 1;
            (if is_negative { field - (1 << (c % 32)) } else { field }) as i32
        };
        "v_bfi_b32" |a: u32, b: u32, c: u32| (a & b) + (!a & c);
        "v_alignbit_b32" |a: u32, b: u32, c: u32| ((u64::from(a) << 32 | u64::from(b)) >> (c % 32)) as u32;
        "v_alignbyte_b32" |a: u32, b: u32, c: u32| ((u64::from(a) << 32 | u64::from(b)) >> (c % 4 * 8)) as u32;
        "v_xor3_b32" |a: u32, b: u32, c: u32| a ^ b ^ c;
        "v_perm_b32" |a: u32, b: u32, c: u32| permuted(a, b, c);
        "v_xad_u32" |a: u32, b: u32, c: u32| (u64::from(a ^ b) + u64::from(c)) as u32;
        "v_lshl_add_u32" |a: u32, b: u32, c: u32| ((u64::from(a) << (b % 32)) + u64::from(c)) as u32;
        "v_add_lshl_u32" |a: u32, b: u32, c: u32| ((u64::from(a) + u64::from(b)) << (c % 32)) as u32;
        "v_add3_u32" |a: u32, b: u32, c: u32| (u64::from(a) + u64::from(b) + u64::from(c)) as u32;
        "v_lshl_or_b32" |a: u32, b: u32, c: u32| (u64::from(a) << (b % 32)) as u32 | c;
        "v_and_or_b32" |a: u32, b: u32, c: u32| c | (b & a);
        "v_or3_b32" |a: u32, b: u32, c: u32| a | b | c;
        "v_lerp_u8" |a: u32, b: u32, c: u32| u32::from_le_bytes(std::array::from_fn(|n| {
            ((u16::from(bytes(a)[n]) + u16::from(bytes(b)[n]) + u16::from(bytes(c)[n] % 2)) / 2) as u8
        }));
        "v_sad_u8" |a: u32, b: u32, c: u32| sad(a, b).wrapping_add(c);
        "v_sad_hi_u8" |a: u32, b: u32, c: u32| (sad(a, b) << 16).wrapping_add(c);
        "v_sad_u16" |a: [u16; 2], b: [u16; 2], c: u32| pairs(a, b, |a, b| u32::from(a.abs_diff(b))).iter().fold(c, |s, x| s.wrapping_add(*x));
        "v_sad_u32" |a: u32, b: u32, c: u32| c.wrapping_add(a.max(b) - a.min(b));
        "v_msad_u8" |a: u32, b: u32, c: u32| masked_sad(a, b).wrapping_add(c);
        "v_cvt_pk_u8_f32" |a: f32, b: u32, c: u32| {
            let mut all = bytes(c);
            all[b as usize % 4] = f64::from(a).round_ties_even() as u8;
            u32::from_le_bytes(all)
        };
        "v_dot2_f16_f16" ~ 1e-3 |a: [f16; 2], b: [f16; 2], c: f16| h(two_products(halves(a), halves(b), c.to_f32()));
        "v_dot2_bf16_bf16" ~ 1e-2 |a: [bf16; 2], b: [bf16; 2], c: bf16| bf16::from_f64(two_products(brains(a), brains(b), c.to_f32()));
    }
}

fn shorts() -> Vec<Case> {
    cases! {
        "v_mad_u16" |a: u16, b: u16, c: u16| a.wrapping_mul(b).wrapping_add(c);
        "v_mad_i16" |a: i16, b: i16, c: i16| a.wrapping_mul(b).wrapping_add(c);
        "v_mad_u32_u16" |a: u16, b: u16, c: u32| (u32::from(a) * u32::from(b)).wrapping_add(c);
        "v_mad_i32_i16" |a: i16, b: i16, c: i32| (i32::from(a) * i32::from(b)).wrapping_add(c);
        "v_add_nc_u16" |a: u16, b: u16| a.wrapping_add(b);
        "v_sub_nc_u16" |a: u16, b: u16| a.wrapping_sub(b);
        "v_add_nc_i16" |a: i16, b: i16| a.wrapping_add(b);
        "v_sub_nc_i16" |a: i16, b: i16| a.wrapping_sub(b);
        "v_mul_lo_u16" |a: u16, b: u16| (u32::from(a) * u32::from(b)) as u16;
        "v_lshlrev_b16" |a: u16, b: u16| (u32::from(b) << (a % 16)) as u16;
        "v_lshrrev_b16" |a: u16, b: u16| b / 2u16.pow(u32::from(a % 16));
        "v_ashrrev_i16" |a: u16, b: i16| i32::from(b).div_euclid(2i32.pow(u32::from(a % 16))) as i16;
        "v_and_b16" |a: u16, b: u16| a & b;
        "v_or_b16" |a: u16, b: u16| a | b;
        "v_xor_b16" |a: u16, b: u16| a ^ b;
        "v_cndmask_b16" |a: u16, b: u16, c: bool| [a, b][usize::from(c)];
    }
}

fn extremes() -> Vec<Case> {
    cases! {
        "v_min_f32" |a: f32, b: f32| min(a, b);
        "v_max_f32" |a: f32, b: f32| max(a, b);
        "v_min_f16" |a: f16, b: f16| min(a, b);
        "v_max_f16" |a: f16, b: f16| max(a, b);
        "v_min_f64" |a: f64, b: f64| min(a, b);
        "v_max_f64" |a: f64, b: f64| max(a, b);
        "v_min3_f32" |a: f32, b: f32, c: f32| min(min(a, b), c);
        "v_max3_f32" |a: f32, b: f32, c: f32| max(max(a, b), c);
        "v_med3_f32" ~ 1e-30 |a: f32, b: f32, c: f32| middle(a, b, c);
        "v_min3_f16" |a: f16, b: f16, c: f16| min(min(a, b), c);
        "v_max3_f16" |a: f16, b: f16, c: f16| max(max(a, b), c);
        "v_med3_f16" ~ 1e-30 |a: f16, b: f16, c: f16| middle(a, b, c);
        "v_maxmin_f32" |a: f32, b: f32, c: f32| min(max(a, b), c);
        "v_minmax_f32" |a: f32, b: f32, c: f32| max(min(a, b), c);
        "v_maxmin_f16" |a: f16, b: f16, c: f16| min(max(a, b), c);
        "v_minmax_f16" |a: f16, b: f16, c: f16| max(min(a, b), c);
        "v_min3_i32" |a: i32, b: i32, c: i32| [a, b, c].into_iter().min().unwrap();
        "v_max3_i32" |a: i32, b: i32, c: i32| [a, b, c].into_iter().max().unwrap();
        "v_med3_i32" |a: i32, b: i32, c: i32| middle_of(a, b, c);
        "v_min3_u32" |a: u32, b: u32, c: u32| [a, b, c].into_iter().min().unwrap();
        "v_max3_u32" |a: u32, b: u32, c: u32| [a, b, c].into_iter().max().unwrap();
        "v_med3_u32" |a: u32, b: u32, c: u32| middle_of(a, b, c);
        "v_min3_i16" |a: i16, b: i16, c: i16| [a, b, c].into_iter().min().unwrap();
        "v_max3_i16" |a: i16, b: i16, c: i16| [a, b, c].into_iter().max().unwrap();
        "v_med3_i16" |a: i16, b: i16, c: i16| middle_of(a, b, c);
        "v_min3_u16" |a: u16, b: u16, c: u16| [a, b, c].into_iter().min().unwrap();
        "v_max3_u16" |a: u16, b: u16, c: u16| [a, b, c].into_iter().max().unwrap();
        "v_med3_u16" |a: u16, b: u16, c: u16| middle_of(a, b, c);
        "v_maxmin_u32" |a: u32, b: u32, c: u32| if a > b { a } else { b }.min(c);
        "v_minmax_u32" |a: u32, b: u32, c: u32| if a < b { a } else { b }.max(c);
        "v_maxmin_i32" |a: i32, b: i32, c: i32| if a > b { a } else { b }.min(c);
        "v_minmax_i32" |a: i32, b: i32, c: i32| if a < b { a } else { b }.max(c);
        "v_min_i16" |a: i16, b: i16| if a < b { a } else { b };
        "v_max_i16" |a: i16, b: i16| if a > b { a } else { b };
        "v_min_u16" |a: u16, b: u16| if a < b { a } else { b };
        "v_max_u16" |a: u16, b: u16| if a > b { a } else { b };
    }
}

fn wide() -> Vec<Case> {
    cases! {
        "v_add_f64" |a: f64, b: f64| a + b;
        "v_mul_f64" |a: f64, b: f64| a * b;
        "v_fma_f64" |a: f64, b: f64, c: f64| a.mul_add(b, c);
        "v_ldexp_f64" |a: f64, b: i32| scaled(a, b);
        "v_lshlrev_b64" |a: u32, b: u64| (u128::from(b) << (a % 64)) as u64;
        "v_lshrrev_b64" |a: u32, b: u64| b / 2u64.pow(a % 64);
        "v_ashrrev_i64" |a: u32, b: i64| i128::from(b).div_euclid(2i128.pow(a % 64)) as i64;
        "v_mad_u64_u32" |a: u32, b: u32, c: u64| {
            let sum = u128::from(a) * u128::from(b) + u128::from(c);
            With(sum as u64, sum >> 64 == 1)
        };
        "v_mad_i64_i32" |a: i32, b: i32, c: i64| {
            let sum = i128::from(a) * i128::from(b) + i128::from(c);
            With(sum as i64, sum >> 64 & 1 == 1)
        };
        "v_qsad_pk_u16_u8" |a: u64, b: u32, c: u64| four_sads(a, b, c, sad);
        "v_mqsad_pk_u16_u8" |a: u64, b: u32, c: u64| four_sads(a, b, c, masked_sad);
    }
}

fn packed() -> Vec<Case> {
    cases! {
        "v_pk_mad_i16" |a: [i16; 2], b: [i16; 2], c: [i16; 2]| pairs(pairs(a, b, i16::wrapping_mul), c, i16::wrapping_add);
        "v_pk_mad_u16" |a: [u16; 2], b: [u16; 2], c: [u16; 2]| pairs(pairs(a, b, u16::wrapping_mul), c, u16::wrapping_add);
        "v_pk_mul_lo_u16" |a: [u16; 2], b: [u16; 2]| pairs(a, b, u16::wrapping_mul);
        "v_pk_add_i16" |a: [i16; 2], b: [i16; 2]| pairs(a, b, i16::wrapping_add);
        "v_pk_sub_i16" |a: [i16; 2], b: [i16; 2]| pairs(a, b, i16::wrapping_sub);
        "v_pk_add_u16" |a: [u16; 2], b: [u16; 2]| pairs(a, b, u16::wrapping_add);
        "v_pk_sub_u16" |a: [u16; 2], b: [u16; 2]| pairs(a, b, u16::wrapping_sub);
        "v_pk_lshlrev_b16" |a: [u16; 2], b: [u16; 2]| pairs(a, b, |a, b| (u32::from(b) << (a % 16)) as u16);
        "v_pk_lshrrev_b16" |a: [u16; 2], b: [u16; 2]| pairs(a, b, |a, b| b / 2u16.pow(u32::from(a % 16)));
        "v_pk_ashrrev_i16" |a: [u16; 2], b: [u16; 2]| pairs(a, b, |a, b| b as i16 >> (a % 16));
        "v_pk_max_i16" |a: [i16; 2], b: [i16; 2]| pairs(a, b, |a, b| if a > b { a } else { b });
        "v_pk_min_i16" |a: [i16; 2], b: [i16; 2]| pairs(a, b, |a, b| if a < b { a } else { b });
        "v_pk_max_u16" |a: [u16; 2], b: [u16; 2]| pairs(a, b, |a, b| if a > b { a } else { b });
        "v_pk_min_u16" |a: [u16; 2], b: [u16; 2]| pairs(a, b, |a, b| if a < b { a } else { b });
        "v_pk_fma_f16" |a: [f16; 2], b: [f16; 2], c: [f16; 2]| [h3(a[0], b[0], c[0]), h3(a[1], b[1], c[1])];
        "v_pk_add_f16" |a: [f16; 2], b: [f16; 2]| pairs(a, b, |a, b| h2(a, b, |a, b| a + b));
        "v_pk_mul_f16" |a: [f16; 2], b: [f16; 2]| pairs(a, b, |a, b| h2(a, b, |a, b| a * b));
        "v_pk_min_f16" |a: [f16; 2], b: [f16; 2]| pairs(a, b, min);
        "v_pk_max_f16" |a: [f16; 2], b: [f16; 2]| pairs(a, b, max);
        "v_fma_mix_f32" |a: f16, b: f16, c: f16| a.to_f32().mul_add(b.to_f32(), c.to_f32());
        "v_fma_mixlo_f16" |a: f16, b: f16, c: f16| h3(a, b, c);
        "v_fma_mixhi_f16" |a: f16, b: f16, c: f16| h3(a, b, c);
        "v_dot2_f32_f16" ~ 1e-6 |a: [f16; 2], b: [f16; 2], c: f32| two_products(halves(a), halves(b), c) as f32;
        "v_dot2_f32_bf16" ~ 1e-6 |a: [bf16; 2], b: [bf16; 2], c: f32| two_products(brains(a), brains(b), c) as f32;
        "v_dot4_i32_iu8" |a: u32, b: u32, c: i32| (0..4).fold(c, |s, n| s.wrapping_add(i32::from(bytes(a)[n]) * i32::from(bytes(b)[n])));
        "v_dot4_u32_u8" |a: u32, b: u32, c: u32| (0..4).fold(c, |s, n| s.wrapping_add(u32::from(bytes(a)[n]) * u32::from(bytes(b)[n])));
        "v_dot8_i32_iu4" |a: u32, b: u32, c: i32| (0..8).fold(i64::from(c), |s, n| s + nibble(a, n, false) * nibble(b, n, false)) as i32;
        "v_dot8_u32_u4" |a: u32, b: u32, c: u32| (0..8).fold(i64::from(c), |s, n| s + nibble(a, n, false) * nibble(b, n, false)) as u32;
    }
}
