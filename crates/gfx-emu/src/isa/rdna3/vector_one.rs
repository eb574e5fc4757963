//! Vector operations of one operand (VOP1).

use crate::arith::{F16, int};
use crate::isa::macros::{ints, lanes, wave};
use crate::isa::row::Semantics;
use crate::isa::{Class, Kind, Row};

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Vector, opcode, name, semantics)
}

/// On the slow path.
const fn slow(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    row(opcode, name, semantics).class(Class::Transcendental)
}

/// VOP1.
pub(super) static VOP1: &[&[Row]] = &[MOVES, CONVERSIONS, BITS, FLOATS, DOUBLES, HALVES];

static MOVES: &[Row] = &[
    row(0, "v_nop", wave!(Kind::None, [], |_, _| {})),
    row(1, "v_mov_b32", ints!(|i, a: u32| -> u32 { a })),
    row(28, "v_mov_b16", ints!(|i, a: u16| -> u16 { a })),
];

static CONVERSIONS: &[Row] = &[
    slow(3, "v_cvt_i32_f64", lanes!(|e, a: f64| -> i32 { e.to_i32(a) })),
    slow(4, "v_cvt_f64_i32", lanes!(|e, a: i32| -> f64 { e.i32_to(a) })),
    row(5, "v_cvt_f32_i32", lanes!(|e, a: i32| -> f32 { e.i32_to(a) })),
    row(6, "v_cvt_f32_u32", lanes!(|e, a: u32| -> f32 { e.u32_to(a) })),
    row(7, "v_cvt_u32_f32", lanes!(|e, a: f32| -> u32 { e.to_u32(a) })),
    row(8, "v_cvt_i32_f32", lanes!(|e, a: f32| -> i32 { e.to_i32(a) })),
    row(10, "v_cvt_f16_f32", lanes!(|e, a: f32| -> F16 { e.convert(a) })),
    row(11, "v_cvt_f32_f16", lanes!(|e, a: F16| -> f32 { e.convert(a) })),
    row(12, "v_cvt_nearest_i32_f32", lanes!(|e, a: f32| -> i32 { e.nearest_to_i32(a) })),
    row(13, "v_cvt_floor_i32_f32", lanes!(|e, a: f32| -> i32 { e.floor_to_i32(a) })),
    row(14, "v_cvt_off_f32_i4", lanes!(|e, a: u32| -> f32 { e.off_i4(a) })),
    slow(15, "v_cvt_f32_f64", lanes!(|e, a: f64| -> f32 { e.convert(a) })),
    slow(16, "v_cvt_f64_f32", lanes!(|e, a: f32| -> f64 { e.convert(a) })),
    row(17, "v_cvt_f32_ubyte0", lanes!(|e, a: u32| -> f32 { e.ubyte(a, 0) })),
    row(18, "v_cvt_f32_ubyte1", lanes!(|e, a: u32| -> f32 { e.ubyte(a, 1) })),
    row(19, "v_cvt_f32_ubyte2", lanes!(|e, a: u32| -> f32 { e.ubyte(a, 2) })),
    row(20, "v_cvt_f32_ubyte3", lanes!(|e, a: u32| -> f32 { e.ubyte(a, 3) })),
    slow(21, "v_cvt_u32_f64", lanes!(|e, a: f64| -> u32 { e.to_u32(a) })),
    slow(22, "v_cvt_f64_u32", lanes!(|e, a: u32| -> f64 { e.u32_to(a) })),
    row(80, "v_cvt_f16_u16", lanes!(|e, a: u16| -> F16 { e.u32_to(u32::from(a)) })),
    row(81, "v_cvt_f16_i16", lanes!(|e, a: i16| -> F16 { e.i32_to(i32::from(a)) })),
    row(82, "v_cvt_u16_f16", lanes!(|e, a: F16| -> u16 { e.to_u16(a) })),
    row(83, "v_cvt_i16_f16", lanes!(|e, a: F16| -> i16 { e.to_i16(a) })),
    row(98, "v_sat_pk_u8_i16", ints!(|i, a: u32| -> u16 { int::sat_pk_u8_i16(a) as u16 })),
    row(99, "v_cvt_norm_i16_f16", lanes!(|e, a: F16| -> i16 { e.to_snorm16(a) })),
    row(100, "v_cvt_norm_u16_f16", lanes!(|e, a: F16| -> u16 { e.to_unorm16(a) })),
    row(106, "v_cvt_i32_i16", ints!(|i, a: i16| -> i32 { i32::from(a) })),
    row(107, "v_cvt_u32_u16", ints!(|i, a: u16| -> u32 { u32::from(a) })),
];

static BITS: &[Row] = &[
    row(55, "v_not_b32", ints!(|i, a: u32| -> u32 { !a })),
    row(56, "v_bfrev_b32", ints!(|i, a: u32| -> u32 { a.reverse_bits() })),
    row(57, "v_clz_i32_u32", ints!(|i, a: u32| -> i32 { int::clz(a) })),
    row(58, "v_ctz_i32_b32", ints!(|i, a: u32| -> i32 { int::ctz(a) })),
    row(59, "v_cls_i32", ints!(|i, a: i32| -> i32 { int::cls(a) })),
    row(105, "v_not_b16", ints!(|i, a: u16| -> u16 { !a })),
];

