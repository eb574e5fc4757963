//! What was executed: figures to estimate the time of a kernel from.

use crate::isa::{Class, Inst};

/// Figures of a launch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Instructions of waves by [`Class`].
    pub instructions: [u64; Class::ALL.len()],
    /// Bytes that active lanes asked to load from global memory.
    pub loaded_bytes: u64,
    /// Bytes that active lanes asked to store to global memory.
    pub stored_bytes: u64,
    /// Lines of 128 bytes that loads touched, counted anew for each instruction.
    pub loaded_lines: u64,
    /// Lines of 128 bytes that stores touched.
    pub stored_lines: u64,
    /// Bytes that scalar loads asked for.
    pub scalar_bytes: u64,
    /// Accesses of LDS, a cycle each: those lanes of an instruction that together want 128 bytes make one.
    pub lds_accesses: u64,
    /// Further cycles of accesses of LDS, because lanes wanted different words of one bank.
    pub lds_conflicts: u64,
    /// Waves that ran.
    pub waves: u64,
    /// Workgroups that ran.
    pub workgroups: u64,
}

impl Counts {
    /// One more instruction.
    #[inline(always)]
    pub fn count(&mut self, inst: &Inst) {
        self.instructions[inst.row.class as usize] += 1;
    }

    /// Instructions of a class.
    pub fn of(&self, class: Class) -> u64 {
        self.instructions[class as usize]
    }

    /// Instructions of all classes.
    pub fn total(&self) -> u64 {
        self.instructions.iter().sum()
    }

    /// Adds the figures of another part of the launch.
    pub fn add(&mut self, other: &Self) {
        for (sum, count) in self.instructions.iter_mut().zip(other.instructions) {
            *sum += count;
        }
        self.loaded_bytes += other.loaded_bytes;
        self.stored_bytes += other.stored_bytes;
        self.loaded_lines += other.loaded_lines;
        self.stored_lines += other.stored_lines;
        self.scalar_bytes += other.scalar_bytes;
        self.lds_accesses += other.lds_accesses;
        self.lds_conflicts += other.lds_conflicts;
        self.waves += other.waves;
        self.workgroups += other.workgroups;
    }
}
