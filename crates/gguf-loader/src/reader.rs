//! From bytes to a checked [`Gguf`].

use crate::cursor::{Cursor, Subject, check_limit};
use crate::error::{GgufError, GgufWarning};
use crate::limits::Limits;
use crate::metadata::Metadata;
use crate::tensors::{self, ENTRY_BYTES_MIN, Section, TableReader, TensorInfo, checked_text};
use crate::value::{Array, Value, ValueKind};
use crate::{DEFAULT_ALIGNMENT, MAGIC, split};

/// Smallest key-value pair: key length, type, a one-byte value.
const PAIR_BYTES_MIN: u64 = 8 + 4 + 1;

/// A parsed model file, or all parts of a split one, with the bytes it was parsed from.
///
/// Metadata is copied out of the bytes; tensor data stays where it is and is lent by
/// [`data`](Self::data). Everything is checked while parsing: a tensor in the table lies
/// inside its file, aligned, overlapping no other.
#[derive(Debug)]
pub struct Gguf<B> {
    parts: Vec<B>,
    version: u32,
    alignment: u64,
    metadata: Metadata,
    tensors: Vec<TensorInfo>,
    /// Indices into `tensors`, sorted by name.
    by_name: Vec<u32>,
    warnings: Vec<GgufWarning>,
}

impl<B: AsRef<[u8]>> Gguf<B> {
    /// Parses one whole file with the default [`Limits`].
    ///
    /// # Errors
    /// What is wrong with the file; [`GgufError::PartOfSplit`] if it is only a part of a model.
    pub fn parse(bytes: B) -> Result<Self, GgufError> {
        Self::parse_with(bytes, &Limits::default())
    }

    /// As [`parse`](Self::parse), with other limits.
    ///
    /// # Errors
    /// As there.
    pub fn parse_with(bytes: B, limits: &Limits) -> Result<Self, GgufError> {
        let part = Part::parse(bytes.as_ref(), 0, limits)?;
        split::check_whole(&part.metadata, limits)?;
        Self::assemble(vec![bytes], vec![part])
    }

    /// Parses all parts of a split model, in order, with the default [`Limits`].
    ///
    /// # Errors
    /// What is wrong with a part, as [`GgufError::InPart`], or with the set, as [`GgufError::BadSplit`].
    pub fn parse_split(parts: Vec<B>) -> Result<Self, GgufError> {
        Self::parse_split_with(parts, &Limits::default())
    }

    /// As [`parse_split`](Self::parse_split), with other limits.
    ///
    /// # Errors
    /// As there.
    pub fn parse_split_with(parts: Vec<B>, limits: &Limits) -> Result<Self, GgufError> {
        let mut parsed = Vec::new();
        for (index, bytes) in parts.iter().enumerate() {
            parsed.push(Part::parse(bytes.as_ref(), index, limits).map_err(|error| error.in_part(index))?);
        }
        split::check_set(&parsed, limits)?;
        Self::assemble(parts, parsed)
    }

    fn assemble(bytes: Vec<B>, parsed: Vec<Part>) -> Result<Self, GgufError> {
        let mut parsed = parsed.into_iter().enumerate();
        let Some((_, first)) = parsed.next() else {
            return Err(split::no_parts());
        };
        // The first part's table is extended in place: for a whole file nothing is copied.
        let Part { version, alignment, metadata, mut tensors, mut warnings } = first;
        for (index, part) in parsed {
            tensors.extend(part.tensors);
            warnings.extend(part.warnings);
            warnings.extend(split::ignored_keys(index, &part.metadata));
        }
        let by_name = tensors::index_by_name(&tensors)?;
        Ok(Self { parts: bytes, version, alignment, metadata, tensors, by_name, warnings })
    }

    /// The format version: 2 or 3. That of the first part if split.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// Alignment of tensor data in bytes, a power of two. That of the first part if split.
    pub fn alignment(&self) -> u64 {
        self.alignment
    }

    /// The key-value pairs. Those of the first part if split.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The value of `general.architecture`, which every model has.
    ///
    /// # Errors
    /// [`GgufError::MissingKey`] or [`GgufError::WrongType`].
    pub fn architecture(&self) -> Result<&str, GgufError> {
        self.metadata.require_str("general.architecture")
    }

