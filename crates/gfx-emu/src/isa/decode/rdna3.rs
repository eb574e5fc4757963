//! Encodings of RDNA3 (RDNA3 ISA guide, 15).

use super::{Decoder, bits};
use crate::isa::inst::{Inst, Src, flags};
use crate::isa::row::Kind;
use crate::wave::slot;

impl Decoder<'_> {
    pub(super) fn rdna3(&mut self, word: u32) -> Option<Inst> {
        match word >> 24 {
            0xc8..=0xcb => self.vopd(word),
            0xd8..=0xdb => self.ds(word),
            0xdc..=0xdf => self.flat(word),
            0xe0..=0xe3 => self.mubuf(word),
            0xf4..=0xf7 => self.smem(word),
            _ => self.common(word),
        }
    }

    pub(super) fn smem(&mut self, word: u32) -> Option<Inst> {
        let high = self.next()?;
        let row = self.isa.smem.row(bits(word, 18, 8))?;
        let mut inst = self.inst(row);
        inst.src[0] = Src::S(self.isa.slot(bits(word, 0, 6) << 1));
        inst.src[1] = Src::S(self.isa.slot(bits(high, 25, 7)));
        inst.dst = u16::from(self.isa.slot(bits(word, 6, 7)));
        // 21 bits with a sign.
        inst.offset = (high << 11) as i32 >> 11;
        inst.flags = (bits(word, 14, 1) | bits(word, 13, 1) << 2) as u8;
        Some(inst)
    }

    pub(super) fn ds(&mut self, word: u32) -> Option<Inst> {
        let high = self.next()?;
        let row = self.isa.ds.row(bits(word, 18, 8))?;
        let mut inst = self.inst(row);
        if bits(word, 17, 1) == 1 {
            // The global data share is no memory of compute kernels.
            return None;
        }
        inst.offset = bits(word, 0, 8) as i32;
        inst.offset1 = bits(word, 8, 8) as i32;
        let fields = [bits(high, 0, 8), bits(high, 8, 8), bits(high, 16, 8)];
        inst.src[..3].copy_from_slice(&fields.map(|register| Src::V(register as u16)));
        inst.dst = bits(high, 24, 8) as u16;
        Some(inst)
    }

    fn flat(&mut self, word: u32) -> Option<Inst> {
        let high = self.next()?;
        let opcode = bits(word, 18, 7);
        let segment = bits(word, 16, 2);
        let table = match segment {
            0 => &self.isa.flat,
            1 => &self.isa.scratch,
            2 => &self.isa.global,
            _ => return None,
        };
        let mut inst = self.inst(table.row(opcode)?);
        inst.offset = (word << 19) as i32 >> 19;
        inst.flags = (bits(word, 14, 1) | bits(word, 15, 1) << 1 | bits(word, 13, 1) << 2) as u8;
        let base = self.isa.slot(bits(high, 16, 7));
        let has_base = segment != 0 && base != slot::NULL;
        let has_address = segment != 1 || bits(high, 23, 1) == 1;
        let address = Src::V(bits(high, 0, 8) as u16);
        inst.src[0] = if has_address { address } else { Src::K(0) };
        inst.src[1] = Src::V(bits(high, 8, 8) as u16);
        inst.src[2] = if has_base { Src::S(base) } else { Src::K(0) };
        inst.dst = bits(high, 24, 8) as u16;
        note_address(&mut inst, segment == 1);
        Some(inst)
    }

    fn mubuf(&mut self, word: u32) -> Option<Inst> {
        let opcode = bits(word, 18, 8);
        let row = self.isa.mubuf.row(opcode)?;
        let high = self.next()?;
        let mut inst = self.inst(row);
        inst.offset = bits(word, 0, 12) as i32;
        inst.flags = (bits(word, 14, 1) | bits(word, 12, 1) << 1 | bits(word, 13, 1) << 2) as u8;
        inst.flags |= if bits(high, 22, 1) == 1 { flags::OFFEN } else { 0 };
        inst.flags |= if bits(high, 23, 1) == 1 { flags::IDXEN } else { 0 };
        inst.src[0] = Src::V(bits(high, 0, 8) as u16);
        inst.src[1] = Src::V(bits(high, 8, 8) as u16);
        inst.src[2] = Src::S(self.isa.slot(bits(high, 16, 5) << 2));
        inst.src[3] = self.source(bits(high, 24, 8), Kind::B32)?;
        inst.dst = bits(high, 8, 8) as u16;
        let registers = (inst.flags & (flags::OFFEN | flags::IDXEN)).count_ones() as u16;
        if let (Src::V(first), true) = (inst.src[0], !row.src.is_empty()) {
            inst.reads.add_v(first, registers);
        }
        Some(inst)
    }
}

/// Registers of an address, whose number depends on whether there is a scalar base.
pub(super) fn note_address(inst: &mut Inst, is_scratch: bool) {
    let has_base = matches!(inst.src[2], Src::S(_));
    if let Src::V(first) = inst.src[0] {
        inst.reads.add_v(first, if has_base || is_scratch { 1 } else { 2 });
    }
    if let Src::S(first) = inst.src[2] {
        inst.reads.add_s(first, if is_scratch { 1 } else { 2 });
    }
}
