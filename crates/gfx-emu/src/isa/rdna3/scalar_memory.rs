use super::unsupported;
use crate::isa::macros::wave;
use crate::isa::memory::scalar::{buffer_loads, loads};
use crate::isa::row::Semantics;
use crate::isa::{Class, Kind, Row};

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::ScalarMemory, opcode, name, semantics)
}

/// SMEM. Caches are not modelled, so that there is nothing to invalidate.
pub(super) static SMEM: &[Row] = &[
    row(0, "s_load_b32", loads::<1>()),
    row(1, "s_load_b64", loads::<2>()),
    row(2, "s_load_b128", loads::<4>()),
    row(3, "s_load_b256", loads::<8>()),
    row(4, "s_load_b512", loads::<16>()),
    row(8, "s_buffer_load_b32", buffer_loads::<1>()),
    row(9, "s_buffer_load_b64", buffer_loads::<2>()),
    row(10, "s_buffer_load_b128", buffer_loads::<4>()),
    row(11, "s_buffer_load_b256", buffer_loads::<8>()),
    row(12, "s_buffer_load_b512", buffer_loads::<16>()),
    row(32, "s_gl1_inv", wave!(Kind::None, [], |_, _| {})),
    row(33, "s_dcache_inv", wave!(Kind::None, [], |_, _| {})),
    unsupported(Class::ScalarMemory, 34, "s_atc_probe"),
    unsupported(Class::ScalarMemory, 35, "s_atc_probe_buffer"),
];
