//! Private memory (scratch) of each lane.

use super::format::Format;
use super::{Access, Block, Lanes, Outcome, Space, offsets};
use crate::fault::{Fault, FaultKind};
use crate::isa::operand::scalar32;
use crate::isa::{Inst, Src};
use crate::run::{Core, Counter};

/// Private memory: offsets in a vector and a scalar register and the instruction add up. It counts as global memory.
pub(crate) struct Private;

impl Space for Private {
    const LOADS: &'static [Counter] = &[Counter::Load];
    const STORES: &'static [Counter] = &[Counter::Store];
    const KEEPS_UNDEFINED: bool = true;

    fn lanes(core: &mut Core<'_, '_>, inst: &Inst, half: usize, mask: u32) -> Result<Lanes, Box<Fault>> {
        let base = if let Src::S(_) = inst.src[2] { scalar32(core.wave, inst, 2) } else { 0 };
        let base = base.wrapping_add_signed(inst.offset);
        let address = offsets(core.wave, inst, 0, half, mask)?.map(|offset| u64::from(offset.wrapping_add(base)));
        Ok(Lanes { half, mask, address })
    }

    /// Traffic of private memory has no figures, since no kernel of worth spills.
    fn count(_: &mut Core<'_, '_>, _: &Lanes, _: usize, _: Access) {}

    fn read<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        _: &Inst,
        at: &Lanes,
        words: &mut Block<N>,
    ) -> Result<[u32; N], Box<Fault>> {
        let mut unwritten = [0; N];
        for (lane, offset) in at.each() {
            for (n, values) in words.iter_mut().enumerate() {
                let number = at.number(lane) as usize;
                let read = core.wave.scratch.read(number, offset + 4 * n as u64, F::BYTES.min(4));
                let (value, written) = read.ok_or_else(|| outside(core, at, lane, F::BYTES, Access::Load))?;
                values[lane] = value;
                unwritten[n] |= u32::from(!written) << lane;
            }
        }
        Ok(unwritten)
    }

    fn write<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        _: &Inst,
        at: &Lanes,
        words: &Block<N>,
        raw: &[u32; N],
    ) -> Outcome {
        for (lane, offset) in at.each() {
            for (n, values) in words.iter().enumerate() {
                let (number, offset) = (at.number(lane) as usize, offset + 4 * n as u64);
                let defined = raw[n] >> lane & 1 == 0;
                let written = core.wave.scratch.write(number, offset, F::BYTES.min(4), values[lane], defined);
                written.ok_or_else(|| outside(core, at, lane, F::BYTES, Access::Store))?;
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
        let number = at.number(lane) as usize;
        let offset = at.address[lane];
        let mut old = 0;
        for n in (0..bytes as u64).step_by(4) {
            let read = core.wave.scratch.read(number, offset + n, 4);
            let (value, written) = read.ok_or_else(|| outside(core, at, lane, bytes, Access::Atomic))?;
            if !written {
                let (what, address) = (Access::Atomic.name(), offset + n);
                let kind = FaultKind::UndefinedMemory { what, bytes: bytes as u32, address };
                return Err(Fault::in_lane(kind, at.number(lane)));
            }
            old |= u64::from(value) << (8 * n);
        }
        let new = change(old);
        for n in (0..bytes as u64).step_by(4) {
            // The same bytes were read just now.
            let _ = core.wave.scratch.write(number, offset + n, 4, (new >> (8 * n)) as u32, true);
        }
        Ok(old)
    }
}

#[cold]
fn outside(core: &Core<'_, '_>, at: &Lanes, lane: usize, bytes: usize, access: Access) -> Box<Fault> {
    let (offset, size) = (at.address[lane], core.wave.scratch.stride());
    let kind = FaultKind::ScratchOutOfBounds { access: access.name(), bytes: bytes as u32, offset, size };
    Fault::in_lane(kind, at.number(lane))
}
