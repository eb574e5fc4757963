//! Events.

use std::ffi::c_uint;

use hip_sys::{hipEvent_t, hipEventDisableTiming, hipStream_t};

use super::put;
use crate::stream::Event;

hip_functions! {
    fn hipEventCreateWithFlags(s, call; event: *mut hipEvent_t, flags: c_uint) {
        let new = Event::new(flags & hipEventDisableTiming == 0);
        // SAFETY: HIP's callers give a pointer to write to.
        unsafe { call.give(event, || Ok(s.events.insert(new))) }
    }
    fn hipEventDestroy(s, call; event: hipEvent_t) {
        s.events.remove(event as usize).map(|_| ())
    }
    fn hipEventRecord(s, call; event: hipEvent_t, stream: hipStream_t) {
        s.record(event as usize, stream as usize)
    }
    fn hipEventSynchronize(s, call; event: hipEvent_t) {
        s.refuse_captured(event as usize)?;
        s.drain_event(event as usize)
    }
    fn hipEventQuery(s, call; event: hipEvent_t) {
        s.refuse_captured(event as usize)?;
        s.poll_event(event as usize)
    }
    fn hipEventElapsedTime(s, call; ms: *mut f32, start: hipEvent_t, stop: hipEvent_t) {
        let start = s.events.get(start as usize)?.happened_at()?;
        let stop = s.events.get(stop as usize)?.happened_at()?;
        let elapsed = match stop.checked_duration_since(start) {
            Some(time) => time.as_secs_f32(),
            None => -(start - stop).as_secs_f32(),
        };
        // SAFETY: as for the new event.
        unsafe { put(ms, elapsed * 1e3) }
    }
}
