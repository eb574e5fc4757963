//! A decoded instruction: its row of the table, and its operands resolved to registers and constants.

use super::row::{Class, Form, Kind, Row};
use crate::wave::{MASK_SLOTS, VGPRS};

/// Where an operand is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Src {
    /// A vector register, or the first of several.
    V(u16),
    /// A scalar register by its slot in [`Wave::sgpr`](crate::wave::Wave), or the first of several.
    S(u8),
    /// A constant, already in the form of the operand's kind.
    K(u64),
    /// The scalar condition code.
    Scc,
    /// Whether VCC is zero.
    VccZ,
    /// Whether EXEC is zero.
    ExecZ,
}

impl Src {
    /// The vector register, if it is one.
    pub fn vgpr(self) -> Option<u16> {
        if let Self::V(register) = self { Some(register) } else { None }
    }
}

/// How lanes exchange the first operand: data-parallel primitives (RDNA3 ISA guide, 7.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dpp {
    /// Which lane of the same half each lane reads, or [`Dpp::NONE`] for one that does not exist.
    pub from: [u8; 32],
    /// Lanes outside of the masks of rows and banks keep their result.
    pub lanes: [u32; 2],
    /// A lane that does not exist, or that is inactive, reads zero instead of disabling the write.
    pub bound_zero: bool,
    /// Inactive lanes may be read (`fi`).
    pub fetch_inactive: bool,
}

impl Dpp {
    /// In [`Dpp::from`]: there is no such lane.
    pub const NONE: u8 = 255;
}

/// Part of a register of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Select {
    /// 0 to 3: this byte; 4 and 5: this half; else all.
    pub part: u8,
    /// Whether its sign is extended.
    pub signed: bool,
}

impl Select {
    /// First bit and bits of a part.
    fn place(part: u8) -> (u32, u32) {
        match part {
            0..=3 => (8 * u32::from(part), 8),
            4 | 5 => (16 * u32::from(part & 1), 16),
            _ => (0, 32),
        }
    }

    /// The part of a value.
    pub fn of(self, value: u32) -> u32 {
        let (first, count) = Self::place(self.part);
        let top = value << (32 - first - count);
        if self.signed { (top as i32 >> (32 - count)) as u32 } else { top >> (32 - count) }
    }
}

/// Operands that are parts of registers ("SDWA"; RDNA2 ISA guide, 6.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subword {
    /// Parts of the first two sources.
    pub src: [Select; 2],
    /// Part of the result's register that is written, as [`Select::part`] counts.
    pub dst: u8,
    /// The rest of it: 0 becomes zero, 1 the sign, 2 stays.
    pub unused: u8,
}

impl Subword {
    /// In [`Subword::dst`]: all of the register.
    pub const WHOLE: u8 = 6;

    /// A result as it lies in its register, whose value was `old`.
    pub fn placed(&self, value: u32, old: u32) -> u32 {
        let (first, count) = Select::place(self.dst);
        let mask = u32::MAX >> (32 - count) << first;
        let part = value << first & mask;
        let above = u32::MAX.checked_shl(first + count).unwrap_or(0);
        match self.unused {
            1 if part >> (first + count - 1) & 1 == 1 => part | above,
            2 => part | old & !mask,
            _ => part,
        }
    }
}

/// A set of registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Regs {
    /// Halves of vector registers, a bit each: four words for the low ones, then four for the high ones.
    pub v: [u64; 8],
    /// Scalar registers by slot, a bit each.
    pub s: u128,
}

impl Regs {
    /// Adds `count` vector registers from `first`; the spare ones behind the last are not tracked.
    pub fn add_v(&mut self, first: u16, count: u16) {
        for register in (first..first.saturating_add(count)).map(usize::from).filter(|r| *r < VGPRS) {
            self.v[register / 64] |= 1 << (register % 64);
            self.v[4 + register / 64] |= 1 << (register % 64);
        }
    }

    /// Adds half a vector register.
    pub fn add_half(&mut self, register: u16, high: bool) {
        let word = usize::from(register / 64) + if high { 4 } else { 0 };
        if let (Some(word), true) = (self.v.get_mut(word), usize::from(register) < VGPRS) {
            *word |= 1 << (register % 64);
        }
    }

    /// Adds `count` scalar registers from `first`.
    pub fn add_s(&mut self, first: u8, count: u8) {
        for slot in first..first.saturating_add(count).min(128) {
            self.s |= 1 << slot;
        }
    }

