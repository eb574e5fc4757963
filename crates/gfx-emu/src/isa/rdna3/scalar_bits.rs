//! Scalar operations of one operand (SOP1) that do not change the program counter.

use crate::isa::macros::{scalar, wave};
use crate::isa::operand::{scalar32, scalar64};
use crate::isa::row::Semantics;
use crate::isa::{Class, Inst, Kind, Row, Src};
use crate::wave::{Wave, slot};

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Scalar, opcode, name, semantics)
}

fn nonzero32(wave: &mut Wave, value: u32) -> u32 {
    wave.scc = value != 0;
    value
}

fn nonzero64(wave: &mut Wave, value: u64) -> u64 {
    wave.scc = value != 0;
    value
}

/// Position of the first bit that differs from the sign, counted from the front; -1 if none does.
fn sign_run(value: i64, width: u32) -> u32 {
    let differs = (if value < 0 { !value } else { value }) as u64;
    if differs == 0 { u32::MAX } else { differs.leading_zeros() - (64 - width) }
}

/// -1 where a count of leading or trailing zeros finds no bit.
fn found(value: u64, position: u32) -> u32 {
    if value == 0 { u32::MAX } else { position }
}

/// One bit for each group of four: whether any of them is set.
fn quads(value: u64) -> u64 {
    (0..16).fold(0, |mask, quad| mask | u64::from(value >> (4 * quad) & 15 != 0) << quad)
}

/// All four bits of each group that has one set.
fn whole_quads(value: u64) -> u64 {
    (0..16).fold(0, |mask, quad| mask | if value >> (4 * quad) & 15 != 0 { 15 << (4 * quad) } else { 0 })
}

/// Each bit twice.
fn twice(value: u32) -> u64 {
    (0..32).fold(0, |bits, bit| bits | (u64::from(value >> bit & 1) * 3) << (2 * bit))
}

/// Sets EXEC from its old value, which is the result.
fn save32(wave: &mut Wave, new: impl Fn(u32) -> u32) -> u32 {
    let old = wave.s(slot::EXEC);
    let new = new(old);
    wave.set_s(slot::EXEC, new);
    wave.scc = new != 0;
    old
}

fn save64(wave: &mut Wave, new: impl Fn(u64) -> u64) -> u64 {
    let old = wave.s64(slot::EXEC);
    let new = new(old);
    wave.set_s64(slot::EXEC, new);
    wave.scc = new != 0;
    old
}

/// Sets EXEC, which is the result as well.
fn write32(wave: &mut Wave, new: impl Fn(u32) -> u32) -> u32 {
    save32(wave, new);
    wave.s(slot::EXEC)
}

fn write64(wave: &mut Wave, new: impl Fn(u64) -> u64) -> u64 {
    save64(wave, new);
    wave.s64(slot::EXEC)
}

/// A register beside the one that a field names, by M0.
fn beside(wave: &Wave, first: u16) -> u8 {
    (u32::from(first).wrapping_add(wave.s(slot::M0)) & 127) as u8
}

fn source_beside(wave: &Wave, inst: &Inst) -> u8 {
    if let Src::S(first) = inst.src[0] { beside(wave, u16::from(first)) } else { slot::NULL }
}

/// Source and result each have an index of ten bits in M0.
fn move_apart(wave: &mut Wave, inst: &Inst) {
    let m0 = wave.s(slot::M0);
    if let Src::S(first) = inst.src[0] {
        let value = wave.s(((u32::from(first) + (m0 & 0x3ff)) & 127) as u8);
        wave.set_s(((u32::from(inst.dst) + (m0 >> 16 & 0x3ff)) & 127) as u8, value);
    }
}

/// Changes one bit of the result's old value.
fn set_bit(wave: &mut Wave, inst: &Inst, mask: u32, change: fn(u64, u64) -> u64) {
    let bit = 1 << (scalar32(wave, inst, 0) & mask);
    let slot = inst.dst as u8;
    if mask == 31 {
        wave.set_s(slot, change(u64::from(wave.s(slot)), bit) as u32);
    } else {
        wave.set_s64(slot, change(wave.s64(slot), bit));
    }
}

