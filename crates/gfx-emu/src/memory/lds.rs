//! A workgroup's local data share.

/// LDS of one workgroup.
#[derive(Debug, Clone)]
pub struct Lds {
    bytes: Vec<u8>,
}

impl Lds {
    /// So many bytes, none of them written.
    pub fn new(bytes: u32) -> Self {
        Self { bytes: vec![0; bytes as usize] }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