    /// All tensors, part after part, each in the order of its table.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// The tensor of that name, found by binary search.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        let at = |index: &u32| self.tensors.get(*index as usize);
        let found =
            self.by_name.binary_search_by(|index| at(index).map_or("", |tensor| &tensor.name).cmp(name)).ok()?;
        at(self.by_name.get(found)?)
    }

    /// The bytes of a tensor of this file, `info.size` of them, lent from the part that holds them.
    ///
    /// An `info` made by hand or taken from another file may reach outside; it gets no bytes.
    pub fn data(&self, info: &TensorInfo) -> &[u8] {
        let slice = || {
            let start = usize::try_from(info.offset).ok()?;
            let end = start.checked_add(usize::try_from(info.size).ok()?)?;
            self.parts.get(info.part)?.as_ref().get(start..end)
        };
        slice().unwrap_or_default()
    }

    /// What the parser was given: one element, or one per part.
    pub fn parts(&self) -> &[B] {
        &self.parts
    }

    /// Oddities that did not stop the file from parsing.
    pub fn warnings(&self) -> &[GgufWarning] {
        &self.warnings
    }
}

/// One file of a model, checked on its own.
pub(crate) struct Part {
    pub(crate) version: u32,
    pub(crate) alignment: u64,
    pub(crate) metadata: Metadata,
    pub(crate) tensors: Vec<TensorInfo>,
    pub(crate) warnings: Vec<GgufWarning>,
}

impl Part {
    fn parse(bytes: &[u8], index: usize, limits: &Limits) -> Result<Self, GgufError> {
        let Preamble { header, end, alignment, metadata, mut tensors } = Preamble::read(bytes, limits)?;
        let file_end = bytes.len() as u64;
        let start = tensors::padded(end, alignment).unwrap_or(u64::MAX);
        let section = Section { start, alignment, file_end, part: index };
        let layout = tensors::place(&mut tensors, &section)?;
        let mut warnings = layout.warnings;
        warnings.extend(trailing(bytes, layout.end.unwrap_or(end), &section)?);
        Ok(Self { version: header.version, alignment, metadata, tensors, warnings })
    }
}

/// What comes before the data section.
pub(crate) struct Preamble {
    header: Header,
    /// One past its last byte.
    end: u64,
    alignment: u64,
    metadata: Metadata,
    /// Offsets are still those of the data section.
    pub(crate) tensors: Vec<TensorInfo>,
}

impl Preamble {
    pub(crate) fn read(bytes: &[u8], limits: &Limits) -> Result<Self, GgufError> {
        let mut cursor = Cursor::new(bytes);
        let header = Header::read(&mut cursor, limits)?;
        let metadata = read_pairs(&mut cursor, header.pairs, limits)?;
        let alignment = alignment(&metadata, limits)?;
        let tensors = TableReader::new(limits, alignment).read(&mut cursor, header.tensors)?;
        refuse_early_end(&cursor, &header, limits)?;
        Ok(Self { header, end: cursor.offset(), alignment, metadata, tensors })
    }
}

struct Header {
    version: u32,
    tensors: u64,
    pairs: u64,
}

impl Header {
    fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Self, GgufError> {
        let found = cursor.magic(Subject::Header("magic"))?;
        if found != MAGIC {
            return Err(GgufError::BadMagic { found });
        }
        let version = read_version(cursor)?;
        let tensors_at = cursor.offset();
        let tensors = cursor.u64(Subject::Header("tensor count"))?;
        let pairs_at = cursor.offset();
        let pairs = cursor.u64(Subject::Header("key count"))?;
        check_count(cursor, "tensor count", tensors_at, tensors, ENTRY_BYTES_MIN, "tensors", limits.tensors)?;
        check_count(cursor, "key count", pairs_at, pairs, PAIR_BYTES_MIN, "keys", limits.keys)?;
        Ok(Self { version, tensors, pairs })
    }
}

fn read_version(cursor: &mut Cursor<'_>) -> Result<u32, GgufError> {
    let found = cursor.u32(Subject::Header("version"))?;
    match found {
        2 | 3 => Ok(found),
        // A small version number seen from the wrong end.
        _ if matches!(found.swap_bytes(), 1..=3) => Err(GgufError::WrongEndian { found }),
        _ => Err(GgufError::UnsupportedVersion { found }),
    }
}

/// A count that no real model has is a lie about the file; an ordinary one in a short file means it was cut.
fn check_count(
    cursor: &Cursor<'_>,
    field: &'static str,
    offset: u64,
    found: u64,
    entry_bytes: u64,
    unit: &'static str,
    limit: u64,
) -> Result<(), GgufError> {
    let subject = Subject::Header(field);
    let most = cursor.remaining() / entry_bytes;
    if found <= most {
        return check_limit(subject, offset, found, unit, limit);
    }
    if found > limit {
        return Err(GgufError::CountTooLarge { subject: field.into(), offset, found, most });
    }
    Err(cursor.truncated(subject, found.saturating_mul(entry_bytes)))
}

