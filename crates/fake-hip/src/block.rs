//! Pieces of host memory with room for guards.

use std::alloc::{Layout, alloc, dealloc};
use std::ops::Range;

/// Alignment of every allocation, as HIP gives it.
pub(crate) const ALIGN: usize = 256;
/// Bytes of guard on either side.
const GUARD: usize = 256;

/// Memory with one allocation in it, given back on drop.
#[derive(Debug)]
pub(crate) struct Block {
    address: usize,
    writable: Range<usize>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Heap(Layout),
    /// The whole mapping.
    #[cfg(unix)]
    Pages {
        start: usize,
        bytes: usize,
    },
}

impl Block {
    /// An allocation of `bytes` between guards that may be written; `None` without memory.
    pub(crate) fn with_guards(bytes: usize) -> Option<Self> {
        let whole = bytes.checked_next_multiple_of(ALIGN)?.checked_add(2 * GUARD)?;
        let layout = Layout::from_size_align(whole, ALIGN).ok()?;
        // SAFETY: the layout is not empty.
        let start = unsafe { alloc(layout) } as usize;
        let block = Self { address: start + GUARD, writable: start..start + whole, source: Source::Heap(layout) };
        (start != 0).then_some(block)
    }

    /// An allocation of `bytes` before and behind which lie pages without access; it ends at the latter, but for what
    /// its alignment needs.
    #[cfg(unix)]
    pub(crate) fn with_pages(bytes: usize) -> Option<Self> {
        // As large as the pages of any system that we know.
        const PAGE: usize = 64 * 1024;
        let aligned = bytes.checked_next_multiple_of(ALIGN)?;
        let inside = aligned.checked_add(GUARD)?.checked_next_multiple_of(PAGE)?;
        let whole = inside.checked_add(2 * PAGE)?;
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANON);
        // SAFETY: a new mapping, of memory that nobody else uses.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), whole, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return None;
        }
        let source = Source::Pages { start: start as usize, bytes: whole };
        let first = start as usize + PAGE;
        let block = Self { address: first + inside - aligned, writable: first..first + inside, source };
        // SAFETY: pages of the mapping.
        let opened = unsafe { libc::mprotect(first as *mut libc::c_void, inside, access) };
        (opened == 0).then_some(block)
    }

    #[cfg(not(unix))]
    pub(crate) fn with_pages(bytes: usize) -> Option<Self> {
        Self::with_guards(bytes)
    }

    /// Where the allocation begins, a multiple of [`ALIGN`].
    pub(crate) fn address(&self) -> usize {
        self.address
    }

    /// The allocation with its guards.
    pub(crate) fn writable(&self) -> Range<usize> {
        self.writable.clone()
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        match self.source {
            // SAFETY: the memory came from `alloc` with this layout, and the block was its only owner.
            Source::Heap(layout) => unsafe { dealloc(self.writable.start as *mut u8, layout) },
            // SAFETY: the mapping is the block's own. It can only fail for addresses that are none.
            #[cfg(unix)]
            Source::Pages { start, bytes } => unsafe {
                libc::munmap(start as *mut libc::c_void, bytes);
            },
        }
    }
}
