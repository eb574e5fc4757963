//! What went wrong in a kernel, and where.

use std::fmt;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// The decoder's tables have no such instruction.
    #[error("unknown instruction {words:08x?}")]
    UnknownInstruction {
        /// The words there.
        words: Vec<u32>,
    },
    /// The instruction is known and its effect cannot be had here.
    #[error("unsupported: {what}")]
    Unsupported {
        /// What is not there.
        what: String,
    },
    /// The program counter left the code, or went into the middle of an instruction.
    #[error("jump to {target:#x}, where no instruction begins")]
    BadJump {
        /// Where it went.
        target: u64,
    },
    /// Memory outside of every allocation, or across the end of one.
    #[error("{access} of {bytes} bytes at {address:#x}: {place}")]
    OutOfBounds {
        /// Load, store or atomic.
        access: &'static str,
        /// How many bytes one lane wanted.
        bytes: u32,
        /// Where.
        address: u64,
        /// Where this is relative to the nearest allocation.
        place: String,
    },
    /// An address that is no multiple of what the access needs.
    #[error("{access} of {bytes} bytes at {address:#x}, which is no multiple of {alignment}")]
    Misaligned {
        /// Load, store or atomic.
        access: &'static str,
        /// How many bytes.
        bytes: u32,
        /// Where.
        address: u64,
        /// What it has to be a multiple of.
        alignment: u32,
    },
    /// LDS behind what the kernel and the launch ask for.
    #[error("{access} of {bytes} bytes at offset {offset} of {size} bytes of LDS")]
    LdsOutOfBounds {
        /// Load, store or atomic.
        access: &'static str,
        /// How many bytes one lane wanted.
        bytes: u32,
        /// Where.
        offset: u64,
        /// Bytes there are.
        size: u32,
    },
    /// Private memory behind what the kernel asks for.
    #[error("{access} of {bytes} bytes at offset {offset} of {size} bytes of private memory")]
    ScratchOutOfBounds {
        /// Load or store.
        access: &'static str,
        /// How many bytes.
        bytes: u32,
        /// Where.
        offset: u64,
        /// Bytes a lane has.
        size: u32,
    },
    /// A register that decides something was never written.
    #[error("v{register} was never written and {use_}")]
    UndefinedRegister {
        /// The vector register.
        register: u16,
        /// What would depend on it.
        use_: &'static str,
    },
    /// A register that decides something comes from memory that was never written.
    #[error("v{register} comes from memory at {address:#x} that was never written, and {use_}")]
    UnwrittenValue {
        /// The vector register.
        register: u16,
        /// Address, or offset in LDS or private memory, that it was loaded from.
        address: u64,
        /// What would depend on it.
        use_: &'static str,
    },
    /// Memory that was never written reaches something that matters.
    #[error("{what} of {bytes} bytes at {address:#x}, which were never written")]
    UndefinedMemory {
        /// What was done.
        what: &'static str,
        /// Bytes.
        bytes: u32,
        /// Where.
        address: u64,
    },
    /// A register is used while memory has yet to fill it.
    #[error("{register} is used before the wait for the load at {load:#x}")]
    MissingWait {
        /// The register's name.
        register: String,
        /// Address of the load.
        load: u64,
    },
    /// Two waves of a workgroup use the same memory, one of them writes, and no barrier stands between.
    #[error("race: {access} of {bytes} bytes at {place}, which wave {other} {did} since the last barrier")]
    Race {
        /// Load, store or atomic.
        access: &'static str,
        /// Bytes.
        bytes: u32,
        /// An address, or an offset in LDS.
        place: String,
        /// The other wave.
        other: u32,
        /// Whether it read or wrote.
        did: &'static str,
    },
    /// A barrier that not every lane of the wave, or not every wave of the workgroup, comes to.
    #[error("divergent barrier: {reason}")]
    DivergentBarrier {
        /// Who is missing.
        reason: String,
    },
    /// A barrier before memory operations of the wave are done, so that it does not order them.
    #[error("a barrier before the {what} at {address:#x} was waited for")]
    BarrierBeforeWait {
        /// Which operation.
        what: &'static str,
        /// Address of its instruction.
        address: u64,
    },
    /// More instructions than the launch allows: most likely an endless loop.
    #[error("no end after {turns} turns of a million instructions or a barrier each")]
    Endless {
        /// How many turns the workgroup had.
        turns: u64,
    },
    /// `s_trap`: the program's own assertion.
    #[error("trap {number}")]
    Trap {
        /// Its number; 2 is `__builtin_trap`.
        number: u32,
    },
}

/// A fault, and where it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What went wrong.
    pub kind: FaultKind,
    /// The kernel.
    pub kernel: String,
    /// The instruction's name.
    pub instruction: String,
    /// Function and offset of the instruction, as a disassembly has it.
    pub location: String,
    /// Address of the instruction relative to the start of the code object.
    pub pc: u64,
    /// Position of the workgroup in the grid.
    pub workgroup: [u32; 3],
    /// Number of the wave in its workgroup.
    pub wave: u32,
    /// The lane, where one can be named.
    pub lane: Option<u32>,
}

impl Fault {
    /// A fault whose place is added on its way up.
    pub fn new(kind: FaultKind) -> Box<Self> {
        Box::new(Self {
            kind,
            kernel: String::new(),
            instruction: String::new(),
            location: String::new(),
            pc: 0,
            workgroup: [0; 3],
            wave: 0,
            lane: None,
        })
    }

    /// In a lane.
    pub fn in_lane(kind: FaultKind, lane: u32) -> Box<Self> {
        let mut fault = Self::new(kind);
        fault.lane = Some(lane);
        fault
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, kernel, instruction, location, pc, workgroup: [x, y, z], wave, lane } = self;
        write!(f, "kernel {kernel}: {kind}; {instruction} at pc {pc:#x}")?;
        if !location.is_empty() {
            write!(f, " ({location})")?;
        }
        write!(f, ", workgroup ({x}, {y}, {z}), wave {wave}")?;
        lane.map_or(Ok(()), |lane| write!(f, ", lane {lane}"))
    }
}

impl std::error::Error for Fault {}
