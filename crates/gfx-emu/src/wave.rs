//! The registers of a wave.

use crate::arith::Mode;
use crate::isa::Inst;
use crate::memory::Scratch;
use crate::run::{Track, has_fast};

/// Lanes that are worked on at once: a wave of 64 is two halves.
pub const LANES: usize = 32;
/// Vector registers of a lane.
pub const VGPRS: usize = 256;
/// A register behind the last, where dual instructions keep an operand that their first half overwrites.
pub const SPARE_VGPR: u16 = VGPRS as u16;
const STRIDE: usize = VGPRS + 1;

/// Slots of [`Wave::sgpr`] with a meaning of their own.
pub mod slot {
    /// Vector condition code; its high half follows.
    pub const VCC: u8 = 106;
    /// First of the trap handler's sixteen registers.
    pub const TTMP: u8 = 108;
    /// Reads zero, and what is written is lost.
    pub const NULL: u8 = 124;
    /// The memory register.
    pub const M0: u8 = 125;
    /// Active lanes; its high half follows.
    pub const EXEC: u8 = 126;
}

/// Scalar registers of a mask of 64 lanes.
pub const MASK_SLOTS: u8 = 2;

/// One vector register of 32 lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Reg(pub [u32; LANES]);

/// What a wave does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its next instruction.
    Running,
    /// It waits for the other waves of its workgroup; the address is the barrier's.
    AtBarrier(u64),
    /// It lets others run first, and then goes on.
    Yielding,
    /// Nothing: it has ended.
    Ended,
}

/// A wave.
#[derive(Debug, Clone)]
pub struct Wave {
    /// Scalar registers by slot: the general ones, then those of [`slot`].
    pub sgpr: [u32; 128],
    /// Scalar condition code.
    pub scc: bool,
    /// Halves of 32 lanes: 1 or 2.
    pub halves: usize,
    vgpr: Vec<Reg>,
    held_mask: u32,
    /// Rounding and denormals.
    pub mode: Mode,
    /// Whether the mode is what kernels begin with, so that the fast forms of instructions serve.
    pub is_plain_mode: bool,
    /// Whether this processor has what the fast forms are compiled for.
    pub(crate) has_fast: bool,
    /// Index of the next instruction.
    pub at: u32,
    /// What it does next.
    pub state: State,
    /// Whether it has told the barrier that it came, and did not wait there yet.
    pub has_signalled: bool,
    /// Its number in the workgroup.
    pub number: u32,
    /// Private memory of its lanes.
    pub scratch: Scratch,
    /// Which registers are defined, and which wait for memory.
    pub track: Track,
}

impl Wave {
    /// A wave with all registers zero and none defined. `lanes` are those that exist, a bit each.
    pub fn new(halves: usize, number: u32, lanes: u64, mode: Mode) -> Self {
        let mut wave = Self {
            sgpr: [0; 128],
            scc: false,
            halves,
            held_mask: 0,
            vgpr: vec![Reg([0; LANES]); halves * STRIDE],
            mode,
            is_plain_mode: mode.is_fast(),
            has_fast: has_fast(),
            at: 0,
            state: State::Running,
            has_signalled: false,
            number,
            scratch: Scratch::new(0, 0),
            track: Track::new(lanes),
        };
        wave.set_exec64(lanes);
        wave
    }

    /// A register of a half.
    #[inline(always)]
    pub fn v(&self, half: usize, register: u16) -> &[u32; LANES] {
        &self.vgpr[half * STRIDE + usize::from(register)].0
    }

    /// A register of a half, to be written.
    #[inline(always)]
    pub fn v_mut(&mut self, half: usize, register: u16) -> &mut [u32; LANES] {
        &mut self.vgpr[half * STRIDE + usize::from(register)].0
    }

    /// Active lanes of a half.
    #[inline(always)]
    pub fn exec(&self, half: usize) -> u32 {
        self.sgpr[usize::from(slot::EXEC) + half]
    }

    /// Active lanes of all.
    pub fn exec64(&self) -> u64 {
        let high = if self.halves == 2 { self.exec(1) } else { 0 };
        u64::from(self.exec(0)) | u64::from(high) << 32
    }

    /// A bit for each lane that the wave's size has.
    pub fn lane_mask(&self) -> u64 {
        if self.halves == 2 { u64::MAX } else { u64::from(u32::MAX) }
    }

    /// Sets the active lanes.
    pub fn set_exec64(&mut self, lanes: u64) {
        self.sgpr[usize::from(slot::EXEC)] = lanes as u32;
        self.sgpr[usize::from(slot::EXEC) + 1] = (lanes >> 32) as u32;
    }

    /// A scalar register; the null register reads zero.
    #[inline(always)]
    pub fn s(&self, slot: u8) -> u32 {
        self.sgpr[usize::from(slot & 127)]
    }

    /// Two scalar registers.
    #[inline(always)]
    pub fn s64(&self, slot: u8) -> u64 {
        u64::from(self.s(slot)) | if slot == slot::NULL { 0 } else { u64::from(self.s(slot + 1)) << 32 }
    }

    /// Writes a scalar register; what the null register gets is lost.
    #[inline(always)]
    pub fn set_s(&mut self, slot: u8, value: u32) {
        if slot != slot::NULL {
            self.sgpr[usize::from(slot & 127)] = value;
        }
    }

    /// Writes two scalar registers.
    #[inline(always)]
    pub fn set_s64(&mut self, slot: u8, value: u64) {
        if slot != slot::NULL {
            self.set_s(slot, value as u32);
            self.set_s(slot + 1, (value >> 32) as u32);
        }
    }

    /// Writes one half of a mask; what the null register gets is lost. The first half of a wave of 64 is held back until
    /// the second comes, so that an instruction's second half does not read what its first half wrote.
    #[inline(always)]
    pub fn set_mask(&mut self, slot: u8, half: usize, mask: u32) {
        if self.halves == 1 {
            self.set_s(slot, mask);
        } else if half == 0 {
            self.held_mask = mask;
        } else {
            self.set_s64(slot, u64::from(self.held_mask) | u64::from(mask) << 32);
        }
    }

    /// Writes the active lanes of a register.
    #[inline(always)]
    pub fn write(&mut self, half: usize, register: u16, lanes: u32, values: &[u32; LANES]) {
        let to = self.v_mut(half, register);
        if lanes == u32::MAX {
            *to = *values;
        } else {
            for lane in 0..LANES {
                to[lane] = if lanes >> lane & 1 == 1 { values[lane] } else { to[lane] };
            }
        }
    }

    /// Sets the mode, which decides whether the fast forms of instructions serve.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
        self.is_plain_mode = mode.is_fast();
    }

    /// Lanes that an instruction writes in a half.
    #[inline(always)]
    pub fn lanes_of(&self, inst: &Inst, half: usize) -> u32 {
        match &inst.dpp {
            None => self.exec(half),
            Some(dpp) => crate::isa::dpp::written(self, dpp, half),
        }
    }
}
