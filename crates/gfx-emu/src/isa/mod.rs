//! Instructions: tables of them, a row each, and the decoder that walks the tables.

pub mod constant;
pub mod decode;
pub mod dpp;
pub mod inst;
pub(crate) mod macros;
pub(crate) mod memory;
mod named;
pub mod operand;
pub mod rdna2;
pub mod rdna3;
pub mod rdna4;
pub mod row;

use std::sync::LazyLock;

pub use inst::{Dpp, Inst, Regs, Src};
pub use row::{Class, Depends, Exec, Form, Kind, Row};

use crate::object::Generation;
use crate::wave::slot;

/// One encoding's rows by opcode.
#[derive(Debug, Clone, Default)]
pub struct Table {
    rows: Vec<Option<&'static Row>>,
}

impl Table {
    /// Indexes rows by opcode. Where two have the same, the later counts.
    pub fn new<'a>(parts: impl IntoIterator<Item = &'a &'static [Row]>) -> Self {
        let mut table = Self::default();
        for row in parts.into_iter().flat_map(|part| part.iter()) {
            table.put(row.opcode, Some(row));
        }
        table
    }

    /// The table with more rows, which count where opcodes are the same.
    fn with<const N: usize>(&self, parts: [&'static [Row]; N]) -> Self {
        let mut table = self.clone();
        for row in parts.into_iter().flatten() {
            table.put(row.opcode, Some(row));
        }
        table
    }

    fn put(&mut self, opcode: u16, row: Option<&'static Row>) {
        let at = usize::from(opcode);
        self.rows.resize(self.rows.len().max(at + 1), None);
        self.rows[at] = row;
    }

    /// The row of an opcode.
    pub fn row(&self, opcode: u32) -> Option<&'static Row> {
        self.rows.get(opcode as usize).copied().flatten()
    }

    /// All rows.
    pub fn rows(&self) -> impl Iterator<Item = &'static Row> + '_ {
        self.rows.iter().filter_map(|row| *row)
    }
}

/// The instructions of a target.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "each field is the table of the encoding that it is named after")]
pub struct Isa {
    pub generation: Generation,
    /// Whether waves have 64 lanes.
    pub wave64: bool,
    pub sop1: Table,
    pub sop2: Table,
    pub sopc: Table,
    pub sopk: Table,
    pub sopp: Table,
    pub smem: Table,
    pub vop1: Table,
    pub vop2: Table,
    pub vopc: Table,
    pub vop3: Table,
    pub vop3p: Table,
    pub vopd: Table,
    pub ds: Table,
    pub flat: Table,
    pub global: Table,
    pub scratch: Table,
    pub mubuf: Table,
}

/// Both operations of a dual instruction; see [`Inst::dual`].
pub static DUAL: Row = Row {
    opcode: 0,
    name: "v_dual",
    class: Class::Vector,
    exec: Exec::Wave(crate::run::dual),
    dst: Kind::None,
    carries: false,
    src: &[],
    form: Form::Plain,
    depends: Depends::OnAll,
};

impl Isa {
    /// RDNA2 with waves of 32 or 64 lanes.
    pub fn gfx10(wave64: bool) -> &'static Self {
        static ISA: LazyLock<[Isa; 2]> = LazyLock::new(|| [rdna2::isa(false), rdna2::isa(true)]);
        &ISA[usize::from(wave64)]
    }

    /// RDNA3 with waves of 32 or 64 lanes.
    pub fn gfx11(wave64: bool) -> &'static Self {
        static ISA: LazyLock<[Isa; 2]> = LazyLock::new(|| [rdna3::isa(false), rdna3::isa(true)]);
        &ISA[usize::from(wave64)]
    }

    /// RDNA4 with waves of 32 or 64 lanes.
    pub fn gfx12(wave64: bool) -> &'static Self {
        static ISA: LazyLock<[Isa; 2]> = LazyLock::new(|| [rdna4::isa(false), rdna4::isa(true)]);
        &ISA[usize::from(wave64)]
    }

    /// All tables.
    fn tables(&self) -> [&Table; 17] {
        [
            &self.sop1,
            &self.sop2,
            &self.sopc,
            &self.sopk,
            &self.sopp,
            &self.smem,
            &self.vop1,
            &self.vop2,
            &self.vopc,
            &self.vop3,
            &self.vop3p,
            &self.vopd,
            &self.ds,
            &self.flat,
            &self.global,
            &self.scratch,
            &self.mubuf,
        ]
    }

    /// The slot of a scalar register's code. RDNA2 has M0 and the null register the other way round.
    fn slot(&self, code: u32) -> u8 {
        let slot = (code & 127) as u8;
        let swaps = self.generation == Generation::Gfx10 && matches!(slot, slot::NULL | slot::M0);
        slot ^ u8::from(swaps)
    }

    /// Instructions of one and two operands and comparisons have a long encoding as well.
    fn vop3_row(&self, opcode: u32) -> Option<&'static Row> {
        match opcode {
            0x000..=0x0ff => self.vopc.row(opcode),
            0x100..=0x13f => self.vop3.row(opcode).or_else(|| self.vop2.row(opcode - 0x100)),
            0x180..=0x1ff => self.vop1.row(opcode - 0x180),
            _ => self.vop3.row(opcode),
        }
    }

    /// Rows of dual instructions: those of the same name among the vector instructions, and those that only they have.
    fn dual_table(&self, names: &[(u16, &str)], only: &'static [Row]) -> Table {
        let mut table = Table::default();
        for (opcode, name) in names {
            let mut all = self.vop1.rows().chain(self.vop2.rows()).chain(self.vop3.rows()).chain(only);
            table.put(*opcode, all.find(|row| row.name == *name));
        }
        table
    }

    fn dual_row(&self, opcode: u32) -> Option<&'static Row> {
        self.vopd.row(opcode)
    }

    fn is_cmpx(&self, row: &Row) -> bool {
        row.name.starts_with("v_cmpx")
    }
}
