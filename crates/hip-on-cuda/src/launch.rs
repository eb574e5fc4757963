//! Launches. CUDA gives a block more than 48 KiB of shared memory only after asking for it kernel by kernel; HIP knows
//! no such step, so that it happens here.

use std::collections::HashMap;
use std::ffi::{c_int, c_uint, c_void};
use std::sync::{PoisonError, RwLock};

use hip_sys::{hipError_t, hipFunction_t, hipStream_t};

use crate::context;
use crate::driver::Driver;
use crate::export::export;
use crate::generated::types::CUfunction_attribute_enum as Attribute;
use crate::status::{Check, place};

/// Static and dynamic shared memory of a block together, without asking.
const PLAIN_SHARED_BYTES: c_uint = 48 * 1024;

/// Dynamic shared memory that a kernel may have, by the kernel's address.
static ALLOWED: RwLock<Option<HashMap<usize, c_uint>>> = RwLock::new(None);

/// Forgets what was asked for: kernels were unloaded, or their attributes were changed from outside.
pub fn forget_kernels() {
    *ALLOWED.write().unwrap_or_else(PoisonError::into_inner) = None;
}

/// Lets a kernel have this much dynamic shared memory.
fn allow(driver: &Driver, function: hipFunction_t, bytes: c_uint) -> Result<(), hipError_t> {
    if bytes == 0 || allowed(function).is_some_and(|allowed| bytes <= allowed) {
        return Ok(());
    }
    let mut fixed = 0;
    // SAFETY: the caller's kernel is loaded; the function writes one integer.
    unsafe { driver.cuFuncGetAttribute(&mut fixed, Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function.cast()) }
        .ok()?;
    let plain = PLAIN_SHARED_BYTES.saturating_sub(fixed.max(0) as c_uint);
    if bytes > plain {
        let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let value = c_int::try_from(bytes).map_err(|_| hipError_t::hipErrorInvalidValue)?;
        // SAFETY: as above.
        unsafe { driver.cuFuncSetAttribute(function.cast(), attribute, value) }.ok()?;
    }
    let mut all = ALLOWED.write().unwrap_or_else(PoisonError::into_inner);
    all.get_or_insert_default().insert(function.addr(), bytes.max(plain));
    Ok(())
}

fn allowed(function: hipFunction_t) -> Option<c_uint> {
    ALLOWED.read().unwrap_or_else(PoisonError::into_inner).as_ref()?.get(&function.addr()).copied()
}

/// The list of a launch's arguments as one buffer: key and value in turn, and an end. HIP's end has another number.
#[derive(Debug, PartialEq)]
struct Extra([*mut c_void; 5]);

const BUFFER_POINTER: usize = 1;
const BUFFER_SIZE: usize = 2;
const HIP_END: usize = 3;

impl Extra {
    /// # Safety
    /// `list` is HIP's list: keys with values up to its end.
    unsafe fn translate(list: *mut *mut c_void) -> Result<Self, hipError_t> {
        let mut translated = [std::ptr::null_mut(); 5];
        for at in (0..4).step_by(2) {
            // SAFETY: the list goes on to its end, which was not met before this entry.
            let key = unsafe { *list.add(at) };
            match key.addr() {
                HIP_END => return Ok(Self(translated)),
                BUFFER_POINTER | BUFFER_SIZE => {
                    // SAFETY: a key has a value behind it.
                    let value = unsafe { *list.add(at + 1) };
                    [translated[at], translated[at + 1]] = [key, value];
                }
                _ => return Err(hipError_t::hipErrorInvalidValue),
            }
        }
        // SAFETY: both keys were met, and the list has an end.
        if unsafe { *list.add(4) }.addr() == HIP_END {
            Ok(Self(translated))
        } else {
            Err(hipError_t::hipErrorInvalidValue)
        }
    }
}

export! {
    fn hipModuleLaunchKernel(
        function: hipFunction_t,
        grid_x: c_uint,
        grid_y: c_uint,
        grid_z: c_uint,
        block_x: c_uint,
        block_y: c_uint,
        block_z: c_uint,
        shared_bytes: c_uint,
        stream: hipStream_t,
        parameters: *mut *mut c_void,
        extra: *mut *mut c_void,
    ) {
        let driver = context::current()?;
        allow(driver, function, shared_bytes)?;
        let mut translated = if extra.is_null() { None } else { Some(Extra::translate(extra)?) };
        let extra = translated.as_mut().map_or(std::ptr::null_mut(), |extra| extra.0.as_mut_ptr());
        let launched = driver.cuLaunchKernel(
            function.cast(), grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes, stream.cast(), parameters,
            extra,
        );
        launched.ok()
    }

    fn hipModuleOccupancyMaxActiveBlocksPerMultiprocessor(
        blocks: *mut c_int,
        function: hipFunction_t,
        block_threads: c_int,
        shared_bytes: usize,
    ) {
        let driver = context::current()?;
        allow(driver, function, c_uint::try_from(shared_bytes).map_err(|_| hipError_t::hipErrorInvalidValue)?)?;
        let blocks = place(blocks)?;
        driver.cuOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function.cast(), block_threads, shared_bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(address: usize) -> *mut c_void {
        std::ptr::without_provenance_mut(address)
    }

    #[test]
    fn a_list_of_arguments_ends_as_cuda_wants_it() {
        let mut list = [1, 0x1000, 2, 0x2000, 3].map(pointer);
        // SAFETY: the list has an end.
        let translated = unsafe { Extra::translate(list.as_mut_ptr()) };
        assert_eq!(translated, Ok(Extra([1, 0x1000, 2, 0x2000, 0].map(pointer))));
    }

    #[test]
    fn a_short_list_and_a_wrong_key() {
        let mut list = [3, 99, 99, 99, 99].map(pointer);
        // SAFETY: the list has an end.
        assert_eq!(unsafe { Extra::translate(list.as_mut_ptr()) }, Ok(Extra([0; 5].map(pointer))));
        let mut list = [7, 99, 99, 99, 3].map(pointer);
        // SAFETY: as above.
        assert_eq!(unsafe { Extra::translate(list.as_mut_ptr()) }, Err(hipError_t::hipErrorInvalidValue));
    }
}
