//! RDNA3: tables of all encodings, opcodes as the RDNA3 ISA guide numbers them (chapter 15).

pub(in crate::isa) mod control;
mod cross_lane;
mod ds;
mod flat;
pub(in crate::isa) mod matrix;
mod mubuf;
mod scalar;
mod scalar_bits;
mod scalar_compare;
mod scalar_immediate;
mod scalar_memory;
mod scratch;
mod vector_compare;
mod vector_one;
mod vector_packed;
mod vector_three;
mod vector_two;

use super::macros::core;
use super::{Class, Inst, Isa, Kind, Row, Table};
use crate::fault::{Fault, FaultKind};
use crate::object::Generation;
use crate::run::Core;

/// An instruction that is known and has no place in a compute kernel.
const fn unsupported(class: Class, opcode: u16, name: &'static str) -> Row {
    let run =
        |_: &mut Core<'_, '_>, inst: &Inst| Err(Fault::new(FaultKind::Unsupported { what: inst.row.name.to_owned() }));
    Row::new(class, opcode, name, core!(Kind::None, [], run))
}

/// The tables of RDNA3.
pub(super) fn isa(wave64: bool) -> Isa {
    let mut isa = Isa {
        generation: Generation::Gfx11,
        wave64,
        sop1: Table::new([&scalar_bits::SOP1, &control::SOP1]),
        sop2: Table::new([&scalar::SOP2]),
        sopc: Table::new([&scalar_compare::SOPC]),
        sopk: Table::new([&scalar_immediate::SOPK, &control::SOPK]),
        sopp: Table::new([&control::SOPP]),
        smem: Table::new([&scalar_memory::SMEM]),
        vop1: Table::new(vector_one::VOP1.iter().chain([&cross_lane::VOP1])),
        vop2: Table::new(vector_two::VOP2),
        vopc: Table::new(&vector_compare::VOPC.iter().map(|pairs| pairs.as_flattened()).collect::<Vec<_>>()),
        vop3: Table::new(vector_three::VOP3.iter().chain([&cross_lane::VOP3])),
        vop3p: Table::new(vector_packed::VOP3P.iter().chain([&matrix::VOP3P])),
        vopd: Table::default(),
        ds: Table::new([&ds::DS]),
        flat: Table::new([&flat::FLAT, &flat::FLAT_ATOMICS]),
        global: Table::new([&flat::GLOBAL, &flat::GLOBAL_ATOMICS]),
        scratch: Table::new([&scratch::SCRATCH]),
        mubuf: Table::new([&mubuf::MUBUF, &mubuf::MUBUF_ATOMICS]),
    };
    isa.vopd = isa.dual_table(VOPD, vector_two::DUAL_ONLY);
    isa
}

/// Operations that a dual instruction is made of, by opcode; from 16 on only as the second one.
static VOPD: &[(u16, &str)] = &[
    (0, "v_fmac_f32"),
    (1, "v_fmaak_f32"),
    (2, "v_fmamk_f32"),
    (3, "v_mul_f32"),
    (4, "v_add_f32"),
    (5, "v_sub_f32"),
    (6, "v_subrev_f32"),
    (7, "v_mul_dx9_zero_f32"),
    (8, "v_mov_b32"),
    (9, "v_cndmask_b32"),
    (10, "v_max_f32"),
    (11, "v_min_f32"),
    (12, "v_dot2acc_f32_f16"),
    (13, "v_dot2acc_f32_bf16"),
    (16, "v_add_nc_u32"),
    (17, "v_lshlrev_b32"),
    (18, "v_and_b32"),
];
