//! Streams: work in order.

use std::ops::Range;
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hip_sys::{Api, hipError_t, hipMemcpyKind, hipStream_t, hipStreamNonBlocking, ihipStream_t};

use super::buffer::Allocation;
use super::graph::Recorder;
use super::handle::Handle;
use super::{Device, DevicePtr, Event, HipError, PinnedBuffer};

const COPY: &str = "hipMemcpyAsync";
const FILL: &str = "hipMemsetAsync";

/// A queue of work on one device. Work runs in the order in which it was enqueued, after the calls have returned.
///
/// Clones are the same stream. It does not wait for the null stream, nor that for it. The last clone waits for the
/// work when it is dropped.
#[derive(Debug, Clone)]
pub struct Stream(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    device: Device,
    raw: Handle<ihipStream_t>,
    /// Ticket of the latest copy that was enqueued.
    issued: AtomicU64,
    /// Every copy up to this ticket is known to be done.
    done: AtomicU64,
    recorder: Recorder,
}

impl Stream {
    pub(crate) fn new(device: &Device) -> Result<Self, HipError> {
        let api = device.enter()?;
        let mut raw = null_mut();
        // SAFETY: the function writes one handle.
        let status = unsafe { api.hipStreamCreateWithFlags(&mut raw, hipStreamNonBlocking) };
        device.check("hipStreamCreateWithFlags", status)?;
        let raw = Handle::new(raw, "hipStreamCreateWithFlags")?;
        let (issued, done) = (AtomicU64::new(0), AtomicU64::new(0));
        Ok(Self(Arc::new(Inner { device: device.clone(), raw, issued, done, recorder: Recorder::default() })))
    }

    /// The device that runs the work.
    pub fn device(&self) -> &Device {
        &self.0.device
    }

    /// Whether two handles are the same stream.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Copies `src[range]` to the device. Not part of a recorded graph.
    ///
    /// # Errors
    /// [`HipError::OutOfRange`]; [`HipError::UnknownMemory`]: the destination is not inside one live buffer;
    /// [`HipError::WhileCapturing`], [`HipError::WrongDevice`], [`HipError::Call`], [`HipError::DeviceLost`].
    pub fn copy_in(&self, dst: DevicePtr, src: &PinnedBuffer, range: Range<usize>) -> Result<(), HipError> {
        let host = src.range(&range)?;
        let api = self.enter_outside_graph(COPY)?;
        self.device().expect_same(src.device(), COPY)?;
        let _alive = self.owner(dst, range.len(), COPY)?;
        let kind = hipMemcpyKind::hipMemcpyHostToDevice;
        // SAFETY: both ranges lie in memory that is alive. The device memory is not freed before the copy is done,
        // since freeing waits for it; the pinned memory remembers the copy, and is neither written nor freed before.
        let status = unsafe { api.hipMemcpyAsync(dst.as_mut(), host, range.len(), kind, self.raw()) };
        // Noted whatever the status is: a failure may be that of earlier work.
        src.note_read(self, self.next_ticket());
        self.device().check_sized(COPY, range.len(), status)
    }

    /// Copies from the device to `dst[range]`. Not part of a recorded graph.
    ///
    /// # Errors
    /// [`HipError::OutOfRange`]; [`HipError::UnknownMemory`]: the source is not inside one live buffer;
    /// [`HipError::WhileCapturing`], [`HipError::WrongDevice`], [`HipError::Call`], [`HipError::DeviceLost`].
    pub fn copy_out(&self, dst: &mut PinnedBuffer, range: Range<usize>, src: DevicePtr) -> Result<(), HipError> {
        let host = dst.range(&range)?;
        let api = self.enter_outside_graph(COPY)?;
        self.device().expect_same(dst.device(), COPY)?;
        let _alive = self.owner(src, range.len(), COPY)?;
        let kind = hipMemcpyKind::hipMemcpyDeviceToHost;
        // SAFETY: as for a copy in; the pinned memory is not read either before the copy is done.
        let status = unsafe { api.hipMemcpyAsync(host, src.as_mut(), range.len(), kind, self.raw()) };
        dst.note_write(self, self.next_ticket());
        self.device().check_sized(COPY, range.len(), status)
    }

    /// Copies `bytes` on the device; the ranges must not overlap.
    ///
    /// # Errors
    /// [`HipError::UnknownMemory`]: a range is not inside one live buffer; [`HipError::Call`],
    /// [`HipError::DeviceLost`].
    pub fn copy(&self, dst: DevicePtr, src: DevicePtr, bytes: usize) -> Result<(), HipError> {
        let api = self.device().enter()?;
        let owners = [self.owner(dst, bytes, COPY)?, self.owner(src, bytes, COPY)?];
        let kind = hipMemcpyKind::hipMemcpyDeviceToDevice;
        // SAFETY: both ranges lie in device memory that is alive, and is not freed before the copy is done.
        let status = unsafe { api.hipMemcpyAsync(dst.as_mut(), src.as_mut(), bytes, kind, self.raw()) };
        owners.into_iter().for_each(|owner| self.hold(owner));
        self.device().check_sized(COPY, bytes, status)
    }

