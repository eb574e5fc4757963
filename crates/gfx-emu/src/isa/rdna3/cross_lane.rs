//! Vector operations that look beyond their lane.

use crate::arith::{Fast, int};
use crate::fault::Fault;
use crate::isa::macros::{across, core, wave};
use crate::isa::operand::{Operand, Output, bits32, scalar32};
use crate::isa::row::Semantics;
use crate::isa::{Class, Form, Inst, Kind, Row, Src};
use crate::run::{Core, check_waits, undefined_scalar};
use crate::wave::{LANES, Wave, slot};

const fn row(opcode: u16, name: &'static str, semantics: Semantics) -> Row {
    Row::new(Class::Vector, opcode, name, semantics)
}

/// VOP1.
pub(super) static VOP1: &[Row] = &[
    row(2, "v_readfirstlane_b32", across!(Kind::S(1), [Kind::B32], read_first, check_first)),
    row(66, "v_movreld_b32", core!(Kind::B32, [Kind::B32], |c, i| move_indexed(c, i, |_| 0, |index| index))),
    row(67, "v_movrels_b32", core!(Kind::B32, [Kind::B32], |c, i| move_indexed(c, i, |index| index, |_| 0))),
    row(68, "v_movrelsd_b32", core!(Kind::B32, [Kind::B32], |c, i| move_indexed(c, i, |index| index, |index| index))),
    row(
        72,
        "v_movrelsd_2_b32",
        core!(Kind::B32, [Kind::B32], |c, i| move_indexed(c, i, |index| index & 0x3ff, |index| index >> 16 & 0x3ff)),
    ),
    row(101, "v_swap_b32", across!(Kind::B32, [Kind::B32, Kind::B32], swap, define_swap)).form(Form::Exchange),
    row(102, "v_swap_b16", across!(Kind::B16, [Kind::B16, Kind::B16], swap_halves, define_swap)).form(Form::Exchange),
    row(104, "v_swaprel_b32", core!(Kind::B32, [Kind::B32], swap_indexed)).form(Form::Exchange),
    row(103, "v_permlane64_b32", across!(Kind::B32, [Kind::B32], other_half, define_other_half)),
];

/// VOP3.
pub(super) static VOP3: &[Row] = &[
    row(
        603,
        "v_permlane16_b32",
        across!(Kind::B32, [Kind::B32, Kind::B32, Kind::B32], |w, i| permute(w, i, 0), |w, i| {
            define_permuted(w, i, 0)
        }),
    ),
    row(
        604,
        "v_permlanex16_b32",
        across!(Kind::B32, [Kind::B32, Kind::B32, Kind::B32], |w, i| permute(w, i, 16), |w, i| {
            define_permuted(w, i, 16)
        }),
    ),
    row(799, "v_mbcnt_lo_u32_b32", wave!(Kind::B32, [Kind::B32, Kind::B32], |w, i| count_below(w, i, int::mbcnt_lo))),
    row(800, "v_mbcnt_hi_u32_b32", wave!(Kind::B32, [Kind::B32, Kind::B32], |w, i| count_below(w, i, int::mbcnt_hi))),
    row(864, "v_readlane_b32", across!(Kind::S(1), [Kind::B32, Kind::B32], read_lane, check_lane)),
    row(865, "v_writelane_b32", across!(Kind::B32, [Kind::B32, Kind::B32], write_lane, define_lane)),
];

/// Bits set below each lane's own.
fn count_below(wave: &mut Wave, inst: &Inst, count: fn(u32, u32, u32) -> u32) {
    for half in 0..wave.halves {
        let masks = <u32 as Operand>::read(wave, inst, 0, half);
        let addends = <u32 as Operand>::read(wave, inst, 1, half);
        let first = (half * LANES) as u32;
        let counts = std::array::from_fn(|lane| count(masks[lane], addends[lane], first + lane as u32));
        <u32 as Output>::write(Fast, wave, inst, half, &counts);
    }
}

/// One lane's value of a source, by its number in the wave.
fn value_of(wave: &Wave, inst: &Inst, lane: usize) -> u32 {
    bits32(wave, inst, 0, lane / LANES)[lane % LANES]
}

/// The first active lane, or the very first if none is.
fn first_lane(wave: &Wave) -> usize {
    match wave.exec64() {
        0 => 0,
        lanes => lanes.trailing_zeros() as usize,
    }
}

