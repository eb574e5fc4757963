//! Streams recorded as graphs.

use std::ffi::c_char;

use hip_sys::{
    hipError_t, hipGraph_t, hipGraphExec_t, hipGraphNode_t, hipStream_t, hipStreamCaptureMode, hipStreamCaptureStatus,
};

use crate::context;
use crate::export::export;
use crate::generated::types::{CUstreamCaptureMode_enum, CUstreamCaptureStatus_enum as Cuda};
use crate::status::{Check, place};

fn mode(mode: hipStreamCaptureMode) -> Result<CUstreamCaptureMode_enum, hipError_t> {
    match mode {
        hipStreamCaptureMode::hipStreamCaptureModeGlobal => Ok(CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_GLOBAL),
        hipStreamCaptureMode::hipStreamCaptureModeThreadLocal => {
            Ok(CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
        }
        hipStreamCaptureMode::hipStreamCaptureModeRelaxed => {
            Ok(CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_RELAXED)
        }
        _ => Err(hipError_t::hipErrorInvalidValue),
    }
}

export! {
    fn hipStreamBeginCapture(stream: hipStream_t, how: hipStreamCaptureMode) {
        context::current()?.cuStreamBeginCapture_v2(stream.cast(), mode(how)?).ok()
    }

    fn hipStreamEndCapture(stream: hipStream_t, graph: *mut hipGraph_t) {
        context::current()?.cuStreamEndCapture(stream.cast(), graph.cast()).ok()
    }

    fn hipStreamIsCapturing(stream: hipStream_t, status: *mut hipStreamCaptureStatus) {
        let mut found = Cuda::CU_STREAM_CAPTURE_STATUS_NONE;
        context::current()?.cuStreamIsCapturing(stream.cast(), &mut found).ok()?;
        place(status)?.write(match found {
            Cuda::CU_STREAM_CAPTURE_STATUS_NONE => hipStreamCaptureStatus::hipStreamCaptureStatusNone,
            Cuda::CU_STREAM_CAPTURE_STATUS_ACTIVE => hipStreamCaptureStatus::hipStreamCaptureStatusActive,
            _ => hipStreamCaptureStatus::hipStreamCaptureStatusInvalidated,
        });
        Ok(())
    }

    fn hipGraphInstantiate(
        exec: *mut hipGraphExec_t,
        graph: hipGraph_t,
        error_node: *mut hipGraphNode_t,
        log: *mut c_char,
        log_bytes: usize,
    ) {
        // CUDA's function says nothing but its status.
        if !error_node.is_null() {
            error_node.write(std::ptr::null_mut());
        }
        if !log.is_null() && log_bytes > 0 {
            log.write(0);
        }
        context::current()?.cuGraphInstantiateWithFlags(exec.cast(), graph.cast(), 0).ok()
    }

    fn hipGraphLaunch(exec: hipGraphExec_t, stream: hipStream_t) {
        context::current()?.cuGraphLaunch(exec.cast(), stream.cast()).ok()
    }

    fn hipGraphDestroy(graph: hipGraph_t) {
        context::current()?.cuGraphDestroy(graph.cast()).ok()
    }

    fn hipGraphExecDestroy(exec: hipGraphExec_t) {
        context::current()?.cuGraphExecDestroy(exec.cast()).ok()
    }

    fn hipGraphGetNodes(graph: hipGraph_t, nodes: *mut hipGraphNode_t, count: *mut usize) {
        context::current()?.cuGraphGetNodes(graph.cast(), nodes.cast(), count).ok()
    }
}