fn read_pairs(cursor: &mut Cursor<'_>, count: u64, limits: &Limits) -> Result<Metadata, GgufError> {
    // Bounded by the file, and below what growing by doubling would take on the way.
    let most = count.min(cursor.remaining() / PAIR_BYTES_MIN);
    let mut metadata = Metadata::with_capacity(usize::try_from(most).unwrap_or(0));
    for index in 0..count {
        let offset = cursor.offset();
        let key = read_key(cursor, index, limits)?;
        let value = read_value(cursor, key, limits)?;
        metadata.insert_new(key, value, offset)?;
    }
    Ok(metadata)
}

fn read_key<'a>(cursor: &mut Cursor<'a>, index: u64, limits: &Limits) -> Result<&'a str, GgufError> {
    let offset = cursor.offset();
    let bytes = cursor.string(Subject::Key(index), u64::MAX)?;
    checked_text(bytes, limits.key_bytes).map_err(|problem| GgufError::BadKey {
        index,
        key: bytes.into(),
        offset,
        problem,
    })
}

fn read_kind(cursor: &mut Cursor<'_>, key: &str) -> Result<ValueKind, GgufError> {
    let offset = cursor.offset();
    let found = cursor.u32(Subject::Value(key))?;
    ValueKind::from_id(found).ok_or_else(|| GgufError::UnknownValueType { key: key.into(), offset, found })
}

fn read_value(cursor: &mut Cursor<'_>, key: &str, limits: &Limits) -> Result<Value, GgufError> {
    let subject = Subject::Value(key);
    Ok(match read_kind(cursor, key)? {
        ValueKind::U8 => Value::U8(cursor.u8(subject)?),
        ValueKind::I8 => Value::I8(cursor.u8(subject)?.cast_signed()),
        ValueKind::U16 => Value::U16(cursor.u16(subject)?),
        ValueKind::I16 => Value::I16(cursor.u16(subject)?.cast_signed()),
        ValueKind::U32 => Value::U32(cursor.u32(subject)?),
        ValueKind::I32 => Value::I32(cursor.u32(subject)?.cast_signed()),
        ValueKind::U64 => Value::U64(cursor.u64(subject)?),
        ValueKind::I64 => Value::I64(cursor.u64(subject)?.cast_signed()),
        ValueKind::F32 => Value::F32(f32::from_bits(cursor.u32(subject)?)),
        ValueKind::F64 => Value::F64(f64::from_bits(cursor.u64(subject)?)),
        ValueKind::Bool => {
            let offset = cursor.offset();
            Value::Bool(read_bool(cursor.u8(subject)?, key, offset)?)
        }
        ValueKind::String => Value::String(read_text(cursor, key, limits)?),
        ValueKind::Array => Value::Array(read_array(cursor, key, limits)?),
    })
}

fn read_bool(byte: u8, key: &str, offset: u64) -> Result<bool, GgufError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(GgufError::WrongType {
            key: key.into(),
            offset: Some(offset),
            expected: "bool (a byte of 0 or 1)",
            found: format!("byte {other}"),
        }),
    }
}

fn read_text(cursor: &mut Cursor<'_>, key: &str, limits: &Limits) -> Result<String, GgufError> {
    let bytes = cursor.string(Subject::Value(key), limits.string_bytes)?;
    let start = cursor.offset() - bytes.len() as u64;
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.into()),
        Err(error) => Err(GgufError::BadUtf8 { key: key.into(), offset: start + error.valid_up_to() as u64 }),
    }
}

fn read_array(cursor: &mut Cursor<'_>, key: &str, limits: &Limits) -> Result<Array, GgufError> {
    let kind_at = cursor.offset();
    let kind = read_kind(cursor, key)?;
    let count_at = cursor.offset();
    let subject = Subject::Value(key);
    let count = cursor.u64(subject)?;
    let mut items = |size| {
        let bytes = cursor.items(subject, count_at, count, size, "elements")?;
        check_limit(subject, count_at, count, "elements", limits.array_elements)?;
        Ok::<_, GgufError>(bytes)
    };
    Ok(match kind {
        ValueKind::U8 => Array::U8(items(1)?.into()),
        ValueKind::I8 => Array::I8(numbers(items(1)?, i8::from_le_bytes)),
        ValueKind::U16 => Array::U16(numbers(items(2)?, u16::from_le_bytes)),
        ValueKind::I16 => Array::I16(numbers(items(2)?, i16::from_le_bytes)),
        ValueKind::U32 => Array::U32(numbers(items(4)?, u32::from_le_bytes)),
        ValueKind::I32 => Array::I32(numbers(items(4)?, i32::from_le_bytes)),
        ValueKind::F32 => Array::F32(numbers(items(4)?, f32::from_le_bytes)),
        ValueKind::U64 => Array::U64(numbers(items(8)?, u64::from_le_bytes)),
        ValueKind::I64 => Array::I64(numbers(items(8)?, i64::from_le_bytes)),
        ValueKind::F64 => Array::F64(numbers(items(8)?, f64::from_le_bytes)),
        ValueKind::Bool => {
            let bytes = items(1)?;
            let start = count_at + 8;
            for (offset, byte) in (start..).zip(bytes) {
                read_bool(*byte, key, offset)?;
            }
            Array::Bool(bytes.iter().map(|byte| *byte == 1).collect())
        }
        ValueKind::String => {
            // Every string has at least its length field, which bounds the count by the file.
            cursor.clone().items(subject, count_at, count, 8, "strings")?;
            check_limit(subject, count_at, count, "strings", limits.array_elements)?;
            Array::String(read_strings(cursor, key, count, limits)?)
        }
        ValueKind::Array => return Err(GgufError::NestedArray { key: key.into(), offset: kind_at }),
    })
}

