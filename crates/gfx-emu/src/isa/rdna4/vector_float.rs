//! Vector arithmetic of floats: minimum and maximum with NaNs passed on, bytes as floats, and slow functions of scalars.

use crate::arith::{Arith, Exact, F16, float8};
use crate::isa::macros::{lanes, wave};
use crate::isa::operand::{ScalarOutput, scalar32};
use crate::isa::row::Semantics;
use crate::isa::{Class, Inst, Kind, Row};
use crate::wave::Wave;

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Vector, opcode, name, semantics)
}

const fn dot(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    row(opcode, name, semantics).class(Class::Dot)
}

/// The byte of a source that OP_SEL names, its low bit last.
fn byte(inst: &Inst, word: u32) -> u8 {
    let number = (inst.opsel & 1) << 1 | inst.opsel >> 1 & 1;
    (word >> (8 * number)) as u8
}

/// The half of a source that OP_SEL names.
fn half(inst: &Inst, word: u32) -> [u8; 2] {
    ((word >> if inst.opsel & 1 == 1 { 16 } else { 0 }) as u16).to_le_bytes()
}

/// VOP1.
pub(super) static VOP1: &[Row] = &[
    row(108, "v_cvt_f32_fp8", lanes!(@with |e, i, a: u32| -> f32 { float8::from_e4m3(byte(i, a)) })),
    row(109, "v_cvt_f32_bf8", lanes!(@with |e, i, a: u32| -> f32 { float8::from_e5m2(byte(i, a)) })),
    row(110, "v_cvt_pk_f32_fp8", lanes!(@with |e, i, a: u32| -> [f32; 2] { half(i, a).map(float8::from_e4m3) })),
    row(111, "v_cvt_pk_f32_bf8", lanes!(@with |e, i, a: u32| -> [f32; 2] { half(i, a).map(float8::from_e5m2) })),
];

/// A function of a scalar float, with the modifiers of a vector one.
fn scalar_f32(wave: &mut Wave, inst: &Inst, function: impl Fn(Exact, f32) -> f32) {
    let mut value = f32::from_bits(scalar32(wave, inst, 0));
    value = if inst.abs & 1 == 1 { value.abs() } else { value };
    value = if inst.neg & 1 == 1 { -value } else { value };
    let arith = Exact { mode: wave.mode };
    let result = arith.omod(function(arith, value), inst.omod.into());
    (if inst.clamp { arith.clamp(result) } else { result }).store(wave, inst);
}

fn scalar_f16(wave: &mut Wave, inst: &Inst, function: impl Fn(Exact, F16) -> F16) {
    let bits = scalar32(wave, inst, 0) >> if inst.opsel & 1 == 1 { 16 } else { 0 };
    let bits = if inst.abs & 1 == 1 { bits & 0x7fff } else { bits };
    let bits = if inst.neg & 1 == 1 { bits ^ 0x8000 } else { bits };
    let arith = Exact { mode: wave.mode };
    let result = arith.omod(function(arith, F16(bits as u16)), inst.omod.into());
    (if inst.clamp { arith.clamp(result) } else { result }).store(wave, inst);
}

/// Both widths of a slow function of scalars.
macro_rules! of_scalars {
    ($opcode:literal, $name:literal, |$e:ident, $a:ident| $body:expr) => {
        [
            row(
                $opcode,
                concat!("v_s_", $name, "_f32"),
                wave!(Kind::S(1), [Kind::B32], |w, i| scalar_f32(w, i, |$e, $a| $body)),
            )
            .class(Class::Transcendental),
            row(
                $opcode + 1,
                concat!("v_s_", $name, "_f16"),
                wave!(Kind::S(1), [Kind::F16], |w, i| scalar_f16(w, i, |$e, $a| $body)),
            )
            .class(Class::Transcendental),
        ]
    };
}

static OF_SCALARS: [[Row; 2]; 5] = [
    of_scalars!(640, "exp", |e, a| e.exp(a)),
    of_scalars!(642, "log", |e, a| e.log(a)),
    of_scalars!(644, "rcp", |e, a| e.rcp(a)),
    of_scalars!(646, "rsq", |e, a| e.rsq(a)),
    of_scalars!(648, "sqrt", |e, a| e.sqrt(a)),
];

