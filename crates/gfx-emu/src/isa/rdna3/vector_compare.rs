//! Vector comparisons (VOPC): those that write a mask, and from opcode 128 on the same ones that write EXEC.

use crate::arith::{F16, Predicate};
use crate::isa::macros::{ints, lanes};
use crate::isa::row::Semantics;
use crate::isa::{Class, Row};

/// Both forms of a comparison.
const fn both(opcode: u16, names: [&'static str; 2], semantics: Semantics) -> [Row; 2] {
    both_of(Class::Vector, opcode, names, semantics)
}

const fn both_of(class: Class, opcode: u16, names: [&'static str; 2], semantics: Semantics) -> [Row; 2] {
    [Row::new(class, opcode, names[0], semantics), Row::new(class, opcode + 128, names[1], semantics)]
}

/// The sixteen predicates of a float type, from an opcode on.
macro_rules! floats {
    ($first:literal, $class:expr, $type:ty, $suffix:literal) => {
        floats!(@each $first, $class, $type, $suffix,
            False "f", Less "lt", Equal "eq", LessEqual "le", Greater "gt", LessGreater "lg", GreaterEqual "ge",
            Ordered "o", Unordered "u", NotGreaterEqual "nge", NotLessGreater "nlg", NotGreater "ngt",
            NotLessEqual "nle", NotEqual "neq", NotLess "nlt", True "t")
    };
    (@each $first:literal, $class:expr, $type:ty, $suffix:literal, $($predicate:ident $name:literal),*) => {
        &[$(both_of(
            $class,
            $first + Predicate::$predicate as u16,
            [concat!("v_cmp_", $name, "_", $suffix), concat!("v_cmpx_", $name, "_", $suffix)],
            lanes!(|e, a: $type, b: $type| -> bool { e.compare(Predicate::$predicate, a, b) }),
        )),*]
    };
}

/// Comparisons of an integer type: opcode, name and operator.
macro_rules! integers {
    ($type:ty, $suffix:literal, $($opcode:literal $name:literal $operator:tt),*) => {
        &[$(both(
            $opcode,
            [concat!("v_cmp_", $name, "_", $suffix), concat!("v_cmpx_", $name, "_", $suffix)],
            ints!(|i, a: $type, b: $type| -> bool { a $operator b }),
        )),*]
    };
}

/// Comparisons that ignore their operands.
macro_rules! constants {
    ($type:ty, $suffix:literal, $never:literal, $always:literal) => {
        &[
            both(
                $never,
                [concat!("v_cmp_f_", $suffix), concat!("v_cmpx_f_", $suffix)],
                ints!(|i, _a: $type, _b: $type| -> bool { false }),
            ),
            both(
                $always,
                [concat!("v_cmp_t_", $suffix), concat!("v_cmpx_t_", $suffix)],
                ints!(|i, _a: $type, _b: $type| -> bool { true }),
            ),
        ]
    };
}

/// VOPC.
pub(super) static VOPC: &[&[[Row; 2]]] = &[
    floats!(0, Class::Vector, F16, "f16"),
    floats!(16, Class::Vector, f32, "f32"),
    floats!(32, Class::Transcendental, f64, "f64"),
    integers!(i16, "i16", 49 "lt" <, 50 "eq" ==, 51 "le" <=, 52 "gt" >, 53 "ne" !=, 54 "ge" >=),
    integers!(u16, "u16", 57 "lt" <, 58 "eq" ==, 59 "le" <=, 60 "gt" >, 61 "ne" !=, 62 "ge" >=),
    integers!(i32, "i32", 65 "lt" <, 66 "eq" ==, 67 "le" <=, 68 "gt" >, 69 "ne" !=, 70 "ge" >=),
    integers!(u32, "u32", 73 "lt" <, 74 "eq" ==, 75 "le" <=, 76 "gt" >, 77 "ne" !=, 78 "ge" >=),
    integers!(i64, "i64", 81 "lt" <, 82 "eq" ==, 83 "le" <=, 84 "gt" >, 85 "ne" !=, 86 "ge" >=),
    integers!(u64, "u64", 89 "lt" <, 90 "eq" ==, 91 "le" <=, 92 "gt" >, 93 "ne" !=, 94 "ge" >=),
    constants!(i32, "i32", 64, 71),
    constants!(u32, "u32", 72, 79),
    constants!(i64, "i64", 80, 87),
    constants!(u64, "u64", 88, 95),
    CLASSES,
];

static CLASSES: &[[Row; 2]] = &[
    both(
        125,
        ["v_cmp_class_f16", "v_cmpx_class_f16"],
        lanes!(|e, a: F16, b: u16| -> bool { e.class(a, u32::from(b)) }),
    ),
    both(126, ["v_cmp_class_f32", "v_cmpx_class_f32"], lanes!(|e, a: f32, b: u32| -> bool { e.class(a, b) })),
    both_of(
        Class::Transcendental,
        127,
        ["v_cmp_class_f64", "v_cmpx_class_f64"],
        lanes!(|e, a: f64, b: u32| -> bool { e.class(a, b) }),
    ),
];