    /// Whether there is a common register.
    #[inline(always)]
    pub fn meets(&self, other: &Self) -> bool {
        let v = self.v.iter().zip(&other.v).fold(0, |common, (a, b)| common | a & b);
        (v != 0) | (self.s & other.s != 0)
    }

    /// Both sets.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        Self { v: std::array::from_fn(|i| self.v[i] | other.v[i]), s: self.s | other.s }
    }

    /// The common registers.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self { v: std::array::from_fn(|i| self.v[i] & other.v[i]), s: self.s & other.s }
    }

    /// The vector registers in order.
    pub fn vgprs(&self) -> impl Iterator<Item = u16> + '_ {
        (0..4).flat_map(|word| {
            let mut left = self.v[word] | self.v[word + 4];
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as u16;
                // Clears the lowest bit; of none there is nothing to clear.
                left &= left.wrapping_sub(1);
                (bit < 64).then_some(64 * word as u16 + bit)
            })
        })
    }

    /// Whether a vector register, or half of it, is in it.
    pub fn has_v(&self, register: u16) -> bool {
        let word = usize::from(register / 64);
        word < 4 && (self.v[word] | self.v[word + 4]) >> (register % 64) & 1 == 1
    }
}

/// Bits of [`Inst::flags`].
pub mod flags {
    /// Coherent; atomics return the old value.
    pub const GLC: u8 = 1;
    /// Streaming.
    pub const SLC: u8 = 2;
    /// Coherent across the device.
    pub const DLC: u8 = 4;
    /// A buffer's address has an index in a vector register.
    pub const IDXEN: u8 = 8;
    /// A buffer's address has an offset in a vector register.
    pub const OFFEN: u8 = 16;
}

/// A decoded instruction.
#[derive(Debug, Clone)]
pub struct Inst {
    /// Its row: name and semantics.
    pub row: &'static Row,
    /// Address in the image.
    pub address: u64,
    /// Bytes it takes, literals included.
    pub bytes: u8,
    /// Sources, in the order of the row; those of memory instructions: address, data, second data or scalar base,
    /// scalar offset.
    pub src: [Src; 4],
    /// Vector or scalar register of the result, by the row's kind of it.
    pub dst: u16,
    /// Scalar register of a result of one bit a lane: carries, comparisons.
    pub sdst: u8,
    /// Operands whose sign flips, a bit each; of packed operands, of the low half.
    pub neg: u8,
    /// Operands whose absolute value is taken; of packed operands, those whose high half's sign flips.
    pub abs: u8,
    /// Operands of 16 bits read from the high half; bit 3: the result goes there.
    pub opsel: u8,
    /// Packed operands whose high half comes from the high half: all, where the encoding does not say.
    pub opsel_hi: u8,
    /// The result is clamped to the range of its type or, for floats, to 0 to 1.
    pub clamp: bool,
    /// Multiplies the result: 1 by two, 2 by four, 3 by a half.
    pub omod: u8,
    /// Of memory instructions: [`flags`] as encoded.
    pub flags: u8,
    /// Offset of memory instructions; immediate of SOPP and SOPK; for DS the first offset.
    pub offset: i32,
    /// Second offset of DS instructions with two addresses.
    pub offset1: i32,
    /// Index of the instruction that a branch goes to.
    pub target: u32,
    /// Exchange of lanes before the operation.
    pub dpp: Option<Box<Dpp>>,
    /// Operands that are parts of registers.
    pub subword: Option<Box<Subword>>,
    /// The two operations of a dual instruction, in an order in which neither overwrites what the other reads.
    pub dual: Option<Box<[Inst; 2]>>,
    /// Registers that are read.
    pub reads: Regs,
    /// Registers that are written.
    pub writes: Regs,
    /// Either.
    pub touches: Regs,
}

impl Inst {
    /// An instruction of a row at an address, with nothing set.
    pub fn new(row: &'static Row, address: u64) -> Self {
        Self {
            row,
            address,
            bytes: 4,
            src: [Src::K(0); 4],
            dst: 0,
            sdst: 0,
            neg: 0,
            abs: 0,
            opsel: 0,
            opsel_hi: 7,
            clamp: false,
            omod: 0,
            flags: 0,
            offset: 0,
            offset1: 0,
            target: u32::MAX,
            dpp: None,
            subword: None,
            dual: None,
            reads: Regs::default(),
            writes: Regs::default(),
            touches: Regs::default(),
        }
    }

