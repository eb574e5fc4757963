//! Functions that HIP has not: what tests steer the fake with, through [`crate::FakeHip`].

use std::ffi::{c_char, c_int};

use super::{put_text, text_of};
use crate::faults::Fault;
use crate::state;

/// Counters, faults, settings and the last message as in a new process; what lives stays alive.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_reset() {
    state::lock().reset();
}

/// How many calls of this name were made, of all names for null.
///
/// # Safety
/// `name` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hip_call_count(name: *const c_char) -> u64 {
    // SAFETY: as the caller says.
    let wanted = unsafe { text_of(name) };
    let state = state::lock();
    state.counts.iter().filter(|(name, _)| wanted.is_empty() || **name == wanted).map(|(_, count)| count).sum()
}

/// Allocations of device and pinned memory that are not freed.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_live_allocations() -> u64 {
    state::lock().memory.live() as u64
}

/// Bytes of these allocations.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_live_bytes() -> u64 {
    state::lock().memory.live_bytes() as u64
}

/// Streams, events, graphs, modules and programs that are not destroyed.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_live_handles() -> u64 {
    state::lock().live_handles().into_iter().map(|(_, count)| count as u64).sum()
}

/// How many are alive of one kind: device, pinned, streams, events, graphs, graph_execs, modules, programs.
///
/// # Safety
/// `kind` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hip_live(kind: *const c_char) -> u64 {
    // SAFETY: as the caller says.
    let kind = unsafe { text_of(kind) };
    state::lock().live(&kind) as u64
}

/// Adds faults in the words of the README; 0, or -1 with the reason as the last message.
///
/// # Safety
/// `text` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hip_fault(text: *const c_char) -> c_int {
    // SAFETY: as the caller says.
    let faults = Fault::parse_list(&unsafe { text_of(text) });
    let mut state = state::lock();
    answer(&mut state.message, faults).map_or(-1, |faults| {
        state.faults.extend(faults);
        0
    })
}

/// Removes all faults.
#[unsafe(no_mangle)]
pub extern "C" fn fake_hip_clear_faults() {
    state::lock().faults.clear();
}

/// Changes a setting by its name; 0, or -1 with the reason as the last message.
///
/// # Safety
/// Both are null or strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hip_set(key: *const c_char, value: *const c_char) -> c_int {
    // SAFETY: as the caller says.
    let (key, value) = unsafe { (text_of(key), text_of(value)) };
    let mut state = state::lock();
    let result = state.set(&key, &value);
    answer(&mut state.message, result).map_or(-1, |()| 0)
}

/// Copies what went wrong last, cut to `room` bytes with the zero; returns its bytes without the zero.
///
/// # Safety
/// `to` is null or has `room` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn fake_hip_last_message(to: *mut c_char, room: usize) -> usize {
    let state = state::lock();
    // SAFETY: as the caller says.
    unsafe { put_text(to, room, &state.message) };
    state.message.len()
}

fn answer<T>(message: &mut String, result: Result<T, String>) -> Option<T> {
    result.map_err(|reason| *message = reason).ok()
}
