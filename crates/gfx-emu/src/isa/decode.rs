//! From words to instructions, by the tables of an [`Isa`].

use super::Isa;
use super::constant::{self, literal_of};
use super::dpp;
use super::inst::{Inst, Src, flags};
use super::row::{Form, Kind, Row};
use crate::object::Generation;
use crate::wave::{SPARE_VGPR, slot};

/// The words behind an address, which may end.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a>(pub &'a [u32]);

impl Words<'_> {
    fn get(&self, at: usize) -> Option<u32> {
        self.0.get(at).copied()
    }
}

/// Source codes with a meaning of their own.
const DPP8: u32 = 233;
const DPP8_FETCH_INACTIVE: u32 = 234;
const DPP16: u32 = 250;
const LITERAL: u32 = 255;

/// Decodes the instruction at the front; `None`: there is no such one.
pub fn decode(isa: &Isa, words: Words<'_>, address: u64) -> Option<Inst> {
    let decoder = Decoder { isa, words, address, used: 1, literal: None };
    let mut inst = decoder.decode()?;
    if !names_registers(&inst) {
        return None;
    }
    inst.note_registers(isa.wave64);
    Some(inst)
}

/// Whether the vector registers it names exist.
fn names_registers(inst: &Inst) -> bool {
    let exists = |first: u16, kind: Kind| first + kind.registers() <= SPARE_VGPR + 1;
    let is_vector = !matches!(inst.row.dst, Kind::None | Kind::Mask | Kind::S(_));
    let sources = inst.src.iter().zip(inst.row.src);
    (!is_vector || exists(inst.dst, inst.row.dst))
        && sources.into_iter().all(|(src, kind)| src.vgpr().is_none_or(|first| exists(first, *kind)))
}

struct Decoder<'a> {
    isa: &'a Isa,
    words: Words<'a>,
    address: u64,
    /// Words used so far.
    used: usize,
    literal: Option<u32>,
}

fn bits(word: u32, first: u32, count: u32) -> u32 {
    word >> first & (u32::MAX >> (32 - count))
}

