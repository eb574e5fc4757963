//! Formulas of scalar instructions, bit by bit where the instruction does otherwise.

use super::{Case, Found, Left};

impl Found {
    fn a32(&self) -> u32 {
        self.a as u32
    }

    fn b32(&self) -> u32 {
        self.b as u32
    }

    fn old32(&self) -> u32 {
        self.old as u32
    }

    fn exec32(&self) -> u32 {
        self.exec as u32
    }

    /// A result of 64 bits that leaves the condition code alone.
    fn w64(&self, result: u64) -> Left {
        Left { result, scc: self.scc, exec: self.exec }
    }

    /// One of 32 bits, beside which the other register stays.
    fn w32(&self, result: u32) -> Left {
        self.w64(self.old >> 32 << 32 | u64::from(result))
    }

    /// The same with a condition code.
    fn w32_if(&self, result: u32, scc: bool) -> Left {
        Left { scc, ..self.w32(result) }
    }

    /// With a condition code that says whether the result is not zero.
    fn n32(&self, result: u32) -> Left {
        self.w32_if(result, result != 0)
    }

    /// A number of 32 bits and whether the exact one did not fit.
    fn sum(&self, (result, overflow): (u32, bool)) -> Left {
        self.w32_if(result, overflow)
    }

    fn n64(&self, result: u64) -> Left {
        Left { scc: result != 0, ..self.w64(result) }
    }

    /// A condition code alone.
    fn flag(&self, scc: bool) -> Left {
        Left { scc, ..self.w64(self.old) }
    }

    /// Other active lanes; the result is what they were.
    fn save32(&self, exec: u32) -> Left {
        Left { exec: self.exec >> 32 << 32 | u64::from(exec), ..self.w32_if(self.exec32(), exec != 0) }
    }

    fn save64(&self, exec: u64) -> Left {
        Left { exec, scc: exec != 0, result: self.exec }
    }

    /// Other active lanes, which are the result as well.
    fn write32(&self, exec: u32) -> Left {
        Left { exec: self.exec >> 32 << 32 | u64::from(exec), ..self.n32(exec) }
    }

    fn write64(&self, exec: u64) -> Left {
        Left { exec, ..self.n64(exec) }
    }
}

/// A number of which each bit is what a function says.
fn each_bit(width: u32, of: impl Fn(u32) -> bool) -> u64 {
    (0..width).fold(0, |bits, bit| bits | u64::from(of(bit)) << bit)
}

fn is_set(value: u64, bit: u32) -> bool {
    value >> bit & 1 == 1
}

/// The first of some positions whose bit is set, or -1.
fn first_set(value: u64, mut positions: impl Iterator<Item = u32>) -> u32 {
    positions.position(|bit| is_set(value, bit)).map_or(u32::MAX, |at| at as u32)
}

/// The first position from the front whose bit differs from the sign, or -1.
fn first_other(value: u64, width: u32) -> u32 {
    let sign = is_set(value, width - 1);
    (0..width).position(|at| is_set(value, width - 1 - at) != sign).map_or(u32::MAX, |at| at as u32)
}

/// Bits of a field from `selector & (width - 1)`, as many as bits 16 to 22 say; above the value is its sign or zero.
fn field(value: u64, selector: u64, width: u32, signed: bool) -> u64 {
    let (first, count) = (selector as u32 & (width - 1), selector as u32 >> 16 & 127);
    let source = |bit: u32| if bit < width { is_set(value, bit) } else { signed && is_set(value, width - 1) };
    each_bit(width, |bit| match bit {
        _ if count == 0 => false,
        _ if bit < count => source(first + bit),
        _ => signed && source(first + count - 1),
    })
}

fn quad(value: u64, quad: u32) -> bool {
    value >> (4 * quad) & 15 != 0
}

/// The low 32 bits of an exact number, and whether it is none of 32 bits with a sign.
fn signed(exact: i64) -> (u32, bool) {
    (exact as u32, i32::try_from(exact).is_err())
}

/// The same of one without a sign.
fn unsigned(exact: i64) -> (u32, bool) {
    (exact as u32, u32::try_from(exact).is_err())
}

fn wide(value: u32) -> i64 {
    value.into()
}

fn wide_signed(value: u32) -> i64 {
    (value as i32).into()
}

/// The magnitude of a number with a sign; that of the least one is itself.
fn absolute(value: u32) -> u32 {
    wide_signed(value).unsigned_abs() as u32
}

