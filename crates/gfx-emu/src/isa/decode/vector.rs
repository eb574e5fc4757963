//! Vector instructions without memory, whose fields all generations share.

use super::{Decoder, bits};
use crate::isa::constant::literal_of;
use crate::isa::inst::{Dpp, Inst, Src};
use crate::isa::row::{Form, Kind, Row};
use crate::isa::{Isa, dpp};
use crate::object::Generation;
use crate::wave::{SPARE_VGPR, slot};

/// Source codes with a meaning of their own.
const DPP8: u32 = 233;
const DPP8_FETCH_INACTIVE: u32 = 234;
const SUBWORD: u32 = 249;
const DPP16: u32 = 250;

impl Decoder<'_> {
    /// The first source of a vector instruction of one word, which may come with an exchange of lanes.
    fn first_source(&mut self, inst: &mut Inst, code: u32, kind: Kind) -> Option<()> {
        match code {
            DPP16 => {
                let word = self.next()?;
                self.true16(inst, 0, bits(word, 0, 8), kind);
                inst.neg |= (bits(word, 20, 1) | bits(word, 22, 1) << 1) as u8;
                inst.abs |= (bits(word, 21, 1) | bits(word, 23, 1) << 1) as u8;
                inst.dpp = Some(Box::new(dpp16(word)?));
            }
            DPP8 | DPP8_FETCH_INACTIVE => {
                let word = self.next()?;
                self.true16(inst, 0, bits(word, 0, 8), kind);
                inst.dpp = Some(Box::new(dpp::dpp8(word >> 8, code == DPP8_FETCH_INACTIVE)));
            }
            SUBWORD if self.isa.generation == Generation::Gfx10 => self.subword(inst)?,
            256.. => self.true16(inst, 0, code - 256, kind),
            _ => inst.src[0] = self.source(code, kind)?,
        }
        Some(())
    }

    /// A vector register as a source of an instruction of one word: half registers are named by the highest bit.
    fn true16(&self, inst: &mut Inst, n: usize, code: u32, kind: Kind) {
        if kind.is_half() && self.isa.has_true16() {
            inst.opsel |= ((code >> 7) << n) as u8;
            inst.src[n] = Src::V((code & 127) as u16);
        } else {
            inst.src[n] = Src::V(code as u16);
        }
    }

    fn result(&self, inst: &mut Inst, code: u32) {
        let kind = inst.row.dst;
        if let Kind::S(_) = kind {
            inst.dst = u16::from(self.isa.slot(code));
        } else if kind.is_half() && self.isa.has_true16() {
            inst.opsel |= ((code >> 7) << 3) as u8;
            inst.dst = (code & 127) as u16;
        } else {
            inst.dst = code as u16;
        }
    }

    pub(super) fn vop1(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.vop1.row(bits(word, 9, 8))?;
        let mut inst = self.inst(row);
        self.result(&mut inst, bits(word, 17, 8));
        if !row.src.is_empty() {
            self.first_source(&mut inst, bits(word, 0, 9), Self::kind(row, 0))?;
        }
        self.implied(&mut inst, 1);
        Some(inst)
    }

    pub(super) fn vop2(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.vop2.row(bits(word, 25, 6))?;
        let mut inst = self.inst(row);
        self.result(&mut inst, bits(word, 17, 8));
        self.first_source(&mut inst, bits(word, 0, 9), Self::kind(row, 0))?;
        self.second_source(&mut inst, bits(word, 9, 8))?;
        inst.sdst = slot::VCC;
        self.finish_subword(&mut inst);
        Some(inst)
    }

    /// The second source of a two-operand instruction of one word, and what follows from the row's form.
    fn second_source(&mut self, inst: &mut Inst, code: u32) -> Option<()> {
        let row = inst.row;
        match row.form {
            Form::LiteralFactor => {
                let kind = Self::kind(row, 2);
                inst.src[1] = Src::K(literal_of(self.literal()?, Self::kind(row, 1)));
                self.true16(inst, 2, code, kind);
            }
            Form::LiteralAddend => {
                self.true16(inst, 1, code, Self::kind(row, 1));
                inst.src[2] = Src::K(literal_of(self.literal()?, Self::kind(row, 2)));
            }
            _ => {
                self.true16(inst, 1, code, Self::kind(row, 1));
                self.implied(inst, 2);
            }
        }
        Some(())
    }

    /// Operands that the encoding has no field for: the old result, or VCC.
    fn implied(&self, inst: &mut Inst, from: usize) {
        let Some(kind) = inst.row.src.get(from).copied() else { return };
        if matches!(inst.row.form, Form::Accumulate | Form::Exchange) {
            inst.src[from] = Src::V(inst.dst);
            if kind.is_half() {
                inst.opsel |= (inst.opsel >> 3 & 1) << from;
            }
        } else if kind == Kind::Mask {
            inst.src[from] = Src::S(slot::VCC);
        }
    }

    pub(super) fn vopc(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.vopc.row(bits(word, 17, 8))?;
        let mut inst = self.inst(row);
        self.first_source(&mut inst, bits(word, 0, 9), Self::kind(row, 0))?;
        self.true16(&mut inst, 1, bits(word, 9, 8), Self::kind(row, 1));
        inst.sdst = if self.isa.is_cmpx(row) { slot::EXEC } else { slot::VCC };
        self.finish_subword(&mut inst);
        Some(inst)
    }

    pub(super) fn vop3(&mut self, word: u32) -> Option<Inst> {
        let opcode = bits(word, 16, 10);
        let row = self.isa.vop3_row(opcode)?;
        let high = self.next()?;
        let mut inst = self.inst(row);
        inst.clamp = bits(word, 15, 1) == 1;
        inst.omod = bits(high, 27, 2) as u8;
        inst.neg = bits(high, 29, 3) as u8;
        if row.carries {
            inst.sdst = self.isa.slot(bits(word, 8, 7));
        } else {
            inst.abs = bits(word, 8, 3) as u8;
            inst.opsel = bits(word, 11, 4) as u8;
        }
        if row.src.iter().any(|kind| kind.is_pair()) {
            // NEG is for both halves here, and pairs have no absolute values.
            inst.abs = inst.neg;
        }
        self.vop3_result(&mut inst, bits(word, 0, 8));
        self.three_sources(&mut inst, high)?;
        Some(inst)
    }

    fn vop3_result(&self, inst: &mut Inst, code: u32) {
        match inst.row.dst {
            Kind::Mask if self.isa.is_cmpx(inst.row) => inst.sdst = slot::EXEC,
            Kind::Mask => inst.sdst = self.isa.slot(code & 127),
            Kind::S(_) => inst.dst = u16::from(self.isa.slot(code & 127)),
            _ => inst.dst = code as u16,
        }
    }

    fn three_sources(&mut self, inst: &mut Inst, high: u32) -> Option<()> {
        let row = inst.row;
        let codes = [bits(high, 0, 9), bits(high, 9, 9), bits(high, 18, 9)];
        for (n, kind) in row.src.iter().copied().enumerate() {
            let accumulates = row.form == Form::Accumulate && n + 1 == row.src.len();
            let Some(code) = codes.get(n).copied().filter(|_| !accumulates) else {
                self.implied(inst, n);
                continue;
            };
            if row.form == Form::WithVcc && kind == Kind::Mask {
                inst.src[n] = Src::S(slot::VCC);
            } else if n == 0 && matches!(code, DPP8 | DPP8_FETCH_INACTIVE | DPP16) {
                // Read below: the word behind the instruction says which register it is.
            } else {
                inst.src[n] = self.source(code, kind)?;
            }
        }
        match codes[0] {
            DPP16 => {
                let word = self.next()?;
                inst.src[0] = Src::V(bits(word, 0, 8) as u16);
                inst.dpp = Some(Box::new(dpp16(word)?));
            }
            code @ (DPP8 | DPP8_FETCH_INACTIVE) => {
                let word = self.next()?;
                inst.src[0] = Src::V(bits(word, 0, 8) as u16);
                inst.dpp = Some(Box::new(dpp::dpp8(word >> 8, code == DPP8_FETCH_INACTIVE)));
            }
            _ => {}
        }
        Some(())
    }

    pub(super) fn vop3p(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.vop3p.row(bits(word, 16, 7))?;
        let high = self.next()?;
        let mut inst = self.inst(row);
        inst.clamp = bits(word, 15, 1) == 1;
        inst.abs = bits(word, 8, 3) as u8;
        inst.opsel = bits(word, 11, 3) as u8;
        inst.opsel_hi = (bits(high, 27, 2) | bits(word, 14, 1) << 2) as u8;
        inst.neg = bits(high, 29, 3) as u8;
        inst.dst = bits(word, 0, 8) as u16;
        if row.form == Form::HighHalf {
            inst.opsel |= 8;
        }
        self.three_sources(&mut inst, high)?;
        for (n, kind) in row.src.iter().enumerate() {
            if let (Kind::Mix, Src::K(_), true) = (kind, inst.src[n], inst.opsel_hi >> n & 1 == 1) {
                let code = bits(high, 9 * n as u32, 9);
                inst.src[n] = self.source(code, Kind::F16)?;
            }
        }
        Some(inst)
    }

    /// Two operations at once: an X of even and a Y of odd registers, or the other way round.
    pub(super) fn vopd(&mut self, word: u32) -> Option<Inst> {
        let high = self.next()?;
        let x_row = self.isa.dual_row(bits(word, 22, 4))?;
        let y_row = self.isa.dual_row(bits(word, 17, 5))?;
        let x_dst = bits(high, 24, 8);
        let y_dst = bits(high, 17, 7) << 1 | (!x_dst & 1);
        let x = self.half_of_dual(x_row, x_dst, bits(word, 0, 9), bits(word, 9, 8))?;
        let y = self.half_of_dual(y_row, y_dst, bits(high, 0, 9), bits(high, 9, 8))?;
        let mut inst = self.inst(&crate::isa::DUAL);
        inst.dual = Some(Box::new(in_order(x, y)));
        Some(inst)
    }

    fn half_of_dual(&mut self, row: &'static Row, dst: u32, first: u32, second: u32) -> Option<Inst> {
        let mut inst = self.inst(row);
        inst.dst = dst as u16;
        inst.sdst = slot::VCC;
        inst.src[0] = self.source(first, Self::kind(row, 0))?;
        if row.src.len() > 1 {
            self.second_source(&mut inst, second)?;
        }
        Some(inst)
    }
}

fn dpp16(word: u32) -> Option<Dpp> {
    dpp::dpp16(bits(word, 8, 9), bits(word, 28, 4), bits(word, 24, 4), bits(word, 19, 1) == 1, bits(word, 18, 1) == 1)
}

/// The two operations of a dual instruction read before either writes.
fn in_order(x: Inst, mut y: Inst) -> [Inst; 2] {
    let reads = |inst: &Inst, register: u16| inst.src.iter().zip(inst.row.src).any(|(s, _)| *s == Src::V(register));
    if !reads(&y, x.dst) {
        return [x, y];
    }
    if !reads(&x, y.dst) {
        return [y, x];
    }
    // They exchange registers: the second one reads a copy, which is made before (see `run`).
    for src in &mut y.src {
        if *src == Src::V(x.dst) {
            *src = Src::V(SPARE_VGPR);
        }
    }
    [x, y]
}

impl Isa {
    /// Whether instructions of one word name halves of registers.
    fn has_true16(&self) -> bool {
        matches!(self.generation, Generation::Gfx11 | Generation::Gfx12)
    }
}
