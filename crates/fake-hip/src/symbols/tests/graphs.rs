use std::ffi::c_void;
use std::ptr::null_mut;

use hip_sys::{hipGraph_t, hipGraphExec_t, hipStream_t, hipStreamCaptureMode};

use super::streams::{destroy, stream};
use super::*;
use crate::symbols::graphs::*;
use crate::symbols::streams::*;

fn begin(stream: hipStream_t) {
    let mode = hipStreamCaptureMode::hipStreamCaptureModeThreadLocal;
    // SAFETY: the handle is only looked up.
    assert_eq!(unsafe { hipStreamBeginCapture(stream, mode) }, OK);
}

fn end(stream: hipStream_t) -> (hipError_t, hipGraph_t) {
    let mut graph = null_mut();
    // SAFETY: the handle is written.
    let status = unsafe { hipStreamEndCapture(stream, &mut graph) };
    (status, graph)
}

fn instantiate(graph: hipGraph_t) -> hipGraphExec_t {
    let mut exec = null_mut();
    // SAFETY: the handle is written; nothing else is asked for.
    assert_eq!(unsafe { hipGraphInstantiate(&mut exec, graph, null_mut(), null_mut(), 0) }, OK);
    exec
}

fn copy(stream: hipStream_t, to: &Device<u32>, from: &Device<u32>) {
    let (to, from): (*mut c_void, *const c_void) = (to.address.cast(), from.address.cast());
    // SAFETY: both have two numbers.
    assert_eq!(unsafe { hipMemcpyAsync(to, from, 8, hipMemcpyKind::hipMemcpyDeviceToDevice, stream) }, OK);
}

#[test]
fn a_graph_repeats_what_was_recorded() {
    let _turn = turn();
    let (s, a, b) = (stream(), Device::new(&[1u32, 2]), Device::new(&[0u32; 2]));
    begin(s);
    copy(s, &b, &a);
    let (status, graph) = end(s);
    assert_eq!(status, OK);
    assert_eq!(b.read(), [0, 0], "recording runs nothing");
    let exec = instantiate(graph);
    let mut nodes = 0;
    // SAFETY: the number is written, and handles are only looked up.
    unsafe {
        assert_eq!(hipGraphGetNodes(graph, null_mut(), &mut nodes), OK);
        assert_eq!(nodes, 1);
        assert_eq!(hipGraphDestroy(graph), OK);
        assert_eq!(hipGraphLaunch(exec, s), OK);
        assert_eq!(b.read(), [1, 2]);
        // SAFETY (of the address): two numbers.
        assert_eq!(hipMemset(a.address.cast(), 0, 8), OK);
        assert_eq!(hipGraphLaunch(exec, s), OK);
        assert_eq!(b.read(), [0, 0]);
        drop(a);
        assert_eq!(hipGraphLaunch(exec, s), hipError_t::hipErrorInvalidValue, "the source was freed");
        assert_eq!(hipGraphExecDestroy(exec), OK);
        assert_eq!(hipGraphLaunch(exec, s), hipError_t::hipErrorInvalidHandle);
    }
    destroy(s);
}

#[test]
fn calls_that_spoil_a_capture() {
    let _turn = turn();
    let unsupported = hipError_t::hipErrorStreamCaptureUnsupported;
    let mut pointer = null_mut();
    let calls: [(&str, &mut dyn FnMut(hipStream_t) -> hipError_t); 3] = [
        // SAFETY: the pointer is written.
        ("malloc", &mut |_| unsafe { hipMalloc(&mut pointer, 16) }),
        // SAFETY: the handle is only looked up.
        ("synchronize", &mut |s| unsafe { hipStreamSynchronize(s) }),
        // SAFETY: as above.
        ("query", &mut |s| unsafe { hipStreamQuery(s) }),
    ];
    for (name, call) in calls {
        let s = stream();
        begin(s);
        assert_eq!(call(s), unsupported, "{name}");
        let (status, graph) = end(s);
        assert_eq!(status, hipError_t::hipErrorStreamCaptureInvalidated, "{name}");
        assert!(graph.is_null());
        assert_eq!(call(s), OK, "{name} after the capture");
        destroy(s);
    }
    // SAFETY: the one allocation that worked.
    unsafe { assert_eq!(hipFree(pointer), OK) };
}

#[test]
fn captures_begin_and_end_in_pairs() {
    let _turn = turn();
    let s = stream();
    assert_eq!(end(s).0, hipError_t::hipErrorIllegalState);
    begin(s);
    let mode = hipStreamCaptureMode::hipStreamCaptureModeThreadLocal;
    // SAFETY: the handle is only looked up.
    assert_eq!(unsafe { hipStreamBeginCapture(s, mode) }, hipError_t::hipErrorIllegalState);
    let (status, graph) = end(s);
    assert_eq!(status, OK);
    // SAFETY: as above.
    unsafe { assert_eq!(hipGraphDestroy(graph), OK) };
    destroy(s);
}