/// The lane that the second source names; what the wave's size does not need of the number is ignored.
fn named_lane(wave: &Wave, inst: &Inst) -> usize {
    scalar32(wave, inst, 1) as usize & (LANES * wave.halves - 1)
}

fn read_first(wave: &mut Wave, inst: &Inst) {
    let value = value_of(wave, inst, first_lane(wave));
    wave.set_s(inst.dst as u8, value);
}

fn check_first(wave: &mut Wave, inst: &Inst) -> Result<(), Box<Fault>> {
    check_read(wave, inst, first_lane(wave))
}

fn read_lane(wave: &mut Wave, inst: &Inst) {
    let value = value_of(wave, inst, named_lane(wave, inst));
    wave.set_s(inst.dst as u8, value);
}

fn check_lane(wave: &mut Wave, inst: &Inst) -> Result<(), Box<Fault>> {
    if inst.src[0].vgpr().is_some_and(|register| wave.track.keeps_scalars(register)) {
        return Ok(());
    }
    check_read(wave, inst, named_lane(wave, inst))
}

/// A scalar must not come from a lane that was never written.
fn check_read(wave: &Wave, inst: &Inst, lane: usize) -> Result<(), Box<Fault>> {
    let Some(register) = inst.src[0].vgpr() else { return Ok(()) };
    if wave.track.defined(lane / LANES, register) >> (lane % LANES) & 1 == 1 {
        return Ok(());
    }
    Err(undefined_scalar(register, lane))
}

fn write_lane(wave: &mut Wave, inst: &Inst) {
    let (value, lane) = (scalar32(wave, inst, 0), named_lane(wave, inst));
    wave.v_mut(lane / LANES, inst.dst)[lane % LANES] = value;
}

fn define_lane(wave: &mut Wave, inst: &Inst) -> Result<(), Box<Fault>> {
    let lane = named_lane(wave, inst);
    wave.track.define(lane / LANES, inst.dst, 1 << (lane % LANES), u32::MAX);
    wave.track.keep_scalar(inst.dst);
    Ok(())
}

/// Which lane each lane reads: four bits of two scalars for each lane of a row. `flip`: 16 to read the other row.
fn permuted_lanes(wave: &Wave, inst: &Inst, flip: usize) -> [usize; LANES] {
    let selects = u64::from(scalar32(wave, inst, 1)) | u64::from(scalar32(wave, inst, 2)) << 32;
    std::array::from_fn(|lane| (lane & 16 ^ flip) | (selects >> (4 * (lane & 15)) & 15) as usize)
}

/// For each lane whether it reads its source, and lanes that are written. OP_SEL has the control bits: the first
/// lets inactive lanes be read, the second has lanes with an inactive source get zero rather than nothing.
fn permuted_masks(wave: &Wave, inst: &Inst, half: usize, from: &[usize; LANES]) -> [u32; 2] {
    let exec = wave.exec(half);
    let readable = if inst.opsel & 1 == 1 { u32::MAX } else { exec };
    let reads = (0..LANES).fold(0, |mask, lane| mask | (readable >> from[lane] & 1) << lane);
    [reads, if inst.opsel & 2 == 2 { exec } else { exec & reads }]
}

fn permute(wave: &mut Wave, inst: &Inst, flip: usize) {
    let from = permuted_lanes(wave, inst, flip);
    for half in 0..wave.halves {
        let [reads, written] = permuted_masks(wave, inst, half, &from);
        let values = bits32(wave, inst, 0, half);
        let result = std::array::from_fn(|lane| if reads >> lane & 1 == 1 { values[from[lane]] } else { 0 });
        wave.write(half, inst.dst, written, &result);
    }
}

fn define_permuted(wave: &mut Wave, inst: &Inst, flip: usize) -> Result<(), Box<Fault>> {
    let from = permuted_lanes(wave, inst, flip);
    for half in 0..wave.halves {
        let [reads, written] = permuted_masks(wave, inst, half, &from);
        let source = defined(wave, inst.src[0], half);
        let result = (0..LANES).fold(0, |mask, lane| mask | (source >> from[lane] & 1) << lane);
        wave.track.define(half, inst.dst, written, result | !reads);
    }
    Ok(())
}

/// Lanes of a source that were written.
fn defined(wave: &Wave, src: Src, half: usize) -> u32 {
    src.vgpr().map_or(u32::MAX, |register| wave.track.defined(half, register))
}

