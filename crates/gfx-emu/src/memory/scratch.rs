//! Private memory of a wave's lanes.

use super::shadow::Shadow;

/// Private memory: so many bytes a lane, one lane behind the other.
#[derive(Debug, Clone)]
pub struct Scratch {
    bytes: Vec<u8>,
    stride: u32,
    shadow: Shadow,
}

impl Scratch {
    /// Of so many lanes with so many bytes each, none of them written.
    pub fn new(lanes: usize, stride: u32) -> Self {
        let bytes = lanes * stride as usize;
        Self { bytes: vec![0; bytes], stride, shadow: Shadow::new(bytes as u64, false) }
    }

    /// Bytes of a lane.
    pub fn stride(&self) -> u32 {
        self.stride
    }

    /// Where bytes of a lane are among all, if the lane has them.
    fn at(&self, lane: usize, offset: u64, bytes: usize) -> Option<usize> {
        let end = offset.checked_add(bytes as u64).filter(|end| *end <= self.stride.into())?;
        let start = lane * self.stride as usize + (end as usize - bytes);
        (start + bytes <= self.bytes.len()).then_some(start)
    }

    /// Reads 1, 2 or 4 bytes of a lane, and whether they were written; `None` behind the end.
    pub(crate) fn read(&self, lane: usize, offset: u64, bytes: usize) -> Option<(u32, bool)> {
        let at = self.at(lane, offset, bytes)?;
        let mut value = [0; 4];
        value[..bytes].copy_from_slice(&self.bytes[at..at + bytes]);
        Some((u32::from_le_bytes(value), self.shadow.is_written(at as u64, (at + bytes) as u64)))
    }

    /// Writes the low 1, 2 or 4 bytes of a value, which means something or not; `None` behind the end.
    pub(crate) fn write(&mut self, lane: usize, offset: u64, bytes: usize, value: u32, defined: bool) -> Option<()> {
        let at = self.at(lane, offset, bytes)?;
        self.bytes[at..at + bytes].copy_from_slice(&value.to_le_bytes()[..bytes]);
        let (from, to) = (at as u64, (at + bytes) as u64);
        if defined {
            self.shadow.mark(from, to)
        } else {
            self.shadow.unmark(from, to)
        }
        Some(())
    }
}
