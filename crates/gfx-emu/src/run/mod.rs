//! Executing a wave: the loop, and the checks around each instruction.

pub mod code;
pub mod track;

use crate::count::Counts;
use crate::fault::{Fault, FaultKind};
use crate::isa::{Depends, Exec, Inst, Kind, Regs, Src, dpp};
use crate::launch::Env;
use crate::memory::{Lds, Pages, Recent};
use crate::wave::{SPARE_VGPR, State, Wave, slot};

pub use code::Code;
pub use track::{Counter, Track};

/// A workgroup's own state, which its waves share.
#[derive(Debug)]
pub struct Group<'a> {
    /// The launch it is part of.
    pub env: &'a Env<'a>,
    /// Its position in the grid.
    pub id: [u32; 3],
    /// Its local data share.
    pub lds: Lds,
    /// What was executed.
    pub counts: Counts,
    /// Barriers that all waves have passed: between two of the same number there is none.
    pub epoch: u32,
    /// Its waves.
    pub waves: usize,
    /// Allocations that its instructions used last.
    pub(crate) recent: Recent,
    /// Which wave used which page of global memory.
    pub(crate) pages: Pages,
}

impl<'a> Group<'a> {
    /// A workgroup of so many waves at a position of the grid, with so many bytes of LDS.
    pub fn new(env: &'a Env<'a>, id: [u32; 3], waves: usize, lds_bytes: u32) -> Self {
        Self {
            env,
            id,
            lds: Lds::new(lds_bytes, waves),
            counts: Counts::default(),
            epoch: 0,
            waves,
            recent: Recent::default(),
            pages: Pages::default(),
        }
    }

    /// Instructions executed so far, which serve as the clock.
    pub fn clock(&self) -> u64 {
        self.counts.total()
    }
}

/// A wave with its surroundings, while it executes.
#[derive(Debug)]
pub struct Core<'w, 'e> {
    /// The wave.
    pub wave: &'w mut Wave,
    /// Its workgroup.
    pub group: &'w mut Group<'e>,
}

/// Instructions that a wave executes before others get their turn, if no barrier comes first.
const TURN: u64 = 1 << 20;

impl Core<'_, '_> {
    /// Executes until the wave waits, ends, or has had its turn.
    pub fn turn(&mut self) -> Result<(), Box<Fault>> {
        let env = self.group.env;
        let code: &Code = env.code;
        self.wave.state = State::Running;
        for _ in 0..TURN {
            let Some(inst) = code.inst(self.wave.at) else {
                return Err(self.place(code.bad_index(self.wave.at), None));
            };
            self.wave.at += 1;
            self.group.counts.count(inst);
            if inst.touches.meets(&self.wave.track.watch) {
                self.step_watched(inst).map_err(|fault| self.place(fault, Some(inst)))?;
            } else {
                self.step(inst).map_err(|fault| self.place(fault, Some(inst)))?;
            }
            if self.wave.state != State::Running {
                return Ok(());
            }
        }
        self.wave.state = State::Yielding;
        Ok(())
    }

    #[inline(always)]
    fn step(&mut self, inst: &Inst) -> Result<(), Box<Fault>> {
        match inst.row.exec {
            Exec::Core(run) => run(self, inst),
            _ => {
                execute(self.wave, inst);
                Ok(())
            }
        }
    }

    /// An instruction with registers that wait for memory or that have lanes never written.
    #[cold]
    #[inline(never)]
    fn step_watched(&mut self, inst: &Inst) -> Result<(), Box<Fault>> {
        check_waits(self.wave, inst)?;
        if let Exec::Core(run) = inst.row.exec {
            // Memory instructions look at their operands themselves.
            return run(self, inst);
        }
        execute_watched(self.wave, inst)
    }

    /// Adds to a fault where it happened.
    #[cold]
    fn place(&self, mut fault: Box<Fault>, inst: Option<&Inst>) -> Box<Fault> {
        let env = self.group.env;
        fault.kernel.clone_from(&env.kernel.name);
        fault.workgroup = self.group.id;
        fault.wave = self.wave.number;
        if let Some(inst) = inst {
            fault.instruction = inst.mnemonic();
            fault.pc = inst.address.wrapping_sub(env.code.base());
            fault.location = env.program.name_pc(inst.address);
        }
        fault
    }
}

/// Executes an instruction that touches registers alone, without checks.
#[inline(always)]
pub fn execute(wave: &mut Wave, inst: &Inst) {
    match inst.row.exec {
        Exec::Lanes { base, fast, exact } => {
            if !wave.is_plain_mode {
                exact(wave, inst);
            } else if wave.has_fast {
                // SAFETY: `has_fast` says that this processor has the features that `fast` is compiled for.
                unsafe { fast(wave, inst) }
            } else {
                base(wave, inst);
            }
        }
        Exec::Wave(run) | Exec::Across { run, .. } => run(wave, inst),
        Exec::Core(_) => {}
    }
}

/// Executes an instruction that touches registers alone, and works out which of its results are undefined.
///
/// # Errors
/// [`FaultKind::UndefinedRegister`], if a lane never written decides a scalar.
pub fn execute_watched(wave: &mut Wave, inst: &Inst) -> Result<(), Box<Fault>> {
    match &inst.dual {
        Some(dual) => {
            copy_spare(wave, dual);
            dual.iter().try_for_each(|part| watched_part(wave, part))
        }
        None => watched_part(wave, inst),
    }
}

/// Whether this processor has what the fast forms of instructions are compiled for.
pub fn has_fast() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("fma")
        && is_x86_feature_detected!("f16c")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("lzcnt")
        && is_x86_feature_detected!("popcnt");
    #[cfg(not(target_arch = "x86_64"))]
    let has = false;
    has
}