/// VOP3.
pub(super) const VOP3: [&[Row]; 2] = [EXTREMES, OF_SCALARS.as_flattened()];

static EXTREMES: &[Row] = &[
    row(557, "v_minimum3_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.minimum(e.minimum(a, b), c) })),
    row(558, "v_maximum3_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.maximum(e.maximum(a, b), c) })),
    row(559, "v_minimum3_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.minimum(e.minimum(a, b), c) })),
    row(560, "v_maximum3_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.maximum(e.maximum(a, b), c) })),
    row(620, "v_minimummaximum_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.maximum(e.minimum(a, b), c) })),
    row(621, "v_maximumminimum_f32", lanes!(|e, a: f32, b: f32, c: f32| -> f32 { e.minimum(e.maximum(a, b), c) })),
    row(622, "v_minimummaximum_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.maximum(e.minimum(a, b), c) })),
    row(623, "v_maximumminimum_f16", lanes!(|e, a: F16, b: F16, c: F16| -> F16 { e.minimum(e.maximum(a, b), c) })),
    row(833, "v_minimum_f64", lanes!(|e, a: f64, b: f64| -> f64 { e.minimum(a, b) })).class(Class::Transcendental),
    row(834, "v_maximum_f64", lanes!(|e, a: f64, b: f64| -> f64 { e.maximum(a, b) })).class(Class::Transcendental),
    row(869, "v_minimum_f32", lanes!(|e, a: f32, b: f32| -> f32 { e.minimum(a, b) })),
    row(870, "v_maximum_f32", lanes!(|e, a: f32, b: f32| -> f32 { e.maximum(a, b) })),
    row(871, "v_minimum_f16", lanes!(|e, a: F16, b: F16| -> F16 { e.minimum(a, b) })),
    row(872, "v_maximum_f16", lanes!(|e, a: F16, b: F16| -> F16 { e.maximum(a, b) })),
];

/// Four products of bytes and an addend, each added as an f32.
#[inline(always)]
fn dot4<A: Arith>(e: A, a: u32, b: u32, c: f32, of_a: fn(u8) -> f32, of_b: fn(u8) -> f32) -> f32 {
    let pairs = a.to_le_bytes().into_iter().zip(b.to_le_bytes());
    pairs.fold(c, |sum, (a, b)| e.fma(of_a(a), of_b(b), sum))
}

/// VOP3P.
pub(super) static VOP3P: &[Row] = &[
    row(
        29,
        "v_pk_minimum_f16",
        lanes!(|e, a: [F16; 2], b: [F16; 2]| -> [F16; 2] { [e.minimum(a[0], b[0]), e.minimum(a[1], b[1])] }),
    ),
    row(
        30,
        "v_pk_maximum_f16",
        lanes!(|e, a: [F16; 2], b: [F16; 2]| -> [F16; 2] { [e.maximum(a[0], b[0]), e.maximum(a[1], b[1])] }),
    ),
    dot(
        36,
        "v_dot4_f32_fp8_bf8",
        lanes!(|e, a: u32, b: u32, c: f32| -> f32 { dot4(e, a, b, c, float8::from_e4m3, float8::from_e5m2) }),
    ),
    dot(
        37,
        "v_dot4_f32_bf8_fp8",
        lanes!(|e, a: u32, b: u32, c: f32| -> f32 { dot4(e, a, b, c, float8::from_e5m2, float8::from_e4m3) }),
    ),
    dot(
        38,
        "v_dot4_f32_fp8_fp8",
        lanes!(|e, a: u32, b: u32, c: f32| -> f32 { dot4(e, a, b, c, float8::from_e4m3, float8::from_e4m3) }),
    ),
    dot(
        39,
        "v_dot4_f32_bf8_bf8",
        lanes!(|e, a: u32, b: u32, c: f32| -> f32 { dot4(e, a, b, c, float8::from_e5m2, float8::from_e5m2) }),
    ),
];
