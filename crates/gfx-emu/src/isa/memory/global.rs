//! Global memory, and flat addresses, which may also be of LDS or of private memory.
//!
//! Addresses need no alignment, since HIP runs processes in the unaligned mode; atomic operations need that of their
//! width.

use super::format::Format;
use super::local::Local;
use super::private::Private;
use super::{Access, Block, Lanes, Outcome, Space, check_address, count, vgpr};
use crate::abi::{PRIVATE_APERTURE, SHARED_APERTURE};
use crate::fault::{Fault, FaultKind};
use crate::isa::{Inst, Src};
use crate::memory::{Allocation, Use, View, access};
use crate::run::{Core, Counter};
use crate::wave::LANES;

/// Global memory.
pub(crate) struct Global;

impl Space for Global {
    const LOADS: &'static [Counter] = &[Counter::Load];
    const STORES: &'static [Counter] = &[Counter::Store];

    /// A register pair, or a scalar base and 32 bits without sign in a register; and the offset.
    #[inline(always)]
    fn lanes(core: &mut Core<'_, '_>, inst: &Inst, half: usize, mask: u32) -> Result<Lanes, Box<Fault>> {
        let wave = &*core.wave;
        let first = vgpr(inst.src[0]);
        check_address(wave, half, mask, first)?;
        let low = wave.v(half, first);
        let offset = i64::from(inst.offset) as u64;
        let address = if let Src::S(base) = inst.src[2] {
            let base = wave.s64(base).wrapping_add(offset);
            low.map(|low| base.wrapping_add(low.into()))
        } else {
            check_address(wave, half, mask, first + 1)?;
            let high = wave.v(half, first + 1);
            std::array::from_fn(|lane| (u64::from(low[lane]) | u64::from(high[lane]) << 32).wrapping_add(offset))
        };
        Ok(Lanes { half, mask, address })
    }

    fn count(core: &mut Core<'_, '_>, at: &Lanes, bytes: usize, access: Access) {
        count::global(&mut core.group.counts, at, bytes, access);
    }

    #[inline(always)]
    fn read<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        inst: &Inst,
        at: &Lanes,
        words: &mut Block<N>,
    ) -> Result<[u32; N], Box<Fault>> {
        note(core, at, F::BYTES, Access::Load, |_, _| false)?;
        let view: &View = core.group.env.memory;
        let (from, to) = at.range(F::BYTES);
        if let Some(allocation) = core.group.recent.find(view, inst.address, from, to) {
            fetch::<F, N>(at, words);
            if allocation.is_written(from, to) {
                return Ok([0; N]);
            }
            return Ok(unwritten::<F, N>(at, |_| Some(allocation)));
        }
        for (lane, address) in at.each() {
            find(view, at, lane, address, F::BYTES, Access::Load)?;
        }
        fetch::<F, N>(at, words);
        Ok(unwritten::<F, N>(at, |address| view.find(address, F::BYTES as u64)))
    }

    #[inline(always)]
    fn write<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        inst: &Inst,
        at: &Lanes,
        words: &Block<N>,
        raw: &[u32; N],
    ) -> Outcome {
        note(core, at, F::BYTES, Access::Store, |lane, address| {
            // SAFETY: asked for only where an allocation holds the lane's range.
            let there = |n: usize| unsafe { access::read(address + 4 * n as u64, F::BYTES.min(4)) };
            (0..N).all(|n| F::same(there(n), words[n][lane]))
        })?;
        let view: &View = core.group.env.memory;
        let (from, to) = at.range(F::BYTES);
        let common = core.group.recent.find(view, inst.address, from, to);
        let is_defined = raw.iter().all(|lanes| *lanes == 0);
        if let Some(allocation) = common.filter(|_| is_defined && at.is_dense(F::BYTES)) {
            allocation.mark(from, to);
            for (lane, address) in at.each() {
                // SAFETY: the allocation holds the range of all lanes, and belongs to kernels during a launch.
                unsafe { put::<F, N>(address, lane, words) };
            }
            return Ok(());
        }
        for (lane, address) in at.each() {
            let allocation = match common {
                Some(allocation) => allocation,
                None => find(view, at, lane, address, F::BYTES, Access::Store)?,
            };
            // SAFETY: the allocation holds the range, and belongs to kernels during a launch.
            unsafe { put::<F, N>(address, lane, words) };
            mark::<F, N>(allocation, address, lane, raw);
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
        note(core, &one, bytes, Access::Atomic, |_, _| false)?;
        let address = at.address[lane];
        let allocation = find(core.group.env.memory, at, lane, address, bytes, Access::Atomic)?;
        check_alignment(at, lane, bytes, bytes as u32, Access::Atomic)?;
        let end = address + bytes as u64;
        if let Some(address) = allocation.first_unwritten(address, end) {
            let kind = FaultKind::UndefinedMemory { what: Access::Atomic.name(), bytes: bytes as u32, address };
            return Err(Fault::in_lane(kind, at.number(lane)));
        }
        // SAFETY: the allocation holds the aligned range, and belongs to kernels during a launch.
        Ok(unsafe { access::update(address, bytes, change) })
    }
}

