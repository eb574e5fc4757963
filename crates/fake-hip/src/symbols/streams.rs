//! Streams, and their capture.

use std::ffi::c_uint;

use hip_sys::{
    hipError_t, hipEvent_t, hipGraph_t, hipStream_t, hipStreamCaptureMode, hipStreamCaptureStatus, hipStreamNonBlocking,
};

use super::put;
use crate::state::{self, State, Status};
use crate::stream::Stream;

/// Waits for a stream; the null stream stands for all of them here.
fn synchronize(s: &mut State, stream: usize) -> Status {
    s.forbid_on_capturing(stream)?;
    if stream == 0 { s.drain_all() } else { s.drain(stream) }
}

hip_functions! {
    fn hipStreamCreateWithFlags(s, call; stream: *mut hipStream_t, flags: c_uint) {
        if flags & !hipStreamNonBlocking != 0 {
            return Err(hipError_t::hipErrorInvalidValue);
        }
        let new = Stream::new(state::current_device(), flags & hipStreamNonBlocking != 0);
        // SAFETY: HIP's callers give a pointer to write to.
        unsafe { call.give(stream, || Ok(s.streams.insert(new))) }
    }
    fn hipStreamDestroy(s, call; stream: hipStream_t) {
        s.streams.get(stream as usize)?;
        let finished = s.drain(stream as usize);
        s.streams.remove(stream as usize)?;
        finished
    }
    fn hipStreamSynchronize(s, call; stream: hipStream_t) {
        synchronize(s, stream as usize)
    }
    fn hipStreamQuery(s, call; stream: hipStream_t) {
        s.forbid_on_capturing(stream as usize)?;
        s.poll_stream(stream as usize)
    }
    fn hipStreamWaitEvent(s, call; stream: hipStream_t, event: hipEvent_t, flags: c_uint) {
        if flags != 0 {
            return Err(hipError_t::hipErrorInvalidValue);
        }
        s.wait(event as usize, stream as usize)
    }
    fn hipStreamBeginCapture(s, call; stream: hipStream_t, mode: hipStreamCaptureMode) {
        if stream.is_null() {
            return Err(hipError_t::hipErrorStreamCaptureUnsupported);
        }
        s.streams.get_mut(stream as usize)?.begin_capture(mode)
    }
    fn hipStreamEndCapture(s, call; stream: hipStream_t, graph: *mut hipGraph_t) {
        if stream.is_null() || graph.is_null() {
            return Err(hipError_t::hipErrorInvalidValue);
        }
        let ended = s.streams.get_mut(stream as usize)?.end_capture();
        // SAFETY: as for the new stream.
        unsafe { put(graph, std::ptr::null_mut()) }?;
        let ops = ended?;
        // SAFETY: as above.
        unsafe { call.give(graph, || Ok(s.graphs.insert(ops))) }
    }
    fn hipStreamIsCapturing(s, call; stream: hipStream_t, status: *mut hipStreamCaptureStatus) {
        let answer = match stream as usize {
            0 => hipStreamCaptureStatus::hipStreamCaptureStatusNone,
            id => s.streams.get(id)?.capture_status(),
        };
        // SAFETY: as for the new stream.
        unsafe { put(status, answer) }
    }
}
