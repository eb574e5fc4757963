use std::ptr::null_mut;

use hip_sys::{hipEvent_t, hipStream_t, hipStreamNonBlocking};

use super::*;
use crate::symbols::events::*;
use crate::symbols::streams::*;

/// A stream that does not wait for others.
pub(super) fn stream() -> hipStream_t {
    let mut stream = null_mut();
    // SAFETY: the handle is written.
    assert_eq!(unsafe { hipStreamCreateWithFlags(&mut stream, hipStreamNonBlocking) }, OK);
    stream
}

pub(super) fn destroy(stream: hipStream_t) {
    // SAFETY: refused if it is no stream.
    assert_eq!(unsafe { hipStreamDestroy(stream) }, OK);
}

fn event() -> hipEvent_t {
    let mut event = null_mut();
    // SAFETY: the handle is written.
    assert_eq!(unsafe { hipEventCreateWithFlags(&mut event, 0) }, OK);
    event
}

fn fill(stream: hipStream_t, device: &Device<u32>, value: i32) {
    // SAFETY: inside the allocation.
    assert_eq!(unsafe { hipMemsetD32Async(device.address.cast(), value, device.count, stream) }, OK);
}

#[test]
fn work_runs_at_once() {
    let _turn = turn();
    let (s, device) = (stream(), Device::new(&[0u32; 2]));
    fill(s, &device, 5);
    assert_eq!(device.read(), [5, 5]);
    // SAFETY: handles are only looked up.
    unsafe {
        assert_eq!(hipStreamQuery(s), OK);
        destroy(s);
        assert_eq!(hipStreamSynchronize(s), hipError_t::hipErrorInvalidHandle);
        assert_eq!(hipStreamDestroy(s), hipError_t::hipErrorInvalidHandle);
    }
}

#[test]
fn deferred_work_waits_for_somebody_to_wait() {
    let turn = turn();
    turn.set("deferred", "on");
    let (s, device) = (stream(), Device::new(&[0u32; 2]));
    fill(s, &device, 5);
    // The null stream does not wait for a non-blocking one.
    assert_eq!(device.read(), [0, 0]);
    // SAFETY: handles are only looked up.
    unsafe { assert_eq!(hipStreamSynchronize(s), OK) };
    assert_eq!(device.read(), [5, 5]);
    fill(s, &device, 6);
    // SAFETY: as above.
    unsafe {
        assert_eq!(hipStreamQuery(s), hipError_t::hipErrorNotReady);
        assert_eq!(hipStreamQuery(s), OK);
    }
    assert_eq!(device.read(), [6, 6]);
    destroy(s);
}

#[test]
fn deferred_streams_wait_for_events() {
    let turn = turn();
    turn.set("deferred", "on");
    let (first, second, done) = (stream(), stream(), event());
    let device = Device::new(&[0u32; 2]);
    fill(first, &device, 1);
    // SAFETY: handles are only looked up.
    unsafe {
        assert_eq!(hipEventRecord(done, first), OK);
        assert_eq!(hipStreamWaitEvent(second, done, 0), OK);
    }
    fill(first, &device, 9);
    fill(second, &device, 2);
    // SAFETY: as above.
    unsafe { assert_eq!(hipStreamSynchronize(second), OK) };
    assert_eq!(device.read(), [2, 2]);
    // SAFETY: as above.
    unsafe { assert_eq!(hipStreamSynchronize(first), OK) };
    assert_eq!(device.read(), [9, 9]);
    // SAFETY: as above.
    unsafe { assert_eq!(hipEventDestroy(done), OK) };
    destroy(first);
    destroy(second);
}

#[test]
fn times_between_events() {
    let _turn = turn();
    let (s, start, stop) = (stream(), event(), event());
    let mut ms = -1.0;
    // SAFETY: the number is written, and handles are only looked up.
    unsafe {
        assert_eq!(hipEventElapsedTime(&mut ms, start, stop), hipError_t::hipErrorInvalidHandle);
        for e in [start, stop] {
            assert_eq!(hipEventRecord(e, s), OK);
        }
        assert_eq!(hipEventElapsedTime(&mut ms, start, stop), OK);
        assert!(ms >= 0.0, "{ms}");
        assert_eq!(hipEventDestroy(start), OK);
        assert_eq!(hipEventQuery(start), hipError_t::hipErrorInvalidHandle);
        assert_eq!(hipEventDestroy(stop), OK);
    }
    destroy(s);
}
