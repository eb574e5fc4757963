//! How much a file may claim before it is refused.

/// Upper bounds on what one file may hold.
///
/// The defaults are far above every published model and low enough that a hostile header
/// is refused in milliseconds. Start from [`Limits::default`] and change single fields.
///
/// A bound only ever tightens what the file's own length already allows: nothing is
/// reserved on the word of a length field alone.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Longest key, in bytes.
    pub key_bytes: u64,
    /// Longest tensor name, in bytes.
    pub name_bytes: u64,
    /// Longest string value, in bytes (chat templates are the long ones).
    pub string_bytes: u64,
    /// Longest string inside an array, in bytes (a token, a merge).
    pub array_string_bytes: u64,
    /// Most elements in one array.
    pub array_elements: u64,
    /// Most key-value pairs in one part.
    pub keys: u64,
    /// Most tensors in one part.
    pub tensors: u64,
    /// Most dimensions of a tensor.
    pub dims: u32,
    /// Smallest alignment accepted, in bytes.
    pub alignment_min: u64,
    /// Largest alignment accepted, in bytes.
    pub alignment_max: u64,
    /// Most parts of a split file.
    pub parts: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            key_bytes: 65_535,
            name_bytes: 63,
            string_bytes: 16 << 20,
            array_string_bytes: 1 << 20,
            array_elements: 64 << 20,
            keys: 65_536,
            tensors: 131_072,
            dims: 4,
            alignment_min: 8,
            alignment_max: 1 << 20,
            parts: 4_096,
        }
    }
}
