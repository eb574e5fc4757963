//! The memory of a code object: its segments at their places in one allocation that never moves.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::Range;
use std::ptr::NonNull;

use ::object::LittleEndian;
use ::object::elf::{PF_W, PF_X, PT_LOAD};
use ::object::read::elf::{FileHeader, ProgramHeader};

use super::Elf;
use super::error::ObjectError;

const PAGE_BYTES: u64 = 4096;
/// Code and constants are far smaller; more is a malformed file.
const IMAGE_BYTES_MAX: u64 = 256 << 20;

/// The loaded segments. The address of what a file has at virtual address `v` is [`Image::base`] + `v`.
pub struct Image {
    pages: Pages,
    /// Lowest virtual address, a multiple of the page size.
    start: u64,
    segments: Vec<Segment>,
}

/// A piece of the image with its rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Absolute addresses, in bytes, with the zeroes behind what the file holds.
    pub range: Range<u64>,
    /// Whether kernels may write to it.
    pub writable: bool,
    /// Whether it holds code.
    pub executable: bool,
}

impl Image {
    /// Lays out the segments of a file.
    pub(super) fn load(header: &Elf, bytes: &[u8]) -> Result<Self, ObjectError> {
        let endian = LittleEndian;
        let loads = header.program_headers(endian, bytes)?.iter();
        let loads: Vec<_> = loads.filter(|segment| segment.p_type(endian) == PT_LOAD).collect();
        let ranges = loads.iter().map(|load| virtual_range(load.p_vaddr(endian), load.p_memsz(endian)));
        let ranges = ranges.collect::<Result<Vec<_>, _>>()?;
        let span = span(&ranges)?;
        let mut image = Self { pages: Pages::zeroed(span.end - span.start)?, start: span.start, segments: Vec::new() };
        for (load, range) in loads.iter().zip(ranges) {
            let data = load.data(endian, bytes).map_err(|()| malformed("a segment lies outside of the file"))?;
            if data.len() as u64 > range.end - range.start {
                return Err(malformed("a segment is larger in the file than in memory"));
            }
            if let Some(place) = image.virtual_bytes_mut(range.start, data.len()) {
                place.copy_from_slice(data);
            }
            let flags = load.p_flags(endian);
            let range = image.base().wrapping_add(range.start)..image.base().wrapping_add(range.end);
            image.segments.push(Segment { range, writable: flags & PF_W != 0, executable: flags & PF_X != 0 });
        }
        image.segments.retain(|segment| !segment.range.is_empty());
        image.segments.sort_by_key(|segment| segment.range.start);
        Ok(image)
    }

    /// The address of virtual address 0. It lies outside of the image if its first segment begins further on.
    pub fn base(&self) -> u64 {
        self.address().wrapping_sub(self.start)
    }

    /// All addresses of the image, those between its segments and up to the end of its last page too.
    pub fn range(&self) -> Range<u64> {
        self.address()..self.address() + self.pages.bytes().len() as u64
    }

    /// Whether an address lies in a segment.
    pub fn contains(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| segment.range.contains(&address))
    }

    /// Sorted by address; none overlaps another.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The code: each executable segment's address and bytes.
    pub fn text(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let code = self.segments.iter().filter(|segment| segment.executable);
        code.filter_map(|segment| Some((segment.range.start, self.read(segment.range.clone())?)))
    }

    /// The bytes of a range of addresses within the image. Segments that are writable are device memory: whoever lets
    /// a kernel write to them must see that nobody holds their bytes meanwhile.
    pub fn read(&self, range: Range<u64>) -> Option<&[u8]> {
        let start = usize::try_from(range.start.checked_sub(self.address())?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.address())?).ok()?;
        self.pages.bytes().get(start..end)
    }

    /// The whole image, from the start of its [`Self::range`] on; with the reservation of [`Self::read`].
    pub fn bytes(&self) -> &[u8] {
        self.pages.bytes()
    }

    /// The bytes at a virtual address of the file.
    pub(super) fn virtual_bytes(&self, address: u64, count: usize) -> Option<&[u8]> {
        let start = usize::try_from(address.checked_sub(self.start)?).ok()?;
        self.pages.bytes().get(start..)?.get(..count)
    }

    pub(super) fn virtual_bytes_mut(&mut self, address: u64, count: usize) -> Option<&mut [u8]> {
        let start = usize::try_from(address.checked_sub(self.start)?).ok()?;
        self.pages.bytes_mut().get_mut(start..)?.get_mut(..count)
    }

    fn address(&self) -> u64 {
        self.pages.start.as_ptr().expose_provenance() as u64
    }
}

impl fmt::Debug for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Image").field("range", &self.range()).field("segments", &self.segments).finish()
    }
}

fn malformed(what: &str) -> ObjectError {
    ObjectError::Elf(what.to_owned())
}

fn virtual_range(start: u64, bytes: u64) -> Result<Range<u64>, ObjectError> {
    let end = start.checked_add(bytes).ok_or_else(|| malformed("a segment ends beyond the address space"))?;
    Ok(start..end)
}

/// The pages that hold all ranges, none of which may overlap another.
fn span(ranges: &[Range<u64>]) -> Result<Range<u64>, ObjectError> {
    let mut sorted: Vec<_> = ranges.iter().filter(|range| !range.is_empty()).collect();
    sorted.sort_by_key(|range| range.start);
    if sorted.windows(2).any(|pair| pair[0].end > pair[1].start) {
        return Err(malformed("segments overlap"));
    }
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return Err(malformed("no segments")) };
    let start = first.start / PAGE_BYTES * PAGE_BYTES;
    match last.end - start {
        bytes @ ..=IMAGE_BYTES_MAX => Ok(start..start + bytes),
        bytes => Err(ObjectError::TooLarge { bytes, max: IMAGE_BYTES_MAX }),
    }
}

/// Zeroed memory of page alignment, which owns its bytes.
struct Pages {
    start: NonNull<u8>,
    layout: Layout,
}

impl Pages {
    fn zeroed(bytes: u64) -> Result<Self, ObjectError> {
        let too_large = |_| ObjectError::TooLarge { bytes, max: IMAGE_BYTES_MAX };
        let size = usize::try_from(bytes.next_multiple_of(PAGE_BYTES)).unwrap_or(usize::MAX);
        let layout = Layout::from_size_align(size, PAGE_BYTES as usize).map_err(too_large)?;
        // SAFETY: the size is not 0, because `span` refuses an image without bytes.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        Ok(Self { start, layout })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: the allocation has this size, is initialised, and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.layout.size()) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed by nobody else.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.layout.size()) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `start` came from `alloc_zeroed` with this layout and is freed here alone.
        unsafe { dealloc(self.start.as_ptr(), self.layout) }
    }
}

// SAFETY: the allocation belongs to this value alone and is no thread's in particular.
unsafe impl Send for Pages {}
// SAFETY: a shared reference gives only reads.
unsafe impl Sync for Pages {}
