//! Reads that check before they step, and name what they were reading when the file ends.

use std::fmt;

use crate::error::{GgufError, show};

/// What is being read. Turned into text only when something is wrong.
#[derive(Clone, Copy)]
pub(crate) enum Subject<'a> {
    Header(&'static str),
    Key(u64),
    Value(&'a str),
    TensorName(u64),
    Tensor(&'a str),
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header(field) => f.write_str(field),
            Self::Key(index) => write!(f, "key number {index}"),
            Self::Value(key) => write!(f, "key `{}`", show(key)),
            Self::TensorName(index) => write!(f, "name of tensor number {index}"),
            Self::Tensor(name) => write!(f, "tensor `{}`", show(name)),
        }
    }
}

/// A position in a byte slice.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, pos: 0 }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.pos as u64
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.pos..).unwrap_or_default()
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.rest().len() as u64
    }

    pub(crate) fn truncated(&self, subject: Subject<'_>, needed: u64) -> GgufError {
        GgufError::Truncated { subject: subject.to_string(), offset: self.offset(), needed, have: self.remaining() }
    }

    fn fixed<const N: usize>(&mut self, subject: Subject<'_>) -> Result<[u8; N], GgufError> {
        let Some(found) = self.rest().first_chunk::<N>() else {
            return Err(self.truncated(subject, N as u64));
        };
        self.pos += N;
        Ok(*found)
    }

    pub(crate) fn magic(&mut self, subject: Subject<'_>) -> Result<[u8; 4], GgufError> {
        self.fixed(subject)
    }

    pub(crate) fn u8(&mut self, subject: Subject<'_>) -> Result<u8, GgufError> {
        self.fixed::<1>(subject).map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self, subject: Subject<'_>) -> Result<u16, GgufError> {
        self.fixed(subject).map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self, subject: Subject<'_>) -> Result<u32, GgufError> {
        self.fixed(subject).map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self, subject: Subject<'_>) -> Result<u64, GgufError> {
        self.fixed(subject).map(u64::from_le_bytes)
    }

    /// The next `count` items of `size` bytes each; `offset` is where the count was read.
    pub(crate) fn items(
        &mut self,
        subject: Subject<'_>,
        offset: u64,
        count: u64,
        size: usize,
        unit: &'static str,
    ) -> Result<&'a [u8], GgufError> {
        let rest = self.rest();
        let wanted = usize::try_from(count).ok().and_then(|count| count.checked_mul(size));
        let Some(found) = wanted.and_then(|wanted| rest.get(..wanted)) else {
            let most = (rest.len() / size.max(1)) as u64;
            return Err(GgufError::LenExceedsFile { subject: subject.to_string(), offset, claimed: count, unit, most });
        };
        self.pos += found.len();
        Ok(found)
    }

    /// A length and that many bytes. A length beyond the file is reported before one beyond `limit`.
    pub(crate) fn string(&mut self, subject: Subject<'_>, limit: u64) -> Result<&'a [u8], GgufError> {
        let offset = self.offset();
        let len = self.u64(subject)?;
        let text = self.items(subject, offset, len, 1, "bytes")?;
        check_limit(subject, offset, len, "bytes", limit)?;
        Ok(text)
    }
}

pub(crate) fn check_limit(
    subject: Subject<'_>,
    offset: u64,
    found: u64,
    unit: &'static str,
    limit: u64,
) -> Result<(), GgufError> {
    if found > limit {
        return Err(GgufError::LimitExceeded { subject: subject.to_string(), offset, found, unit, limit });
    }
    Ok(())
}