/// Reads all lanes, whose ranges are known to be in allocations.
#[inline(always)]
fn fetch<F: Format, const N: usize>(at: &Lanes, words: &mut Block<N>) {
    for (lane, address) in at.each() {
        for (n, values) in words.iter_mut().enumerate() {
            // SAFETY: the caller found the allocation of each lane's range, and it belongs to kernels during a launch.
            values[lane] = unsafe { access::read(address + 4 * n as u64, F::BYTES.min(4)) };
        }
    }
}

/// Lanes of each word that were never written.
#[cold]
fn unwritten<'v, F: Format, const N: usize>(at: &Lanes, find: impl Fn(u64) -> Option<&'v Allocation>) -> [u32; N] {
    let mut lanes = [0; N];
    for (lane, address) in at.each() {
        let Some(allocation) = find(address) else { continue };
        for (n, lanes) in lanes.iter_mut().enumerate() {
            let from = address + 4 * n as u64;
            *lanes |= u32::from(!allocation.is_written(from, from + F::BYTES.min(4) as u64)) << lane;
        }
    }
    lanes
}

/// # Safety
/// The range is in an allocation, which belongs to kernels during a launch.
#[inline(always)]
unsafe fn put<F: Format, const N: usize>(address: u64, lane: usize, words: &Block<N>) {
    for (n, values) in words.iter().enumerate() {
        // SAFETY: the caller promises it.
        unsafe { access::write(address + 4 * n as u64, F::BYTES.min(4), values[lane]) };
    }
}

fn mark<F: Format, const N: usize>(allocation: &Allocation, address: u64, lane: usize, raw: &[u32; N]) {
    if raw.iter().all(|lanes| lanes >> lane & 1 == 0) {
        return allocation.mark(address, address + F::BYTES as u64);
    }
    for (n, lanes) in raw.iter().enumerate() {
        let from = address + 4 * n as u64;
        let to = from + F::BYTES.min(4) as u64;
        if lanes >> lane & 1 == 1 { allocation.unmark(from, to) } else { allocation.mark(from, to) }
    }
}

/// The allocation that holds what a lane wants.
fn find<'v>(
    view: &'v View,
    at: &Lanes,
    lane: usize,
    address: u64,
    bytes: usize,
    access: Access,
) -> Result<&'v Allocation, Box<Fault>> {
    view.find(address, bytes as u64).ok_or_else(|| {
        let place = view.place(address, bytes as u64);
        let kind = FaultKind::OutOfBounds { access: access.name(), bytes: bytes as u32, address, place };
        Fault::in_lane(kind, at.number(lane))
    })
}

/// The address of a lane must be a multiple.
pub(super) fn check_alignment(at: &Lanes, lane: usize, bytes: usize, alignment: u32, access: Access) -> Outcome {
    let address = at.address[lane];
    if address.is_multiple_of(alignment.into()) {
        return Ok(());
    }
    let kind = FaultKind::Misaligned { access: access.name(), bytes: bytes as u32, address, alignment };
    Err(Fault::in_lane(kind, at.number(lane)))
}

/// Notes who uses what, for races between the waves of the workgroup. `is_same` says whether a lane writes what is at
/// its address, which an allocation holds.
#[inline(always)]
fn note(
    core: &mut Core<'_, '_>,
    at: &Lanes,
    bytes: usize,
    access: Access,
    is_same: impl Fn(usize, u64) -> bool,
) -> Outcome {
    if core.group.waves < 2 {
        return Ok(());
    }
    if access == Access::Load {
        let (from, to) = at.range(bytes);
        if !core.group.pages.meets(from, to) {
            return Ok(());
        }
    }
    note_lanes(core, at, bytes, access, is_same)
}

