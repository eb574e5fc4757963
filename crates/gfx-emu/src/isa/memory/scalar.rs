//! Scalar loads.
//!
//! Scalar registers do not remember whether they are defined, so that memory that was never written is a fault at once.
//! The hardware drops the two low bits of addresses, which no program means: that is one too.

use super::{Access, Outcome};
use crate::fault::{Fault, FaultKind};
use crate::isa::operand::scalar32;
use crate::isa::row::Semantics;
use crate::isa::{Inst, Kind, Src, macros::core};
use crate::memory::{View, access};
use crate::run::{Core, Counter};

/// Loads N registers from the address in a register pair.
pub(crate) const fn loads<const N: usize>() -> Semantics {
    core!(Kind::S(N as u8), [Kind::B64, Kind::B32], |core, inst| {
        let base = base(core, inst);
        load::<N>(core, inst, core.wave.s64(base))
    })
}

/// Loads N registers from a buffer, whose descriptor is in four registers.
pub(crate) const fn buffer_loads<const N: usize>() -> Semantics {
    core!(Kind::S(N as u8), [Kind::S(4), Kind::B32], |core, inst| {
        let base = buffer(core, inst, 4 * N as u32)?;
        load::<N>(core, inst, base)
    })
}

/// Loads a number of one or two bytes, with or without sign.
pub(crate) const fn small_loads<const BYTES: usize, const SIGNED: bool>() -> Semantics {
    core!(Kind::S(1), [Kind::B64, Kind::B32], |core, inst| {
        let base = core.wave.s64(base(core, inst));
        load_small::<BYTES, SIGNED>(core, inst, base)
    })
}

/// The same from a buffer.
pub(crate) const fn small_buffer_loads<const BYTES: usize, const SIGNED: bool>() -> Semantics {
    core!(Kind::S(1), [Kind::S(4), Kind::B32], |core, inst| {
        let base = buffer(core, inst, BYTES as u32)?;
        load_small::<BYTES, SIGNED>(core, inst, base)
    })
}

/// The base of a buffer that holds the range.
fn buffer(core: &Core<'_, '_>, inst: &Inst, bytes: u32) -> Result<u64, Box<Fault>> {
    let descriptor = super::buffer::Descriptor::of(core.wave, base(core, inst));
    let offset = offset(core, inst);
    if offset.wrapping_add(bytes.into()) > descriptor.bytes() {
        let place = descriptor.place(offset);
        let (access, address) = (Access::Load.name(), descriptor.base.wrapping_add(offset));
        return Err(Fault::new(FaultKind::OutOfBounds { access, bytes, address, place }));
    }
    Ok(descriptor.base)
}

fn base(_: &Core<'_, '_>, inst: &Inst) -> u8 {
    if let Src::S(base) = inst.src[0] { base } else { crate::wave::slot::NULL }
}

fn offset(core: &Core<'_, '_>, inst: &Inst) -> u64 {
    u64::from(scalar32(core.wave, inst, 1)).wrapping_add(i64::from(inst.offset) as u64)
}

fn load<const N: usize>(core: &mut Core<'_, '_>, inst: &Inst, base: u64) -> Outcome {
    let address = base.wrapping_add(offset(core, inst));
    check(core, inst, address, 4 * N as u32, 4)?;
    for n in 0..N as u8 {
        // SAFETY: the allocation holds the range, and belongs to kernels during a launch.
        let value = unsafe { access::read(address + 4 * u64::from(n), 4) };
        core.wave.set_s(inst.dst as u8 + n, value);
    }
    core.wave.track.issue(Counter::Scalar, inst.writes, inst.address);
    Ok(())
}

/// Loads a number of one or two bytes.
fn load_small<const BYTES: usize, const SIGNED: bool>(core: &mut Core<'_, '_>, inst: &Inst, base: u64) -> Outcome {
    let address = base.wrapping_add(offset(core, inst));
    check(core, inst, address, BYTES as u32, BYTES as u32)?;
    // SAFETY: the allocation holds the range, and belongs to kernels during a launch.
    let value = unsafe { access::read(address, BYTES) };
    let unused = 32 - 8 * BYTES as u32;
    let value = if SIGNED { ((value << unused) as i32 >> unused) as u32 } else { value };
    core.wave.set_s(inst.dst as u8, value);
    core.wave.track.issue(Counter::Scalar, inst.writes, inst.address);
    Ok(())
}

/// Checks an access, and adds it to the figures.
fn check(core: &mut Core<'_, '_>, inst: &Inst, address: u64, bytes: u32, alignment: u32) -> Outcome {
    let end = address.wrapping_add(bytes.into());
    let access = Access::Load.name();
    let view: &View = core.group.env.memory;
    if !address.is_multiple_of(alignment.into()) {
        return Err(Fault::new(FaultKind::Misaligned { access, bytes, address, alignment }));
    }
    let Some(allocation) = core.group.recent.find(view, inst.address, address, end) else {
        let place = view.place(address, bytes.into());
        return Err(Fault::new(FaultKind::OutOfBounds { access, bytes, address, place }));
    };
    if let Some(address) = allocation.first_unwritten(address, end) {
        return Err(Fault::new(FaultKind::UndefinedMemory { what: "scalar load", bytes, address }));
    }
    core.group.counts.scalar_bytes += u64::from(bytes);
    Ok(())
}
