//! From words to instructions, by the tables of an [`Isa`].
//!
//! Scalar and vector encodings are nearly the same in all generations; a file for each generation has what differs.

mod rdna2;
mod rdna3;
mod rdna4;
mod scalar;
mod vector;

use super::Isa;
use super::constant::{self, literal_of};
use super::inst::{Inst, Src};
use super::row::{Kind, Row};
use crate::object::Generation;
use crate::wave::SPARE_VGPR;

/// The words behind an address, which may end.
#[derive(Debug, Clone, Copy)]
pub struct Words<'a>(pub &'a [u32]);

impl Words<'_> {
    fn get(&self, at: usize) -> Option<u32> {
        self.0.get(at).copied()
    }
}

/// The source code of a literal.
const LITERAL: u32 = 255;

/// Decodes the instruction at the front; `None`: there is no such one.
pub fn decode(isa: &Isa, words: Words<'_>, address: u64) -> Option<Inst> {
    let decoder = Decoder { isa, words, address, used: 1, literal: None, subword: None };
    let mut inst = decoder.decode()?;
    if !names_registers(&inst) {
        return None;
    }
    inst.note_registers(isa.wave64);
    Some(inst)
}

/// Whether the vector registers it names exist.
fn names_registers(inst: &Inst) -> bool {
    let exists = |first: u16, kind: Kind| first + kind.registers() <= SPARE_VGPR;
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
    /// The word that says which parts of registers operands are.
    subword: Option<u32>,
}

fn bits(word: u32, first: u32, count: u32) -> u32 {
    word >> first & (u32::MAX >> (32 - count))
}

impl Decoder<'_> {
    fn decode(mut self) -> Option<Inst> {
        let word = self.words.get(0)?;
        let mut inst = match self.isa.generation {
            Generation::Gfx10 => self.rdna2(word),
            Generation::Gfx11 => self.rdna3(word),
            Generation::Gfx12 => self.rdna4(word),
            _ => None,
        }?;
        inst.bytes = (4 * self.used) as u8;
        Some(inst)
    }

    /// Encodings that all generations have.
    fn common(&mut self, word: u32) -> Option<Inst> {
        match word >> 24 {
            0xbe if word >> 23 == 0x17d => self.sop1(word),
            0xbf if word >> 23 == 0x17e => self.sopc(word),
            0xbf => self.sopp(word),
            0xb0..=0xbe => self.sopk(word),
            0x80..=0xaf => self.sop2(word),
            0x7e | 0x7f => self.vop1(word),
            0x7c | 0x7d => self.vopc(word),
            0x00..=0x7b => self.vop2(word),
            0xcc => self.vop3p(word),
            0xd4..=0xd7 => self.vop3(word),
            _ => None,
        }
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
}
