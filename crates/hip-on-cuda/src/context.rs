//! HIP's current device of a thread, as a current context of CUDA.

use std::cell::Cell;
use std::ffi::c_int;
use std::sync::Mutex;

use hip_sys::hipError_t;

use crate::driver::{Driver, driver};
use crate::generated::types::{CUcontext, CUctx_st, CUdevice};
use crate::status::Check;

thread_local! {
    /// The device that the thread chose; HIP starts with the first one.
    static CHOSEN: Cell<c_int> = const { Cell::new(0) };
    /// The device whose context is current in this thread, -1 before the first.
    static BOUND: Cell<c_int> = const { Cell::new(-1) };
}

/// A context, usable from every thread.
#[derive(Clone, Copy)]
struct Shared(CUcontext);

// SAFETY: CUDA's driver may be called from any thread, and a context may be current in several at once.
unsafe impl Send for Shared {}

/// The shared contexts of the devices in use; they live as long as the process.
static CONTEXTS: Mutex<Vec<(c_int, Shared)>> = Mutex::new(Vec::new());

/// The thread's chosen device.
pub fn chosen() -> c_int {
    CHOSEN.get()
}

/// Chooses a device for this thread.
pub fn choose(ordinal: c_int) -> Result<(), hipError_t> {
    let driver = driver()?;
    bind(driver, ordinal)?;
    CHOSEN.set(ordinal);
    Ok(())
}

/// The driver, with the context of the chosen device current in this thread.
pub fn current() -> Result<&'static Driver, hipError_t> {
    let driver = driver()?;
    if BOUND.get() != CHOSEN.get() {
        bind(driver, CHOSEN.get())?;
    }
    Ok(driver)
}

fn bind(driver: &Driver, ordinal: c_int) -> Result<(), hipError_t> {
    let context = primary(driver, ordinal)?;
    // SAFETY: the context is retained and never released.
    unsafe { driver.cuCtxSetCurrent(context) }.ok()?;
    BOUND.set(ordinal);
    Ok(())
}

/// CUDA's handle of a device.
pub fn device(driver: &Driver, ordinal: c_int) -> Result<CUdevice, hipError_t> {
    let mut device: CUdevice = 0;
    // SAFETY: the function writes one handle, and reports an ordinal that does not exist.
    unsafe { driver.cuDeviceGet(&mut device, ordinal) }.ok().map(|()| device)
}

/// The context of a device that all its users share.
pub fn primary(driver: &Driver, ordinal: c_int) -> Result<*mut CUctx_st, hipError_t> {
    let mut contexts = CONTEXTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some((_, context)) = contexts.iter().find(|(of, _)| *of == ordinal) {
        return Ok(context.0);
    }
    let device = device(driver, ordinal)?;
    let mut context = std::ptr::null_mut();
    // SAFETY: the function writes one handle.
    unsafe { driver.cuDevicePrimaryCtxRetain(&mut context, device) }.ok()?;
    contexts.push((ordinal, Shared(context)));
    Ok(context)
}
