//! LDS.
//!
//! HIP runs processes in the unaligned mode: loads and stores of one address need no alignment. Those of two addresses
//! need a multiple of 4 bytes, and atomic operations one of their width (RDNA3 ISA guide, 12.2).

use super::atomic::two_operands;
use super::format::{Format, Words};
use super::global::{check_alignment, race, use_of};
use super::{Access, Block, Lanes, Outcome, Space, count, issue, offsets, receive, stored_raw, values, vgpr};
use crate::fault::{Fault, FaultKind};
use crate::isa::macros::core;
use crate::isa::row::{Exec, Semantics};
use crate::isa::{Inst, Kind};
use crate::memory::Lds;
use crate::run::{Core, Counter};
use crate::wave::LANES;

/// LDS: offsets in a register and the instruction add up.
pub(crate) struct Local;

impl Space for Local {
    const LOADS: &'static [Counter] = &[Counter::Lds];
    const STORES: &'static [Counter] = &[Counter::Lds];
    const ADDRESS: Kind = Kind::B32;

    /// The two offsets of the encoding are one of 16 bits. Addresses have 32 and wrap: compilers count down from zero.
    #[inline(always)]
    fn lanes(core: &mut Core<'_, '_>, inst: &Inst, half: usize, mask: u32) -> Result<Lanes, Box<Fault>> {
        let offset = (inst.offset | inst.offset1 << 8) as u32;
        let address = offsets(core.wave, inst, 0, half, mask)?.map(|address| u64::from(address.wrapping_add(offset)));
        Ok(Lanes { half, mask, address })
    }

    fn count(core: &mut Core<'_, '_>, at: &Lanes, bytes: usize, _: Access) {
        count::local(&mut core.group.counts, at, bytes);
    }

    #[inline(always)]
    fn read<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        _: &Inst,
        at: &Lanes,
        words: &mut Block<N>,
    ) -> Result<[u32; N], Box<Fault>> {
        let (from, to) = check(core, at, F::BYTES, Access::Load)?;
        let lds = &core.group.lds;
        for (lane, address) in at.each() {
            for (n, values) in words.iter_mut().enumerate() {
                values[lane] = lds.read(address as usize + 4 * n, F::BYTES.min(4));
            }
        }
        let mut unwritten = [0; N];
        if !lds.is_written(from, to) {
            for (lane, address) in at.each() {
                for (n, unwritten) in unwritten.iter_mut().enumerate() {
                    let from = address as usize + 4 * n;
                    *unwritten |= u32::from(!lds.is_written(from, from + F::BYTES.min(4))) << lane;
                }
            }
        }
        Ok(unwritten)
    }

    #[inline(always)]
    fn write<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        _: &Inst,
        at: &Lanes,
        words: &Block<N>,
        raw: &[u32; N],
    ) -> Outcome {
        let (from, to) = check_bounds(core, at, F::BYTES, Access::Store)?;
        check_races(core, at, F::BYTES, Access::Store, |lds, lane, address| {
            let same = |n: usize| F::same(lds.read(address + 4 * n, F::BYTES.min(4)), words[n][lane]);
            (0..N).all(same)
        })?;
        let lds = &mut core.group.lds;
        for (lane, address) in at.each() {
            for (n, values) in words.iter().enumerate() {
                lds.write(address as usize + 4 * n, F::BYTES.min(4), values[lane]);
            }
        }
        if raw.iter().all(|lanes| *lanes == 0) && at.is_dense(F::BYTES) {
            lds.mark(from, to, true);
            return Ok(());
        }
        for (lane, address) in at.each() {
            for (n, raw) in raw.iter().enumerate() {
                let from = address as usize + 4 * n;
                lds.mark(from, from + F::BYTES.min(4), raw >> lane & 1 == 0);
            }
        }
        Ok(())
    }

    fn update(
        core: &mut Core<'_, '_>,
        _: &Inst,
        at: &Lanes,
        lane: usize,
        bytes: usize,
        change: &dyn Fn(u64) -> u64,
    ) -> Result<u64, Box<Fault>> {
        let one = Lanes { mask: 1 << lane, ..*at };
        check_alignment(at, lane, bytes, bytes as u32, Access::Atomic)?;
        let (from, to) = check(core, &one, bytes, Access::Atomic)?;
        let lds = &mut core.group.lds;
        if !lds.is_written(from, to) {
            let (what, address) = (Access::Atomic.name(), from as u64);
            let kind = FaultKind::UndefinedMemory { what, bytes: bytes as u32, address };
            return Err(Fault::in_lane(kind, at.number(lane)));
        }
        let old = (0..bytes).step_by(4).fold(0, |old, n| old | u64::from(lds.read(from + n, 4)) << (8 * n));
        let new = change(old);
        for n in (0..bytes).step_by(4) {
            lds.write(from + n, 4, (new >> (8 * n)) as u32);
        }
        Ok(old)
    }
}

/// Checks bounds and races of what writes nothing that could be the same; the range of all lanes.
#[inline(always)]
fn check(core: &mut Core<'_, '_>, at: &Lanes, bytes: usize, access: Access) -> Result<(usize, usize), Box<Fault>> {
    let range = check_bounds(core, at, bytes, access)?;
    check_races(core, at, bytes, access, |_, _, _| false)?;
    Ok(range)
}

#[inline(always)]
fn check_bounds(core: &Core<'_, '_>, at: &Lanes, bytes: usize, access: Access) -> Result<(usize, usize), Box<Fault>> {
    let (from, to) = at.range(bytes);
    let size = core.group.lds.len() as u64;
    if to > size { Err(outside(at, bytes, access, size)) } else { Ok((from as usize, to as usize)) }
}