/// Both operations of a dual instruction.
pub fn dual(wave: &mut Wave, inst: &Inst) {
    let Some(dual) = &inst.dual else { return };
    copy_spare(wave, dual);
    for part in dual.iter() {
        execute(wave, part);
    }
}

/// Where both operations read what the other writes, the second one reads a copy.
#[inline(always)]
fn copy_spare(wave: &mut Wave, dual: &[Inst; 2]) {
    let [first, second] = dual;
    if second.src.contains(&Src::V(SPARE_VGPR)) {
        for half in 0..wave.halves {
            *wave.v_mut(half, SPARE_VGPR) = *wave.v(half, first.dst);
        }
    }
}

/// That no register of an instruction waits for memory.
pub(crate) fn check_waits(wave: &Wave, inst: &Inst) -> Result<(), Box<Fault>> {
    let waiting = wave.track.waiting_for(inst);
    if waiting == Regs::default() { Ok(()) } else { Err(missing_wait(wave, waiting)) }
}

fn missing_wait(wave: &Wave, regs: Regs) -> Box<Fault> {
    let register = match regs.vgprs().next() {
        Some(register) => format!("v{register}"),
        None => format!("s{}", regs.s.trailing_zeros()),
    };
    let load = wave.track.cause(&regs).unwrap_or_default();
    Fault::new(FaultKind::MissingWait { register, load })
}

const DECIDES_SCALAR: &str = "decides a scalar result";

/// One operation with a register that has lanes never written: what it makes of them is as undefined, and must not
/// decide anything.
fn watched_part(wave: &mut Wave, inst: &Inst) -> Result<(), Box<Fault>> {
    if let Exec::Across { run, define } = inst.row.exec {
        define(wave, inst)?;
        run(wave, inst);
        return Ok(());
    }
    let lanes = |low| [0, 1].map(|half| if half < wave.halves { undefined_lanes(wave, inst, half, low) } else { 0 });
    let undefined = lanes(false);
    let to_scalar = matches!(inst.row.dst, Kind::Mask | Kind::S(_)) || inst.row.carries && inst.sdst != slot::NULL;
    if let (true, Some(half)) = (to_scalar, undefined.iter().position(|lanes| *lanes != 0)) {
        return Err(decides(wave, inst, half, undefined[half], DECIDES_SCALAR));
    }
    let undefined_low = if inst.row.depends == Depends::LowOnLow { lanes(true) } else { undefined };
    let origin = if undefined == [0; 2] { None } else { inst.reads.vgprs().find_map(|r| wave.track.origin(r)) };
    let written = [wave.lanes_of(inst, 0), if wave.halves == 2 { wave.lanes_of(inst, 1) } else { 0 }];
    execute(wave, inst);
    // An addition with a carry writes a vector register, too.
    for register in inst.writes.vgprs() {
        let undefined = if register == inst.dst { undefined_low } else { undefined };
        for half in 0..wave.halves {
            wave.track.define(half, register, written[half], !undefined[half]);
        }
        if let (Some(origin), true) = (origin, undefined != [0; 2]) {
            wave.track.inherit(register, origin);
        }
    }
    Ok(())
}

/// Active lanes whose result, or whose result's low register alone, depends on a register that was never written.
fn undefined_lanes(wave: &Wave, inst: &Inst, half: usize, low: bool) -> u32 {
    let of = |n: usize| {
        let (src, kind) = (inst.src[n], inst.row.src[n]);
        let Some(first) = src.vgpr() else { return 0 };
        let registers = if low { 1 } else { kind.registers() };
        let lanes = (first..first + registers).fold(0, |lanes, r| lanes | !wave.track.defined(half, r));
        match &inst.dpp {
            Some(dpp) if n == 0 => dpp::exchange_mask(wave, dpp, half, lanes),
            _ => lanes,
        }
    };
    let exec = wave.exec(half);
    if let (Depends::OnSelected, Some(Src::S(mask))) = (inst.row.depends, inst.src.get(2)) {
        let mask = wave.s(mask + half as u8);
        return exec & ((of(0) & !mask) | (of(1) & mask));
    }
    exec & (0..inst.row.src.len()).fold(0, |lanes, n| lanes | of(n))
}

/// The fault of a lane never written that decides something.
#[cold]
fn decides(wave: &Wave, inst: &Inst, half: usize, lanes: u32, use_: &'static str) -> Box<Fault> {
    let lane = lanes.trailing_zeros();
    let is_hole = |r: &u16| wave.track.defined(half, *r) >> lane & 1 == 0;
    let register = inst.reads.vgprs().find(is_hole).unwrap_or_default();
    undefined(wave, half, register, lane, use_)
}

/// The fault of a register's lane that was never written, or that holds memory that never was.
#[cold]
pub(crate) fn undefined(wave: &Wave, half: usize, register: u16, lane: u32, use_: &'static str) -> Box<Fault> {
    let kind = match wave.track.origin(register) {
        Some(address) => FaultKind::UnwrittenValue { register, address, use_ },
        None => FaultKind::UndefinedRegister { register, use_ },
    };
    Fault::in_lane(kind, lane + 32 * half as u32)
}

/// The fault of a lane, by its number in the wave, that was never written and becomes a scalar.
pub(crate) fn undefined_scalar(register: u16, lane: usize) -> Box<Fault> {
    Fault::in_lane(FaultKind::UndefinedRegister { register, use_: DECIDES_SCALAR }, lane as u32)
}
