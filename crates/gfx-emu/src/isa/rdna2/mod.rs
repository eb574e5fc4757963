//! RDNA2: RDNA3's rows under its own numbers and names, and what RDNA3 dropped (RDNA2 ISA guide, chapter 13).
//!
//! Not there: comparing exchanges in LDS, atomic operations on doubles, and what RDNA1 has besides.

mod listing;
mod rows;

use super::named::Rows;
use super::{Isa, Table, rdna3};
use crate::object::Generation;

/// The tables of RDNA2.
pub(super) fn isa(wave64: bool) -> Isa {
    let rows = Rows::new(&rdna3::isa(wave64), &[]);
    let table = |listing| rows.change(&Table::default(), listing);
    Isa {
        generation: Generation::Gfx10,
        wave64,
        sop1: table(listing::SOP1),
        sop2: table(listing::SOP2),
        sopc: table(listing::SOPC),
        sopk: table(listing::SOPK),
        sopp: table(listing::SOPP).with([rows::SOPP]),
        smem: table(listing::SMEM).with([rows::SMEM]),
        vop1: table(listing::VOP1),
        vop2: table(listing::VOP2).with([rows::VOP2]),
        vopc: table(listing::VOPC),
        vop3: table(listing::VOP3),
        vop3p: table(listing::VOP3P).with([rows::VOP3P]),
        vopd: Table::default(),
        ds: table(listing::DS),
        flat: table(listing::FLAT),
        global: table(listing::GLOBAL),
        scratch: table(listing::SCRATCH),
        mubuf: table(listing::MUBUF),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::named::entries;

    #[test]
    fn listings_name_rows_of_rdna3() {
        let old = rdna3::isa(false);
        let known: Vec<&str> = old.tables().into_iter().flat_map(Table::rows).map(|row| row.name).collect();
        let entries = listing::ALL.into_iter().flat_map(entries);
        let lost: Vec<_> = entries.filter(|(_, _, row)| !known.contains(row)).collect();
        assert!(lost.is_empty(), "{lost:?}");
    }
}