fn other_half(wave: &mut Wave, inst: &Inst) {
    if wave.halves == 2 {
        let values = [1, 0].map(|half| bits32(wave, inst, 0, half));
        for (half, values) in values.iter().enumerate() {
            let lanes = wave.exec(half);
            wave.write(half, inst.dst, lanes, values);
        }
    }
}

fn define_other_half(wave: &mut Wave, inst: &Inst) -> Result<(), Box<Fault>> {
    if wave.halves == 2 {
        let lanes = [1, 0].map(|half| defined(wave, inst.src[0], half));
        for (half, lanes) in lanes.into_iter().enumerate() {
            wave.track.define(half, inst.dst, wave.exec(half), lanes);
        }
    }
    Ok(())
}

fn swap(wave: &mut Wave, inst: &Inst) {
    let Some(other) = inst.src[0].vgpr() else { return };
    for half in 0..wave.halves {
        let (lanes, first, second) = (wave.exec(half), *wave.v(half, inst.dst), *wave.v(half, other));
        wave.write(half, inst.dst, lanes, &second);
        wave.write(half, other, lanes, &first);
    }
}

fn swap_halves(wave: &mut Wave, inst: &Inst) {
    let Some(other) = inst.src[0].vgpr() else { return };
    for half in 0..wave.halves {
        let lanes = wave.exec(half);
        for lane in (0..LANES).filter(|lane| lanes >> lane & 1 == 1) {
            let (to, from) = (16 * u32::from(inst.opsel >> 3 & 1), 16 * u32::from(inst.opsel & 1));
            let difference = (wave.v(half, inst.dst)[lane] >> to ^ wave.v(half, other)[lane] >> from) & 0xffff;
            wave.v_mut(half, inst.dst)[lane] ^= difference << to;
            wave.v_mut(half, other)[lane] ^= difference << from;
        }
    }
}

fn define_swap(wave: &mut Wave, inst: &Inst) -> Result<(), Box<Fault>> {
    let Some(other) = inst.src[0].vgpr() else { return Ok(()) };
    for half in 0..wave.halves {
        let (lanes, first, second) =
            (wave.exec(half), defined(wave, Src::V(inst.dst), half), defined(wave, inst.src[0], half));
        wave.track.define(half, inst.dst, lanes, second);
        wave.track.define(half, other, lanes, first);
    }
    Ok(())
}

/// The instruction with its source and result M0 behind those it names, as `of_source` and `of_result` take it from
/// M0. That they do not wait for memory cannot be checked before.
fn beside(wave: &Wave, inst: &Inst, of_source: fn(u32) -> u32, of_result: fn(u32) -> u32) -> Result<Inst, Box<Fault>> {
    let index = wave.s(slot::M0);
    let move_by = |register: u16, offset: u32| (u32::from(register).wrapping_add(offset) & 255) as u16;
    let mut moved = inst.clone();
    moved.dst = move_by(inst.dst, of_result(index));
    if let Src::V(register) = inst.src[0] {
        moved.src[0] = Src::V(move_by(register, of_source(index)));
    }
    (moved.reads, moved.writes) = Default::default();
    moved.note_registers(wave.halves == 2);
    check_waits(wave, &moved)?;
    Ok(moved)
}

fn move_indexed(
    core: &mut Core<'_, '_>,
    inst: &Inst,
    of_source: fn(u32) -> u32,
    of_result: fn(u32) -> u32,
) -> Result<(), Box<Fault>> {
    let wave = &mut *core.wave;
    let moved = beside(wave, inst, of_source, of_result)?;
    for half in 0..wave.halves {
        let (lanes, values) = (wave.exec(half), bits32(wave, &moved, 0, half));
        let defined = defined(wave, moved.src[0], half);
        wave.track.define(half, moved.dst, lanes, defined);
        wave.write(half, moved.dst, lanes, &values);
    }
    Ok(())
}

fn swap_indexed(core: &mut Core<'_, '_>, inst: &Inst) -> Result<(), Box<Fault>> {
    let wave = &mut *core.wave;
    let moved = beside(wave, inst, |index| index & 0x3ff, |index| index >> 16 & 0x3ff)?;
    define_swap(wave, &moved)?;
    swap(wave, &moved);
    Ok(())
}