/// The low or high 16 bits.
fn half(value: u32, high: usize) -> u32 {
    [value % 65_536, value / 65_536][high]
}

/// Each bit from those of both operands.
fn bits(f: &Found, of: fn(bool, bool) -> bool) -> u64 {
    each_bit(64, |bit| of(is_set(f.a, bit), is_set(f.b, bit)))
}

/// Each lane from the operand's and whether it is active.
fn lanes(f: &Found, of: fn(bool, bool) -> bool) -> u64 {
    each_bit(64, |bit| of(is_set(f.a, bit), is_set(f.exec, bit)))
}

/// The immediate of SOPK as an unsigned number.
fn zero_extended(f: &Found) -> u32 {
    f.a32() & 0xffff
}

/// All formulas.
pub(super) fn cases() -> Vec<Case> {
    [of_one(), of_active_lanes(), of_two(), of_comparisons(), of_immediates()].concat()
}

fn of_one() -> Vec<Case> {
    vec![
        ("s_mov_b32", |f| f.w32(f.a32())),
        ("s_mov_b64", |f| f.w64(f.a)),
        ("s_cmov_b32", |f| f.w32(if f.scc { f.a32() } else { f.old32() })),
        ("s_cmov_b64", |f| f.w64(if f.scc { f.a } else { f.old })),
        ("s_brev_b32", |f| f.w32(each_bit(32, |bit| is_set(f.a, 31 - bit)) as u32)),
        ("s_brev_b64", |f| f.w64(each_bit(64, |bit| is_set(f.a, 63 - bit)))),
        ("s_ctz_i32_b32", |f| f.w32(first_set(f.a, 0..32))),
        ("s_ctz_i32_b64", |f| f.w32(first_set(f.a, 0..64))),
        ("s_clz_i32_u32", |f| f.w32(first_set(f.a, (0..32).rev()))),
        ("s_clz_i32_u64", |f| f.w32(first_set(f.a, (0..64).rev()))),
        ("s_cls_i32", |f| f.w32(first_other(f.a, 32))),
        ("s_cls_i32_i64", |f| f.w32(first_other(f.a, 64))),
        ("s_sext_i32_i8", |f| f.w32(each_bit(32, |bit| is_set(f.a, bit.min(7))) as u32)),
        ("s_sext_i32_i16", |f| f.w32(each_bit(32, |bit| is_set(f.a, bit.min(15))) as u32)),
        ("s_bitset0_b32", |f| f.w32((f.old & !(1u64 << (f.a & 31))) as u32)),
        ("s_bitset0_b64", |f| f.w64(f.old & !(1u64 << (f.a & 63)))),
        ("s_bitset1_b32", |f| f.w32((f.old | (1u64 << (f.a & 31))) as u32)),
        ("s_bitset1_b64", |f| f.w64(f.old | 1u64 << (f.a & 63))),
        ("s_bitreplicate_b64_b32", |f| f.w64(each_bit(64, |bit| is_set(f.a, bit / 2)))),
        ("s_abs_i32", |f| f.n32(absolute(f.a32()))),
        ("s_bcnt0_i32_b32", |f| f.n32((0..32).filter(|bit| !is_set(f.a, *bit)).count() as u32)),
        ("s_bcnt0_i32_b64", |f| f.n32((0..64).filter(|bit| !is_set(f.a, *bit)).count() as u32)),
        ("s_bcnt1_i32_b32", |f| f.n32((0..32).filter(|bit| is_set(f.a, *bit)).count() as u32)),
        ("s_bcnt1_i32_b64", |f| f.n32((0..64).filter(|bit| is_set(f.a, *bit)).count() as u32)),
        ("s_quadmask_b32", |f| f.n32(each_bit(8, |bit| quad(f.a, bit)) as u32)),
        ("s_quadmask_b64", |f| f.n64(each_bit(16, |bit| quad(f.a, bit)))),
        ("s_wqm_b32", |f| f.n32(each_bit(32, |bit| quad(f.a, bit / 4)) as u32)),
        ("s_wqm_b64", |f| f.n64(each_bit(64, |bit| quad(f.a, bit / 4)))),
        ("s_not_b32", |f| f.n32(u32::MAX - f.a32())),
        ("s_not_b64", |f| f.n64(u64::MAX - f.a)),
    ]
}

