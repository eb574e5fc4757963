//! Code objects as bytes.
//!
//! The runtime is given an address without a length, so that a truncated image would make it read past the end.

use std::ffi::c_void;
use std::fmt;
use std::ops::Range;

use bytemuck::{Pod, Zeroable};

/// A copy of a code object as the runtime may keep it: aligned to a page, with zeros behind it, which end an image
/// that is text.
pub(crate) struct Image(Vec<Page>);

#[repr(C, align(4096))]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Page([u8; 4096]);

impl Image {
    /// # Errors
    /// What is wrong with the bytes, in words.
    pub fn new(bytes: &[u8]) -> Result<Self, &'static str> {
        check(bytes)?;
        let mut pages = vec![Page::zeroed(); bytes.len() / size_of::<Page>() + 1];
        bytemuck::cast_slice_mut(&mut pages)[..bytes.len()].copy_from_slice(bytes);
        Ok(Self(pages))
    }

    pub fn address(&self) -> *const c_void {
        self.0.as_ptr().cast()
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Image of {} pages", self.0.len())
    }
}

const BUNDLE: &[u8] = b"__CLANG_OFFLOAD_BUNDLE__";

fn check(bytes: &[u8]) -> Result<(), &'static str> {
    match bytes {
        [] => Err("it is empty"),
        [0x7f, b'E', b'L', b'F', ..] => check_elf(bytes),
        [b'C', b'C', b'O', b'B', ..] => Err("it is a compressed bundle"),
        _ if bytes.starts_with(BUNDLE) => check_bundle(bytes),
        // Text, which ends with the first zero.
        _ => Ok(()),
    }
}

/// Every header and every part that a header points to lies inside the bytes.
fn check_elf(bytes: &[u8]) -> Result<(), &'static str> {
    const CUT: &str = "it is cut short";
    const NO_BITS: u64 = 8;
    if bytes.get(4..6) != Some(&[2, 1]) {
        return Err("it is no 64-bit little-endian ELF file");
    }
    let reader = Reader(bytes);
    let table = |offset: usize, sizes: usize| -> Option<Vec<usize>> {
        let start = reader.u64(offset)?;
        let (size, count) = (reader.u16(sizes)?, reader.u16(sizes + 2)?);
        reader.part(start, size.checked_mul(count)?)?;
        Some((0..count).map(|i| (start + i * size) as usize).collect())
    };
    let segments = table(0x20, 0x36).ok_or(CUT)?;
    let sections = table(0x28, 0x3a).ok_or(CUT)?;
    for at in segments {
        reader.part_at(at + 0x08, at + 0x20).ok_or(CUT)?;
    }
    for at in sections {
        if reader.u32(at + 0x04).ok_or(CUT)? != NO_BITS {
            reader.part_at(at + 0x18, at + 0x20).ok_or(CUT)?;
        }
    }
    Ok(())
}

/// Every entry of a clang offload bundle lies inside the bytes.
fn check_bundle(bytes: &[u8]) -> Result<(), &'static str> {
    const CUT: &str = "its bundle is cut short";
    let reader = Reader(bytes);
    let count = reader.u64(BUNDLE.len()).ok_or(CUT)?;
    let mut at = BUNDLE.len() + 8;
    for _ in 0..count {
        reader.part_at(at, at + 8).ok_or(CUT)?;
        let name = reader.u64(at + 16).ok_or(CUT)?;
        at = reader.part((at + 24) as u64, name).ok_or(CUT)?.end;
    }
    Ok(())
}

/// Little-endian numbers at checked places.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number<const N: usize>(&self, at: usize) -> Option<u64> {
        let mut wide = [0; 8];
        wide[..N].copy_from_slice(self.0.get(at..at.checked_add(N)?)?);
        Some(u64::from_le_bytes(wide))
    }

    fn u16(&self, at: usize) -> Option<u64> {
        self.number::<2>(at)
    }

    fn u32(&self, at: usize) -> Option<u64> {
        self.number::<4>(at)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        self.number::<8>(at)
    }

    /// A range, if the bytes have it.
    fn part(&self, start: u64, len: u64) -> Option<Range<usize>> {
        let end = start.checked_add(len).filter(|end| *end <= self.0.len() as u64)?;
        Some(start as usize..end as usize)
    }

    /// The range whose start and length stand at two places.
    fn part_at(&self, start: usize, len: usize) -> Option<Range<usize>> {
        self.part(self.u64(start)?, self.u64(len)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Header, one segment header, one section header, four bytes that both point to.
    fn elf() -> Vec<u8> {
        let mut bytes = vec![0u8; 64 + 56 + 64 + 4];
        let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
        put(0, b"\x7fELF\x02\x01");
        put(0x20, &64u64.to_le_bytes());
        put(0x28, &120u64.to_le_bytes());
        put(0x36, &[56, 0, 1, 0, 64, 0, 1, 0]);
        put(64 + 0x08, &184u64.to_le_bytes());
        put(64 + 0x20, &4u64.to_le_bytes());
        put(120 + 0x18, &184u64.to_le_bytes());
        put(120 + 0x20, &4u64.to_le_bytes());
        bytes
    }

    fn bundle() -> Vec<u8> {
        let mut bytes = BUNDLE.to_vec();
        for number in [1u64, 60, 4, 4] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(b"host\x00data");
        bytes.truncate(64);
        bytes
    }

    #[test]
    fn a_whole_image_passes_and_every_prefix_of_it_fails() {
        for whole in [elf(), bundle()] {
            assert_eq!(check(&whole), Ok(()));
            for end in (0..whole.len()).filter(|end| !(1..24).contains(end)) {
                assert!(check(&whole[..end]).is_err(), "{end} of {} bytes", whole.len());
            }
        }
    }

    #[test]
    fn any_damage_is_an_answer() {
        for whole in [elf(), bundle()] {
            for at in 0..whole.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut damaged = whole.clone();
                    damaged[at] = value;
                    let _ = check(&damaged);
                }
            }
        }
    }

    #[test]
    fn an_image_is_aligned_and_ends_with_zero() {
        for len in [1, 4095, 4096, 4097] {
            let image = Image::new(&vec![b'x'; len]).expect("text");
            assert!((image.address() as usize).is_multiple_of(4096));
            assert_eq!(bytemuck::cast_slice::<Page, u8>(&image.0)[len], 0);
        }
    }
}
