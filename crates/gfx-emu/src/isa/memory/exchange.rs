//! Instructions of LDS that move values between lanes, or count lanes.

use super::{Access, Lanes, Outcome, Space, check_address, issue, local::Local, vgpr};
use crate::fault::{Fault, FaultKind};
use crate::isa::Inst;
use crate::run::{Core, Counter};
use crate::wave::{LANES, Wave, slot};

/// Writes a value from another lane, or zero where `from` names none; what is undefined there is so here.
fn gather(core: &mut Core<'_, '_>, inst: &Inst, half: usize, data: u16, from: &[Option<usize>; LANES]) {
    let wave = &mut *core.wave;
    let mask = wave.exec(half);
    let values = *wave.v(half, data);
    let defined = wave.track.defined(half, data);
    let origin = wave.track.origin(data);
    let result = from.map(|from| from.map_or(0, |from| values[from]));
    wave.write(half, inst.dst, mask, &result);
    let is_defined = |from: &Option<usize>| from.is_none_or(|from| defined >> from & 1 == 1);
    let lanes = from.iter().enumerate().fold(0, |all, (lane, from)| all | u32::from(is_defined(from)) << lane);
    if lanes & wave.track.defined(half, inst.dst) & mask != mask {
        wave.track.define(half, inst.dst, mask, lanes);
        if let (Some(origin), true) = (origin, lanes & mask != mask) {
            wave.track.inherit(inst.dst, origin);
        }
    }
}

/// An active lane of the half; inactive ones give zero.
fn active(wave: &Wave, half: usize, lane: usize) -> Option<usize> {
    (wave.exec(half) >> lane & 1 == 1).then_some(lane)
}

/// The lane that an address names: lanes are 4 bytes apart, and wrap around in each half.
fn lane_of(address: u32, inst: &Inst) -> usize {
    let offset = (inst.offset | inst.offset1 << 8) as u32;
    (address.wrapping_add(offset) / 4) as usize % LANES
}

/// `ds_bpermute_b32`: each lane reads from the lane that its address names.
pub(crate) fn bpermute(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    let (address, data) = (vgpr(inst.src[0]), vgpr(inst.src[1]));
    for half in 0..core.wave.halves {
        check_address(core.wave, half, core.wave.exec(half), address)?;
        let from = core.wave.v(half, address).map(|address| active(core.wave, half, lane_of(address, inst)));
        gather(core, inst, half, data, &from);
    }
    issue(core, inst, &[Counter::Lds]);
    Ok(())
}

/// `ds_permute_b32`: each lane writes to the lane that its address names; of several, the last counts.
pub(crate) fn permute(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    let (address, data) = (vgpr(inst.src[0]), vgpr(inst.src[1]));
    for half in 0..core.wave.halves {
        check_address(core.wave, half, core.wave.exec(half), address)?;
        let mut from = [None; LANES];
        for (lane, address) in core.wave.v(half, address).iter().enumerate() {
            if let Some(lane) = active(core.wave, half, lane) {
                from[lane_of(*address, inst)] = Some(lane);
            }
        }
        gather(core, inst, half, data, &from);
    }
    issue(core, inst, &[Counter::Lds]);
    Ok(())
}

/// `ds_swizzle_b32`: lanes exchange in a fixed pattern, which the offset is.
pub(crate) fn swizzle(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    let pattern = (inst.offset | inst.offset1 << 8) as usize;
    if pattern >= FFT {
        return Err(Fault::new(FaultKind::Unsupported { what: format!("ds_swizzle_b32 with pattern {pattern:#x}") }));
    }
    for half in 0..core.wave.halves {
        let from = std::array::from_fn(|lane| active(core.wave, half, partner(pattern, lane)));
        gather(core, inst, half, vgpr(inst.src[0]), &from);
    }
    issue(core, inst, &[Counter::Lds]);
    Ok(())
}

const FFT: usize = 0xe000;
const ROTATE: usize = 0xc000;
const QUAD: usize = 0x8000;

/// The lane that a lane reads from (RDNA3 ISA guide, `DS_SWIZZLE_B32`).
fn partner(pattern: usize, lane: usize) -> usize {
    if pattern >= ROTATE {
        let (keep, by) = (pattern & 31, pattern >> 5 & 31);
        let moved = if pattern >> 10 & 1 == 1 { lane + LANES - by } else { lane + by };
        lane & keep | (moved % LANES) & !keep
    } else if pattern >= QUAD {
        lane & !3 | pattern >> (2 * (lane & 3)) & 3
    } else {
        ((lane & pattern & 31) | pattern >> 5 & 31) ^ (pattern >> 10 & 31)
    }
}

/// `ds_append` and `ds_consume`: adds or subtracts the number of active lanes at the address in M0, and gives all of
/// them the old value.
pub(crate) fn append(core: &mut Core<'_, '_>, inst: &Inst, change: fn(u64, u64) -> u64) -> Outcome {
    let lanes = core.wave.exec64();
    if lanes == 0 {
        return Ok(());
    }
    let address = u64::from(core.wave.s(slot::M0) & 0xffff) + (inst.offset | inst.offset1 << 8) as u64;
    let half = usize::from(core.wave.exec(0) == 0);
    let at = Lanes { half, mask: core.wave.exec(half), address: [address; LANES] };
    if core.group.env.options.counts_lines {
        Local::count(core, &at, 4, Access::Atomic);
    }
    let lane = at.mask.trailing_zeros() as usize;
    let old = Local::update(core, inst, &at, lane, 4, &|old| change(old, lanes.count_ones().into()))?;
    for half in 0..core.wave.halves {
        let mask = core.wave.exec(half);
        core.wave.write(half, inst.dst, mask, &[old as u32; LANES]);
        core.wave.track.define(half, inst.dst, mask, u32::MAX);
    }
    issue(core, inst, &[Counter::Lds]);
    Ok(())
}