fn of_active_lanes() -> Vec<Case> {
    vec![
        ("s_and_saveexec_b32", |f| f.save32(lanes(f, |a, e| a && e) as u32)),
        ("s_and_saveexec_b64", |f| f.save64(lanes(f, |a, e| a && e))),
        ("s_or_saveexec_b32", |f| f.save32(lanes(f, |a, e| a || e) as u32)),
        ("s_or_saveexec_b64", |f| f.save64(lanes(f, |a, e| a || e))),
        ("s_xor_saveexec_b32", |f| f.save32(lanes(f, |a, e| a != e) as u32)),
        ("s_xor_saveexec_b64", |f| f.save64(lanes(f, |a, e| a != e))),
        ("s_nand_saveexec_b32", |f| f.save32(lanes(f, |a, e| !(a && e)) as u32)),
        ("s_nand_saveexec_b64", |f| f.save64(lanes(f, |a, e| !(a && e)))),
        ("s_nor_saveexec_b32", |f| f.save32(lanes(f, |a, e| !a && !e) as u32)),
        ("s_nor_saveexec_b64", |f| f.save64(lanes(f, |a, e| !a && !e))),
        ("s_xnor_saveexec_b32", |f| f.save32(lanes(f, |a, e| a == e) as u32)),
        ("s_xnor_saveexec_b64", |f| f.save64(lanes(f, |a, e| a == e))),
        ("s_and_not0_saveexec_b32", |f| f.save32(lanes(f, |a, e| !a && e) as u32)),
        ("s_and_not0_saveexec_b64", |f| f.save64(lanes(f, |a, e| !a && e))),
        ("s_or_not0_saveexec_b32", |f| f.save32(lanes(f, |a, e| !a || e) as u32)),
        ("s_or_not0_saveexec_b64", |f| f.save64(lanes(f, |a, e| !a || e))),
        ("s_and_not1_saveexec_b32", |f| f.save32(lanes(f, |a, e| a && !e) as u32)),
        ("s_and_not1_saveexec_b64", |f| f.save64(lanes(f, |a, e| a && !e))),
        ("s_or_not1_saveexec_b32", |f| f.save32(lanes(f, |a, e| a || !e) as u32)),
        ("s_or_not1_saveexec_b64", |f| f.save64(lanes(f, |a, e| a || !e))),
        ("s_and_not0_wrexec_b32", |f| f.write32(lanes(f, |a, e| !a && e) as u32)),
        ("s_and_not0_wrexec_b64", |f| f.write64(lanes(f, |a, e| !a && e))),
        ("s_and_not1_wrexec_b32", |f| f.write32(lanes(f, |a, e| a && !e) as u32)),
        ("s_and_not1_wrexec_b64", |f| f.write64(lanes(f, |a, e| a && !e))),
    ]
}

