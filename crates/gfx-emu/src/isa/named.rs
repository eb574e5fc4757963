//! Tables by name: a target takes rows of another, under its own numbers and names.
//!
//! A listing is words between blanks. A number is the opcode of the word behind it, and words without one follow each
//! other. `name` is the row of that name, `name=other` the row that the other target calls `other`, and `-` says that
//! there is no instruction.

use std::collections::HashMap;

use super::row::Row;
use super::{Isa, Table};

/// Rows by name.
#[derive(Debug)]
pub(super) struct Rows(HashMap<&'static str, &'static Row>);

impl Rows {
    /// All rows of a target, and more.
    pub fn new(isa: &Isa, more: &'static [Row]) -> Self {
        let rows = isa.tables().into_iter().flat_map(Table::rows).chain(more);
        Self(rows.map(|row| (row.name, row)).collect())
    }

    /// A table with what a listing changes.
    pub fn change(&self, table: &Table, listing: &'static str) -> Table {
        let mut table = table.clone();
        for (opcode, name, old) in entries(listing) {
            table.put(opcode, self.0.get(old).map(|row| renamed(row, opcode, name)));
        }
        table
    }
}

/// The row itself, if nothing changes; else one that lives as long, of which there is one for each entry of a listing.
fn renamed(row: &'static Row, opcode: u16, name: &'static str) -> &'static Row {
    if row.opcode == opcode && row.name == name { row } else { Box::leak(Box::new(Row { opcode, name, ..*row })) }
}

/// Opcode, name, and name of the row for each entry of a listing.
pub(super) fn entries(listing: &'static str) -> impl Iterator<Item = (u16, &'static str, &'static str)> {
    let mut opcode = 0;
    listing.split_whitespace().filter_map(move |word| {
        if let Ok(number) = word.parse() {
            opcode = number;
            return None;
        }
        let (name, old) = word.split_once('=').unwrap_or((word, word));
        let entry = (opcode, name, old);
        opcode += 1;
        Some(entry)
    })
}
