//! Archives of code objects: one file a target, each object compressed by itself, so that loading a model unpacks only
//! the modules it uses.
//!
//! Layout, integers little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `RFKOBJ01`: the format and its version |
//! | 4 + n | the compiler's own description, a string |
//! | 4 | number of entries |
//! | each entry | name (4 + n bytes), digest of the module (32), offset in the body (8), stored bytes (8), unpacked bytes (8) |
//! | the rest | the body: raw deflate streams |

use std::borrow::Cow;

use miniz_oxide::{deflate, inflate};

use crate::digest::Digest;
use crate::table::module;

const MAGIC: &[u8; 8] = b"RFKOBJ01";
/// No code object comes near this; a longer one is a damaged index.
const UNPACKED_MAX: u64 = 256 << 20;
/// Of 0 to 10. The step to 10 doubles the time for less than one percent.
const LEVEL: u8 = 9;

/// Why an archive cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The first bytes are those of another format or another version of this one.
    #[error("not an archive of code objects of this version")]
    Format,
    /// The file ends early, or an entry points outside of it.
    #[error("the archive is damaged: {0}")]
    Damaged(&'static str),
}

/// One object in an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Name of the module.
    pub name: String,
    /// [`Module::hash`](crate::Module::hash) when the object was built.
    pub hash: Digest,
    offset: usize,
    stored: usize,
    unpacked: usize,
}

impl Entry {
    /// Bytes of the object.
    pub fn object_bytes(&self) -> usize {
        self.unpacked
    }
}

/// An archive's index over the bytes it was read from.
#[derive(Debug, Clone)]
pub struct Archive<'a> {
    /// What the compiler calls itself.
    pub compiler: String,
    /// The objects, sorted by name.
    pub entries: Vec<Entry>,
    body: &'a [u8],
}

impl<'a> Archive<'a> {
    /// Reads the index.
    ///
    /// # Errors
    /// If the bytes are not an archive, or one that is cut short.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ArchiveError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(ArchiveError::Format)?;
        let mut reader = Reader(rest);
        let compiler = reader.string()?;
        let count = reader.u32()?;
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(Entry {
                name: reader.string()?,
                hash: Digest(reader.array()?),
                offset: reader.size(u64::MAX)?,
                stored: reader.size(u64::MAX)?,
                unpacked: reader.size(UNPACKED_MAX)?,
            });
        }
        let body = reader.0;
        let inside = |e: &Entry| e.offset.checked_add(e.stored).is_some_and(|end| end <= body.len());
        if !entries.iter().all(inside) {
            return Err(ArchiveError::Damaged("an object lies outside of the file"));
        }
        Ok(Self { compiler, entries, body })
    }

    /// The object of that name, if the archive has one.
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.name == name)
    }

    /// Objects that were built from other sources or options than the module of their name has in this program, or
    /// whose module there is no more.
    pub fn outdated(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| module(&entry.name).is_none_or(|module| module.hash() != entry.hash))
    }

    /// Unpacks an object.
    ///
    /// # Errors
    /// If its stream is damaged.
    pub fn unpack(&self, entry: &Entry) -> Result<Cow<'a, [u8]>, ArchiveError> {
        let damaged = ArchiveError::Damaged("an object does not unpack");
        let stream = self.body.get(entry.offset..entry.offset + entry.stored).ok_or(damaged.clone())?;
        match inflate::decompress_to_vec_with_limit(stream, entry.unpacked) {
            Ok(object) if object.len() == entry.unpacked => Ok(Cow::Owned(object)),
            _ => Err(damaged),
        }
    }

    /// Writes an archive of (name, digest, object).
    pub fn write(compiler: &str, mut objects: Vec<(String, Digest, Vec<u8>)>) -> Vec<u8> {
        objects.sort();
        let mut bytes = MAGIC.to_vec();
        let mut body = Vec::new();
        push_string(&mut bytes, compiler);
        bytes.extend((objects.len() as u32).to_le_bytes());
        for (name, hash, object) in &objects {
            let stream = deflate::compress_to_vec(object, LEVEL);
            push_string(&mut bytes, name);
            bytes.extend(hash.0);
            for number in [body.len(), stream.len(), object.len()] {
                bytes.extend((number as u64).to_le_bytes());
            }
            body.extend(stream);
        }
        bytes.extend(body);
        bytes
    }
}

fn push_string(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u32).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// Takes fields off the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8], ArchiveError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ArchiveError::Damaged("the index is cut short"))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ArchiveError> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, ArchiveError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn size(&mut self, max: u64) -> Result<usize, ArchiveError> {
        let size = u64::from_le_bytes(self.array()?);
        let error = ArchiveError::Damaged("a size is out of range");
        if size > max { Err(error) } else { usize::try_from(size).map_err(|_| error) }
    }

    fn string(&mut self) -> Result<String, ArchiveError> {
        let length = self.u32()? as usize;
        let bytes = self.bytes(length)?.to_vec();
        String::from_utf8(bytes).map_err(|_| ArchiveError::Damaged("a name is not text"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let digest = Digest::of(b"source");
        let objects = vec![("norm/norm".into(), digest, vec![7; 5000]), ("embed/f16".into(), digest, Vec::new())];
        Archive::write("clang 21", objects)
    }

    #[test]
    fn what_was_written_is_read() {
        let bytes = sample();
        let archive = Archive::read(&bytes).unwrap();
        assert_eq!(archive.compiler, "clang 21");
        let names: Vec<_> = archive.entries.iter().map(|e| e.name.as_str()).collect();
        assert_eq!(names, ["embed/f16", "norm/norm"]);
        let entry = archive.entry("norm/norm").unwrap();
        assert_eq!(entry.hash, Digest::of(b"source"));
        assert_eq!(archive.unpack(entry).unwrap(), [7; 5000].as_slice());
        assert!(archive.unpack(archive.entry("embed/f16").unwrap()).unwrap().is_empty());
        assert!(archive.entry("norm").is_none());
    }

    #[test]
    fn objects_of_other_sources_are_outdated() {
        let Some(module) = crate::modules().first() else { return };
        let objects = |hash| vec![(module.name.clone(), hash, Vec::new()), ("no/module".into(), hash, Vec::new())];
        let outdated = |hash| {
            let bytes = Archive::write("", objects(hash));
            let archive = Archive::read(&bytes).unwrap();
            archive.outdated().map(|entry| entry.name.clone()).collect::<Vec<_>>()
        };
        assert_eq!(outdated(module.hash()), ["no/module"]);
        assert_eq!(outdated(Digest::of(b"other")).len(), 2);
    }

    #[test]
    fn every_prefix_is_an_error_and_no_panic() {
        let bytes = sample();
        for length in 0..bytes.len() {
            assert!(Archive::read(&bytes[..length]).is_err(), "{length} of {} bytes", bytes.len());
        }
    }

    #[test]
    fn a_changed_byte_never_panics() {
        let bytes = sample();
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0xff;
            if let Ok(archive) = Archive::read(&bad) {
                archive.entries.iter().for_each(|entry| drop(archive.unpack(entry)));
            }
        }
    }

    #[test]
    fn another_version_is_named_as_such() {
        let mut bytes = sample();
        bytes[7] = b'2';
        assert_eq!(Archive::read(&bytes).unwrap_err(), ArchiveError::Format);
    }
}
