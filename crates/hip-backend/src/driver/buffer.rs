//! Device memory.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr::null_mut;
use std::sync::Arc;

use hip_sys::hipError_t;

use super::handle::Handle;
use super::{Device, DevicePtr, HipError};

/// Alignment that every allocation must have, since plane and arena offsets are multiples of it.
const ALIGNMENT: u64 = 256;

/// Byte that poison mode fills with: NaN in every float format.
const POISON: i32 = 0xFF;

/// Device memory with one owner, freed once when that is dropped.
///
/// Freeing waits for all work of the device (HIP: "This API performs an implicit hipDeviceSynchronize() call"), so
/// that a buffer may be dropped while work that uses it is still running.
#[derive(Debug)]
pub struct Buffer {
    allocation: Arc<Allocation>,
    what: &'static str,
}

/// What a buffer owns; a recorded graph shares it.
#[derive(Debug)]
pub(crate) struct Allocation {
    device: Device,
    memory: Handle<c_void>,
    len: usize,
}

impl Buffer {
    pub(crate) fn alloc(device: &Device, len: usize, what: &'static str) -> Result<Self, HipError> {
        device.enter()?;
        device.ledger().reserve(len as u64, what)?;
        let memory = malloc(device, len, what).inspect_err(|_| device.ledger().cancel(len as u64))?;
        let allocation = Arc::new(Allocation { device: device.clone(), memory, len });
        device.ledger().insert(memory.address(), len as u64, &allocation);
        let buffer = Self { allocation, what };
        buffer.check_alignment()?;
        if device.poisons() {
            buffer.poison()?;
        }
        Ok(buffer)
    }

    fn check_alignment(&self) -> Result<(), HipError> {
        if self.ptr().addr().is_multiple_of(ALIGNMENT) {
            return Ok(());
        }
        let found = format!("an address of {:#x}", self.ptr().addr());
        let ordinal = self.device().ordinal();
        Err(HipError::ImplausibleDevice { ordinal, property: "alignment of memory", found })
    }

    /// Fills with 0xFF and waits, since streams do not wait for the null stream.
    fn poison(&self) -> Result<(), HipError> {
        let device = self.device();
        let api = device.enter()?;
        // SAFETY: the whole of a live allocation, on the null stream.
        let status = unsafe { api.hipMemsetAsync(self.ptr().as_mut(), POISON, self.len(), null_mut()) };
        device.check_sized("hipMemsetAsync", self.len(), status)?;
        // SAFETY: the null stream is always there.
        let status = unsafe { api.hipStreamSynchronize(null_mut()) };
        device.check("hipStreamSynchronize", status)
    }

    /// First address.
    pub fn ptr(&self) -> DevicePtr {
        DevicePtr::new(self.allocation.memory.address())
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.allocation.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What the memory is for, as given to [`Device::alloc`].
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// The device that the memory is on.
    pub fn device(&self) -> &Device {
        &self.allocation.device
    }

    /// All of it.
    pub fn as_view(&self) -> View<'_> {
        View { buffer: self, start: 0, len: self.len() }
    }

    /// The bytes of a range.
    ///
    /// # Errors
    /// [`HipError::OutOfRange`].
    pub fn view(&self, range: Range<usize>) -> Result<View<'_>, HipError> {
        self.as_view().slice(range)
    }

    /// Frees the memory now and says whether that worked. [`HipError::EarlierRelease`] may speak of another object.
    ///
    /// # Errors
    /// [`HipError::EarlierRelease`], [`HipError::DeviceLost`].
    pub fn free(self) -> Result<(), HipError> {
        let device = self.device().clone();
        drop(self);
        device.enter().map(|_| ())
    }
}

fn malloc(device: &Device, len: usize, what: &'static str) -> Result<Handle<c_void>, HipError> {
    let api = device.enter()?;
    let mut memory = null_mut();
    // HIP gives no address for no bytes, and every buffer has one.
    // SAFETY: the function writes one pointer.
    let status = unsafe { api.hipMalloc(&mut memory, len.max(1)) };
    if status == hipError_t::hipErrorOutOfMemory {
        return Err(device.out_of_memory(what, len as u64));
    }
    device.check_sized("hipMalloc", len, status)?;
    Handle::new(memory, "hipMalloc")
}

impl Drop for Allocation {
    fn drop(&mut self) {
        // First, since the driver may give the address to another thread as soon as it is free.
        self.device.ledger().remove(self.memory.address());
        if let Some(api) = self.device.enter_to_release() {
            // SAFETY: the memory came from `hipMalloc` and has this one owner; freeing waits for work that uses it.
            let status = unsafe { api.hipFree(self.memory.raw()) };
            self.device.note_release("hipFree", status);
        }
    }
}

/// A range of a [`Buffer`].
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    buffer: &'a Buffer,
    start: usize,
    len: usize,
}

impl<'a> View<'a> {
    /// First address.
    pub fn ptr(&self) -> DevicePtr {
        self.buffer.ptr().add(self.start)
    }

    /// Bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The buffer that it is a range of.
    pub fn buffer(&self) -> &'a Buffer {
        self.buffer
    }

    /// Bytes from the start of the buffer.
    pub fn offset(&self) -> usize {
        self.start
    }

    /// The bytes of a range of this range.
    ///
    /// # Errors
    /// [`HipError::OutOfRange`].
    pub fn slice(&self, range: Range<usize>) -> Result<View<'a>, HipError> {
        check_range(self.buffer.what, &range, self.len)?;
        // In range, so that the sum is at most the length of the buffer.
        Ok(View { buffer: self.buffer, start: self.start + range.start, len: range.end - range.start })
    }
}

/// # Errors
/// [`HipError::OutOfRange`]: not a range of `0..len`.
pub(crate) fn check_range(what: &'static str, range: &Range<usize>, len: usize) -> Result<(), HipError> {
    if range.start <= range.end && range.end <= len {
        return Ok(());
    }
    Err(HipError::OutOfRange { what, start: range.start as u64, end: range.end as u64, len: len as u64 })
}
