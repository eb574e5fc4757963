//! The relocations of the dynamic section.
//! Types and formulas: LLVM's "User Guide for AMDGPU Backend", "Relocation Records".

use ::object::LittleEndian;
use ::object::elf;
use ::object::read::elf::{Dyn, FileHeader, ProgramHeader};

use super::Elf;
use super::error::ObjectError;
use super::image::Image;

/// Compact relative relocations, which linkers write only when asked to.
const DT_RELR: u32 = 36;
const RELA_BYTES: usize = 24;
const SYMBOL_BYTES: u64 = 24;

/// Where the dynamic section says that relocations are; virtual addresses.
#[derive(Default)]
struct Dynamic {
    relocations: u64,
    relocation_bytes: u64,
    symbols: u64,
}

/// Applies all relocations to an image.
pub fn apply(header: &Elf, bytes: &[u8], image: &mut Image) -> Result<(), ObjectError> {
    let dynamic = dynamic(header, bytes)?;
    let table_bytes = usize::try_from(dynamic.relocation_bytes).unwrap_or(usize::MAX);
    let table = image.virtual_bytes(dynamic.relocations, table_bytes);
    let table = match table_bytes {
        0 => return Ok(()),
        _ => table.ok_or_else(|| ObjectError::Elf("relocations outside of the image".to_owned()))?.to_vec(),
    };
    table.chunks_exact(RELA_BYTES).try_for_each(|entry| Relocation::new(entry).apply(dynamic.symbols, image))
}

fn dynamic(header: &Elf, bytes: &[u8]) -> Result<Dynamic, ObjectError> {
    let mut dynamic = Dynamic::default();
    for segment in header.program_headers(LittleEndian, bytes)? {
        for entry in segment.dynamic(LittleEndian, bytes)?.unwrap_or_default() {
            let value = entry.d_val(LittleEndian);
            match u32::try_from(entry.d_tag(LittleEndian)).unwrap_or(u32::MAX) {
                elf::DT_NULL => break,
                elf::DT_RELA => dynamic.relocations = value,
                elf::DT_RELASZ => dynamic.relocation_bytes = value,
                elf::DT_SYMTAB => dynamic.symbols = value,
                tag @ (elf::DT_REL | elf::DT_JMPREL | DT_RELR) => {
                    return Err(ObjectError::Elf(format!("relocations of the dynamic tag {tag} are not supported")));
                }
                _ => {}
            }
        }
    }
    Ok(dynamic)
}

/// An `Elf64_Rela`.
struct Relocation {
    /// Virtual address of the field.
    offset: u64,
    kind: u32,
    symbol: u32,
    addend: u64,
}

impl Relocation {
    fn new(entry: &[u8]) -> Self {
        let field = |at| u64_at(entry, at).unwrap_or_default();
        Self { offset: field(0), kind: field(8) as u32, symbol: (field(8) >> 32) as u32, addend: field(16) }
    }

    fn apply(&self, symbols: u64, image: &mut Image) -> Result<(), ObjectError> {
        let place = image.base().wrapping_add(self.offset);
        let symbol = || Ok::<_, ObjectError>(self.symbol_address(symbols, image)?.wrapping_add(self.addend));
        let relative = || Ok::<_, ObjectError>(symbol()?.wrapping_sub(place));
        match self.kind {
            0 => Ok(()),
            1 => self.write(image, &(symbol()? as u32).to_le_bytes()),
            2 => self.write(image, &((symbol()? >> 32) as u32).to_le_bytes()),
            3 => self.write(image, &symbol()?.to_le_bytes()),
            4 => self.write(image, &self.narrow(relative()?)?.to_le_bytes()),
            5 => self.write(image, &relative()?.to_le_bytes()),
            10 => self.write(image, &(relative()? as u32).to_le_bytes()),
            11 => self.write(image, &((relative()? >> 32) as u32).to_le_bytes()),
            13 => self.write(image, &image.base().wrapping_add(self.addend).to_le_bytes()),
            kind => Err(ObjectError::UnknownRelocation { kind, offset: self.offset }),
        }
    }

    fn write(&self, image: &mut Image, value: &[u8]) -> Result<(), ObjectError> {
        let field = image.virtual_bytes_mut(self.offset, value.len());
        field.ok_or_else(|| self.error("the field lies outside of the image"))?.copy_from_slice(value);
        Ok(())
    }

    /// A distance that must fit 32 bits with its sign.
    fn narrow(&self, distance: u64) -> Result<i32, ObjectError> {
        i32::try_from(distance as i64).map_err(|_| self.error("the distance does not fit 32 bits"))
    }

    /// The absolute address of the symbol: 0 for an undefined one that is weak.
    fn symbol_address(&self, symbols: u64, image: &Image) -> Result<u64, ObjectError> {
        const SHN_UNDEF: u16 = 0;
        const SHN_ABS: u16 = 0xfff1;
        const STB_WEAK: u8 = 2;
        let place = symbols.checked_add(u64::from(self.symbol) * SYMBOL_BYTES);
        let symbol = place.and_then(|place| image.virtual_bytes(place, SYMBOL_BYTES as usize));
        let symbol = symbol.ok_or_else(|| self.error("its symbol lies outside of the image"))?;
        let (binding, section) = (symbol[4] >> 4, u16::from_le_bytes([symbol[6], symbol[7]]));
        let value = u64_at(symbol, 8).unwrap_or_default();
        match section {
            SHN_UNDEF if binding == STB_WEAK || self.symbol == 0 => Ok(0),
            SHN_UNDEF => Err(self.error("its symbol is undefined")),
            SHN_ABS => Ok(value),
            _ => Ok(image.base().wrapping_add(value)),
        }
    }

    fn error(&self, reason: &'static str) -> ObjectError {
        ObjectError::Relocation { offset: self.offset, reason }
    }
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().copied().map(u64::from_le_bytes)
}
