//! Launching a grid: workgroups over the processor's cores, waves of a workgroup in turns.

use crate::abi::{self, AbiError, Dispatch, Pointers};
use crate::arith::Mode;
use crate::count::Counts;
use crate::fault::{Fault, FaultKind};
use crate::memory::{Memory, Scratch, View};
use crate::object::Kernel;
use crate::program::Program;
use crate::run::{Code, Core, Group};
use crate::wave::{LANES, State, Wave, slot};

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// In which order workgroups, and waves of a workgroup, get their turns. Results of a right kernel do not depend on
/// it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// As they are numbered.
    #[default]
    Forward,
    /// The last first.
    Reverse,
    /// Drawn anew for each turn, by a seed.
    Random(u64),
}

impl Order {
    /// The numbers below `count` in this order; `turn` is mixed into the seed.
    pub fn of(self, count: usize, turn: u64) -> Vec<usize> {
        let mut all: Vec<usize> = (0..count).collect();
        match self {
            Self::Forward => {}
            Self::Reverse => all.reverse(),
            Self::Random(seed) => shuffle(&mut all, seed ^ turn.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        }
        all
    }
}

/// Fisher and Yates, with splitmix64.
fn shuffle(all: &mut [usize], mut state: u64) {
    for i in (1..all.len()).rev() {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        all.swap(i, ((z ^ z >> 31) % (i as u64 + 1)) as usize);
    }
}

/// Why a launch did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// The kernel does not allow it.
    #[error(transparent)]
    Abi(#[from] AbiError),
    /// LDS beyond what a workgroup can have.
    #[error("kernel `{kernel}`: {bytes} bytes of LDS, but a workgroup has at most {LDS_MAX}")]
    Lds {
        /// Its name.
        kernel: String,
        /// What was asked for.
        bytes: u64,
    },
    /// The host counts with waves of another size.
    #[error("kernel `{kernel}` was compiled for waves of {found} lanes, but the host takes them to have {expected}")]
    WaveSize {
        /// Its name.
        kernel: String,
        /// Lanes that the kernel was compiled for.
        found: u32,
        /// Lanes that the host counts with.
        expected: u32,
    },
    /// The kernel did something wrong.
    #[error(transparent)]
    Fault(#[from] Box<Fault>),
}

/// LDS of a workgroup, bytes.
pub const LDS_MAX: u64 = 64 << 10;
/// Private memory of a lane where a kernel calls functions that the compiler did not see, bytes.
const DYNAMIC_STACK: u32 = 16 << 10;

/// A buffer's descriptor that says that lanes take turns in it, and nothing else: of private memory.
const PRIVATE_BUFFER: [u32; 4] = [0, 1 << 31, 0, 0];

/// How a grid is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// In which order workgroups and waves take turns.
    pub order: Order,
    /// Threads that share the workgroups.
    pub threads: usize,
    /// Whether lines of memory and conflicts of LDS are counted, which takes time.
    pub counts_lines: bool,
    /// A wave that takes more turns than this is taken for endless; a turn is about a million instructions.
    pub turns_max: u64,
    /// Lanes of a wave as the host takes them to be, for example from the device's properties: a kernel that was
    /// compiled for another number is an error. `None`: the host does not care.
    pub wave_size: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { order: Order::Forward, threads, counts_lines: false, turns_max: 1 << 14, wave_size: None }
    }
}

/// Runs a grid of a kernel to its end. `arguments` are the bytes of all explicit arguments in their places (see
/// [`abi::kernarg_from_args`]).
///
/// # Errors
/// [`LaunchError`]; after a fault the memory holds what was written until then.
pub fn launch(
    program: &Program,
    kernel: &Kernel,
    dispatch: &Dispatch,
    arguments: &[u8],
    memory: &Memory,
    options: &Options,
) -> Result<Counts, LaunchError> {
    if let Some(expected) = options.wave_size.filter(|expected| *expected != kernel.wave_size) {
        return Err(LaunchError::WaveSize { kernel: kernel.name.clone(), found: kernel.wave_size, expected });
    }
    let kernarg = abi::kernarg_block(kernel, arguments, dispatch)?;
    let lds = dispatch.lds_bytes(kernel);
    if lds > LDS_MAX {
        return Err(LaunchError::Lds { kernel: kernel.name.clone(), bytes: lds });
    }
    // Aligned as the hardware's allocator does it.
    let mut segment = vec![0u128; kernarg.len().div_ceil(16).max(1)];
    bytemuck::cast_slice_mut(&mut segment)[..kernarg.len()].copy_from_slice(&kernarg);
    let kernarg_address = segment.as_ptr() as u64;
    let packet: [u128; 4] = bytemuck::cast(abi::dispatch_packet(kernel, dispatch, kernarg_address));
    let mut view = memory.view();
    // SAFETY: the image is the program's, which is borrowed; kernels may change its variables, and only they look at
    // them. Arguments and packet live in this function.
    unsafe {
        view.add(program.object().image().base(), program.object().image().bytes().len() as u64, "code object");
        view.add(kernarg_address, kernarg.len() as u64, "arguments");
        view.add(packet.as_ptr() as u64, 64, "dispatch packet");
    }
    let env = Env {
        kernel,
        program,
        code: program.code(kernel),
        memory: &view,
        dispatch,
        pointers: Pointers {
            kernarg: kernarg_address,
            dispatch_packet: packet.as_ptr() as u64,
            private_segment_buffer: PRIVATE_BUFFER,
            private_segment_size: kernel.descriptor.private_segment_fixed_size,
            ..Pointers::default()
        },
        options,
    };
    Ok(run_grid(&env)?)
}

