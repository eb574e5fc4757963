//! Scalar instructions without memory, whose fields all generations share.

use super::{Decoder, LITERAL, bits};
use crate::isa::inst::{Inst, Src};
use crate::isa::row::Form;

impl Decoder<'_> {
    pub(super) fn sop1(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.sop1.row(bits(word, 8, 8))?;
        let mut inst = self.inst(row);
        if !row.src.is_empty() {
            inst.src[0] = self.source(bits(word, 0, 8), Self::kind(row, 0))?;
        }
        inst.dst = u16::from(self.isa.slot(bits(word, 16, 7)));
        Some(inst)
    }

    pub(super) fn sop2(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.sop2.row(bits(word, 23, 7))?;
        let mut inst = self.inst(row);
        inst.src[0] = self.source(bits(word, 0, 8), Self::kind(row, 0))?;
        inst.dst = u16::from(self.isa.slot(bits(word, 16, 7)));
        let second = bits(word, 8, 8);
        match row.form {
            Form::LiteralFactor => {
                inst.src[1] = self.source(LITERAL, Self::kind(row, 1))?;
                inst.src[2] = self.source(second, Self::kind(row, 2))?;
                return Some(inst);
            }
            Form::LiteralAddend => inst.src[2] = self.source(LITERAL, Self::kind(row, 2))?,
            Form::Accumulate => inst.src[2] = Src::S(inst.dst as u8),
            _ => {}
        }
        inst.src[1] = self.source(second, Self::kind(row, 1))?;
        Some(inst)
    }

    pub(super) fn sopc(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.sopc.row(bits(word, 16, 7))?;
        let mut inst = self.inst(row);
        inst.src[0] = self.source(bits(word, 0, 8), Self::kind(row, 0))?;
        inst.src[1] = self.source(bits(word, 8, 8), Self::kind(row, 1))?;
        Some(inst)
    }

    pub(super) fn sopp(&mut self, word: u32) -> Option<Inst> {
        let mut inst = self.inst(self.isa.sopp.row(bits(word, 16, 7))?);
        inst.offset = i32::from(word as u16 as i16);
        Some(inst)
    }

    /// The first source is the immediate; where a row has two, the second is the old value of the register.
    pub(super) fn sopk(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.sopk.row(bits(word, 23, 5))?;
        let mut inst = self.inst(row);
        inst.offset = i32::from(word as u16 as i16);
        inst.dst = u16::from(self.isa.slot(bits(word, 16, 7)));
        inst.src[0] = Src::K(inst.offset as u32 as u64);
        inst.src[1] = Src::S(inst.dst as u8);
        if row.form == Form::LiteralFactor {
            inst.src[0] = Src::K(u64::from(self.literal()?));
        }
        Some(inst)
    }
}