fn of_two() -> Vec<Case> {
    vec![
        ("s_add_u32", |f| f.sum(unsigned(wide(f.a32()) + wide(f.b32())))),
        ("s_sub_u32", |f| f.sum(unsigned(wide(f.a32()) - wide(f.b32())))),
        ("s_add_i32", |f| f.sum(signed(wide_signed(f.a32()) + wide_signed(f.b32())))),
        ("s_sub_i32", |f| f.sum(signed(wide_signed(f.a32()) - wide_signed(f.b32())))),
        ("s_addc_u32", |f| f.sum(unsigned(wide(f.a32()) + wide(f.b32()) + i64::from(f.scc)))),
        ("s_subb_u32", |f| f.sum(unsigned(wide(f.a32()) - wide(f.b32()) - i64::from(f.scc)))),
        ("s_absdiff_i32", |f| f.n32(absolute(f.a32().wrapping_sub(f.b32())))),
        ("s_lshl_b32", |f| f.n32(each_bit(32, |bit| bit >= f.b32() % 32 && is_set(f.a, bit - f.b32() % 32)) as u32)),
        ("s_lshl_b64", |f| f.n64(each_bit(64, |bit| bit >= f.b32() % 64 && is_set(f.a, bit - f.b32() % 64)))),
        ("s_lshr_b32", |f| {
            f.n32(each_bit(32, |bit| bit + f.b32() % 32 < 32 && is_set(f.a, bit + f.b32() % 32)) as u32)
        }),
        ("s_lshr_b64", |f| f.n64(each_bit(64, |bit| bit + f.b32() % 64 < 64 && is_set(f.a, bit + f.b32() % 64)))),
        ("s_ashr_i32", |f| f.n32(each_bit(32, |bit| is_set(f.a, (bit + f.b32() % 32).min(31))) as u32)),
        ("s_ashr_i64", |f| f.n64(each_bit(64, |bit| is_set(f.a, (bit + f.b32() % 64).min(63))))),
        ("s_lshl1_add_u32", |f| f.sum(unsigned(wide(f.a32()) * 2 + wide(f.b32())))),
        ("s_lshl2_add_u32", |f| f.sum(unsigned(wide(f.a32()) * 4 + wide(f.b32())))),
        ("s_lshl3_add_u32", |f| f.sum(unsigned(wide(f.a32()) * 8 + wide(f.b32())))),
        ("s_lshl4_add_u32", |f| f.sum(unsigned(wide(f.a32()) * 16 + wide(f.b32())))),
        ("s_min_i32", |f| {
            f.w32_if(
                if wide_signed(f.a32()) < wide_signed(f.b32()) { f.a32() } else { f.b32() },
                wide_signed(f.a32()) < wide_signed(f.b32()),
            )
        }),
        ("s_max_i32", |f| {
            f.w32_if(
                if wide_signed(f.a32()) < wide_signed(f.b32()) { f.b32() } else { f.a32() },
                wide_signed(f.a32()) >= wide_signed(f.b32()),
            )
        }),
        ("s_min_u32", |f| {
            f.w32_if(if wide(f.a32()) < wide(f.b32()) { f.a32() } else { f.b32() }, wide(f.a32()) < wide(f.b32()))
        }),
        ("s_max_u32", |f| {
            f.w32_if(if wide(f.a32()) < wide(f.b32()) { f.b32() } else { f.a32() }, wide(f.a32()) >= wide(f.b32()))
        }),
        ("s_and_b32", |f| f.n32(bits(f, |a, b| a && b) as u32)),
        ("s_and_b64", |f| f.n64(bits(f, |a, b| a && b))),
        ("s_or_b32", |f| f.n32(bits(f, |a, b| a || b) as u32)),
        ("s_or_b64", |f| f.n64(bits(f, |a, b| a || b))),
        ("s_xor_b32", |f| f.n32(bits(f, |a, b| a != b) as u32)),
        ("s_xor_b64", |f| f.n64(bits(f, |a, b| a != b))),
        ("s_nand_b32", |f| f.n32(bits(f, |a, b| !(a && b)) as u32)),
        ("s_nand_b64", |f| f.n64(bits(f, |a, b| !(a && b)))),
        ("s_nor_b32", |f| f.n32(bits(f, |a, b| !a && !b) as u32)),
        ("s_nor_b64", |f| f.n64(bits(f, |a, b| !a && !b))),
        ("s_xnor_b32", |f| f.n32(bits(f, |a, b| a == b) as u32)),
        ("s_xnor_b64", |f| f.n64(bits(f, |a, b| a == b))),
        ("s_and_not1_b32", |f| f.n32(bits(f, |a, b| a && !b) as u32)),
        ("s_and_not1_b64", |f| f.n64(bits(f, |a, b| a && !b))),
        ("s_or_not1_b32", |f| f.n32(bits(f, |a, b| a || !b) as u32)),
        ("s_or_not1_b64", |f| f.n64(bits(f, |a, b| a || !b))),
        ("s_bfe_u32", |f| f.n32(field(f.a & 0xffff_ffff, f.b, 32, false) as u32)),
        ("s_bfe_i32", |f| f.n32(field(f.a, f.b, 32, true) as u32)),
        ("s_bfe_u64", |f| f.n64(field(f.a, f.b, 64, false))),
        ("s_bfe_i64", |f| f.n64(field(f.a, f.b, 64, true))),
        ("s_bfm_b32", |f| f.w32(each_bit(32, |bit| bit >= f.b32() % 32 && bit < f.b32() % 32 + f.a32() % 32) as u32)),
        ("s_bfm_b64", |f| f.w64(each_bit(64, |bit| bit >= f.b32() % 64 && bit < f.b32() % 64 + f.a32() % 64))),
        ("s_mul_i32", |f| f.w32(wide_signed(f.a32()).wrapping_mul(wide_signed(f.b32())) as u32)),
        ("s_mul_hi_u32", |f| f.w32(((u128::from(f.a32()) * u128::from(f.b32())) >> 32) as u32)),
        ("s_mul_hi_i32", |f| f.w32((wide_signed(f.a32()) * wide_signed(f.b32())).div_euclid(1 << 32) as u32)),
        ("s_cselect_b32", |f| f.w32(if f.scc { f.a32() } else { f.b32() })),
        ("s_cselect_b64", |f| f.w64(if f.scc { f.a } else { f.b })),
        ("s_pack_ll_b32_b16", |f| f.w32(half(f.a32(), 0) + (half(f.b32(), 0) << 16))),
        ("s_pack_lh_b32_b16", |f| f.w32(half(f.a32(), 0) + (half(f.b32(), 1) << 16))),
        ("s_pack_hh_b32_b16", |f| f.w32(half(f.a32(), 1) + (half(f.b32(), 1) << 16))),
        ("s_pack_hl_b32_b16", |f| f.w32(half(f.a32(), 1) + (half(f.b32(), 0) << 16))),
    ]
}

