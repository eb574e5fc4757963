//! Zeroed memory that costs nothing until it is used.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;

/// Zeroed bytes, aligned to a cache line.
pub(super) struct Memory {
    allocation: NonNull<u8>,
    layout: Layout,
    start: NonNull<u8>,
    bytes: usize,
}

// SAFETY: the memory is owned, and plain bytes.
unsafe impl Send for Memory {}
// SAFETY: writes through a shared reference happen in `Layer::put` alone, whose callers borrow the cache mutably.
unsafe impl Sync for Memory {}

const LINE: usize = 64;

impl Memory {
    /// `None` if the system refuses.
    pub fn zeroed(bytes: usize) -> Option<Self> {
        // Asking the allocator for cache lines would make it clear every page by hand; this way pages come from the
        // system, zero and unused, and the first line is found here.
        let layout = Layout::from_size_align(bytes.checked_add(LINE)?, 16).ok()?;
        // SAFETY: the size is not zero.
        let allocation = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        let skip = allocation.as_ptr().align_offset(LINE);
        // SAFETY: `skip` is less than the line added to the size.
        let start = unsafe { allocation.add(skip) };
        Some(Self { allocation, layout, start, bytes })
    }

    #[inline]
    pub fn at(&self, offset: usize) -> *const u8 {
        assert!(offset < self.bytes, "offset {offset} of {} bytes", self.bytes);
        // SAFETY: within the allocation.
        unsafe { self.start.as_ptr().add(offset) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: initialised by `alloc_zeroed`, borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, freed once.
        unsafe { dealloc(self.allocation.as_ptr(), self.layout) }
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.bytes)
    }
}
