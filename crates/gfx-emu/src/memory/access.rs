//! Reading and writing host memory that other threads may use at the same time.
//!
//! All accesses are relaxed atomic ones, which cost nothing on the processors this runs on: a kernel with a race between
//! workgroups gives one of the possible results, as on a GPU, and never a broken emulator.

use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Reads 1, 2 or 4 bytes, low bits first.
///
/// # Safety
/// The bytes are valid for reads, and threads use them by atomic operations alone.
#[inline(always)]
pub(crate) unsafe fn read(address: u64, bytes: usize) -> u32 {
    // SAFETY: of this size and alignment, and the caller promises the rest.
    unsafe {
        match bytes {
            4 if address.is_multiple_of(4) => AtomicU32::from_ptr(address as *mut u32).load(Ordering::Relaxed),
            2 if address.is_multiple_of(2) => AtomicU16::from_ptr(address as *mut u16).load(Ordering::Relaxed).into(),
            _ => (0..bytes).fold(0, |value, at| {
                let byte = AtomicU8::from_ptr((address + at as u64) as *mut u8).load(Ordering::Relaxed);
                value | u32::from(byte) << (8 * at)
            }),
        }
    }
}

/// Writes the low 1, 2 or 4 bytes of a value.
///
/// # Safety
/// The bytes are valid for writes, and threads use them by atomic operations alone.
#[inline(always)]
pub(crate) unsafe fn write(address: u64, bytes: usize, value: u32) {
    // SAFETY: of this size and alignment, and the caller promises the rest.
    unsafe {
        match bytes {
            4 if address.is_multiple_of(4) => AtomicU32::from_ptr(address as *mut u32).store(value, Ordering::Relaxed),
            2 if address.is_multiple_of(2) => {
                AtomicU16::from_ptr(address as *mut u16).store(value as u16, Ordering::Relaxed)
            }
            _ => {
                for at in 0..bytes {
                    let byte = AtomicU8::from_ptr((address + at as u64) as *mut u8);
                    byte.store((value >> (8 * at)) as u8, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Replaces 4 or 8 bytes by what a function makes of them, as one step for all threads. Returns the old value.
///
/// # Safety
/// The bytes are valid for reads and writes and aligned to their number, and threads use them by atomic operations alone.
pub(crate) unsafe fn update(address: u64, bytes: usize, change: impl Fn(u64) -> u64) -> u64 {
    let order = Ordering::SeqCst;
    // The functions always give a value, so that neither update fails.
    if bytes == 8 {
        // SAFETY: of this size and alignment, and the caller promises the rest.
        let word = unsafe { AtomicU64::from_ptr(address as *mut u64) };
        word.fetch_update(order, order, |old| Some(change(old))).unwrap_or_else(|old| old)
    } else {
        // SAFETY: of this size and alignment, and the caller promises the rest.
        let word = unsafe { AtomicU32::from_ptr(address as *mut u32) };
        let old = word.fetch_update(order, order, |old| Some(change(old.into()) as u32));
        old.unwrap_or_else(|old| old).into()
    }
}

/// Copies bytes from memory.
///
/// # Safety
/// As [`read`], for all bytes.
pub(crate) unsafe fn copy_out(address: u64, to: &mut [u8]) {
    for (part, at) in to.chunks_mut(4).zip((address..).step_by(4)) {
        // SAFETY: the caller promises it for all bytes.
        let value = unsafe { if part.len() == 4 { read(at, 4) } else { read_few(at, part.len()) } };
        part.copy_from_slice(&value.to_le_bytes()[..part.len()]);
    }
}

/// # Safety
/// As [`read`].
unsafe fn read_few(address: u64, bytes: usize) -> u32 {
    // SAFETY: the caller promises it for all bytes.
    (0..bytes).fold(0, |value, at| value | unsafe { read(address + at as u64, 1) } << (8 * at))
}

/// Copies bytes into memory.
///
/// # Safety
/// As [`write`], for all bytes.
pub(crate) unsafe fn copy_in(address: u64, from: &[u8]) {
    for (part, at) in from.chunks(4).zip((address..).step_by(4)) {
        let mut bytes = [0; 4];
        bytes[..part.len()].copy_from_slice(part);
        let value = u32::from_le_bytes(bytes);
        if part.len() == 4 {
            // SAFETY: the caller promises it for all bytes.
            unsafe { write(at, 4, value) }
        } else {
            for (n, byte) in part.iter().enumerate() {
                // SAFETY: the caller promises it for all bytes.
                unsafe { write(at + n as u64, 1, u32::from(*byte)) }
            }
        }
    }
}