#[inline(never)]
fn note_lanes(
    core: &mut Core<'_, '_>,
    at: &Lanes,
    bytes: usize,
    access: Access,
    is_same: impl Fn(usize, u64) -> bool,
) -> Outcome {
    let (wave, epoch) = (core.wave.number, core.group.epoch);
    for (lane, address) in at.each() {
        let Some(conflict) = core.group.pages.note(address, bytes, wave, epoch, use_of(access)) else { continue };
        // What is in no allocation is another fault.
        let Some(allocation) = core.group.env.memory.find(address, bytes as u64) else { continue };
        if access == Access::Store && conflict.only_writes && is_same(lane, address) {
            continue;
        }
        let place = format!("{address:#x}, {} bytes into {allocation}", address - allocation.address);
        return Err(race(at.number(lane), access, bytes, place, conflict));
    }
    Ok(())
}

pub(super) fn use_of(access: Access) -> Use {
    match access {
        Access::Load => Use::Read,
        Access::Store => Use::Write,
        Access::Atomic => Use::Atomic,
    }
}

/// The fault of a race.
#[cold]
pub(super) fn race(
    lane: u32,
    access: Access,
    bytes: usize,
    place: String,
    with: crate::memory::Conflict,
) -> Box<Fault> {
    let (access, bytes) = (access.name(), bytes as u32);
    Fault::in_lane(FaultKind::Race { access, bytes, place, other: with.wave, did: with.did }, lane)
}

/// Any memory: the high half of an address says which.
pub(crate) struct Flat;

/// The lanes of each kind of memory.
fn apertures(at: &Lanes) -> [Lanes; 3] {
    let of = |aperture: u64| {
        let is_in = |(lane, address): (usize, &u64)| u32::from(address >> 32 == aperture >> 32) << lane;
        at.mask & at.address.iter().enumerate().fold(0, |mask, at| mask | is_in(at))
    };
    let (local, private) = (of(SHARED_APERTURE), of(PRIVATE_APERTURE));
    let offsets = at.address.map(|address| address & u64::from(u32::MAX));
    [
        Lanes { mask: at.mask & !local & !private, ..*at },
        Lanes { mask: local, address: offsets, ..*at },
        Lanes { mask: private, address: offsets, ..*at },
    ]
}

impl Space for Flat {
    // Which memory it is, the hardware learns only after it has counted.
    const LOADS: &'static [Counter] = &[Counter::Load, Counter::Lds];
    const STORES: &'static [Counter] = &[Counter::Store, Counter::Lds];

    #[inline(always)]
    fn lanes(core: &mut Core<'_, '_>, inst: &Inst, half: usize, mask: u32) -> Result<Lanes, Box<Fault>> {
        Global::lanes(core, inst, half, mask)
    }

    fn count(core: &mut Core<'_, '_>, at: &Lanes, bytes: usize, access: Access) {
        let [global, local, _] = apertures(at);
        if global.mask != 0 {
            Global::count(core, &global, bytes, access);
        }
        if local.mask != 0 {
            Local::count(core, &local, bytes, access);
        }
    }

    fn read<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        inst: &Inst,
        at: &Lanes,
        words: &mut Block<N>,
    ) -> Result<[u32; N], Box<Fault>> {
        let [global, local, private] = apertures(at);
        let mut unwritten = [0; N];
        let mut add = |part: [u32; N]| unwritten.iter_mut().zip(part).for_each(|(all, part)| *all |= part);
        if global.mask != 0 {
            add(Global::read::<F, N>(core, inst, &global, words)?);
        }
        if local.mask != 0 {
            add(Local::read::<F, N>(core, inst, &local, words)?);
        }
        if private.mask != 0 {
            add(Private::read::<F, N>(core, inst, &private, words)?);
        }
        Ok(unwritten)
    }

    fn write<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        inst: &Inst,
        at: &Lanes,
        words: &Block<N>,
        raw: &[u32; N],
    ) -> Outcome {
        let [global, local, private] = apertures(at);
        if global.mask != 0 {
            Global::write::<F, N>(core, inst, &global, words, raw)?;
        }
        if local.mask != 0 {
            Local::write::<F, N>(core, inst, &local, words, raw)?;
        }
        if private.mask != 0 {
            Private::write::<F, N>(core, inst, &private, words, raw)?;
        }
        Ok(())
    }

    fn update(
        core: &mut Core<'_, '_>,
        inst: &Inst,
        at: &Lanes,
        lane: usize,
        bytes: usize,
        change: &dyn Fn(u64) -> u64,
    ) -> Result<u64, Box<Fault>> {
        let [global, local, private] = apertures(at);
        let is_in = |part: &Lanes| part.mask >> lane & 1 == 1;
        if is_in(&local) {
            Local::update(core, inst, &local, lane, bytes, change)
        } else if is_in(&private) {
            Private::update(core, inst, &private, lane, bytes, change)
        } else {
            Global::update(core, inst, &global, lane, bytes, change)
        }
    }
}

const _: () = assert!(LANES == 32, "masks of lanes have 32 bits");