    /// Its name; of a dual instruction, those of both operations.
    pub fn mnemonic(&self) -> String {
        match &self.dual {
            Some(dual) => dual.each_ref().map(|part| part.row.name.replacen("v_", "v_dual_", 1)).join(" :: "),
            None => self.row.name.to_owned(),
        }
    }

    /// Whether it has a result: atomic operations on global memory return the old value only if asked to.
    pub fn has_result(&self) -> bool {
        self.row.dst != Kind::None && (self.row.class != Class::Atomic || self.flags & flags::GLC != 0)
    }

    /// Works out which registers it reads and writes, from the kinds of its row.
    pub fn note_registers(&mut self, wave64: bool) {
        let mask_slots = if wave64 { MASK_SLOTS } else { 1 };
        for (n, kind) in self.row.src.iter().enumerate() {
            let half = self.half_of(*kind, n);
            add_source(&mut self.reads, self.src[n], *kind, half, mask_slots, wave64);
        }
        if let (Form::Exchange, Src::V(register)) = (self.row.form, self.src[0]) {
            self.writes.add_v(register, 1);
        }
        match self.row.dst {
            _ if !self.has_result() => {}
            Kind::None => {}
            Kind::Mask => self.writes.add_s(self.sdst, mask_slots),
            Kind::S(count) => self.writes.add_s(self.dst as u8, count),
            kind => match self.half_of(kind, RESULT) {
                Some(high) => self.writes.add_half(self.dst, high),
                None => self.writes.add_v(self.dst, kind.registers_in(wave64)),
            },
        }
        if self.row.carries {
            self.writes.add_s(self.sdst, mask_slots);
        }
        for part in self.dual.iter_mut().flat_map(|dual| dual.iter_mut()) {
            part.note_registers(wave64);
            self.reads = self.reads.or(&part.reads);
            self.writes = self.writes.or(&part.writes);
        }
        self.touches = self.reads.or(&self.writes);
    }

    /// Whether an operand is the high half of a register; `None` if it is no half.
    fn half_of(&self, kind: Kind, n: usize) -> Option<bool> {
        let selected = self.opsel >> n & 1 == 1;
        match kind {
            Kind::Low => Some(false),
            Kind::High => Some(true),
            Kind::Mix if self.opsel_hi >> n & 1 == 1 => Some(selected),
            _ => kind.is_half().then_some(selected),
        }
    }
}

/// The result among the operands, as far as halves of registers are concerned.
const RESULT: usize = 3;

fn add_source(regs: &mut Regs, src: Src, kind: Kind, half: Option<bool>, mask_slots: u8, wave64: bool) {
    match (src, half) {
        (Src::V(register), Some(high)) => regs.add_half(register, high),
        (Src::V(first), None) => regs.add_v(first, kind.registers_in(wave64)),
        (Src::S(first), _) if kind == Kind::Mask => regs.add_s(first, mask_slots),
        (Src::S(first), _) => regs.add_s(first, kind.registers() as u8),
        (Src::Scc | Src::K(_) | Src::VccZ | Src::ExecZ, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_taken_with_or_without_their_sign() {
        let of = |part, signed| Select { part, signed }.of(0x89ab_4c7d);
        assert_eq!(
            [0, 1, 2, 3, 4, 5, 6].map(|part| of(part, false)),
            [0x7d, 0x4c, 0xab, 0x89, 0x4c7d, 0x89ab, 0x89ab_4c7d]
        );
        assert_eq!([0, 2, 4, 5].map(|part| of(part, true)), [0x7d, 0xffff_ffab, 0x4c7d, 0xffff_89ab]);
    }

    #[test]
    fn results_fill_clear_or_leave_the_rest_of_a_register() {
        let whole = Select { part: Subword::WHOLE, signed: false };
        let placed = |dst, unused| Subword { src: [whole; 2], dst, unused }.placed(0x1234_5682, 0xaabb_ccdd);
        assert_eq!([0, 1, 2].map(|unused| placed(1, unused)), [0x8200, 0xffff_8200, 0xaabb_82dd]);
        assert_eq!([0, 1, 2].map(|unused| placed(5, unused)), [0x5682_0000, 0x5682_0000, 0x5682_ccdd]);
        assert_eq!([0, 1, 2].map(|unused| placed(Subword::WHOLE, unused)), [0x1234_5682; 3]);
    }
}
