//! Streams and events.

use std::ffi::c_uint;

use hip_sys::{hipEvent_t, hipStream_t};

use crate::context;
use crate::export::export;
use crate::status::{Check, place};

/// Flags of events that CUDA has too, under the same numbers: blocking waits, no timing.
const EVENT_FLAGS: c_uint = hip_sys::hipEventBlockingSync | hip_sys::hipEventDisableTiming;

export! {
    fn hipStreamCreateWithFlags(stream: *mut hipStream_t, flags: c_uint) {
        context::current()?.cuStreamCreate(stream.cast(), flags & hip_sys::hipStreamNonBlocking).ok()
    }

    fn hipStreamDestroy(stream: hipStream_t) {
        context::current()?.cuStreamDestroy_v2(stream.cast()).ok()
    }

    fn hipStreamSynchronize(stream: hipStream_t) {
        context::current()?.cuStreamSynchronize(stream.cast()).ok()
    }

    fn hipStreamQuery(stream: hipStream_t) {
        context::current()?.cuStreamQuery(stream.cast()).ok()
    }

    fn hipStreamWaitEvent(stream: hipStream_t, event: hipEvent_t, flags: c_uint) {
        context::current()?.cuStreamWaitEvent(stream.cast(), event.cast(), flags).ok()
    }

    fn hipEventCreateWithFlags(event: *mut hipEvent_t, flags: c_uint) {
        context::current()?.cuEventCreate(event.cast(), flags & EVENT_FLAGS).ok()
    }

    fn hipEventDestroy(event: hipEvent_t) {
        context::current()?.cuEventDestroy_v2(event.cast()).ok()
    }

    fn hipEventRecord(event: hipEvent_t, stream: hipStream_t) {
        context::current()?.cuEventRecord(event.cast(), stream.cast()).ok()
    }

    fn hipEventSynchronize(event: hipEvent_t) {
        context::current()?.cuEventSynchronize(event.cast()).ok()
    }

    fn hipEventQuery(event: hipEvent_t) {
        context::current()?.cuEventQuery(event.cast()).ok()
    }

    fn hipEventElapsedTime(ms: *mut f32, start: hipEvent_t, stop: hipEvent_t) {
        context::current()?.cuEventElapsedTime(place(ms)?, start.cast(), stop.cast()).ok()
    }
}
