//! Events: points in a stream.

use std::ptr::null_mut;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hip_sys::{hipError_t, hipEvent_t, hipEventDefault, hipEventDisableTiming, ihipEvent_t};

use super::handle::Handle;
use super::{Device, HipError, Stream};

/// A point in a stream's work, which hosts and other streams can wait for. It may be recorded again and again.
#[derive(Debug)]
pub struct Event {
    device: Device,
    raw: Handle<ihipEvent_t>,
    timing: bool,
    recorded: Mutex<Recorded>,
}

#[derive(Debug, Default)]
struct Recorded {
    /// Where it was recorded last, and the latest copy before it.
    at: Option<(Stream, u64)>,
    /// Counts recordings.
    version: u64,
}

impl Event {
    pub(crate) fn new(device: &Device, timing: bool) -> Result<Self, HipError> {
        let api = device.enter()?;
        let flags = if timing { hipEventDefault } else { hipEventDisableTiming };
        let mut raw = null_mut();
        // SAFETY: the function writes one handle.
        let status = unsafe { api.hipEventCreateWithFlags(&mut raw, flags) };
        device.check("hipEventCreateWithFlags", status)?;
        let raw = Handle::new(raw, "hipEventCreateWithFlags")?;
        Ok(Self { device: device.clone(), raw, timing, recorded: Mutex::default() })
    }

    /// Waits until the event has happened. Copies enqueued before it are done then.
    ///
    /// # Errors
    /// [`HipError::NotRecorded`]; [`HipError::Call`] and [`HipError::DeviceLost`], also for work that was enqueued
    /// earlier.
    pub fn synchronize(&self) -> Result<(), HipError> {
        const CALL: &str = "hipEventSynchronize";
        let api = self.device.enter()?;
        let version = self.expect_recorded(CALL)?;
        self.device.note_wait();
        // SAFETY: the event is alive.
        let status = unsafe { api.hipEventSynchronize(self.raw()) };
        self.device.check(CALL, status)?;
        self.note_done(version);
        Ok(())
    }

    /// Whether the event has happened, without waiting.
    ///
    /// # Errors
    /// As [`synchronize`](Self::synchronize).
    pub fn has_happened(&self) -> Result<bool, HipError> {
        const CALL: &str = "hipEventQuery";
        let api = self.device.enter()?;
        let version = self.expect_recorded(CALL)?;
        // SAFETY: the event is alive.
        let status = unsafe { api.hipEventQuery(self.raw()) };
        if status == hipError_t::hipErrorNotReady {
            return Ok(false);
        }
        self.device.check(CALL, status)?;
        self.note_done(version);
        Ok(true)
    }

    /// Waits until the event has happened or `limit` has passed; whether it has happened. Short waits poll, longer ones
    /// sleep in between, a twentieth of the time waited so far at most.
    ///
    /// # Errors
    /// As [`synchronize`](Self::synchronize).
    pub fn wait_for(&self, limit: Duration) -> Result<bool, HipError> {
        const POLLED: Duration = Duration::from_millis(1);
        let start = Instant::now();
        self.device.note_wait();
        while !self.has_happened()? {
            let waited = start.elapsed();
            if waited >= limit {
                return Ok(false);
            }
            if waited < POLLED {
                std::hint::spin_loop();
            } else {
                std::thread::sleep((waited / 20).min(limit - waited));
            }
        }
        Ok(true)
    }

    pub(crate) fn record(&self, stream: &Stream) -> Result<(), HipError> {
        const CALL: &str = "hipEventRecord";
        let api = stream.enter_outside_graph(CALL)?;
        stream.device().expect_same(&self.device, CALL)?;
        // Held during the call, so that nobody takes the old recording for the new one.
        let mut recorded = self.lock();
        recorded.version += 1;
        recorded.at = None;
        let issued = stream.issued();
        // SAFETY: event and stream are alive and of the same device.
        let status = unsafe { api.hipEventRecord(self.raw(), stream.raw()) };
        self.device.check(CALL, status)?;
        recorded.at = Some((stream.clone(), issued));
        Ok(())
    }

    /// The count of recordings.
    ///
    /// # Errors
    /// [`HipError::NotRecorded`].
    pub(crate) fn expect_recorded(&self, call: &'static str) -> Result<u64, HipError> {
        let recorded = self.lock();
        recorded.at.as_ref().map(|_| recorded.version).ok_or(HipError::NotRecorded { call })
    }

    /// Tells the stream that it has come as far as the recording, unless there was another one meanwhile: which of
    /// the two was waited for is unknown then.
    fn note_done(&self, version: u64) {
        let recorded = self.lock();
        if let (true, Some((stream, ticket))) = (recorded.version == version, &recorded.at) {
            stream.note_done(*ticket);
        }
    }

    pub(crate) fn raw(&self) -> hipEvent_t {
        self.raw.raw()
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        // Its fields agree at any time: nothing panics between their changes.
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds between two events of [`Device::timing_event`] that have both happened.
///
/// # Errors
/// [`HipError::NotRecorded`], also for events that keep no time; [`HipError::WrongDevice`], [`HipError::Call`],
/// [`HipError::DeviceLost`].
pub fn elapsed_ms(start: &Event, end: &Event) -> Result<f32, HipError> {
    const CALL: &str = "hipEventElapsedTime";
    let device = &start.device;
    let api = device.enter()?;
    device.expect_same(&end.device, CALL)?;
    for event in [start, end] {
        event.expect_recorded(CALL)?;
        if !event.timing {
            return Err(HipError::NotRecorded { call: CALL });
        }
    }
    let mut ms = 0.0;
    // SAFETY: the function writes one number; both events are alive and were recorded.
    let status = unsafe { api.hipEventElapsedTime(&mut ms, start.raw(), end.raw()) };
    device.check(CALL, status)?;
    Ok(ms)
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Some(api) = self.device.enter_to_release() {
            // SAFETY: the event came from `hipEventCreateWithFlags` and has this one owner; the runtime keeps what
            // work that waits for it needs.
            let status = unsafe { api.hipEventDestroy(self.raw()) };
            self.device.note_release("hipEventDestroy", status);
        }
    }
}
