use std::ffi::c_void;
use std::ptr::null_mut;

use super::*;
use crate::symbols::device::*;

/// Allocates, gives the status and the address.
fn malloc(bytes: usize) -> (hipError_t, *mut c_void) {
    let mut pointer = null_mut();
    // SAFETY: the pointer is written.
    let status = unsafe { hipMalloc(&mut pointer, bytes) };
    (status, pointer)
}

fn free_bytes() -> usize {
    let (mut free, mut total) = (0, 0);
    // SAFETY: both are written.
    assert_eq!(unsafe { hipMemGetInfo(&mut free, &mut total) }, OK);
    free
}

#[test]
fn a_small_device_runs_out() {
    let turn = turn();
    turn.set("memory", "1M");
    assert_eq!(free_bytes(), 1 << 20);
    let (status, pointer) = malloc(600_000);
    assert_eq!(status, OK);
    assert_eq!(pointer as usize % 256, 0);
    assert_eq!(malloc(600_000).0, hipError_t::hipErrorOutOfMemory);
    assert_eq!(hipGetLastError(), hipError_t::hipErrorOutOfMemory);
    assert_eq!(hipGetLastError(), OK);
    assert_eq!(free_bytes(), (1 << 20) - 600_000);
    // SAFETY: the second call gives back what is not there any more, which is refused.
    unsafe {
        assert_eq!(hipFree(pointer), OK);
        assert_eq!(hipFree(pointer), hipError_t::hipErrorInvalidValue);
        assert_eq!(hipFree(null_mut()), OK);
    }
    assert_eq!(free_bytes(), 1 << 20);
    let live = state::lock().memory.live();
    assert_eq!(live, 0);
}

#[test]
fn new_memory_is_nan() {
    let _turn = turn();
    let (_, pointer) = malloc(8);
    let mut values = [0f32; 2];
    // SAFETY: eight bytes on both sides.
    unsafe {
        assert_eq!(hipMemcpy(values.as_mut_ptr().cast(), pointer, 8, hipMemcpyKind::hipMemcpyDefault), OK);
        assert_eq!(hipFree(pointer), OK);
    }
    assert!(values.iter().all(|x| x.is_nan()));
}

#[test]
fn copies_that_leave_an_allocation() {
    let turn = turn();
    let device = Device::new(&[1u32; 100]);
    let mut host = [0u32; 200];
    let (to, from): (*mut c_void, *mut c_void) = (host.as_mut_ptr().cast(), device.address.cast());
    let check = |bytes: usize, kind, expected: hipError_t, words: &str| {
        // SAFETY: the host has room for the bytes, and copies that are too long for the device are refused.
        assert_eq!(unsafe { hipMemcpy(to, from, bytes, kind) }, expected, "{words}");
        assert!(turn.message().contains(words), "{}", turn.message());
    };
    check(400, hipMemcpyKind::hipMemcpyDeviceToHost, OK, "");
    check(401, hipMemcpyKind::hipMemcpyDeviceToHost, hipError_t::hipErrorInvalidValue, "leaves its allocation");
    check(8, hipMemcpyKind::hipMemcpyHostToDevice, hipError_t::hipErrorInvalidValue, "in no allocation");
    check(8, hipMemcpyKind::hipMemcpyHostToHost, hipError_t::hipErrorInvalidValue, "memory of a device");
    check(8, hipMemcpyKind(77), hipError_t::hipErrorInvalidMemcpyDirection, "");
    assert_eq!(host[..100], [1; 100]);
}

#[test]
fn fills() {
    let _turn = turn();
    let device = Device::new(&[0u32; 8]);
    let at = |i: usize| device.address.wrapping_add(i).cast();
    // SAFETY: inside the allocation, except for the last, which is refused.
    unsafe {
        assert_eq!(hipMemset(at(0), 0x1ff, 4), OK);
        assert_eq!(hipMemsetD32Async(at(2), 7, 3, null_mut()), OK);
        assert_eq!(hipMemsetAsync(at(7), 1, 5, null_mut()), hipError_t::hipErrorInvalidValue);
    }
    assert_eq!(device.read(), [!0, 0, 7, 7, 7, 0, 0, 0]);
}

#[test]
fn host_memory_of_both_kinds() {
    let _turn = turn();
    let mut pinned = null_mut();
    let mut own = vec![0u8; 100];
    let own = own.as_mut_ptr().cast();
    // SAFETY: the pointer is written, and `own` outlives its registration.
    unsafe {
        assert_eq!(hipHostMalloc(&mut pinned, 100, 0), OK);
        assert_eq!(hipFree(pinned), hipError_t::hipErrorInvalidValue);
        assert_eq!(hipHostFree(pinned), OK);
        assert_eq!(hipHostRegister(own, 100, 0), OK);
        assert_eq!(hipHostRegister(own, 10, 0), hipError_t::hipErrorHostMemoryAlreadyRegistered);
        assert_eq!(hipHostUnregister(own), OK);
        assert_eq!(hipHostUnregister(own), hipError_t::hipErrorHostMemoryNotRegistered);
    }
}

#[test]
fn devices() {
    let turn = turn();
    turn.set("devices", "2");
    let mut count = 0;
    // SAFETY: numbers are written.
    unsafe {
        assert_eq!(hipGetDeviceCount(&mut count), OK);
        assert_eq!(count, 2);
        assert_eq!(hipSetDevice(2), hipError_t::hipErrorInvalidDevice);
        assert_eq!(hipSetDevice(1), OK);
        let (_, pointer) = malloc(1000);
        assert_eq!(free_bytes(), (4 << 30) - 1000);
        assert_eq!(hipSetDevice(0), OK);
        assert_eq!(free_bytes(), 4 << 30);
        assert_eq!(hipFree(pointer), OK);
        turn.set("devices", "0");
        assert_eq!(hipInit(0), hipError_t::hipErrorNoDevice);
    }
}
