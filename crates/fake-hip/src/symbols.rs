//! The exported functions. Each counts itself, meets the faults, takes the lock and keeps its status for
//! `hipGetLastError`; the bodies are in the files of this folder.

use std::ffi::{CStr, c_char};

use hip_sys::{hipError_t, hiprtcResult};

use crate::faults::{Verdict, judge};
use crate::say::say;
use crate::state::{self, State, Status};

/// Defines functions of HIP: `fn hipName(state, call; arguments) { body }` with a body that gives a [`Status`]; `state`
/// is the locked state, `call` the [`Call`].
macro_rules! hip_functions {
    ($(fn $name:ident($state:ident, $call:ident; $($arg:ident: $ty:ty),*) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        #[allow(unused_variables, reason = "not every body needs all of them")]
        pub unsafe extern "C" fn $name($($arg: $ty),*) -> hip_sys::hipError_t {
            $crate::symbols::hip_call(
                stringify!($name),
                |$state: &mut $crate::state::State, $call: $crate::symbols::Call| $body,
            )
        }
        const _: hip_sys::runtime_table::signatures::$name = $name;
    )*};
}

mod control;
mod device;
mod events;
mod graphs;
mod memory;
mod modules;
mod properties;
mod rtc;
mod streams;

#[cfg(test)]
mod tests;

/// What a body learns of its call.
#[derive(Debug, Clone, Copy)]
struct Call {
    /// A fault wants what the call writes to stay as it was.
    unwritten: bool,
    /// A fault wants null instead of a new handle or pointer.
    null: bool,
}

impl Call {
    /// Makes something new and writes its handle or address.
    ///
    /// # Safety
    /// `to` is null or points to a handle that may be written.
    unsafe fn give<H>(self, to: *mut *mut H, make: impl FnOnce() -> Result<*mut H, hipError_t>) -> Status {
        if to.is_null() {
            return Err(hipError_t::hipErrorInvalidValue);
        }
        let handle = if self.null { std::ptr::null_mut() } else { make()? };
        // SAFETY: as the caller says.
        unsafe { put(to, handle) }
    }
}

/// Counts a call and lets faults have their way.
fn enter(name: &'static str) -> Verdict {
    let mut state = state::lock();
    *state.counts.entry(name).or_default() += 1;
    let verdict = judge(&mut state.faults, name);
    // Others may go on while this call sleeps.
    drop(state);
    if verdict.abort {
        say(&format!("a fault ends the process in {name}"));
        std::process::abort();
    }
    if let Some(time) = verdict.sleep {
        std::thread::sleep(time);
    }
    verdict
}

fn hip_call(name: &'static str, body: impl FnOnce(&mut State, Call) -> Status) -> hipError_t {
    let verdict = enter(name);
    let status = match verdict.fail {
        Some(code) => hipError_t(code),
        None => match body(&mut state::lock(), Call { unwritten: verdict.unwritten, null: verdict.null }) {
            Ok(()) => hipError_t::hipSuccess,
            Err(status) => status,
        },
    };
    // "Not ready" is an answer and no failure.
    if status != hipError_t::hipSuccess && status != hipError_t::hipErrorNotReady {
        state::set_last_error(status);
    }
    status
}

fn rtc_call(name: &'static str, body: impl FnOnce() -> Result<(), hiprtcResult>) -> hiprtcResult {
    match enter(name).fail {
        Some(code) => hiprtcResult(code),
        None => body().err().unwrap_or(hiprtcResult::HIPRTC_SUCCESS),
    }
}

/// Writes a result.
///
/// # Safety
/// `to` is null or points to a `T` that may be written.
unsafe fn put<T>(to: *mut T, value: T) -> Status {
    if to.is_null() {
        return Err(hipError_t::hipErrorInvalidValue);
    }
    // SAFETY: not null, and otherwise as the caller says.
    unsafe { to.write(value) };
    Ok(())
}

/// A text that a caller handed over, empty for null.
///
/// # Safety
/// `text` is null or a string with a zero at its end.
unsafe fn text_of(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller says.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// Writes a text with a zero at its end, cut to the room there is; `false` where there is none.
///
/// # Safety
/// `to` is null or points to `room` bytes.
unsafe fn put_text(to: *mut c_char, room: usize, text: &str) -> bool {
    if to.is_null() || room == 0 {
        return false;
    }
    let bytes = text.len().min(room - 1);
    // SAFETY: at most `room` bytes with the zero.
    unsafe {
        std::ptr::copy_nonoverlapping(text.as_ptr().cast(), to, bytes);
        to.add(bytes).write(0);
    }
    true
}