impl Decoder<'_> {
    fn decode(mut self) -> Option<Inst> {
        let word = self.words.get(0)?;
        let mut inst = match word >> 24 {
            0xbe if word >> 23 == 0x17d => self.sop1(word),
            0xbf if word >> 23 == 0x17e => self.sopc(word),
            0xbf => self.sopp(word),
            0xb0..=0xbe => self.sopk(word),
            0x80..=0xaf => self.sop2(word),
            0x7e | 0x7f => self.vop1(word),
            0x7c | 0x7d => self.vopc(word),
            0x00..=0x7b => self.vop2(word),
            0xc8..=0xcb => self.vopd(word),
            0xcc => self.vop3p(word),
            0xd4..=0xd7 => self.vop3(word),
            0xd8..=0xdb => self.ds(word),
            0xdc..=0xdf => self.flat(word),
            0xe0..=0xe3 => self.mubuf(word),
            0xf4..=0xf7 => self.smem(word),
            _ => None,
        }?;
        inst.bytes = (4 * self.used) as u8;
        Some(inst)
    }

    fn next(&mut self) -> Option<u32> {
        let word = self.words.get(self.used)?;
        self.used += 1;
        Some(word)
    }

    /// The literal behind the instruction, which all operands share.
    fn literal(&mut self) -> Option<u32> {
        if self.literal.is_none() {
            self.literal = Some(self.next()?);
        }
        self.literal
    }

    fn source(&mut self, code: u32, kind: Kind) -> Option<Src> {
        Some(match code {
            0..=127 => Src::S(self.isa.slot(code)),
            256..=511 => Src::V((code - 256) as u16),
            251 => Src::VccZ,
            252 => Src::ExecZ,
            253 => Src::Scc,
            LITERAL => Src::K(literal_of(self.literal()?, kind)),
            _ => Src::K(constant::inline(code, kind)?),
        })
    }

    fn inst(&self, row: &'static Row) -> Inst {
        Inst::new(row, self.address)
    }

    /// Kind of source `n`.
    fn kind(row: &Row, n: usize) -> Kind {
        row.src.get(n).copied().unwrap_or(Kind::B32)
    }

    fn sop1(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.sop1.row(bits(word, 8, 8))?;
        let mut inst = self.inst(row);
        if !row.src.is_empty() {
            inst.src[0] = self.source(bits(word, 0, 8), Self::kind(row, 0))?;
        }
        inst.dst = u16::from(self.isa.slot(bits(word, 16, 7)));
        Some(inst)
    }

    fn sop2(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.sop2.row(bits(word, 23, 7))?;
        let mut inst = self.inst(row);
        inst.src[0] = self.source(bits(word, 0, 8), Self::kind(row, 0))?;
        inst.src[1] = self.source(bits(word, 8, 8), Self::kind(row, 1))?;
        inst.dst = u16::from(self.isa.slot(bits(word, 16, 7)));
        Some(inst)
    }

    fn sopc(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.sopc.row(bits(word, 16, 7))?;
        let mut inst = self.inst(row);
        inst.src[0] = self.source(bits(word, 0, 8), Self::kind(row, 0))?;
        inst.src[1] = self.source(bits(word, 8, 8), Self::kind(row, 1))?;
        Some(inst)
    }

    fn sopp(&mut self, word: u32) -> Option<Inst> {
        let mut inst = self.inst(self.isa.sopp.row(bits(word, 16, 7))?);
        inst.offset = i32::from(word as u16 as i16);
        Some(inst)
    }

    /// The first source is the immediate; where a row has two, the second is the old value of the register.
    fn sopk(&mut self, word: u32) -> Option<Inst> {
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

    fn vop1(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.vop1.row(bits(word, 9, 8))?;
        let mut inst = self.inst(row);
        self.result(&mut inst, bits(word, 17, 8));
        if !row.src.is_empty() {
            self.first_source(&mut inst, bits(word, 0, 9), Self::kind(row, 0))?;
        }
        self.implied(&mut inst, 1);
        Some(inst)
    }

    fn vop2(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.vop2.row(bits(word, 25, 6))?;
        let mut inst = self.inst(row);
        self.result(&mut inst, bits(word, 17, 8));
        self.first_source(&mut inst, bits(word, 0, 9), Self::kind(row, 0))?;
        self.second_source(&mut inst, bits(word, 9, 8))?;
        inst.sdst = slot::VCC;
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

    fn vopc(&mut self, word: u32) -> Option<Inst> {
        let row = self.isa.vopc.row(bits(word, 17, 8))?;
        let mut inst = self.inst(row);
        self.first_source(&mut inst, bits(word, 0, 9), Self::kind(row, 0))?;
        self.true16(&mut inst, 1, bits(word, 9, 8), Self::kind(row, 1));
        inst.sdst = if self.isa.is_cmpx(row) { slot::EXEC } else { slot::VCC };
        Some(inst)
    }

    fn vop3(&mut self, word: u32) -> Option<Inst> {
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

    fn vop3p(&mut self, word: u32) -> Option<Inst> {
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
    fn vopd(&mut self, word: u32) -> Option<Inst> {
        let high = self.next()?;
        let x_row = self.isa.dual_row(bits(word, 22, 4))?;
        let y_row = self.isa.dual_row(bits(word, 17, 5))?;
        let x_dst = bits(high, 24, 8);
        let y_dst = bits(high, 17, 7) << 1 | (!x_dst & 1);
        let x = self.half_of_dual(x_row, x_dst, bits(word, 0, 9), bits(word, 9, 8))?;
        let y = self.half_of_dual(y_row, y_dst, bits(high, 0, 9), bits(high, 9, 8))?;
        let mut inst = self.inst(&super::DUAL);
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

    fn smem(&mut self, word: u32) -> Option<Inst> {
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

    fn ds(&mut self, word: u32) -> Option<Inst> {
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
fn note_address(inst: &mut Inst, is_scratch: bool) {
    let has_base = matches!(inst.src[2], Src::S(_));
    if let Src::V(first) = inst.src[0] {
        inst.reads.add_v(first, if has_base || is_scratch { 1 } else { 2 });
    }
    if let Src::S(first) = inst.src[2] {
        inst.reads.add_s(first, if is_scratch { 1 } else { 2 });
    }
}

fn dpp16(word: u32) -> Option<super::inst::Dpp> {
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
