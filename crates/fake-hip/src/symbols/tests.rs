//! The functions as a program calls them. They share one state, so the tests take turns.

use std::sync::{Mutex, MutexGuard, PoisonError};

use hip_sys::{hipError_t, hipMemcpyKind};

use super::memory::*;
use crate::faults::Fault;
use crate::state;

mod emulated;
mod faults;
mod graphs;
mod kernels;
mod memory;
mod streams;

const OK: hipError_t = hipError_t::hipSuccess;

/// The only test that runs, with the state of a new process.
struct Turn(#[allow(dead_code, reason = "held, not read")] MutexGuard<'static, ()>);

fn turn() -> Turn {
    static TURN: Mutex<()> = Mutex::new(());
    let guard = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let turn = Turn(guard);
    turn.clean();
    turn
}

impl Turn {
    fn clean(&self) {
        state::lock().reset();
    }

    fn set(&self, key: &str, value: &str) {
        state::lock().set(key, value).unwrap();
    }

    fn fault(&self, text: &str) {
        state::lock().faults.extend(Fault::parse_list(text).unwrap());
    }

    fn message(&self) -> String {
        state::lock().message.clone()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.clean();
    }
}

/// Device memory of `T`s, freed with its owner.
struct Device<T> {
    address: *mut T,
    count: usize,
}

impl<T: Copy + Default> Device<T> {
    fn new(values: &[T]) -> Self {
        let mut pointer = std::ptr::null_mut();
        let bytes = size_of_val(values);
        let kind = hipMemcpyKind::hipMemcpyHostToDevice;
        // SAFETY: the pointer is written, and the slice has as many bytes as are copied.
        unsafe {
            assert_eq!(hipMalloc(&mut pointer, bytes), OK);
            assert_eq!(hipMemcpy(pointer, values.as_ptr().cast(), bytes, kind), OK);
        }
        Self { address: pointer.cast(), count: values.len() }
    }

    fn read(&self) -> Vec<T> {
        let mut values = vec![T::default(); self.count];
        let bytes = size_of_val(values.as_slice());
        let kind = hipMemcpyKind::hipMemcpyDeviceToHost;
        // SAFETY: the vector has as many bytes as are copied.
        assert_eq!(unsafe { hipMemcpy(values.as_mut_ptr().cast(), self.address.cast(), bytes, kind) }, OK);
        values
    }
}

impl<T> Drop for Device<T> {
    fn drop(&mut self) {
        // SAFETY: allocated by `new`, and freed nowhere else. A kernel may have damaged its guards on purpose.
        unsafe { hipFree(self.address.cast()) };
    }
}
