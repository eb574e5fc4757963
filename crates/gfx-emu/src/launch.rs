//! Launching a grid: workgroups over the processor's cores, waves of a workgroup in turns.

use crate::fault::{Fault, FaultKind};
use crate::memory::View;
use crate::run::{Code, Core, Group};
use crate::wave::{State, Wave};

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

/// What all workgroups of a launch share.
pub struct Env<'a> {
    /// Name of the kernel.
    pub kernel: &'a str,
    /// The decoded code.
    pub code: &'a Code,
    /// Allocations.
    pub memory: &'a View,
    /// Names an address of the code.
    pub name_pc: &'a (dyn Fn(u64) -> String + Sync),
    /// Whether lines and conflicts are counted, which takes time.
    pub counts_lines: bool,
    /// A wave that executes more instructions is taken for endless.
    pub instructions_max: u64,
}

impl std::fmt::Debug for Env<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Env").field("kernel", &self.kernel).finish_non_exhaustive()
    }
}

/// Runs one workgroup: its waves take turns until all have ended.
fn run_group(group: &mut Group<'_>, waves: &mut [Wave], order: Order) -> Result<(), Box<Fault>> {
    let mut turn = 0;
    loop {
        for number in order.of(waves.len(), turn) {
            let wave = &mut waves[number];
            if matches!(wave.state, State::Running | State::Yielding) {
                Core { wave, group }.turn()?;
            }
        }
        turn += 1;
        if waves.iter().all(|wave| wave.state == State::Ended) {
            return Ok(());
        }
        if turn > group.env.instructions_max {
            return Err(Fault::new(FaultKind::Endless { count: turn }));
        }
        release_barrier(group, waves)?;
    }
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
        return Err(Fault::new(FaultKind::DivergentBarrier { reason }));
    }
    group.epoch += 1;
    for wave in waves.iter_mut().filter(|wave| wave.state != State::Ended) {
        wave.state = State::Running;
    }
    Ok(())
}