fn of_comparisons() -> Vec<Case> {
    vec![
        ("s_cmp_eq_i32", |f| f.flag(wide_signed(f.a32()) == wide_signed(f.b32()))),
        ("s_cmp_lg_i32", |f| f.flag(wide_signed(f.a32()) != wide_signed(f.b32()))),
        ("s_cmp_gt_i32", |f| f.flag(wide_signed(f.a32()) > wide_signed(f.b32()))),
        ("s_cmp_ge_i32", |f| f.flag(wide_signed(f.a32()) >= wide_signed(f.b32()))),
        ("s_cmp_lt_i32", |f| f.flag(wide_signed(f.a32()) < wide_signed(f.b32()))),
        ("s_cmp_le_i32", |f| f.flag(wide_signed(f.a32()) <= wide_signed(f.b32()))),
        ("s_cmp_eq_u32", |f| f.flag(wide(f.a32()) == wide(f.b32()))),
        ("s_cmp_lg_u32", |f| f.flag(wide(f.a32()) != wide(f.b32()))),
        ("s_cmp_gt_u32", |f| f.flag(wide(f.a32()) > wide(f.b32()))),
        ("s_cmp_ge_u32", |f| f.flag(wide(f.a32()) >= wide(f.b32()))),
        ("s_cmp_lt_u32", |f| f.flag(wide(f.a32()) < wide(f.b32()))),
        ("s_cmp_le_u32", |f| f.flag(wide(f.a32()) <= wide(f.b32()))),
        ("s_bitcmp0_b32", |f| f.flag(!is_set(f.a, f.b32() % 32))),
        ("s_bitcmp1_b32", |f| f.flag(is_set(f.a, f.b32() % 32))),
        ("s_bitcmp0_b64", |f| f.flag(!is_set(f.a, f.b32() % 64))),
        ("s_bitcmp1_b64", |f| f.flag(is_set(f.a, f.b32() % 64))),
        ("s_cmp_eq_u64", |f| f.flag(f.a == f.b)),
        ("s_cmp_lg_u64", |f| f.flag(f.a != f.b)),
    ]
}

fn of_immediates() -> Vec<Case> {
    vec![
        ("s_movk_i32", |f| f.w32(f.a32())),
        ("s_cmovk_i32", |f| f.w32(if f.scc { f.a32() } else { f.old32() })),
        ("s_cmpk_eq_i32", |f| f.flag(wide_signed(f.old32()) == wide_signed(f.a32()))),
        ("s_cmpk_lg_i32", |f| f.flag(wide_signed(f.old32()) != wide_signed(f.a32()))),
        ("s_cmpk_gt_i32", |f| f.flag(wide_signed(f.old32()) > wide_signed(f.a32()))),
        ("s_cmpk_ge_i32", |f| f.flag(wide_signed(f.old32()) >= wide_signed(f.a32()))),
        ("s_cmpk_lt_i32", |f| f.flag(wide_signed(f.old32()) < wide_signed(f.a32()))),
        ("s_cmpk_le_i32", |f| f.flag(wide_signed(f.old32()) <= wide_signed(f.a32()))),
        ("s_cmpk_eq_u32", |f| f.flag(f.old32() == zero_extended(f))),
        ("s_cmpk_lg_u32", |f| f.flag(f.old32() != zero_extended(f))),
        ("s_cmpk_gt_u32", |f| f.flag(f.old32() > zero_extended(f))),
        ("s_cmpk_ge_u32", |f| f.flag(f.old32() >= zero_extended(f))),
        ("s_cmpk_lt_u32", |f| f.flag(f.old32() < zero_extended(f))),
        ("s_cmpk_le_u32", |f| f.flag(f.old32() <= zero_extended(f))),
        ("s_addk_i32", |f| f.sum(signed(wide_signed(f.old32()) + wide_signed(f.a32())))),
        ("s_mulk_i32", |f| f.w32(wide_signed(f.old32()).wrapping_mul(wide_signed(f.a32())) as u32)),
    ]
}