/// `is_same` says whether a lane writes what is there.
#[inline(always)]
fn check_races(
    core: &mut Core<'_, '_>,
    at: &Lanes,
    bytes: usize,
    access: Access,
    is_same: impl Fn(&Lds, usize, usize) -> bool,
) -> Outcome {
    if core.group.waves < 2 {
        return Ok(());
    }
    let (wave, epoch) = (core.wave.number, core.group.epoch);
    for (lane, address) in at.each() {
        let lds = &mut core.group.lds;
        let Some(conflict) = lds.note(address as usize, bytes, wave, epoch, use_of(access)) else { continue };
        if !(access == Access::Store && conflict.only_writes && is_same(lds, lane, address as usize)) {
            return Err(race(at.number(lane), access, bytes, format!("offset {address} of LDS"), conflict));
        }
    }
    Ok(())
}

#[cold]
fn outside(at: &Lanes, bytes: usize, access: Access, size: u64) -> Box<Fault> {
    let first = at.each().find(|(_, address)| address + bytes as u64 > size);
    let (lane, offset) = first.unwrap_or_default();
    let (access, bytes, size) = (access.name(), bytes as u32, size as u32);
    Fault::in_lane(FaultKind::LdsOutOfBounds { access, bytes, offset, size }, at.number(lane))
}

/// The lanes' two addresses: offsets count elements, or 64 elements.
fn two<const N: usize, const UNIT: usize>(
    core: &mut Core<'_, '_>,
    inst: &Inst,
    half: usize,
    mask: u32,
    access: Access,
) -> Result<[Lanes; 2], Box<Fault>> {
    let address = offsets(core.wave, inst, 0, half, mask)?.map(u64::from);
    let base = Lanes { half, mask, address };
    for (lane, _) in base.each() {
        check_alignment(&base, lane, 4 * N, 4, access)?;
    }
    let two = [inst.offset, inst.offset1].map(|offset| {
        let bytes = offset as u32 * UNIT as u32;
        Lanes { address: base.address.map(|address| u64::from((address as u32).wrapping_add(bytes))), ..base }
    });
    if core.group.env.options.counts_lines {
        two.iter().for_each(|at| Local::count(core, at, 4 * N, access));
    }
    Ok(two)
}

/// A row's semantics: loads N words from each of two addresses, whose offsets count `UNIT` bytes.
pub(crate) const fn two_loads<const N: usize, const UNIT: usize>() -> Semantics {
    core!(Kind::V(2 * N as u8), [Kind::B32], load_two::<N, UNIT>)
}

/// A row's semantics: stores N words to each of two addresses.
pub(crate) const fn two_stores<const N: usize, const UNIT: usize>() -> Semantics {
    let exec = Exec::Core(store_two::<N, UNIT>);
    Semantics { exec, dst: Kind::None, carries: false, src: two_operands::<N>() }
}

/// A row's semantics: exchanges N words at each of two addresses for registers.
pub(crate) const fn two_exchanges<const N: usize, const UNIT: usize>() -> Semantics {
    let exec = Exec::Core(exchange_two::<N, UNIT>);
    Semantics { exec, dst: Kind::V(2 * N as u8), carries: false, src: two_operands::<N>() }
}

fn load_two<const N: usize, const UNIT: usize>(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    for half in 0..core.wave.halves {
        let mask = core.wave.exec(half);
        if mask == 0 {
            continue;
        }
        let two = two::<N, UNIT>(core, inst, half, mask, Access::Load)?;
        for (at, register) in two.iter().zip((inst.dst..).step_by(N)) {
            let mut words = [[0; LANES]; N];
            let unwritten = Local::read::<Words<N>, N>(core, inst, at, &mut words)?;
            receive::<Words<N>, N>(core.wave, register, at, &words, &unwritten);
        }
    }
    issue(core, inst, Local::LOADS);
    Ok(())
}

fn store_two<const N: usize, const UNIT: usize>(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    for half in 0..core.wave.halves {
        let mask = core.wave.exec(half);
        if mask == 0 {
            continue;
        }
        let two = two::<N, UNIT>(core, inst, half, mask, Access::Store)?;
        for (at, data) in two.iter().zip([vgpr(inst.src[1]), vgpr(inst.src[2])]) {
            let raw = stored_raw::<N>(core.wave, at, data, false)?;
            let words = values::<Words<N>, N>(core.wave, half, data);
            Local::write::<Words<N>, N>(core, inst, at, &words, &raw)?;
        }
    }
    issue(core, inst, Local::STORES);
    Ok(())
}

fn exchange_two<const N: usize, const UNIT: usize>(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    for half in 0..core.wave.halves {
        let mask = core.wave.exec(half);
        if mask == 0 {
            continue;
        }
        let two = two::<N, UNIT>(core, inst, half, mask, Access::Atomic)?;
        let data = [vgpr(inst.src[1]), vgpr(inst.src[2])].map(|data| values::<Words<N>, N>(core.wave, half, data));
        for ((at, data), register) in two.iter().zip(data).zip((inst.dst..).step_by(N)) {
            let mut words = [[0; LANES]; N];
            for (lane, _) in at.each() {
                let new = data.iter().rev().fold(0, |new, word| new << 32 | u64::from(word[lane]));
                let old = Local::update(core, inst, at, lane, 4 * N, &|_| new)?;
                words.iter_mut().enumerate().for_each(|(n, word)| word[lane] = (old >> (32 * n)) as u32);
            }
            receive::<Words<N>, N>(core.wave, register, at, &words, &[0; N]);
        }
    }
    issue(core, inst, Local::LOADS);
    Ok(())
}