static FLOATS: &[Row] = &[
    row(32, "v_fract_f32", lanes!(|e, a: f32| -> f32 { e.fract(a) })),
    row(33, "v_trunc_f32", lanes!(|e, a: f32| -> f32 { e.trunc(a) })),
    row(34, "v_ceil_f32", lanes!(|e, a: f32| -> f32 { e.ceil(a) })),
    row(35, "v_rndne_f32", lanes!(|e, a: f32| -> f32 { e.rndne(a) })),
    row(36, "v_floor_f32", lanes!(|e, a: f32| -> f32 { e.floor(a) })),
    slow(37, "v_exp_f32", lanes!(|e, a: f32| -> f32 { e.exp(a) })),
    slow(39, "v_log_f32", lanes!(|e, a: f32| -> f32 { e.log(a) })),
    slow(42, "v_rcp_f32", lanes!(|e, a: f32| -> f32 { e.rcp(a) })),
    slow(43, "v_rcp_iflag_f32", lanes!(|e, a: f32| -> f32 { e.rcp(a) })),
    slow(46, "v_rsq_f32", lanes!(|e, a: f32| -> f32 { e.rsq(a) })),
    slow(51, "v_sqrt_f32", lanes!(|e, a: f32| -> f32 { e.sqrt(a) })),
    slow(53, "v_sin_f32", lanes!(|e, a: f32| -> f32 { e.sin(a) })),
    slow(54, "v_cos_f32", lanes!(|e, a: f32| -> f32 { e.cos(a) })),
    row(63, "v_frexp_exp_i32_f32", lanes!(|e, a: f32| -> i32 { e.frexp_exp(a) })),
    row(64, "v_frexp_mant_f32", lanes!(|e, a: f32| -> f32 { e.frexp_mant(a) })),
];

static DOUBLES: &[Row] = &[
    slow(23, "v_trunc_f64", lanes!(|e, a: f64| -> f64 { e.trunc(a) })),
    slow(24, "v_ceil_f64", lanes!(|e, a: f64| -> f64 { e.ceil(a) })),
    slow(25, "v_rndne_f64", lanes!(|e, a: f64| -> f64 { e.rndne(a) })),
    slow(26, "v_floor_f64", lanes!(|e, a: f64| -> f64 { e.floor(a) })),
    slow(47, "v_rcp_f64", lanes!(|e, a: f64| -> f64 { e.rcp(a) })),
    slow(49, "v_rsq_f64", lanes!(|e, a: f64| -> f64 { e.rsq(a) })),
    slow(52, "v_sqrt_f64", lanes!(|e, a: f64| -> f64 { e.sqrt(a) })),
    slow(60, "v_frexp_exp_i32_f64", lanes!(|e, a: f64| -> i32 { e.frexp_exp(a) })),
    slow(61, "v_frexp_mant_f64", lanes!(|e, a: f64| -> f64 { e.frexp_mant(a) })),
    slow(62, "v_fract_f64", lanes!(|e, a: f64| -> f64 { e.fract(a) })),
];

static HALVES: &[Row] = &[
    slow(84, "v_rcp_f16", lanes!(|e, a: F16| -> F16 { e.rcp(a) })),
    slow(85, "v_sqrt_f16", lanes!(|e, a: F16| -> F16 { e.sqrt(a) })),
    slow(86, "v_rsq_f16", lanes!(|e, a: F16| -> F16 { e.rsq(a) })),
    slow(87, "v_log_f16", lanes!(|e, a: F16| -> F16 { e.log(a) })),
    slow(88, "v_exp_f16", lanes!(|e, a: F16| -> F16 { e.exp(a) })),
    row(89, "v_frexp_mant_f16", lanes!(|e, a: F16| -> F16 { e.frexp_mant(a) })),
    row(90, "v_frexp_exp_i16_f16", lanes!(|e, a: F16| -> i16 { e.frexp_exp(a) as i16 })),
    row(91, "v_floor_f16", lanes!(|e, a: F16| -> F16 { e.floor(a) })),
    row(92, "v_ceil_f16", lanes!(|e, a: F16| -> F16 { e.ceil(a) })),
    row(93, "v_trunc_f16", lanes!(|e, a: F16| -> F16 { e.trunc(a) })),
    row(94, "v_rndne_f16", lanes!(|e, a: F16| -> F16 { e.rndne(a) })),
    row(95, "v_fract_f16", lanes!(|e, a: F16| -> F16 { e.fract(a) })),
    slow(96, "v_sin_f16", lanes!(|e, a: F16| -> F16 { e.sin(a) })),
    slow(97, "v_cos_f16", lanes!(|e, a: F16| -> F16 { e.cos(a) })),
];
