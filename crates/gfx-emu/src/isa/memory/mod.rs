//! Loads, stores and atomic operations: what all encodings and targets share.
//!
//! An instruction is a [`Space`] (which memory, and how addresses are made) times a [`Format`] (which bytes become
//! which registers) or an operation. Registers of addresses must be defined in all active lanes. Memory that was never
//! written may be loaded and stored again, as copies of structures with padding do; it must not decide anything.

pub(crate) mod atomic;
pub(crate) mod buffer;
mod count;
pub(crate) mod exchange;
pub(crate) mod format;
pub(crate) mod global;
pub(crate) mod local;
pub(crate) mod private;
pub(crate) mod scalar;

use crate::fault::Fault;
use crate::isa::operand::bits32;
use crate::isa::row::{Exec, Semantics};
use crate::isa::{Inst, Kind, Src};
use crate::run::{Core, Counter, undefined};
use crate::wave::{LANES, Wave};
use format::Format;

pub(crate) type Outcome = Result<(), Box<Fault>>;

/// The addresses of the active lanes of a half.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lanes {
    pub half: usize,
    /// Active lanes.
    pub mask: u32,
    pub address: [u64; LANES],
}

impl Lanes {
    /// The active lanes with their addresses.
    #[inline(always)]
    pub fn each(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let mask = self.mask;
        self.address.iter().enumerate().filter(move |(lane, _)| mask >> lane & 1 == 1).map(|(lane, at)| (lane, *at))
    }

    /// The lowest address, and the one behind the highest byte of accesses of so many bytes. There is an active lane.
    #[inline(always)]
    pub fn range(&self, bytes: usize) -> (u64, u64) {
        let (mut low, mut high) = (u64::MAX, 0);
        for (lane, at) in self.address.iter().enumerate() {
            let is_active = self.mask >> lane & 1 == 1;
            low = low.min(if is_active { *at } else { u64::MAX });
            high = high.max(if is_active { *at } else { 0 });
        }
        (low, high.saturating_add(bytes as u64))
    }

    /// Whether all lanes are active and each begins where the one before ends.
    #[inline(always)]
    pub fn is_dense(&self, bytes: usize) -> bool {
        let first = self.address[0];
        let follows = |(lane, at): (usize, &u64)| *at == first.wrapping_add((lane * bytes) as u64);
        self.mask == u32::MAX && self.address.iter().enumerate().fold(true, |dense, at| dense & follows(at))
    }

    /// The number of a lane in its wave.
    pub fn number(&self, lane: usize) -> u32 {
        (lane + LANES * self.half) as u32
    }
}

/// Words of the lanes, by register.
pub(crate) type Block<const N: usize> = [[u32; LANES]; N];

/// A kind of memory, and how instructions form addresses of it.
pub(crate) trait Space {
    /// What instructions wait for that load, or that store; flat ones may be two kinds.
    const LOADS: &'static [Counter];
    const STORES: &'static [Counter];
    /// Whether registers that were never written may be stored: compilers save all of a register's lanes.
    const KEEPS_UNDEFINED: bool = false;
    /// Kinds of the operands of an address, where the decoder does not note them.
    const ADDRESS: Kind = Kind::None;
    const BASE: Kind = Kind::None;
    const OFFSET: Kind = Kind::None;

    /// The addresses of active lanes.
    fn lanes(core: &mut Core<'_, '_>, inst: &Inst, half: usize, mask: u32) -> Result<Lanes, Box<Fault>>;

    /// Adds an access to the figures.
    fn count(core: &mut Core<'_, '_>, at: &Lanes, bytes: usize, access: Access);

    /// Reads words; the result says which lanes of each were never written.
    fn read<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        inst: &Inst,
        at: &Lanes,
        words: &mut Block<N>,
    ) -> Result<[u32; N], Box<Fault>>;

    /// Writes words, of which these lanes mean nothing.
    fn write<F: Format, const N: usize>(
        core: &mut Core<'_, '_>,
        inst: &Inst,
        at: &Lanes,
        words: &Block<N>,
        raw: &[u32; N],
    ) -> Outcome;

    /// Replaces 4 or 8 bytes of a lane by what the function makes of them; the old value.
    fn update(
        core: &mut Core<'_, '_>,
        inst: &Inst,
        at: &Lanes,
        lane: usize,
        bytes: usize,
        change: &dyn Fn(u64) -> u64,
    ) -> Result<u64, Box<Fault>>;
}

/// An access of one lane, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    Load,
    Store,
    Atomic,
}

impl Access {
    pub fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Store => "store",
            Self::Atomic => "atomic operation",
        }
    }
}

/// A row's semantics: a load of a format into N registers.
pub(crate) const fn loads<S: Space, F: Format, const N: usize>() -> Semantics {
    Semantics {
        exec: Exec::Core(load::<S, F, N>),
        dst: loaded::<F>(N as u8),
        carries: false,
        src: Sources::<S, F, N>::LOADS,
    }
}

/// A row's semantics: a store of a format from N registers.
pub(crate) const fn stores<S: Space, F: Format, const N: usize>() -> Semantics {
    Semantics { exec: Exec::Core(store::<S, F, N>), dst: Kind::None, carries: false, src: Sources::<S, F, N>::STORES }
}

/// Registers that a load writes.
pub(crate) const fn loaded<F: Format>(registers: u8) -> Kind {
    match (F::KEEPS_HALF, F::TAKES_HIGH) {
        (false, _) => Kind::V(registers),
        (true, false) => Kind::Low,
        (true, true) => Kind::High,
    }
}

/// Registers that a store reads.
const fn stored<F: Format>(registers: u8) -> Kind {
    match (F::BYTES < 4, F::TAKES_HIGH) {
        (false, _) => Kind::V(registers),
        (true, false) => Kind::Low,
        (true, true) => Kind::High,
    }
}