/// SOP1.
pub(super) static SOP1: &[Row] = &[
    row(0, "s_mov_b32", scalar!(|w, a: u32| -> u32 { a })),
    row(1, "s_mov_b64", scalar!(|w, a: u64| -> u64 { a })),
    row(4, "s_brev_b32", scalar!(|w, a: u32| -> u32 { a.reverse_bits() })),
    row(5, "s_brev_b64", scalar!(|w, a: u64| -> u64 { a.reverse_bits() })),
    row(8, "s_ctz_i32_b32", scalar!(|w, a: u32| -> u32 { found(u64::from(a), a.trailing_zeros()) })),
    row(9, "s_ctz_i32_b64", scalar!(|w, a: u64| -> u32 { found(a, a.trailing_zeros()) })),
    row(10, "s_clz_i32_u32", scalar!(|w, a: u32| -> u32 { found(u64::from(a), a.leading_zeros()) })),
    row(11, "s_clz_i32_u64", scalar!(|w, a: u64| -> u32 { found(a, a.leading_zeros()) })),
    row(12, "s_cls_i32", scalar!(|w, a: i32| -> u32 { sign_run(i64::from(a), 32) })),
    row(13, "s_cls_i32_i64", scalar!(|w, a: i64| -> u32 { sign_run(a, 64) })),
    row(14, "s_sext_i32_i8", scalar!(|w, a: u32| -> i32 { i32::from(a as i8) })),
    row(15, "s_sext_i32_i16", scalar!(|w, a: u32| -> i32 { i32::from(a as i16) })),
    row(20, "s_bitreplicate_b64_b32", scalar!(|w, a: u32| -> u64 { twice(a) })),
    row(21, "s_abs_i32", scalar!(|w, a: i32| -> u32 { nonzero32(w, a.unsigned_abs()) })),
    row(22, "s_bcnt0_i32_b32", scalar!(|w, a: u32| -> u32 { nonzero32(w, a.count_zeros()) })),
    row(23, "s_bcnt0_i32_b64", scalar!(|w, a: u64| -> u32 { nonzero32(w, a.count_zeros()) })),
    row(24, "s_bcnt1_i32_b32", scalar!(|w, a: u32| -> u32 { nonzero32(w, a.count_ones()) })),
    row(25, "s_bcnt1_i32_b64", scalar!(|w, a: u64| -> u32 { nonzero32(w, a.count_ones()) })),
    row(26, "s_quadmask_b32", scalar!(|w, a: u32| -> u32 { nonzero32(w, quads(u64::from(a)) as u32) })),
    row(27, "s_quadmask_b64", scalar!(|w, a: u64| -> u64 { nonzero64(w, quads(a)) })),
    row(28, "s_wqm_b32", scalar!(|w, a: u32| -> u32 { nonzero32(w, whole_quads(u64::from(a)) as u32) })),
    row(29, "s_wqm_b64", scalar!(|w, a: u64| -> u64 { nonzero64(w, whole_quads(a)) })),
    row(30, "s_not_b32", scalar!(|w, a: u32| -> u32 { nonzero32(w, !a) })),
    row(31, "s_not_b64", scalar!(|w, a: u64| -> u64 { nonzero64(w, !a) })),
    row(32, "s_and_saveexec_b32", scalar!(|w, a: u32| -> u32 { save32(w, |exec| a & exec) })),
    row(33, "s_and_saveexec_b64", scalar!(|w, a: u64| -> u64 { save64(w, |exec| a & exec) })),
    row(34, "s_or_saveexec_b32", scalar!(|w, a: u32| -> u32 { save32(w, |exec| a | exec) })),
    row(35, "s_or_saveexec_b64", scalar!(|w, a: u64| -> u64 { save64(w, |exec| a | exec) })),
    row(36, "s_xor_saveexec_b32", scalar!(|w, a: u32| -> u32 { save32(w, |exec| a ^ exec) })),
    row(37, "s_xor_saveexec_b64", scalar!(|w, a: u64| -> u64 { save64(w, |exec| a ^ exec) })),
    row(38, "s_nand_saveexec_b32", scalar!(|w, a: u32| -> u32 { save32(w, |exec| !(a & exec)) })),
    row(39, "s_nand_saveexec_b64", scalar!(|w, a: u64| -> u64 { save64(w, |exec| !(a & exec)) })),
    row(40, "s_nor_saveexec_b32", scalar!(|w, a: u32| -> u32 { save32(w, |exec| !(a | exec)) })),
    row(41, "s_nor_saveexec_b64", scalar!(|w, a: u64| -> u64 { save64(w, |exec| !(a | exec)) })),
    row(42, "s_xnor_saveexec_b32", scalar!(|w, a: u32| -> u32 { save32(w, |exec| !(a ^ exec)) })),
    row(43, "s_xnor_saveexec_b64", scalar!(|w, a: u64| -> u64 { save64(w, |exec| !(a ^ exec)) })),
    row(44, "s_and_not0_saveexec_b32", scalar!(|w, a: u32| -> u32 { save32(w, |exec| !a & exec) })),
    row(45, "s_and_not0_saveexec_b64", scalar!(|w, a: u64| -> u64 { save64(w, |exec| !a & exec) })),
    row(46, "s_or_not0_saveexec_b32", scalar!(|w, a: u32| -> u32 { save32(w, |exec| !a | exec) })),
    row(47, "s_or_not0_saveexec_b64", scalar!(|w, a: u64| -> u64 { save64(w, |exec| !a | exec) })),
    row(48, "s_and_not1_saveexec_b32", scalar!(|w, a: u32| -> u32 { save32(w, |exec| a & !exec) })),
    row(49, "s_and_not1_saveexec_b64", scalar!(|w, a: u64| -> u64 { save64(w, |exec| a & !exec) })),
    row(50, "s_or_not1_saveexec_b32", scalar!(|w, a: u32| -> u32 { save32(w, |exec| a | !exec) })),
    row(51, "s_or_not1_saveexec_b64", scalar!(|w, a: u64| -> u64 { save64(w, |exec| a | !exec) })),
    row(52, "s_and_not0_wrexec_b32", scalar!(|w, a: u32| -> u32 { write32(w, |exec| !a & exec) })),
    row(53, "s_and_not0_wrexec_b64", scalar!(|w, a: u64| -> u64 { write64(w, |exec| !a & exec) })),
    row(54, "s_and_not1_wrexec_b32", scalar!(|w, a: u32| -> u32 { write32(w, |exec| a & !exec) })),
    row(55, "s_and_not1_wrexec_b64", scalar!(|w, a: u64| -> u64 { write64(w, |exec| a & !exec) })),
    row(
        2,
        "s_cmov_b32",
        wave!(Kind::S(1), [Kind::B32], |w, i| if w.scc {
            w.set_s(i.dst as u8, scalar32(w, i, 0))
        }),
    ),
    row(
        3,
        "s_cmov_b64",
        wave!(Kind::S(2), [Kind::B64], |w, i| if w.scc {
            w.set_s64(i.dst as u8, scalar64(w, i, 0))
        }),
    ),
    row(16, "s_bitset0_b32", wave!(Kind::S(1), [Kind::B32], |w, i| set_bit(w, i, 31, |old, bit| old & !bit))),
    row(17, "s_bitset0_b64", wave!(Kind::S(2), [Kind::B32], |w, i| set_bit(w, i, 63, |old, bit| old & !bit))),
    row(18, "s_bitset1_b32", wave!(Kind::S(1), [Kind::B32], |w, i| set_bit(w, i, 31, |old, bit| old | bit))),
    row(19, "s_bitset1_b64", wave!(Kind::S(2), [Kind::B32], |w, i| set_bit(w, i, 63, |old, bit| old | bit))),
    row(64, "s_movrels_b32", wave!(Kind::S(1), [Kind::B32], |w, i| w.set_s(i.dst as u8, w.s(source_beside(w, i))))),
    row(65, "s_movrels_b64", wave!(Kind::S(2), [Kind::B64], |w, i| w.set_s64(i.dst as u8, w.s64(source_beside(w, i))))),
    row(68, "s_movrelsd_2_b32", wave!(Kind::S(1), [Kind::B32], move_apart)),
    row(66, "s_movreld_b32", wave!(Kind::S(1), [Kind::B32], |w, i| w.set_s(beside(w, i.dst), scalar32(w, i, 0)))),
    row(67, "s_movreld_b64", wave!(Kind::S(2), [Kind::B64], |w, i| w.set_s64(beside(w, i.dst), scalar64(w, i, 0)))),
];
