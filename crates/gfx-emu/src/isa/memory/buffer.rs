//! Buffers: global memory by a descriptor in four scalar registers (RDNA3 ISA guide, 9.1).
//!
//! On the hardware what is outside of a buffer reads zero and drops writes. No kernel of ours relies on that, so it is a
//! fault.

use super::format::Format;
use super::global::{Flat, Global};
use super::{Access, Block, Lanes, Outcome, Space, check_address, vgpr};
use crate::abi::PRIVATE_APERTURE;
use crate::fault::{Fault, FaultKind};
use crate::isa::inst::flags;
use crate::isa::operand::scalar32;
use crate::isa::{Inst, Kind, Src};
use crate::object::Generation;
use crate::run::{Core, Counter};
use crate::wave::{LANES, Wave, slot};

/// A buffer's descriptor.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descriptor {
    pub base: u64,
    /// Bytes from one record to the next; zero for raw buffers.
    stride: u64,
    /// Records, or bytes of a raw buffer.
    records: u64,
    is_swizzled: bool,
}

impl Descriptor {
    /// From the registers at a slot.
    pub fn of(wave: &Wave, first: u8) -> Self {
        let [w0, w1, w2] = [0, 1, 2].map(|n| wave.s(first + n));
        Self {
            base: u64::from(w0) | u64::from(w1 & 0xffff) << 32,
            stride: u64::from(w1 >> 16 & 0x3fff),
            records: u64::from(w2),
            is_swizzled: w1 >> 30 != 0,
        }
    }

    /// All bytes.
    pub fn bytes(&self) -> u64 {
        self.records * self.stride.max(1)
    }

    /// Where an offset is, in words.
    pub fn place(&self, offset: u64) -> String {
        format!("offset {offset} of a buffer of {} bytes at {:#x}", self.bytes(), self.base)
    }
}

/// A buffer; offsets come from up to two vector registers, a scalar one and the instruction.
pub(crate) struct Buffer;

impl Space for Buffer {
    const LOADS: &'static [Counter] = Global::LOADS;
    const STORES: &'static [Counter] = Global::STORES;
    const BASE: Kind = Kind::S(4);
    const OFFSET: Kind = Kind::B32;

    fn lanes(core: &mut Core<'_, '_>, inst: &Inst, half: usize, mask: u32) -> Result<Lanes, Box<Fault>> {
        let wave = &*core.wave;
        let descriptor = Descriptor::of(wave, if let Src::S(first) = inst.src[2] { first } else { slot::NULL });
        if descriptor.is_swizzled && core.group.env.program.object().target().generation() != Generation::Gfx10 {
            return Err(Fault::new(FaultKind::Unsupported { what: "a swizzled buffer".to_owned() }));
        }
        let mut register = vgpr(inst.src[0]);
        let mut take = |flag: u8| -> Result<[u32; LANES], Box<Fault>> {
            if inst.flags & flag == 0 {
                return Ok([0; LANES]);
            }
            check_address(wave, half, mask, register)?;
            let values = *wave.v(half, register);
            register += 1;
            Ok(values)
        };
        let index = take(flags::IDXEN)?;
        let offset = take(flags::OFFEN)?;
        if descriptor.is_swizzled {
            // RDNA2 reaches private memory so. Lanes take turns in it, so that a scalar offset counts all of theirs.
            let lanes = (LANES * wave.halves) as u32;
            let constant = (scalar32(wave, inst, 3) / lanes).wrapping_add_signed(inst.offset);
            let address = offset.map(|offset| PRIVATE_APERTURE | u64::from(offset.wrapping_add(constant)));
            return Ok(Lanes { half, mask, address });
        }
        let constant = u64::from(scalar32(wave, inst, 3)) + u64::from(inst.offset as u32);
        let address = std::array::from_fn(|lane| {
            let offset = u64::from(index[lane]) * descriptor.stride + u64::from(offset[lane]) + constant;
            descriptor.base.wrapping_add(offset)
        });
        let at = Lanes { half, mask, address };
        check_bounds(inst, &at, &descriptor)?;
        Ok(at)
    }

    fn count(core: &mut Core<'_, '_>, at: &Lanes, bytes: usize, access: Access) {
        Flat::count(core, at, bytes, access);
    }

    fn read<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        inst: &Inst,
        at: &Lanes,
        words: &mut Block<N>,
    ) -> Result<[u32; N], Box<Fault>> {
        Flat::read::<F, N>(core, inst, at, words)
    }

    fn write<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        inst: &Inst,
        at: &Lanes,
        words: &Block<N>,
        raw: &[u32; N],
    ) -> Outcome {
        Flat::write::<F, N>(core, inst, at, words, raw)
    }

    fn update(
        core: &mut Core<'_, '_>,
        inst: &Inst,
        at: &Lanes,
        lane: usize,
        bytes: usize,
        change: &dyn Fn(u64) -> u64,
    ) -> Result<u64, Box<Fault>> {
        Flat::update(core, inst, at, lane, bytes, change)
    }
}

/// Each lane's first byte must be in the buffer; that the last is in memory, the access checks.
fn check_bounds(inst: &Inst, at: &Lanes, descriptor: &Descriptor) -> Outcome {
    let offset = |address: u64| address.wrapping_sub(descriptor.base);
    let Some((lane, address)) = at.each().find(|(_, address)| offset(*address) >= descriptor.bytes()) else {
        return Ok(());
    };
    let place = descriptor.place(offset(address));
    let bytes = 4 * u32::from(inst.row.dst.registers().max(1));
    Err(Fault::in_lane(FaultKind::OutOfBounds { access: "access", bytes, address, place }, at.number(lane)))
}
