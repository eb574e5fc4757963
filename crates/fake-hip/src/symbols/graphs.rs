//! Graphs: recorded work that can be launched again and again.

use std::ffi::c_char;

use hip_sys::{hipError_t, hipGraph_t, hipGraphExec_t, hipGraphNode_t, hipStream_t};

use super::put;

hip_functions! {
    fn hipGraphInstantiate(s, call; exec: *mut hipGraphExec_t, graph: hipGraph_t, error_node: *mut hipGraphNode_t, log: *mut c_char, log_bytes: usize) {
        let ops = s.graphs.get(graph as usize)?.clone();
        // SAFETY: HIP's callers give a pointer to write to.
        unsafe { call.give(exec, || Ok(s.graph_execs.insert(ops))) }
    }
    fn hipGraphLaunch(s, call; exec: hipGraphExec_t, stream: hipStream_t) {
        let ops = s.graph_execs.get(exec as usize)?.clone();
        ops.into_iter().try_for_each(|op| s.enqueue(stream as usize, op.work, op.unwritten || call.unwritten))
    }
    fn hipGraphDestroy(s, call; graph: hipGraph_t) {
        s.graphs.remove(graph as usize).map(|_| ())
    }
    fn hipGraphExecDestroy(s, call; exec: hipGraphExec_t) {
        s.graph_execs.remove(exec as usize).map(|_| ())
    }
    fn hipGraphGetNodes(s, call; graph: hipGraph_t, nodes: *mut hipGraphNode_t, count: *mut usize) {
        let have = s.graphs.get(graph as usize)?.len();
        if count.is_null() {
            return Err(hipError_t::hipErrorInvalidValue);
        }
        if !nodes.is_null() {
            // SAFETY: with `nodes` the count says how many there is room for.
            let room = unsafe { count.read() };
            for i in 0..room.min(have) {
                // Node handles only differ: no function takes one.
                // SAFETY: below the room that the caller gave.
                unsafe { nodes.add(i).write((i + 1) as hipGraphNode_t) };
            }
        }
        // SAFETY: not null, and otherwise as HIP's callers promise.
        unsafe { put(count, have) }
    }
}
