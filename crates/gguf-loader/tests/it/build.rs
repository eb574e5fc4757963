//! Files made byte by byte, so that every field can lie.

use rocmforge_gguf_loader::{Gguf, GgufError, GgufWarning};

pub const U8: u32 = 0;
pub const U16: u32 = 2;
pub const U32: u32 = 4;
pub const I32: u32 = 5;
pub const F32: u32 = 6;
pub const BOOL: u32 = 7;
pub const STRING: u32 = 8;
pub const ARRAY: u32 = 9;
pub const U64: u32 = 10;

/// Tensor types, by the format's numbers.
pub const T_F32: u32 = 0;
pub const T_Q4_0: u32 = 2;
pub const T_Q4_K: u32 = 12;

/// Bytes that grow by little-endian fields.
#[derive(Clone, Default)]
pub struct Raw(pub Vec<u8>);

impl Raw {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn bytes(mut self, bytes: impl AsRef<[u8]>) -> Self {
        self.0.extend(bytes.as_ref());
        self
    }

    pub fn u32(self, value: u32) -> Self {
        self.bytes(value.to_le_bytes())
    }

    pub fn u64(self, value: u64) -> Self {
        self.bytes(value.to_le_bytes())
    }

    /// A length, and the text.
    pub fn text(self, text: impl AsRef<[u8]>) -> Self {
        self.u64(text.as_ref().len() as u64).bytes(text)
    }
}

/// A key, a type, and the value's bytes.
pub fn pair(key: impl AsRef<[u8]>, kind: u32, value: impl AsRef<[u8]>) -> Vec<u8> {
    Raw::new().text(key).u32(kind).bytes(value).0
}

pub fn text_pair(key: &str, value: impl AsRef<[u8]>) -> Vec<u8> {
    pair(key, STRING, Raw::new().text(value).0)
}

pub fn array_pair(key: &str, kind: u32, count: u64, elements: impl AsRef<[u8]>) -> Vec<u8> {
    pair(key, ARRAY, Raw::new().u32(kind).u64(count).bytes(elements).0)
}

pub fn entry(name: impl AsRef<[u8]>, dims: &[u64], ty: u32, offset: u64) -> Vec<u8> {
    let dims_count = dims.len() as u32;
    let raw = Raw::new().text(name).u32(dims_count);
    dims.iter().fold(raw, |raw, dim| raw.u64(*dim)).u32(ty).u64(offset).0
}

#[derive(Clone)]
pub struct File {
    pub magic: [u8; 4],
    pub version: u32,
    /// What the header claims; `None` for the truth.
    pub tensor_count: Option<u64>,
    pub key_count: Option<u64>,
    pub pairs: Vec<Vec<u8>>,
    pub entries: Vec<Vec<u8>>,
    pub alignment: usize,
    pub data: Vec<u8>,
}

impl Default for File {
    fn default() -> Self {
        Self {
            magic: *b"GGUF",
            version: 3,
            tensor_count: None,
            key_count: None,
            pairs: vec![],
            entries: vec![],
            alignment: 32,
            data: vec![],
        }
    }
}

impl File {
    /// A small sound file: two keys, two f32 tensors of 8 elements, 64 bytes of data.
    pub fn sound() -> Self {
        Self {
            pairs: vec![
                text_pair("general.architecture", "llama"),
                pair("llama.block_count", U32, 2_u32.to_le_bytes()),
            ],
            entries: vec![entry("a.weight", &[8], T_F32, 0), entry("b.weight", &[4, 2], T_F32, 32)],
            data: (0..64).collect(),
            ..Self::default()
        }
    }

    pub fn with_pair(mut self, pair: Vec<u8>) -> Self {
        self.pairs.push(pair);
        self
    }

    /// One f32-sized data section and the given table.
    pub fn with_entries(entries: impl IntoIterator<Item = Vec<u8>>, data_len: usize) -> Self {
        Self { entries: entries.into_iter().collect(), data: vec![7; data_len], ..Self::default() }
    }

    /// Everything before the data section's padding.
    pub fn header(&self) -> Vec<u8> {
        let raw = Raw::new()
            .bytes(self.magic)
            .u32(self.version)
            .u64(self.tensor_count.unwrap_or(self.entries.len() as u64))
            .u64(self.key_count.unwrap_or(self.pairs.len() as u64));
        self.pairs.iter().chain(&self.entries).fold(raw, |raw, bytes| raw.bytes(bytes)).0
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header();
        if !self.data.is_empty() {
            bytes.resize(bytes.len().next_multiple_of(self.alignment), 0);
        }
        bytes.extend(&self.data);
        bytes
    }

    pub fn parse(&self) -> Result<Gguf<Vec<u8>>, GgufError> {
        Gguf::parse(self.bytes())
    }

    /// Parses a file that must be refused.
    pub fn refused(&self) -> GgufError {
        refused(self.bytes())
    }

    pub fn warnings(&self) -> Vec<GgufWarning> {
        self.parse().expect("sound").warnings().to_vec()
    }
}

/// The error that `bytes` must give, after a look at how it reads.
pub fn refused(bytes: impl AsRef<[u8]>) -> GgufError {
    readable(Gguf::parse(bytes).err().expect("the file must be refused"))
}

/// Whatever the file holds, a message is one short line of printable ASCII.
pub fn readable(error: GgufError) -> GgufError {
    let text = error.to_string();
    assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "not printable: {text:?}");
    assert!(text.len() < 2000, "too long: {} bytes", text.len());
    error
}

/// Asserts an error's variant and, where given, its fields.
#[macro_export]
macro_rules! assert_error {
    ($error:expr, $pattern:pat $(if $guard:expr)?) => {
        match $error {
            $pattern $(if $guard)? => {}
            other => panic!("expected {}, found {other:?}", stringify!($pattern $(if $guard)?)),
        }
    };
}
