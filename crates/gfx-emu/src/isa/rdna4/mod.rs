//! RDNA4: RDNA3's tables with what is new, renumbered and gone (RDNA4 ISA guide, chapter 15).
//!
//! Not there: products of sparse matrices, transposing loads, loads in blocks, conversions to floats of a byte, named
//! barriers, and exchanges of lanes that name one in each lane.

mod changes;
mod control;
mod matrix;
mod memory;
mod scalar_float;
mod vector_float;

use super::named::Rows;
use super::{Isa, rdna3};
use crate::object::Generation;

/// The tables of RDNA4.
pub(super) fn isa(wave64: bool) -> Isa {
    let old = rdna3::isa(wave64);
    let rows = Rows::new(&old, &[]);
    Isa {
        generation: Generation::Gfx12,
        wave64,
        sop1: old.sop1.with([control::SOP1, scalar_float::SOP1]),
        sop2: rows.change(&old.sop2, changes::SOP2).with([scalar_float::SOP2]),
        sopc: old.sopc.with(scalar_float::SOPC),
        sopk: rows.change(&old.sopk, changes::SOPK).with([control::SOPK]),
        sopp: rows.change(&old.sopp, changes::SOPP).with([control::SOPP]),
        smem: rows.change(&old.smem, changes::SMEM).with([memory::SMEM]),
        vop1: old.vop1.with([vector_float::VOP1]),
        vop2: rows.change(&old.vop2, changes::VOP2),
        vopc: rows.change(&old.vopc, changes::VOPC),
        vop3: rows.change(&old.vop3, changes::VOP3).with(vector_float::VOP3),
        vop3p: rows.change(&old.vop3p, changes::VOP3P).with([vector_float::VOP3P, matrix::vop3p(wave64)]),
        vopd: rows.change(&old.vopd, changes::VOPD),
        ds: rows.change(&old.ds, changes::DS).with([memory::DS]),
        flat: rows.change(&old.flat, changes::FLAT).with([memory::FLAT]),
        global: rows.change(&old.global, changes::GLOBAL).with([memory::GLOBAL]),
        scratch: old.scratch,
        mubuf: rows.change(&old.mubuf, changes::MUBUF).with([memory::MUBUF]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::Table;
    use crate::isa::named::entries;

    #[test]
    fn listings_name_rows_of_rdna3() {
        let old = rdna3::isa(false);
        let known: Vec<&str> = old.tables().into_iter().flat_map(Table::rows).map(|row| row.name).collect();
        for listing in changes::ALL {
            for (opcode, name, row) in entries(listing) {
                assert!(row == "-" || known.contains(&row), "{opcode} {name}: RDNA3 has no {row}");
            }
        }
    }
}