/// `bytes` as numbers; the caller took a multiple of N bytes.
fn numbers<const N: usize, T>(bytes: &[u8], from: fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|chunk| from(*chunk)).collect()
}

/// Walks the strings twice: memory is taken only once all of them are known to be there.
fn read_strings(cursor: &mut Cursor<'_>, key: &str, count: u64, limits: &Limits) -> Result<Vec<Box<[u8]>>, GgufError> {
    let mut ahead = cursor.clone();
    for _ in 0..count {
        element(&mut ahead, key, limits)?;
    }
    // The strings were seen, so their number is that of something in memory.
    let mut strings = Vec::with_capacity(count as usize);
    for _ in 0..count {
        strings.push(element(cursor, key, limits)?.into());
    }
    Ok(strings)
}

fn element<'a>(cursor: &mut Cursor<'a>, key: &str, limits: &Limits) -> Result<&'a [u8], GgufError> {
    let subject = Subject::Value(key);
    let offset = cursor.offset();
    // No token is this long, so the claim is judged before the file's length is.
    let len = cursor.clone().u64(subject)?;
    check_limit(subject, offset, len, "bytes in one string", limits.array_string_bytes)?;
    cursor.string(subject, u64::MAX)
}

fn alignment(metadata: &Metadata, limits: &Limits) -> Result<u64, GgufError> {
    const KEY: &str = "general.alignment";
    let found = match metadata.get(KEY) {
        None => return Ok(DEFAULT_ALIGNMENT),
        Some(Value::U32(found)) => u64::from(*found),
        // The format fixes the type of this one key, as it decides where data lies.
        Some(other) => {
            let (offset, found) = (metadata.offset(KEY), other.describe());
            return Err(GgufError::WrongType { key: KEY.into(), offset, expected: "u32", found });
        }
    };
    let (min, max) = (limits.alignment_min.max(1), limits.alignment_max);
    if !found.is_power_of_two() || found < min || found > max {
        return Err(GgufError::BadAlignment { offset: metadata.offset(KEY), found, min, max });
    }
    Ok(found)
}

/// Counts that are too small shift the data section over the rest of the header, and every
/// tensor would be read from the wrong place. Such a header goes on with another entry.
fn refuse_early_end(cursor: &Cursor<'_>, header: &Header, limits: &Limits) -> Result<(), GgufError> {
    let offset = cursor.offset();
    let one_more = TableReader::new(limits, DEFAULT_ALIGNMENT).read(&mut cursor.clone(), 1);
    if let Some(entry) = one_more.ok().and_then(|entries| entries.into_iter().next()) {
        return Err(GgufError::TrailingBytes { subject: "tensor count", offset, found: entry.name.into() });
    }
    if header.tensors == 0 {
        let mut ahead = cursor.clone();
        let pair = read_key(&mut ahead, header.pairs, limits).and_then(|key| read_kind(&mut ahead, key).map(|_| key));
        if let Ok(key) = pair {
            return Err(GgufError::TrailingBytes { subject: "key count", offset, found: key.into() });
        }
    }
    Ok(())
}

/// Bytes after the last used one: padding is expected, a second file is an error, others are worth a word.
fn trailing(bytes: &[u8], end: u64, section: &Section) -> Result<Option<GgufWarning>, GgufError> {
    let padded_end = tensors::padded(end, section.alignment).unwrap_or(u64::MAX);
    // Writers differ in whether they pad the last tensor, so a second file may begin at either place.
    for offset in [end, padded_end] {
        let rest = usize::try_from(offset).ok().and_then(|offset| bytes.get(offset..)).unwrap_or_default();
        if rest.starts_with(&MAGIC) {
            return Err(GgufError::InconsistentSplit { offset });
        }
    }
    let extra = section.file_end.saturating_sub(padded_end);
    Ok((extra > 0).then_some(GgufWarning::TrailingBytes { part: section.part, offset: padded_end, bytes: extra }))
}