/// What all workgroups of a launch share.
#[derive(Debug)]
pub struct Env<'a> {
    /// The kernel.
    pub kernel: &'a Kernel,
    /// Its code object.
    pub program: &'a Program,
    /// The decoded code.
    pub code: &'a Code,
    /// Allocations.
    pub memory: &'a View,
    /// Extent of the grid.
    pub dispatch: &'a Dispatch,
    /// What registers begin with.
    pub pointers: Pointers,
    /// How it is run.
    pub options: &'a Options,
}

/// Shares the workgroups among threads. The first fault ends the launch.
fn run_grid(env: &Env<'_>) -> Result<Counts, Box<Fault>> {
    let [x, y, z] = env.dispatch.grid.map(|count| count as usize);
    let order = env.options.order.of(x * y * z, 0);
    let next = AtomicUsize::new(0);
    let result = Mutex::new(Ok(Counts::default()));
    let worker = || {
        let mut waves = Vec::new();
        while let Some(number) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
            let id = [number % x, number / x % y, number / (x * y)].map(|i| i as u32);
            let counts = run_group(env, id, &mut waves);
            let failed = counts.is_err();
            let mut result = result.lock().unwrap_or_else(PoisonError::into_inner);
            match (&mut *result, counts) {
                (Ok(sum), Ok(counts)) => sum.add(&counts),
                (result @ Ok(_), Err(fault)) => *result = Err(fault),
                _ => {}
            }
            if failed {
                next.store(order.len(), Ordering::Relaxed);
            }
        }
    };
    let threads = env.options.threads.clamp(1, order.len().max(1));
    if threads == 1 {
        worker();
    } else {
        std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(worker))));
    }
    result.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs one workgroup: its waves take turns until all have ended. `waves` is room from the one before.
fn run_group(env: &Env<'_>, id: [u32; 3], waves: &mut Vec<Wave>) -> Result<Counts, Box<Fault>> {
    let count = env.dispatch.waves(env.kernel) as u32;
    let mut group = Group::new(env, id, count as usize, env.dispatch.lds_bytes(env.kernel) as u32);
    group.counts.workgroups = 1;
    group.counts.waves = u64::from(count);
    waves.clear();
    for number in 0..count {
        waves.push(start_wave(env, id, number)?);
    }
    let mut turn = 0;
    while waves.iter().any(|wave| wave.state != State::Ended) {
        for number in env.options.order.of(waves.len(), turn) {
            let wave = &mut waves[number];
            if matches!(wave.state, State::Running | State::Yielding) {
                Core { wave, group: &mut group }.turn()?;
            }
        }
        turn += 1;
        if turn > env.options.turns_max {
            return Err(name_group(Fault::new(FaultKind::Endless { turns: turn }), &group));
        }
        release_barrier(&mut group, waves)?;
    }
    Ok(group.counts)
}

/// A wave as it begins.
fn start_wave(env: &Env<'_>, id: [u32; 3], number: u32) -> Result<Wave, Box<Fault>> {
    let generation = env.program.object().target().generation();
    let initial = abi::initial_registers(env.kernel, generation, env.dispatch, id, number, &env.pointers);
    let halves = env.kernel.wave_size as usize / LANES;
    let mode = Mode::from_bits(env.kernel.descriptor.mode_register() | generation.fixed_mode_bits());
    let mut wave = Wave::new(halves, number, initial.exec, mode);
    wave.sgpr[..initial.sgprs.len()].copy_from_slice(&initial.sgprs);
    let ttmp7 = usize::from(slot::TTMP) + 7;
    wave.sgpr[ttmp7..ttmp7 + 3].copy_from_slice(&initial.ttmp7_9);
    for (register, values) in initial.vgprs.iter().enumerate() {
        for (half, values) in values.iter().enumerate().take(halves) {
            *wave.v_mut(half, register as u16) = *values;
            wave.track.define(half, register as u16, u32::MAX, u32::MAX);
        }
    }
    let descriptor = &env.kernel.descriptor;
    let stack = if descriptor.uses_dynamic_stack { DYNAMIC_STACK } else { 0 };
    let private = descriptor.private_segment_fixed_size.max(stack);
    wave.scratch = Scratch::new(env.kernel.wave_size as usize, private);
    let entry = env.kernel.entry;
    wave.at = env.code.index_of(entry).ok_or_else(|| Fault::new(FaultKind::BadJump { target: entry }))?;
    Ok(wave)
}

/// Adds to a fault which kernel and workgroup it was in.
fn name_group(mut fault: Box<Fault>, group: &Group<'_>) -> Box<Fault> {
    fault.kernel.clone_from(&group.env.kernel.name);
    fault.workgroup = group.id;
    fault
}

/// Lets waves go on when all that have not ended wait at a barrier, the same one.
fn release_barrier(group: &mut Group<'_>, waves: &mut [Wave]) -> Result<(), Box<Fault>> {
    let mut barriers = waves.iter().filter_map(|wave| match wave.state {
        State::AtBarrier(address) => Some(address),
        _ => None,
    });
    let Some(first) = barriers.next() else { return Ok(()) };
    if waves.iter().any(|wave| matches!(wave.state, State::Running | State::Yielding)) {
        return Ok(());
    }
    if let Some(other) = barriers.find(|other| *other != first) {
        let base = group.env.code.base();
        let reason = format!("waves wait at {:#x} and at {:#x}", first - base, other - base);
        return Err(name_group(Fault::new(FaultKind::DivergentBarrier { reason }), group));
    }
    group.epoch += 1;
    for wave in waves.iter_mut().filter(|wave| wave.state != State::Ended) {
        wave.state = State::Running;
    }
    Ok(())
}
