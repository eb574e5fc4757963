//! What can be wrong with a file, and how it is said.

use std::fmt::Write as _;

/// Why a GGUF file was refused.
///
/// Every message is one line of printable ASCII, however hostile the names in the file:
/// other bytes appear as escapes, and long names are shortened. The fields hold the
/// names unshortened. Offsets are absolute, in bytes from the start of the part.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the fields are named in the messages")]
pub enum GgufError {
    /// The file ends inside a fixed-size field, or before the entries its counts promise.
    #[error("{subject}: the file is cut short at offset {offset}: {needed} more bytes expected, {have} found")]
    Truncated { subject: String, offset: u64, needed: u64, have: u64 },
    /// The file does not start with `GGUF`.
    #[error("not a GGUF file: it starts with `{}`, expected `GGUF`", show(.found))]
    BadMagic { found: [u8; 4] },
    /// A format version that this reader does not know.
    #[error("GGUF version {found} is not supported (versions 2 and 3 are)")]
    UnsupportedVersion { found: u32 },
    /// A big-endian file.
    #[error("the file is big-endian (version field {found:#010x}); convert it to little-endian first")]
    WrongEndian { found: u32 },
    /// A count in the header that the rest of the file could not hold.
    #[error("{subject}: {found} claimed at offset {offset}, but the file has room for {most} at most")]
    CountTooLarge { subject: String, offset: u64, found: u64, most: u64 },
    /// A string or array longer than the rest of the file.
    #[error(
        "{subject}: {claimed} {unit} claimed at offset {offset}, but only {most} fit in the rest of the file (cut short?)"
    )]
    LenExceedsFile { subject: String, offset: u64, claimed: u64, unit: &'static str, most: u64 },
    /// More of something than [`Limits`](crate::Limits) allows.
    #[error("{subject}: {found} {unit} at offset {offset}, above the limit of {limit}")]
    LimitExceeded { subject: String, offset: u64, found: u64, unit: &'static str, limit: u64 },
    /// An empty, over-long or unprintable key.
    #[error("key number {index} `{}` at offset {offset}: {problem}", show(.key))]
    BadKey { index: u64, key: Vec<u8>, offset: u64, problem: &'static str },
    /// An empty, over-long or unprintable tensor name.
    #[error("tensor number {index} `{}` at offset {offset}: {problem}", show(.name))]
    BadName { index: u64, name: Vec<u8>, offset: u64, problem: &'static str },
    /// A string value that is not UTF-8.
    #[error("key `{}`: the text is not UTF-8 from offset {offset} on", show(.key))]
    BadUtf8 { key: String, offset: u64 },
    /// A value type, or an array's element type, outside the format.
    #[error("key `{}`: value type {found} at offset {offset} is not one of 0 to 12", show(.key))]
    UnknownValueType { key: String, offset: u64, found: u32 },
    /// A value of another type than the reader of it needs.
    #[error("key `{}`{}: expected {expected}, found {found}", show(.key), at(.offset))]
    WrongType { key: String, offset: Option<u64>, expected: &'static str, found: String },
    /// An array whose elements are arrays.
    #[error("key `{}`: an array of arrays at offset {offset}; nesting is not supported", show(.key))]
    NestedArray { key: String, offset: u64 },
    /// An array of another length than something else in the file demands.
    #[error("key `{}`{}: expected {expected} elements, found {found}", show(.key), at(.offset))]
    LengthMismatch { key: String, offset: Option<u64>, expected: u64, found: u64 },
    /// One key twice.
    #[error("key `{}`: present twice, at offsets {first} and {second}", show(.key))]
    DuplicateKey { key: String, first: u64, second: u64 },
    /// One tensor name twice.
    #[error("tensor `{}`: present twice, as numbers {first} and {second}", show(.name))]
    DuplicateTensor { name: String, first: u64, second: u64 },
    /// A tensor with no dimensions, too many, or one that is zero or beyond 2^63.
    #[error("tensor `{}` at offset {offset}: {problem}, found {found}", show(.name))]
    BadDims { name: String, offset: u64, problem: &'static str, found: u64 },
    /// A tensor, or all of them together, above 2^63 - 1 elements or bytes.
    #[error("tensor `{}`: its size of {dims:?} elements, added to {total} bytes so far, exceeds 2^63 - 1", show(.name))]
    SizeOverflow { name: String, dims: Vec<u64>, total: u64 },
    /// A row that does not consist of whole quantization blocks.
    #[error("tensor `{}`: rows of {found} elements are not whole {ty} blocks of {block}", show(.name))]
    NotBlockMultiple { name: String, ty: &'static str, found: u64, block: u64 },
    /// A tensor type number that no version of the format assigns.
    #[error("tensor `{}`: unknown type number {found} at offset {offset}", show(.name))]
    UnknownTensorType { name: String, offset: u64, found: u32 },
    /// Tensor types that exist but are not read here; all tensors that have one.
    #[error("unsupported tensor types: {}", list(.tensors))]
    UnsupportedType { tensors: Vec<(String, &'static str)> },
    /// `general.alignment` is not a power of two in the accepted range.
    #[error("key `general.alignment`{}: {found} is not a power of two from {min} to {max}", at(.offset))]
    BadAlignment { offset: Option<u64>, found: u64, min: u64, max: u64 },
    /// A tensor that does not start at a multiple of the alignment.
    #[error("tensor `{}`: offset {found} in the data section is not a multiple of {alignment}", show(.name))]
    OffsetMisaligned { name: String, found: u64, alignment: u64 },
    /// A tensor that does not lie inside the file.
    #[error("tensor `{}`: {size} bytes at offset {offset}, but the file ends at {end}", show(.name))]
    OffsetOutOfFile { name: String, offset: u128, size: u64, end: u64 },
    /// Two tensors that share bytes.
    #[error("tensors `{}` and `{}` overlap in bytes {start}..{end}", show(.first), show(.second))]
    Overlap { first: String, second: String, start: u64, end: u64 },
    /// The counts end the header where another entry plainly follows.
    #[error("{subject} ends the header at offset {offset}, but one more entry `{}` follows", show(.found))]
    TrailingBytes { subject: &'static str, offset: u64, found: Vec<u8> },
    /// One part of a split model was given where a whole file was expected.
    #[error("this is part {} of {count} of a split model; open all parts together, in order", .no + 1)]
    PartOfSplit { no: u32, count: u32 },
    /// A set of parts, or a part's name, that cannot be what it says.
    #[error("split model, {subject}: expected {expected}, found {found}")]
    BadSplit { subject: String, expected: String, found: String },
    /// Parts that were joined into one file.
    #[error(
        "another GGUF file begins at offset {offset}: the parts of a split model were joined with `cat`; keep them apart and open the first, or merge them with a tool that rewrites the header"
    )]
    InconsistentSplit { offset: u64 },
    /// A key that must be there is not.
    #[error("key `{}` is missing", show(.key))]
    MissingKey { key: String },
    /// More or fewer bytes given for a tensor than it has.
    #[error("tensor `{}`: expected {expected} bytes, given {found}", show(.name))]
    DataLength { name: String, expected: u64, found: u64 },
    /// The output of the writer failed.
    #[error("cannot write the file: {0}")]
    Write(#[from] std::io::Error),
    /// An error in one part of a split model; parts count from 0.
    #[error("part {}: {error}", .part + 1)]
    InPart { part: usize, error: Box<GgufError> },
}

impl GgufError {
    /// The error itself, without the note of which part of a split model it was found in.
    pub fn root(&self) -> &GgufError {
        match self {
            // `in_part` never wraps twice, so one step suffices.
            Self::InPart { error, .. } => error,
            other => other,
        }
    }

    pub(crate) fn in_part(self, part: usize) -> Self {
        match self {
            Self::InPart { .. } => self,
            other => Self::InPart { part, error: Box::new(other) },
        }
    }
}

/// Something odd that does not stop the model from loading.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum GgufWarning {
    /// Bytes after the last tensor and its padding.
    TrailingBytes {
        /// Index of the part, 0 for a single file.
        part: usize,
        /// Where they begin.
        offset: u64,
        /// How many there are.
        bytes: u64,
    },
    /// Holes between tensors that alignment does not explain.
    Gaps {
        /// Index of the part, 0 for a single file.
        part: usize,
        /// How many holes.
        count: u64,
        /// Their bytes together.
        bytes: u64,
    },
    /// Keys of a later part of a split model; only the first part's metadata is used.
    IgnoredKeys {
        /// Index of the part.
        part: usize,
        /// How many keys.
        count: u64,
    },
}

impl std::fmt::Display for GgufWarning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::TrailingBytes { part, offset, bytes } => {
                write!(f, "part {}: {bytes} unused bytes after the last tensor, from offset {offset}", part + 1)
            }
            Self::Gaps { part, count, bytes } => {
                write!(f, "part {}: {count} gaps between tensors, {bytes} bytes together", part + 1)
            }
            Self::IgnoredKeys { part, count } => {
                write!(f, "part {}: {count} keys ignored; the first part's metadata is used", part + 1)
            }
        }
    }
}

/// Longest name shown whole; a 64 KiB key must not fill the terminal.
const SHOWN_BYTES: usize = 96;

/// A name as printable ASCII, shortened.
pub(crate) fn show(name: impl AsRef<[u8]>) -> String {
    let name = name.as_ref();
    let head = name.get(..SHOWN_BYTES).unwrap_or(name);
    let mut text = head.escape_ascii().to_string();
    if head.len() < name.len() {
        // Writing to a String cannot fail.
        let _ = write!(text, "... ({} bytes)", name.len());
    }
    text
}

fn at(offset: &Option<u64>) -> String {
    offset.map_or_else(String::new, |offset| format!(" at offset {offset}"))
}

fn list(tensors: &[(String, &'static str)]) -> String {
    const SHOWN: usize = 8;
    let mut text = String::new();
    for (i, (name, ty)) in tensors.iter().take(SHOWN).enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        let _ = write!(text, "{comma}`{}` ({ty})", show(name));
    }
    if tensors.len() > SHOWN {
        let _ = write!(text, " and {} more", tensors.len() - SHOWN);
    }
    text
}
