//! Host memory that the device reads and writes by itself.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};

use hip_sys::{hipError_t, hipHostMallocDefault};

use super::buffer::check_range;
use super::handle::Handle;
use super::{Device, HipError, Stream};

/// Pinned host memory with one owner, zeroed at first.
///
/// Copies from and to it run while the host goes on. So that nobody reads half a result or overwrites what is still
/// being read, the buffer remembers its copies: [`as_slice`](Self::as_slice) and [`as_mut_slice`](Self::as_mut_slice)
/// refuse with [`HipError::InFlight`] until someone has waited for them, with [`Stream::synchronize`], with
/// [`Event::synchronize`](super::Event::synchronize) on an event recorded after the copy, or with
/// [`wait`](Self::wait). Waiting is never hidden in an access.
#[derive(Debug)]
pub struct PinnedBuffer {
    device: Device,
    memory: Handle<c_void>,
    len: usize,
    uses: Mutex<Uses>,
}

/// Copies that may still be running.
#[derive(Debug, Default)]
struct Uses {
    /// The device reads the memory.
    reads: Vec<Use>,
    /// The device writes the memory.
    writes: Vec<Use>,
}

#[derive(Debug)]
struct Use {
    stream: Stream,
    ticket: u64,
}

impl PinnedBuffer {
    pub(crate) fn alloc(device: &Device, len: usize) -> Result<Self, HipError> {
        let api = device.enter()?;
        let mut memory = null_mut();
        // SAFETY: the function writes one pointer.
        let status = unsafe { api.hipHostMalloc(&mut memory, len.max(1), hipHostMallocDefault) };
        if status == hipError_t::hipErrorOutOfMemory {
            return Err(device.out_of_memory("pinned host memory", len as u64));
        }
        device.check_sized("hipHostMalloc", len, status)?;
        let memory = Handle::new(memory, "hipHostMalloc")?;
        // SAFETY: `len` bytes that HIP just allocated, which nobody else knows of.
        unsafe { memory.raw().cast::<u8>().write_bytes(0, len) };
        device.ledger().insert_pinned(len as u64);
        Ok(Self { device: device.clone(), memory, len, uses: Mutex::default() })
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes, for reading.
    ///
    /// # Errors
    /// [`HipError::InFlight`]: a copy into them may be running. [`HipError::DeviceLost`]: it will never end.
    pub fn as_slice(&self) -> Result<&[u8], HipError> {
        self.expect_done(|uses| &mut uses.writes)?;
        // SAFETY: `len` initialised bytes that live as long as `self`. No copy writes them: those enqueued so far are
        // done, and the next one needs `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(self.memory.raw().cast::<u8>(), self.len) })
    }

    /// The bytes, for writing.
    ///
    /// # Errors
    /// [`HipError::InFlight`]: a copy from or into them may be running. [`HipError::DeviceLost`]: it will never end.
    pub fn as_mut_slice(&mut self) -> Result<&mut [u8], HipError> {
        self.expect_done(|uses| &mut uses.writes)?;
        self.expect_done(|uses| &mut uses.reads)?;
        // SAFETY: as above, and no copy reads them: the next one borrows `self`.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.memory.raw().cast::<u8>(), self.len) })
    }

    /// Whether a copy from or into the memory may be running: whoever waited for a step that used it has waited for
    /// its copies.
    pub fn is_in_use(&self) -> bool {
        self.lock().running().is_some()
    }

    /// Waits for the copies from and into the memory.
    ///
    /// # Errors
    /// [`HipError::Call`], [`HipError::DeviceLost`].
    pub fn wait(&self) -> Result<(), HipError> {
        while let Some(stream) = self.lock().running() {
            stream.synchronize()?;
        }
        Ok(())
    }

    fn expect_done(&self, of: impl Fn(&mut Uses) -> &mut Vec<Use>) -> Result<(), HipError> {
        let mut uses = self.lock();
        let uses = of(&mut uses);
        uses.retain(|one| !one.stream.has_done(one.ticket));
        if uses.is_empty() {
            return Ok(());
        }
        self.device.enter()?;
        Err(HipError::InFlight { len: self.len as u64 })
    }

    /// The first byte of a range that a copy is about to use.
    pub(crate) fn range(&self, range: &Range<usize>) -> Result<*mut c_void, HipError> {
        check_range("pinned memory", range, self.len)?;
        // SAFETY: the range was just found to start inside the memory or at its end.
        Ok(unsafe { self.memory.raw().byte_add(range.start) })
    }

    /// Notes that the device reads the memory until `stream` has done `ticket`.
    pub(crate) fn note_read(&self, stream: &Stream, ticket: u64) {
        note(&mut self.lock().reads, stream, ticket);
    }

    /// Notes that the device writes the memory until `stream` has done `ticket`.
    pub(crate) fn note_write(&self, stream: &Stream, ticket: u64) {
        note(&mut self.lock().writes, stream, ticket);
    }

    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    fn lock(&self) -> MutexGuard<'_, Uses> {
        // Lists are whole at any time: nothing panics between their changes.
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One entry a stream, so that the list stays as short as there are streams.
fn note(uses: &mut Vec<Use>, stream: &Stream, ticket: u64) {
    match uses.iter_mut().find(|one| one.stream.is(stream)) {
        Some(one) => one.ticket = one.ticket.max(ticket),
        None => uses.push(Use { stream: stream.clone(), ticket }),
    }
}

impl Uses {
    /// A stream that has not done all yet.
    fn running(&self) -> Option<Stream> {
        let mut all = self.reads.iter().chain(&self.writes);
        all.find(|one| !one.stream.has_done(one.ticket)).map(|one| one.stream.clone())
    }
}

impl Drop for PinnedBuffer {
    fn drop(&mut self) {
        self.device.ledger().remove_pinned(self.len as u64);
        if let Some(stream) = self.lock().running() {
            stream.wait_in_drop();
        }
        if let Some(api) = self.device.enter_to_release() {
            // SAFETY: the memory came from `hipHostMalloc` and has this one owner; freeing waits for the device, in
            // case a second stream copies still.
            let status = unsafe { api.hipHostFree(self.memory.raw()) };
            self.device.note_release("hipHostFree", status);
        }
    }
}
