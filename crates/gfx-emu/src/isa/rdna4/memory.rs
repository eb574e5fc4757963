//! Memory instructions that RDNA3 does not have. Caches are not modelled, so that there is nothing to invalidate or to
//! write back; prefetching is a hint.

use crate::isa::macros::{core, wave};
use crate::isa::memory::atomic::*;
use crate::isa::memory::buffer::Buffer;
use crate::isa::memory::global::{Flat, Global};
use crate::isa::memory::scalar::{buffer_loads, loads, small_buffer_loads, small_loads};
use crate::isa::row::Semantics;
use crate::isa::{Class, Kind, Row};
use crate::run::Counter;

const fn scalar(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::ScalarMemory, opcode, name, semantics)
}

const fn prefetch(opcode: u16, name: &'static str) -> Row {
    scalar(opcode, name, wave!(Kind::None, [], |_, _| {}))
}

/// SMEM.
pub(super) static SMEM: &[Row] = &[
    scalar(5, "s_load_b96", loads::<3>()),
    scalar(8, "s_load_i8", small_loads::<1, true>()),
    scalar(9, "s_load_u8", small_loads::<1, false>()),
    scalar(10, "s_load_i16", small_loads::<2, true>()),
    scalar(11, "s_load_u16", small_loads::<2, false>()),
    scalar(21, "s_buffer_load_b96", buffer_loads::<3>()),
    scalar(24, "s_buffer_load_i8", small_buffer_loads::<1, true>()),
    scalar(25, "s_buffer_load_u8", small_buffer_loads::<1, false>()),
    scalar(26, "s_buffer_load_i16", small_buffer_loads::<2, true>()),
    scalar(27, "s_buffer_load_u16", small_buffer_loads::<2, false>()),
    prefetch(36, "s_prefetch_inst"),
    prefetch(37, "s_prefetch_inst_pc_rel"),
    prefetch(38, "s_prefetch_data"),
    prefetch(39, "s_buffer_prefetch_data"),
    prefetch(40, "s_prefetch_data_pc_rel"),
];

/// What acts on a cache, and is waited for like a load or a store.
const fn cache(opcode: u16, name: &'static str, counter: Counter) -> Row {
    let semantics = match counter {
        Counter::Load => core!(Kind::None, [], |core, inst| {
            core.wave.track.issue(Counter::Load, inst.writes, inst.address);
            Ok(())
        }),
        _ => core!(Kind::None, [], |core, inst| {
            core.wave.track.issue(Counter::Store, inst.writes, inst.address);
            Ok(())
        }),
    };
    Row::new(Class::Control, opcode, name, semantics)
}

macro_rules! atomics {
    ($space:ty, $prefix:literal $(, $more:expr)*) => {
        &[
            Row::new(Class::Atomic, 80, concat!($prefix, "_atomic_cond_sub_u32"), behind::<$space, SubIfCovered, 1>()),
            Row::new(Class::Atomic, 89, concat!($prefix, "_atomic_pk_add_f16"), behind::<$space, AddPkF16, 1>()),
            Row::new(Class::Atomic, 90, concat!($prefix, "_atomic_pk_add_bf16"), behind::<$space, AddPkBf16, 1>()),
            $($more),*
        ]
    };
}

/// VFLAT.
pub(super) static FLAT: &[Row] = atomics!(Flat, "flat");
/// VGLOBAL.
pub(super) static GLOBAL: &[Row] = atomics!(
    Global,
    "global",
    cache(43, "global_inv", Counter::Load),
    cache(44, "global_wb", Counter::Store),
    cache(79, "global_wbinv", Counter::Store)
);
/// VBUFFER.
pub(super) static MUBUF: &[Row] = atomics!(Buffer, "buffer");

const fn lds(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Lds, opcode, name, semantics)
}

/// DS.
pub(super) static DS: &[Row] = &[
    lds(152, "ds_cond_sub_u32", local::<SubIfCovered, 1>(false)),
    lds(153, "ds_sub_clamp_u32", local::<ClampedSub32, 1>(false)),
    lds(154, "ds_pk_add_f16", local::<AddPkF16, 1>(false)),
    lds(155, "ds_pk_add_bf16", local::<AddPkBf16, 1>(false)),
    lds(168, "ds_cond_sub_rtn_u32", local::<SubIfCovered, 1>(true)),
    lds(169, "ds_sub_clamp_rtn_u32", local::<ClampedSub32, 1>(true)),
    lds(170, "ds_pk_add_rtn_f16", local::<AddPkF16, 1>(true)),
    lds(171, "ds_pk_add_rtn_bf16", local::<AddPkBf16, 1>(true)),
];