/// Kinds of the operands of loads and stores.
pub(crate) struct Sources<S, F, const N: usize>(std::marker::PhantomData<(S, F)>);

impl<S: Space, F: Format, const N: usize> Sources<S, F, N> {
    const LOADS: &'static [Kind] = &[S::ADDRESS, Kind::None, S::BASE, S::OFFSET];
    pub const STORES: &'static [Kind] = &[S::ADDRESS, stored::<F>(N as u8), S::BASE, S::OFFSET];
    /// Two operands of N registers, one behind the other.
    pub const PAIRS: &'static [Kind] = &[S::ADDRESS, Kind::V(2 * N as u8), S::BASE, S::OFFSET];
}

/// A load of a format.
pub(crate) fn load<S: Space, F: Format, const N: usize>(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    for half in 0..core.wave.halves {
        let mask = core.wave.exec(half);
        if mask == 0 {
            continue;
        }
        let at = S::lanes(core, inst, half, mask)?;
        if core.group.env.options.counts_lines {
            S::count(core, &at, F::BYTES, Access::Load);
        }
        let mut words = [[0; LANES]; N];
        let unwritten = S::read::<F, N>(core, inst, &at, &mut words)?;
        receive::<F, N>(core.wave, inst.dst, &at, &words, &unwritten);
    }
    issue(core, inst, S::LOADS);
    Ok(())
}

/// Writes what was loaded to registers.
#[inline(always)]
pub(crate) fn receive<F: Format, const N: usize>(
    wave: &mut Wave,
    first: u16,
    at: &Lanes,
    words: &Block<N>,
    unwritten: &[u32; N],
) {
    for (n, values) in words.iter().enumerate() {
        let register = first + n as u16;
        if F::KEEPS_HALF {
            let old = *wave.v(at.half, register);
            let merged = std::array::from_fn(|lane| F::place(values[lane], old[lane]));
            wave.write(at.half, register, at.mask, &merged);
        } else {
            wave.write(at.half, register, at.mask, &values.map(|value| F::place(value, 0)));
        }
        if unwritten[n] != 0 || wave.track.defined(at.half, register) & at.mask != at.mask {
            let origin = at.address[unwritten[n].trailing_zeros() as usize % LANES].wrapping_add(4 * n as u64);
            wave.track.load(at.half, register, at.mask, unwritten[n], origin);
        }
    }
}

/// A store of a format.
pub(crate) fn store<S: Space, F: Format, const N: usize>(core: &mut Core<'_, '_>, inst: &Inst) -> Outcome {
    let data = vgpr(inst.src[1]);
    for half in 0..core.wave.halves {
        let mask = core.wave.exec(half);
        if mask == 0 {
            continue;
        }
        let at = S::lanes(core, inst, half, mask)?;
        if core.group.env.options.counts_lines {
            S::count(core, &at, F::BYTES, Access::Store);
        }
        let raw = stored_raw::<N>(core.wave, &at, data, S::KEEPS_UNDEFINED)?;
        let words = values::<F, N>(core.wave, half, data);
        S::write::<F, N>(core, inst, &at, &words, &raw)?;
    }
    issue(core, inst, S::STORES);
    Ok(())
}

/// What a store takes from registers.
#[inline(always)]
pub(crate) fn values<F: Format, const N: usize>(wave: &Wave, half: usize, first: u16) -> Block<N> {
    std::array::from_fn(|n| {
        let register = *wave.v(half, first + n as u16);
        if F::TAKES_HIGH { register.map(|value| value >> 16) } else { register }
    })
}

/// Lanes of registers that hold memory that was never written; those never written themselves must not be stored.
#[inline(always)]
pub(crate) fn stored_raw<const N: usize>(
    wave: &Wave,
    at: &Lanes,
    first: u16,
    keeps_undefined: bool,
) -> Result<[u32; N], Box<Fault>> {
    let mut raw = [0; N];
    for (n, raw) in raw.iter_mut().enumerate() {
        let register = first + n as u16;
        let holes = at.mask & !wave.track.defined(at.half, register);
        if holes != 0 {
            let bad = if keeps_undefined { 0 } else { holes & !wave.track.raw(at.half, register) };
            if bad != 0 {
                return Err(undefined(wave, at.half, register, bad.trailing_zeros(), "is stored to memory"));
            }
            *raw = holes;
        }
    }
    Ok(raw)
}

/// The operation is under way: its registers must not be used before the wait.
#[inline(always)]
pub(crate) fn issue(core: &mut Core<'_, '_>, inst: &Inst, counters: &[Counter]) {
    for counter in counters {
        core.wave.track.issue(*counter, inst.writes, inst.address);
    }
}

/// The vector register of an operand that is always one.
#[inline(always)]
pub(crate) fn vgpr(src: Src) -> u16 {
    src.vgpr().unwrap_or_default()
}

/// Active lanes of a register must be defined.
#[inline(always)]
pub(crate) fn check_address(wave: &Wave, half: usize, mask: u32, register: u16) -> Outcome {
    let holes = mask & !wave.track.defined(half, register);
    if holes == 0 { Ok(()) } else { Err(undefined(wave, half, register, holes.trailing_zeros(), "is an address")) }
}

/// A 32-bit address, or part of one, in a vector register or none; it must be defined in active lanes.
#[inline(always)]
pub(crate) fn offsets(wave: &Wave, inst: &Inst, n: usize, half: usize, mask: u32) -> Result<[u32; LANES], Box<Fault>> {
    if let Src::V(register) = inst.src[n] {
        check_address(wave, half, mask, register)?;
    }
    Ok(bits32(wave, inst, n, half))
}
