//! Scalar arithmetic of floats and of 64-bit integers.

use crate::arith::{Arith, Exact, F16, Predicate};
use crate::isa::macros::scalar;
use crate::isa::row::Semantics;
use crate::isa::{Class, Form, Row};
use crate::wave::Wave;

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Scalar, opcode, name, semantics)
}

/// Arithmetic in the wave's mode. One value is not worth a fast form.
fn arith(wave: &Wave) -> Exact {
    Exact { mode: wave.mode }
}

/// SOP1.
pub(super) static SOP1: &[Row] = &[
    row(96, "s_ceil_f32", scalar!(|w, a: f32| -> f32 { arith(w).ceil(a) })),
    row(97, "s_floor_f32", scalar!(|w, a: f32| -> f32 { arith(w).floor(a) })),
    row(98, "s_trunc_f32", scalar!(|w, a: f32| -> f32 { arith(w).trunc(a) })),
    row(99, "s_rndne_f32", scalar!(|w, a: f32| -> f32 { arith(w).rndne(a) })),
    row(100, "s_cvt_f32_i32", scalar!(|w, a: i32| -> f32 { arith(w).i32_to(a) })),
    row(101, "s_cvt_f32_u32", scalar!(|w, a: u32| -> f32 { arith(w).u32_to(a) })),
    row(102, "s_cvt_i32_f32", scalar!(|w, a: f32| -> i32 { arith(w).to_i32(a) })),
    row(103, "s_cvt_u32_f32", scalar!(|w, a: f32| -> u32 { arith(w).to_u32(a) })),
    row(104, "s_cvt_f16_f32", scalar!(|w, a: f32| -> F16 { arith(w).convert(a) })),
    row(105, "s_cvt_f32_f16", scalar!(|w, a: F16| -> f32 { arith(w).convert(a) })),
    row(106, "s_cvt_hi_f32_f16", scalar!(|w, a: u32| -> f32 { arith(w).convert(F16((a >> 16) as u16)) })),
    row(107, "s_ceil_f16", scalar!(|w, a: F16| -> F16 { arith(w).ceil(a) })),
    row(108, "s_floor_f16", scalar!(|w, a: F16| -> F16 { arith(w).floor(a) })),
    row(109, "s_trunc_f16", scalar!(|w, a: F16| -> F16 { arith(w).trunc(a) })),
    row(110, "s_rndne_f16", scalar!(|w, a: F16| -> F16 { arith(w).rndne(a) })),
];

/// SOP2.
pub(super) static SOP2: &[Row] = &[
    row(64, "s_add_f32", scalar!(|w, a: f32, b: f32| -> f32 { arith(w).add(a, b) })),
    row(65, "s_sub_f32", scalar!(|w, a: f32, b: f32| -> f32 { arith(w).sub(a, b) })),
    row(66, "s_min_num_f32", scalar!(|w, a: f32, b: f32| -> f32 { arith(w).min(a, b) })),
    row(67, "s_max_num_f32", scalar!(|w, a: f32, b: f32| -> f32 { arith(w).max(a, b) })),
    row(68, "s_mul_f32", scalar!(|w, a: f32, b: f32| -> f32 { arith(w).mul(a, b) })),
    row(69, "s_fmaak_f32", scalar!(|w, a: f32, b: f32, k: f32| -> f32 { arith(w).fma(a, b, k) }))
        .form(Form::LiteralAddend),
    row(70, "s_fmamk_f32", scalar!(|w, a: f32, k: f32, b: f32| -> f32 { arith(w).fma(a, k, b) }))
        .form(Form::LiteralFactor),
    row(71, "s_fmac_f32", scalar!(|w, a: f32, b: f32, old: f32| -> f32 { arith(w).fma(a, b, old) }))
        .form(Form::Accumulate),
    row(
        72,
        "s_cvt_pk_rtz_f16_f32",
        scalar!(|w, a: f32, b: f32| -> u32 {
            let [low, high] = [a, b].map(|value| u32::from(arith(w).to_f16_rtz(value).0));
            low | high << 16
        }),
    ),
    row(73, "s_add_f16", scalar!(|w, a: F16, b: F16| -> F16 { arith(w).add(a, b) })),
    row(74, "s_sub_f16", scalar!(|w, a: F16, b: F16| -> F16 { arith(w).sub(a, b) })),
    row(75, "s_min_num_f16", scalar!(|w, a: F16, b: F16| -> F16 { arith(w).min(a, b) })),
    row(76, "s_max_num_f16", scalar!(|w, a: F16, b: F16| -> F16 { arith(w).max(a, b) })),
    row(77, "s_mul_f16", scalar!(|w, a: F16, b: F16| -> F16 { arith(w).mul(a, b) })),
    row(78, "s_fmac_f16", scalar!(|w, a: F16, b: F16, old: F16| -> F16 { arith(w).fma(a, b, old) }))
        .form(Form::Accumulate),
    row(79, "s_minimum_f32", scalar!(|w, a: f32, b: f32| -> f32 { arith(w).minimum(a, b) })),
    row(80, "s_maximum_f32", scalar!(|w, a: f32, b: f32| -> f32 { arith(w).maximum(a, b) })),
    row(81, "s_minimum_f16", scalar!(|w, a: F16, b: F16| -> F16 { arith(w).minimum(a, b) })),
    row(82, "s_maximum_f16", scalar!(|w, a: F16, b: F16| -> F16 { arith(w).maximum(a, b) })),
    row(83, "s_add_nc_u64", scalar!(|w, a: u64, b: u64| -> u64 { a.wrapping_add(b) })),
    row(84, "s_sub_nc_u64", scalar!(|w, a: u64, b: u64| -> u64 { a.wrapping_sub(b) })),
    row(85, "s_mul_u64", scalar!(|w, a: u64, b: u64| -> u64 { a.wrapping_mul(b) })),
];

/// The fourteen comparisons of a type, from an opcode on: all but never and always.
macro_rules! comparisons {
    ($first:literal, $type:ty, $suffix:literal, $($predicate:ident $name:literal),*) => {
        &[$(row(
            $first + Predicate::$predicate as u16,
            concat!("s_cmp_", $name, "_", $suffix),
            scalar!(|w, a: $type, b: $type| -> () { w.scc = arith(w).compare(Predicate::$predicate, a, b) }),
        )),*]
    };
    ($first:literal, $type:ty, $suffix:literal) => {
        comparisons!($first, $type, $suffix,
            Less "lt", Equal "eq", LessEqual "le", Greater "gt", LessGreater "lg", GreaterEqual "ge", Ordered "o",
            Unordered "u", NotGreaterEqual "nge", NotLessGreater "nlg", NotGreater "ngt", NotLessEqual "nle",
            NotEqual "neq", NotLess "nlt")
    };
}

/// SOPC.
pub(super) const SOPC: [&[Row]; 2] = [comparisons!(64, f32, "f32"), comparisons!(80, F16, "f16")];