    /// Fills `bytes` of device memory with one value.
    ///
    /// # Errors
    /// [`HipError::UnknownMemory`]: the range is not inside one live buffer; [`HipError::Call`],
    /// [`HipError::DeviceLost`].
    pub fn fill(&self, dst: DevicePtr, byte: u8, bytes: usize) -> Result<(), HipError> {
        let api = self.device().enter()?;
        let owner = self.owner(dst, bytes, FILL)?;
        // SAFETY: the range lies in device memory that is alive, and is not freed before the fill is done.
        let status = unsafe { api.hipMemsetAsync(dst.as_mut(), byte.into(), bytes, self.raw()) };
        self.hold(owner);
        self.device().check_sized(FILL, bytes, status)
    }

    /// Records an event: it happens when all work enqueued so far is done.
    ///
    /// # Errors
    /// [`HipError::WhileCapturing`], [`HipError::WrongDevice`], [`HipError::Call`], [`HipError::DeviceLost`].
    pub fn record(&self, event: &Event) -> Result<(), HipError> {
        event.record(self)
    }

    /// Lets the work enqueued from now on wait for an event, of this or another device.
    ///
    /// # Errors
    /// [`HipError::NotRecorded`], [`HipError::WhileCapturing`], [`HipError::Call`], [`HipError::DeviceLost`].
    pub fn wait_event(&self, event: &Event) -> Result<(), HipError> {
        const CALL: &str = "hipStreamWaitEvent";
        let api = self.enter_outside_graph(CALL)?;
        event.expect_recorded(CALL)?;
        // SAFETY: stream and event are alive, and the runtime keeps what it needs of the event.
        let status = unsafe { api.hipStreamWaitEvent(self.raw(), event.raw(), 0) };
        self.device().check(CALL, status)
    }

    /// Waits for the work enqueued so far.
    ///
    /// # Errors
    /// [`HipError::WhileCapturing`]; [`HipError::Call`] and [`HipError::DeviceLost`], also for work that was enqueued
    /// earlier.
    pub fn synchronize(&self) -> Result<(), HipError> {
        let api = self.enter_outside_graph("hipStreamSynchronize")?;
        let issued = self.issued();
        self.device().note_wait();
        // SAFETY: the stream is alive.
        let status = unsafe { api.hipStreamSynchronize(self.raw()) };
        self.device().check("hipStreamSynchronize", status)?;
        self.note_done(issued);
        Ok(())
    }

    /// Whether the work enqueued so far is done, without waiting.
    ///
    /// # Errors
    /// As [`synchronize`](Self::synchronize).
    pub fn is_idle(&self) -> Result<bool, HipError> {
        let api = self.enter_outside_graph("hipStreamQuery")?;
        let issued = self.issued();
        // SAFETY: the stream is alive.
        let status = unsafe { api.hipStreamQuery(self.raw()) };
        if status == hipError_t::hipErrorNotReady {
            return Ok(false);
        }
        self.device().check("hipStreamQuery", status)?;
        self.note_done(issued);
        Ok(true)
    }

    pub(crate) fn raw(&self) -> hipStream_t {
        self.0.raw.raw()
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.0.recorder
    }

    /// # Errors
    /// [`HipError::WhileCapturing`], and what [`Device::enter`] reports.
    pub(crate) fn enter_outside_graph(&self, call: &'static str) -> Result<&Api, HipError> {
        if self.recorder().is_on() {
            return Err(HipError::WhileCapturing { call });
        }
        self.device().enter()
    }

    /// Ticket of the latest copy. Read before a wait, so that the wait covers it.
    pub(crate) fn issued(&self) -> u64 {
        self.0.issued.load(Ordering::Acquire)
    }

    /// Ticket for a copy that was just enqueued. Drawn after the copy: whoever sees it in `issued` waits for the copy.
    fn next_ticket(&self) -> u64 {
        self.0.issued.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Notes that every copy up to a ticket is done.
    pub(crate) fn note_done(&self, ticket: u64) {
        self.0.done.fetch_max(ticket, Ordering::AcqRel);
    }

    pub(crate) fn has_done(&self, ticket: u64) -> bool {
        self.0.done.load(Ordering::Acquire) >= ticket
    }

    /// The buffer that holds a range.
    fn owner(&self, start: DevicePtr, bytes: usize, call: &'static str) -> Result<Arc<Allocation>, HipError> {
        let (address, bytes) = (start.addr(), bytes as u64);
        let end = address.checked_add(bytes);
        let owner = end.and_then(|end| self.device().ledger().owner_of(address..end));
        owner.ok_or(HipError::UnknownMemory { call, bytes, address })
    }

    /// Lets a graph that is being recorded share what its work uses.
    fn hold(&self, owner: Arc<Allocation>) {
        if self.recorder().is_on() {
            self.recorder().hold(owner);
        }
    }

    /// Waits where no error can be returned; the device notes it.
    pub(crate) fn wait_in_drop(&self) {
        self.0.wait_in_drop();
    }
}

impl Inner {
    fn wait_in_drop(&self) {
        if let Some(api) = self.device.enter_to_release() {
            let issued = self.issued.load(Ordering::Acquire);
            // SAFETY: the stream is alive.
            let status = unsafe { api.hipStreamSynchronize(self.raw.raw()) };
            self.device.note_release("hipStreamSynchronize", status);
            if status == hipError_t::hipSuccess {
                self.done.fetch_max(issued, Ordering::AcqRel);
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.wait_in_drop();
        if let Some(api) = self.device.enter_to_release() {
            // SAFETY: the stream came from `hipStreamCreateWithFlags`, has this one owner, and is idle.
            let status = unsafe { api.hipStreamDestroy(self.raw.raw()) };
            self.device.note_release("hipStreamDestroy", status);
        }
    }
}
