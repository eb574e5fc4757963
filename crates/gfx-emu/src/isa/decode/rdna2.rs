//! Encodings of RDNA2 (RDNA2 ISA guide, 13): memory instructions have other fields than RDNA3's, and operands of vector
//! instructions of one word may be bytes or halves of registers.

use super::rdna3::note_address;
use super::{Decoder, bits};
use crate::isa::inst::{Inst, Select, Src, Subword, flags};
use crate::isa::row::Kind;
use crate::wave::slot;

impl Decoder<'_> {
    pub(super) fn rdna2(&mut self, word: u32) -> Option<Inst> {
        match word >> 24 {
            0xd8..=0xdb => self.ds(word),
            0xdc..=0xdf => self.flat2(word),
            0xe0..=0xe3 => self.mubuf2(word),
            0xf4..=0xf7 => self.smem(word),
            _ => self.common(word),
        }
    }

    fn flat2(&mut self, word: u32) -> Option<Inst> {
        let high = self.next()?;
        let segment = bits(word, 14, 2);
        let table = match segment {
            0 => &self.isa.flat,
            1 => &self.isa.scratch,
            2 => &self.isa.global,
            _ => return None,
        };
        let mut inst = self.inst(table.row(bits(word, 18, 7))?);
        inst.offset = (word << 20) as i32 >> 20;
        inst.flags = (bits(word, 16, 1) | bits(word, 17, 1) << 1 | bits(word, 12, 1) << 2) as u8;
        let base = self.isa.slot(bits(high, 16, 7));
        // A scratch instruction without any register of an address says so by the code of the high half of EXEC.
        let has_none = segment == 1 && base == slot::EXEC + 1;
        let has_base = segment != 0 && base != slot::NULL && !has_none;
        let has_address = segment != 1 || !(has_base || has_none);
        inst.src[0] = if has_address { Src::V(bits(high, 0, 8) as u16) } else { Src::K(0) };
        inst.src[1] = Src::V(bits(high, 8, 8) as u16);
        inst.src[2] = if has_base { Src::S(base) } else { Src::K(0) };
        inst.dst = bits(high, 24, 8) as u16;
        note_address(&mut inst, segment == 1);
        Some(inst)
    }

    fn mubuf2(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.mubuf.row(bits(word, 18, 8))?;
        let high = self.next()?;
        let mut inst = self.inst(row);
        inst.offset = bits(word, 0, 12) as i32;
        inst.flags = (bits(word, 14, 1) | bits(high, 22, 1) << 1 | bits(word, 15, 1) << 2) as u8;
        inst.flags |= if bits(word, 12, 1) == 1 { flags::OFFEN } else { 0 };
        inst.flags |= if bits(word, 13, 1) == 1 { flags::IDXEN } else { 0 };
        inst.src[0] = Src::V(bits(high, 0, 8) as u16);
        inst.src[1] = Src::V(bits(high, 8, 8) as u16);
        inst.src[2] = Src::S(self.isa.slot(bits(high, 16, 5) << 2));
        inst.src[3] = self.source(bits(high, 24, 8), Kind::B32)?;
        inst.dst = bits(high, 8, 8) as u16;
        let registers = (inst.flags & (flags::OFFEN | flags::IDXEN)).count_ones() as u16;
        if let (Src::V(first), false) = (inst.src[0], row.src.is_empty()) {
            inst.reads.add_v(first, registers);
        }
        Some(inst)
    }

    /// The word behind an instruction whose operands are parts of registers ("SDWA"); what it says of operands that are
    /// read later, [`finish_subword`](Self::finish_subword) adds.
    pub(super) fn subword(&mut self, inst: &mut Inst) -> Option<()> {
        let word = self.next()?;
        let select = |first: u32| Select { part: bits(word, first, 3) as u8, signed: bits(word, first + 3, 1) == 1 };
        let code = bits(word, 0, 8);
        inst.src[0] = if bits(word, 23, 1) == 1 { Src::S(self.isa.slot(code)) } else { Src::V(code as u16) };
        inst.neg |= (bits(word, 20, 1) | bits(word, 28, 1) << 1) as u8;
        inst.abs |= (bits(word, 21, 1) | bits(word, 29, 1) << 1) as u8;
        let mut subword = Subword { src: [select(16), select(24)], dst: Subword::WHOLE, unused: 0 };
        if inst.row.dst != Kind::Mask {
            subword.dst = bits(word, 8, 3) as u8;
            subword.unused = bits(word, 11, 2) as u8;
            inst.clamp = bits(word, 13, 1) == 1;
            inst.omod = bits(word, 14, 2) as u8;
        }
        inst.subword = Some(Box::new(subword));
        self.subword = Some(word);
        Some(())
    }

    /// What that word says of the second source and of the result of a comparison.
    pub(super) fn finish_subword(&self, inst: &mut Inst) {
        let Some(word) = self.subword else { return };
        if let (1, Src::V(code)) = (bits(word, 31, 1), inst.src[1]) {
            inst.src[1] = Src::S(self.isa.slot(code.into()));
        }
        if inst.row.dst == Kind::Mask && bits(word, 15, 1) == 1 && !self.isa.is_cmpx(inst.row) {
            inst.sdst = self.isa.slot(bits(word, 8, 7));
        }
    }
}
