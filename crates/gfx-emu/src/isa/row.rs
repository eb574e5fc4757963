//! What a row of the tables says of an instruction.

use super::inst::Inst;
use crate::fault::Fault;
use crate::run::Core;
use crate::wave::Wave;

/// The kind of an operand: how many registers it takes, and how a constant becomes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// There is none.
    None,
    /// 32 bits, an integer or a float.
    B32,
    /// A half float in half a register.
    F16,
    /// An integer of 16 bits in half a register.
    B16,
    /// Two half floats in a register.
    PkF16,
    /// Two integers of 16 bits in a register.
    PkB16,
    /// A brain float in half a register.
    Bf16,
    /// Two brain floats in a register.
    PkBf16,
    /// A float, or a half float, as `op_sel_hi` says.
    Mix,
    /// An integer of 64 bits without sign in two registers.
    B64,
    /// An integer of 64 bits with sign in two registers.
    I64,
    /// A double in two registers.
    F64,
    /// Two floats in two registers.
    PkF32,
    /// One bit a lane, in a scalar register (two for waves of 64).
    Mask,
    /// A matrix of 16 × 16 words spread over the wave: eight registers, of waves of 64 four.
    Tile,
    /// The same of half floats, one in each register.
    TileF16,
    /// The same of brain floats, one in each register.
    TileBf16,
    /// A matrix of half floats, two in each register: four registers.
    PkTileF16,
    /// The same of brain floats.
    PkTileBf16,
    /// The low half of a vector register, of memory instructions.
    Low,
    /// The high half of a vector register, of memory instructions.
    High,
    /// So many vector registers.
    V(u8),
    /// So many scalar registers.
    S(u8),
}

impl Kind {
    /// Registers it takes; of a tile, in a wave of 32.
    pub const fn registers(self) -> u16 {
        match self {
            Self::None => 0,
            Self::Tile | Self::TileF16 | Self::TileBf16 => 8,
            Self::PkTileF16 | Self::PkTileBf16 => 4,
            Self::B64 | Self::I64 | Self::F64 | Self::PkF32 => 2,
            Self::V(count) | Self::S(count) => count as u16,
            _ => 1,
        }
    }

    /// Registers it takes in a wave of 32 or 64 lanes.
    pub const fn registers_in(self, wave64: bool) -> u16 {
        match self {
            Self::Tile | Self::TileF16 | Self::TileBf16 if wave64 => 4,
            _ => self.registers(),
        }
    }

    /// Whether it takes half a register.
    pub const fn is_half(self) -> bool {
        matches!(self, Self::F16 | Self::B16 | Self::Bf16)
    }

    /// Whether it is a pair of 16 bits each.
    pub const fn is_pair(self) -> bool {
        matches!(self, Self::PkF16 | Self::PkB16 | Self::PkBf16)
    }
}

/// Instructions of one kind, for counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// Scalar arithmetic.
    Scalar,
    /// Loads through the scalar cache.
    ScalarMemory,
    /// Branches, barriers, waits and other control.
    Control,
    /// Vector arithmetic.
    Vector,
    /// Vector arithmetic on the slow path: transcendental functions, doubles, wide multiplication.
    Transcendental,
    /// Dot products of small numbers.
    Dot,
    /// Matrix products.
    Matrix,
    /// LDS.
    Lds,
    /// Vector loads of global memory.
    Load,
    /// Vector stores to global memory.
    Store,
    /// Atomic operations on global memory.
    Atomic,
    /// Private memory.
    Scratch,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Scalar,
        Self::ScalarMemory,
        Self::Control,
        Self::Vector,
        Self::Transcendental,
        Self::Dot,
        Self::Matrix,
        Self::Lds,
        Self::Load,
        Self::Store,
        Self::Atomic,
        Self::Scratch,
    ];
}

/// A function over a wave's registers alone.
pub type WaveFn = fn(&mut Wave, &Inst);
/// The same, compiled for more than the baseline processor.
pub type FastFn = unsafe fn(&mut Wave, &Inst);
/// Works out what a function over a wave's registers will leave undefined, before it runs.
pub type DefineFn = fn(&mut Wave, &Inst) -> Result<(), Box<Fault>>;
/// A function that may touch memory or the flow of the program.
pub type CoreFn = fn(&mut Core<'_, '_>, &Inst) -> Result<(), Box<Fault>>;

/// What an instruction does.
#[derive(Debug, Clone, Copy)]
pub enum Exec {
    /// The same in every lane, each for itself.
    Lanes {
        /// For any processor.
        base: WaveFn,
        /// For processors with AVX2, FMA and F16C; the same as `base` elsewhere.
        fast: FastFn,
        /// With the rounding and denormals of the MODE register.
        exact: WaveFn,
    },
    /// Registers of one wave: scalar, or as `Lanes`.
    Wave(WaveFn),
    /// Registers of one wave, across lanes.
    Across {
        /// What it does.
        run: WaveFn,
        /// Says which lanes of its results will be defined; called if any register it names has undefined ones.
        define: DefineFn,
    },
    /// Memory and control.
    Core(CoreFn),
}

/// How an instruction's operands differ from what its encoding says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// They do not.
    Plain,
    /// The last source is the old result.
    Accumulate,
    /// The last source is a literal.
    LiteralAddend,
    /// The second source is a literal.
    LiteralFactor,
    /// The last source is VCC, in each encoding.
    WithVcc,
    /// The result goes to the high half of its register.
    HighHalf,
    /// The first source is written too, and the last source is the old result.
    Exchange,
}

/// Which sources a result depends on: a source that was never written makes undefined what depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depends {
    /// All of it on all of them.
    OnAll,
    /// On one of the first two sources, by the third, a mask.
    OnSelected,
    /// Its low register on no high one: sums, products, shifts to the left.
    LowOnLow,
}

/// An instruction: one row.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Number within its encoding.
    pub opcode: u16,
    /// As the ISA guide and the assembler call it, without the encoding's suffix.
    pub name: &'static str,
    /// For counting.
    pub class: Class,
    /// What it does.
    pub exec: Exec,
    /// Kind of the result.
    pub dst: Kind,
    /// Whether it also has a result of one bit a lane.
    pub carries: bool,
    /// Kinds of the sources.
    pub src: &'static [Kind],
    /// Where operands come from.
    pub form: Form,
    /// Which sources each part of the result depends on.
    pub depends: Depends,
}

/// A row with the semantics that `lanes!`, `scalar!` and their kin make.
#[derive(Debug, Clone, Copy)]
pub struct Semantics {
    /// What it does.
    pub exec: Exec,
    /// Kind of the result.
    pub dst: Kind,
    /// Whether it also has a result of one bit a lane.
    pub carries: bool,
    /// Kinds of the sources.
    pub src: &'static [Kind],
}

impl Row {
    /// A row of a table.
    pub const fn new(class: Class, opcode: u16, name: &'static str, semantics: Semantics) -> Self {
        let Semantics { exec, dst, carries, src } = semantics;
        Self { opcode, name, class, exec, dst, carries, src, form: Form::Plain, depends: Depends::OnAll }
    }

    /// With operands of another form.
    #[must_use]
    pub const fn form(mut self, form: Form) -> Self {
        self.form = form;
        self
    }

    /// Counted as another class than its table's.
    #[must_use]
    pub const fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Its result depends on less than all of its sources.
    #[must_use]
    pub const fn depends(mut self, depends: Depends) -> Self {
        self.depends = depends;
        self
    }
}
