//! Names of functions and variables.

use std::ops::Range;

use ::object::LittleEndian;
use ::object::elf::{SHT_DYNSYM, SHT_SYMTAB, STT_FUNC, STT_OBJECT};
use ::object::read::elf::{FileHeader, Sym};

use super::Elf;
use super::error::ObjectError;
use super::image::Image;

/// What a symbol names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SymbolKind {
    /// Code: a kernel or a function that kernels call.
    Function,
    /// A variable, a constant or a kernel descriptor.
    Variable,
}

/// A name in a code object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Symbol {
    /// As in the file: mangled if it is C++.
    pub name: String,
    /// Absolute addresses.
    pub range: Range<u64>,
    /// What is there.
    pub kind: SymbolKind,
}

/// The symbols of a code object, sorted by address.
#[derive(Debug)]
pub struct Symbols(Vec<Symbol>);

impl Symbols {
    /// Reads the full symbol table, or the dynamic one of a stripped file.
    pub fn read(header: &Elf, bytes: &[u8], image: &Image) -> Result<Self, ObjectError> {
        let sections = header.sections(LittleEndian, bytes)?;
        let mut table = sections.symbols(LittleEndian, bytes, SHT_SYMTAB)?;
        if table.is_empty() {
            table = sections.symbols(LittleEndian, bytes, SHT_DYNSYM)?;
        }
        let mut symbols = Vec::new();
        for symbol in table.iter().filter(|symbol| symbol.is_definition(LittleEndian)) {
            let kind = match symbol.st_type() {
                STT_FUNC => SymbolKind::Function,
                STT_OBJECT => SymbolKind::Variable,
                _ => continue,
            };
            let name = String::from_utf8_lossy(symbol.name(LittleEndian, table.strings())?).into_owned();
            let start = image.base().wrapping_add(symbol.st_value(LittleEndian));
            let end = start.checked_add(symbol.st_size(LittleEndian));
            let end = end.filter(|&end| image.read(start..end).is_some());
            let end = end.ok_or_else(|| ObjectError::Elf(format!("symbol `{name}` lies outside of the image")))?;
            symbols.push(Symbol { name, range: start..end, kind });
        }
        symbols.sort_by_key(|symbol| symbol.range.start);
        Ok(Self(symbols))
    }

    pub fn all(&self) -> &[Symbol] {
        &self.0
    }

    pub fn find(&self, name: &str) -> Option<&Symbol> {
        self.0.iter().find(|symbol| symbol.name == name)
    }

    pub fn function_at(&self, address: u64) -> Option<(&str, u64)> {
        let before = &self.0[..self.0.partition_point(|symbol| symbol.range.start <= address)];
        let function = before.iter().rev().find(|symbol| symbol.kind == SymbolKind::Function)?;
        function.range.contains(&address).then(|| (function.name.as_str(), address - function.range.start))
    }
}
