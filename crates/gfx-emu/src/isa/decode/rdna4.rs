//! Encodings of RDNA4 (RDNA4 ISA guide, 15): memory instructions have other fields than RDNA3's, and most three words.

use super::rdna3::note_address;
use super::{Decoder, bits};
use crate::isa::Table;
use crate::isa::inst::{Inst, Src, flags};
use crate::isa::row::{Class, Kind, Row};
use crate::wave::slot;

/// The three kinds of memory that the vector memory encodings differ by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment {
    Flat,
    Scratch,
    Global,
}

impl Decoder<'_> {
    pub(super) fn rdna4(&mut self, word: u32) -> Option<Inst> {
        match word >> 24 {
            0xc4 => self.vbuffer(word),
            0xc8..=0xcb => self.vopd(word),
            0xd8..=0xdb => self.ds(word),
            0xec => self.vmemory(word, &self.isa.flat, Segment::Flat),
            0xed => self.vmemory(word, &self.isa.scratch, Segment::Scratch),
            0xee => self.vmemory(word, &self.isa.global, Segment::Global),
            0xf4 => self.smem4(word),
            _ => self.common(word),
        }
    }

    fn smem4(&mut self, word: u32) -> Option<Inst> {
        let high = self.next()?;
        let row = self.isa.smem.row(bits(word, 13, 6))?;
        let mut inst = self.inst(row);
        inst.src[0] = Src::S(self.isa.slot(bits(word, 0, 6) << 1));
        inst.src[1] = Src::S(self.isa.slot(bits(high, 25, 7)));
        inst.dst = u16::from(self.isa.slot(bits(word, 6, 7)));
        inst.offset = signed24(high);
        Some(inst)
    }

    /// VFLAT, VSCRATCH, VGLOBAL.
    fn vmemory(&mut self, word: u32, table: &Table, segment: Segment) -> Option<Inst> {
        let row = table.row(bits(word, 14, 8))?;
        let (middle, last) = (self.next()?, self.next()?);
        let mut inst = self.inst(row);
        inst.offset = signed24(last >> 8);
        inst.flags = returns(row, middle);
        let base = self.isa.slot(bits(word, 0, 7));
        let has_base = segment != Segment::Flat && base != slot::NULL;
        let has_address = segment != Segment::Scratch || bits(middle, 17, 1) == 1;
        inst.src[0] = if has_address { Src::V(bits(last, 0, 8) as u16) } else { Src::K(0) };
        inst.src[1] = Src::V(bits(middle, 23, 8) as u16);
        inst.src[2] = if has_base { Src::S(base) } else { Src::K(0) };
        inst.dst = bits(middle, 0, 8) as u16;
        if !row.src.is_empty() {
            note_address(&mut inst, segment == Segment::Scratch);
        }
        Some(inst)
    }

    fn vbuffer(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.mubuf.row(bits(word, 14, 8))?;
        let (middle, last) = (self.next()?, self.next()?);
        let mut inst = self.inst(row);
        inst.offset = signed24(last >> 8);
        inst.flags = returns(row, middle);
        inst.flags |= if bits(middle, 30, 1) == 1 { flags::OFFEN } else { 0 };
        inst.flags |= if bits(middle, 31, 1) == 1 { flags::IDXEN } else { 0 };
        inst.src[0] = Src::V(bits(last, 0, 8) as u16);
        inst.src[1] = Src::V(bits(middle, 0, 8) as u16);
        inst.src[2] = Src::S(self.isa.slot(bits(middle, 9, 9)));
        inst.src[3] = self.source(bits(word, 0, 7), Kind::B32)?;
        inst.dst = bits(middle, 0, 8) as u16;
        let registers = (inst.flags & (flags::OFFEN | flags::IDXEN)).count_ones() as u16;
        if let (Src::V(first), false) = (inst.src[0], row.src.is_empty()) {
            inst.reads.add_v(first, registers);
        }
        Some(inst)
    }
}

/// 24 bits with a sign.
fn signed24(bits: u32) -> i32 {
    (bits << 8) as i32 >> 8
}

/// The first bit of the temporal hint of an atomic operation says whether the old value is wanted.
fn returns(row: &Row, middle: u32) -> u8 {
    if row.class == Class::Atomic && bits(middle, 20, 1) == 1 { flags::GLC } else { 0 }
}
