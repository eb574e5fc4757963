//! Allocation, copies and fills.

use std::ffi::{c_int, c_uint, c_void};

use hip_sys::{hipDeviceptr_t, hipError_t, hipMemcpyKind, hipStream_t};

use super::Call;
use crate::memory::{Damage, Kind};
use crate::settings::Check;
use crate::state::{self, State, Status};
use crate::stream::Work;

/// Allocates and writes the address.
///
/// # Safety
/// `to` is null or may be written.
unsafe fn allocate(s: &mut State, call: Call, to: *mut *mut c_void, bytes: usize, kind: Kind) -> Status {
    s.forbid_during_capture()?;
    let pages = s.settings.check == Check::Pages;
    let make = || match bytes {
        0 => Ok(std::ptr::null_mut()),
        _ => s.memory.allocate(bytes, kind, pages).map(|a| a as *mut c_void).ok_or(hipError_t::hipErrorOutOfMemory),
    };
    // SAFETY: as the caller says.
    unsafe { call.give(to, make) }
}

/// Frees what begins at an address, after all work that may use it.
fn free(s: &mut State, pointer: *mut c_void, is_kind: impl Fn(Kind) -> bool) -> Status {
    if pointer.is_null() {
        return Ok(());
    }
    s.forbid_during_capture()?;
    s.drain_all()?;
    match s.memory.free(pointer as usize, is_kind) {
        None => {
            let text = format!("free of {pointer:p}, which is no allocation of this kind");
            Err(s.explain(text, hipError_t::hipErrorInvalidValue))
        }
        Some(damage) => report(s, damage),
    }
}

/// Tells of a guard that somebody wrote; freeing has worked nevertheless.
fn report(s: &mut State, damage: Option<Damage>) -> Status {
    match damage {
        Some(damage) => Err(s.explain(format!("found when freeing: {damage}"), hipError_t::hipErrorIllegalAddress)),
        None => Ok(()),
    }
}

fn copy(to: *mut c_void, from: *const c_void, bytes: usize, kind: hipMemcpyKind) -> Work {
    Work::Copy { to: to as usize, from: from as usize, bytes, kind }
}

fn fill(to: *mut c_void, value: c_int, bytes: usize) -> Work {
    // As memset does: the low byte.
    Work::FillBytes { to: to as usize, value: value as u8, bytes }
}

fn enqueue(s: &mut State, stream: hipStream_t, work: Work, call: Call) -> Status {
    s.enqueue(stream as usize, work, call.unwritten)
}

hip_functions! {
    fn hipMalloc(s, call; pointer: *mut *mut c_void, bytes: usize) {
        let kind = Kind::Device(state::current_device());
        if bytes > s.settings.memory.saturating_sub(s.memory.used(kind)) {
            return Err(hipError_t::hipErrorOutOfMemory);
        }
        // SAFETY: HIP's callers give a pointer to write to.
        unsafe { allocate(s, call, pointer, bytes, kind) }
    }
    fn hipFree(s, call; pointer: *mut c_void) {
        free(s, pointer, |kind| matches!(kind, Kind::Device(_)))
    }
    fn hipHostMalloc(s, call; pointer: *mut *mut c_void, bytes: usize, flags: c_uint) {
        // SAFETY: as above.
        unsafe { allocate(s, call, pointer, bytes, Kind::Pinned) }
    }
    fn hipHostFree(s, call; pointer: *mut c_void) {
        free(s, pointer, |kind| kind == Kind::Pinned)
    }
    fn hipHostRegister(s, call; pointer: *mut c_void, bytes: usize, flags: c_uint) {
        if pointer.is_null() || bytes == 0 {
            return Err(hipError_t::hipErrorInvalidValue);
        }
        s.forbid_during_capture()?;
        let new = s.memory.register(pointer as usize, bytes);
        if new { Ok(()) } else { Err(hipError_t::hipErrorHostMemoryAlreadyRegistered) }
    }
    fn hipHostUnregister(s, call; pointer: *mut c_void) {
        s.drain_all()?;
        let known = s.memory.free(pointer as usize, |kind| kind == Kind::Registered);
        known.map(|_| ()).ok_or(hipError_t::hipErrorHostMemoryNotRegistered)
    }
    fn hipMemcpy(s, call; to: *mut c_void, from: *const c_void, bytes: usize, kind: hipMemcpyKind) {
        s.enqueue(0, copy(to, from, bytes, kind), call.unwritten)
    }
    fn hipMemcpyAsync(s, call; to: *mut c_void, from: *const c_void, bytes: usize, kind: hipMemcpyKind, stream: hipStream_t) {
        enqueue(s, stream, copy(to, from, bytes, kind), call)
    }
    fn hipMemcpyPeerAsync(s, call; to: *mut c_void, to_device: c_int, from: *const c_void, from_device: c_int, bytes: usize, stream: hipStream_t) {
        let devices = s.settings.devices as c_int;
        if !(0..devices).contains(&to_device) || !(0..devices).contains(&from_device) {
            return Err(hipError_t::hipErrorInvalidDevice);
        }
        enqueue(s, stream, copy(to, from, bytes, hipMemcpyKind::hipMemcpyDeviceToDevice), call)
    }
    fn hipMemset(s, call; to: *mut c_void, value: c_int, bytes: usize) {
        s.enqueue(0, fill(to, value, bytes), call.unwritten)
    }
    fn hipMemsetAsync(s, call; to: *mut c_void, value: c_int, bytes: usize, stream: hipStream_t) {
        enqueue(s, stream, fill(to, value, bytes), call)
    }
    fn hipMemsetD32Async(s, call; to: hipDeviceptr_t, value: c_int, count: usize, stream: hipStream_t) {
        enqueue(s, stream, Work::FillWords { to: to as usize, value: value as u32, count }, call)
    }
}
