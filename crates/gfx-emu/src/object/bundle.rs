//! Clang's offload bundle: code objects for several targets in one file.
//! Layout: clang's documentation of the "Clang Offload Bundler", "Bundled Binary File Layout".

use super::error::ObjectError;
use super::target;

const MAGIC: &[u8] = b"__CLANG_OFFLOAD_BUNDLE__";
const COMPRESSED_MAGIC: &[u8] = b"CCOB";

/// The code objects of a bundle, each with its target's id such as `gfx1100`.
pub struct Bundle<'a> {
    entries: Vec<(String, &'a [u8])>,
}

impl<'a> Bundle<'a> {
    /// `None` if `bytes` are something else.
    pub fn parse(bytes: &'a [u8]) -> Result<Option<Self>, ObjectError> {
        if bytes.starts_with(COMPRESSED_MAGIC) {
            return Err(ObjectError::Compressed);
        }
        let Some(mut table) = bytes.strip_prefix(MAGIC) else { return Ok(None) };
        let count = number(&mut table)?;
        let mut entries = Vec::new();
        for _ in 0..count {
            let (offset, size, id_bytes) = (number(&mut table)?, number(&mut table)?, number(&mut table)?);
            let id = std::str::from_utf8(take(&mut table, id_bytes)?);
            let id = id.map_err(|_| ObjectError::Bundle("an entry's id is not text"))?;
            let object = slice(bytes, offset, size).ok_or(ObjectError::Bundle("an entry lies outside of the file"))?;
            if let Some(target) = target::of_triple(id) {
                entries.push((target.to_owned(), object));
            }
        }
        Ok(Some(Self { entries }))
    }

    /// The one code object there is.
    pub fn only(&self) -> Result<&'a [u8], ObjectError> {
        match self.entries.as_slice() {
            [(_, object)] => Ok(object),
            _ => Err(ObjectError::SeveralTargets { found: self.targets() }),
        }
    }

    /// The code object for a target.
    pub fn entry(&self, target: &str) -> Result<&'a [u8], ObjectError> {
        let found = self.entries.iter().find(|(id, _)| target::matches(id, target));
        found.map(|(_, object)| *object).ok_or_else(|| {
            let target = target.to_owned();
            ObjectError::MissingTarget { target, found: self.targets() }
        })
    }

    fn targets(&self) -> Vec<String> {
        self.entries.iter().map(|(target, _)| target.clone()).collect()
    }
}

fn slice(bytes: &[u8], offset: u64, size: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(offset).ok()?..)?.get(..usize::try_from(size).ok()?)
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Result<&'a [u8], ObjectError> {
    let split = usize::try_from(count).ok().and_then(|count| bytes.split_at_checked(count));
    let (taken, rest) = split.ok_or(ObjectError::Bundle("the table is cut short"))?;
    *bytes = rest;
    Ok(taken)
}

fn number(bytes: &mut &[u8]) -> Result<u64, ObjectError> {
    let field = take(bytes, 8)?;
    Ok(field.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}
