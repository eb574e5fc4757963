//! A workgroup's local data share.

use super::races::{Conflict, Use, Words};
use super::shadow::Shadow;

/// LDS of one workgroup.
#[derive(Debug, Clone)]
pub struct Lds {
    bytes: Vec<u8>,
    shadow: Shadow,
    /// Who used which word; a workgroup of one wave needs none.
    words: Option<Words>,
}

impl Lds {
    /// So many bytes, none of them written, for so many waves.
    pub fn new(bytes: u32, waves: usize) -> Self {
        let length = bytes as usize;
        let words = (waves > 1).then(|| Words::new(length));
        Self { bytes: vec![0; length], shadow: Shadow::new(bytes.into(), false), words }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Whether all of some bytes were ever written.
    #[inline]
    pub(crate) fn is_written(&self, from: usize, to: usize) -> bool {
        self.shadow.is_written(from as u64, to as u64)
    }

    /// Says whether the values of some bytes mean something.
    #[inline]
    pub(crate) fn mark(&self, from: usize, to: usize, written: bool) {
        if written {
            self.shadow.mark(from as u64, to as u64);
        } else {
            self.shadow.unmark(from as u64, to as u64);
        }
    }

    /// 1, 2 or 4 bytes, low bits first; zero behind the end.
    #[inline(always)]
    pub(crate) fn read(&self, at: usize, bytes: usize) -> u32 {
        let Some(from) = self.bytes.get(at..at + bytes) else { return 0 };
        let mut value = [0; 4];
        value[..bytes].copy_from_slice(from);
        u32::from_le_bytes(value)
    }

    /// Writes the low 1, 2 or 4 bytes of a value; nothing behind the end.
    #[inline(always)]
    pub(crate) fn write(&mut self, at: usize, bytes: usize, value: u32) {
        if let Some(to) = self.bytes.get_mut(at..at + bytes) {
            to.copy_from_slice(&value.to_le_bytes()[..bytes]);
        }
    }

    /// Notes a use after so many barriers, and says which wave stands against it.
    #[inline]
    pub(crate) fn note(&mut self, at: usize, bytes: usize, wave: u32, epoch: u32, use_: Use) -> Option<Conflict> {
        self.words.as_mut()?.note(at, bytes, wave, epoch, use_)
    }
}
