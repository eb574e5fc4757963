//! The decoded text of a code object.

use crate::fault::{Fault, FaultKind};
use crate::isa::decode::{Words, decode};
use crate::isa::{Inst, Isa};

/// No instruction begins at this word.
const NONE: u32 = u32::MAX;

/// Instructions of the executable ranges of a code object, in the order of their addresses.
#[derive(Debug)]
pub struct Code {
    insts: Vec<Inst>,
    ranges: Vec<Range>,
    base: u64,
}

/// A range of words: for each, the index of the instruction that begins there.
#[derive(Debug)]
struct Range {
    first: u64,
    starts: Vec<u32>,
}

impl Code {
    /// No code yet. `base` is where the code object lies, for messages.
    pub fn new(base: u64) -> Self {
        Self { insts: Vec::new(), ranges: Vec::new(), base }
    }

    /// Decodes the words at `first`. `entries` are addresses of functions, where instructions begin whatever stands
    /// before.
    pub fn add(&mut self, isa: &Isa, words: &[u32], first: u64, entries: &[u64]) {
        let mut starts = vec![NONE; words.len()];
        let mut at = 0;
        while at < words.len() {
            let address = first + 4 * at as u64;
            let mut inst = decode(isa, Words(&words[at..]), address).unwrap_or_else(|| unknown(&words[at..], address));
            let end = address + u64::from(inst.bytes);
            if entries.iter().any(|entry| *entry > address && *entry < end) {
                inst = unknown(&words[at..], address);
            }
            starts[at] = self.insts.len() as u32;
            at += usize::from(inst.bytes / 4);
            self.insts.push(inst);
        }
        self.ranges.push(Range { first, starts });
        self.resolve_branches();
    }

    fn resolve_branches(&mut self) {
        let targets: Vec<u32> = self.insts.iter().map(|inst| self.branch_target(inst)).collect();
        for (inst, target) in self.insts.iter_mut().zip(targets) {
            inst.target = target;
        }
    }

    /// Branches count words from behind themselves.
    fn branch_target(&self, inst: &Inst) -> u32 {
        if !inst.row.name.starts_with("s_cbranch") && inst.row.name != "s_branch" && inst.row.name != "s_call_b64" {
            return NONE;
        }
        let address = inst.address.wrapping_add(4).wrapping_add_signed(4 * i64::from(inst.offset));
        self.index_of(address).unwrap_or(NONE)
    }

    /// The instruction of an index.
    #[inline(always)]
    pub fn inst(&self, index: u32) -> Option<&Inst> {
        self.insts.get(index as usize)
    }

    /// All instructions.
    pub fn insts(&self) -> &[Inst] {
        &self.insts
    }

    /// Where the code object lies.
    pub fn base(&self) -> u64 {
        self.base
    }

    /// The index of the instruction that begins at an address.
    pub fn index_of(&self, address: u64) -> Option<u32> {
        self.ranges.iter().find_map(|range| {
            let offset = address.checked_sub(range.first).filter(|offset| offset % 4 == 0)?;
            range.starts.get(usize::try_from(offset / 4).ok()?).copied().filter(|index| *index != NONE)
        })
    }

    /// The address of an index; zero behind the last instruction.
    pub fn address_of(&self, index: u32) -> u64 {
        self.inst(index).map_or(0, |inst| inst.address)
    }

    /// The fault of an index that no instruction has.
    pub fn bad_index(&self, index: u32) -> Box<Fault> {
        Fault::new(FaultKind::BadJump { target: self.address_of(index) })
    }
}

/// What stands for words that are no instruction, and is an error when it is executed.
fn unknown(words: &[u32], address: u64) -> Inst {
    let mut inst = Inst::new(&UNKNOWN, address);
    inst.src[0] = crate::isa::Src::K(u64::from(words[0]) | u64::from(words.get(1).copied().unwrap_or(0)) << 32);
    inst
}

static UNKNOWN: crate::isa::Row = crate::isa::Row::new(
    crate::isa::Class::Control,
    0,
    "unknown",
    crate::isa::row::Semantics {
        exec: crate::isa::Exec::Core(|_, inst| {
            let crate::isa::Src::K(words) = inst.src[0] else { return Ok(()) };
            Err(Fault::new(FaultKind::UnknownInstruction { words: vec![words as u32, (words >> 32) as u32] }))
        }),
        dst: crate::isa::Kind::None,
        carries: false,
        src: &[],
    },
);
