//! Memory: allocation, pinning, copies, fills.

use std::ffi::{c_int, c_uint, c_void};

use hip_sys::{hipDeviceptr_t, hipError_t, hipMemcpyKind, hipStream_t};

use crate::context;
use crate::export::export;
use crate::generated::types::CUdeviceptr;
use crate::status::{Check, place};

/// Flags of pinned memory that CUDA has too, under the same numbers: portable, mapped, write-combined.
const HOST_FLAGS: c_uint =
    hip_sys::hipHostMallocPortable | hip_sys::hipHostMallocMapped | hip_sys::hipHostMallocWriteCombined;

fn address(pointer: *const c_void) -> CUdeviceptr {
    pointer.addr() as CUdeviceptr
}

/// Which of CUDA's copies does what HIP's kind says.
#[derive(Debug, PartialEq)]
enum Way {
    ToDevice,
    ToHost,
    InDevice,
    /// The driver looks at the addresses.
    Any,
}

fn way(kind: hipMemcpyKind) -> Result<Way, hipError_t> {
    match kind {
        hipMemcpyKind::hipMemcpyHostToDevice => Ok(Way::ToDevice),
        hipMemcpyKind::hipMemcpyDeviceToHost => Ok(Way::ToHost),
        hipMemcpyKind::hipMemcpyDeviceToDevice | hipMemcpyKind::hipMemcpyDeviceToDeviceNoCU => Ok(Way::InDevice),
        hipMemcpyKind::hipMemcpyDefault | hipMemcpyKind::hipMemcpyHostToHost => Ok(Way::Any),
        _ => Err(hipError_t::hipErrorInvalidMemcpyDirection),
    }
}

export! {
    fn hipMemGetInfo(free: *mut usize, total: *mut usize) {
        context::current()?.cuMemGetInfo_v2(free, total).ok()
    }

    fn hipMalloc(pointer: *mut *mut c_void, size: usize) {
        place(pointer)?.write(std::ptr::null_mut());
        if size == 0 {
            return Ok(());
        }
        let mut address = 0;
        context::current()?.cuMemAlloc_v2(&mut address, size).ok()?;
        pointer.write(std::ptr::with_exposed_provenance_mut(address as usize));
        Ok(())
    }

    fn hipFree(pointer: *mut c_void) {
        context::current()?.cuMemFree_v2(address(pointer)).ok()
    }

    fn hipHostMalloc(pointer: *mut *mut c_void, size: usize, flags: c_uint) {
        place(pointer)?.write(std::ptr::null_mut());
        if size == 0 {
            return Ok(());
        }
        // HIP's pinned memory is known to all devices.
        let flags = flags & HOST_FLAGS | hip_sys::hipHostMallocPortable;
        context::current()?.cuMemHostAlloc(pointer, size, flags).ok()
    }

    fn hipHostFree(pointer: *mut c_void) {
        if pointer.is_null() {
            return Ok(());
        }
        context::current()?.cuMemFreeHost(pointer).ok()
    }

    fn hipHostRegister(pointer: *mut c_void, size: usize, flags: c_uint) {
        let portable_or_mapped = hip_sys::hipHostRegisterPortable | hip_sys::hipHostRegisterMapped;
        context::current()?.cuMemHostRegister_v2(pointer, size, flags & portable_or_mapped).ok()
    }

    fn hipHostUnregister(pointer: *mut c_void) {
        context::current()?.cuMemHostUnregister(pointer).ok()
    }

    fn hipMemcpy(dst: *mut c_void, src: *const c_void, size: usize, kind: hipMemcpyKind) {
        let driver = context::current()?;
        match way(kind)? {
            Way::ToDevice => driver.cuMemcpyHtoD_v2(address(dst), src, size).ok(),
            Way::ToHost => driver.cuMemcpyDtoH_v2(dst, address(src), size).ok(),
            Way::InDevice | Way::Any => {
                driver.cuMemcpy(address(dst), address(src), size).ok()?;
                // A copy inside the device may still run when CUDA's function returns; HIP's is done.
                driver.cuStreamSynchronize(std::ptr::null_mut()).ok()
            }
        }
    }

    fn hipMemcpyAsync(dst: *mut c_void, src: *const c_void, size: usize, kind: hipMemcpyKind, stream: hipStream_t) {
        let driver = context::current()?;
        let stream = stream.cast();
        match way(kind)? {
            Way::ToDevice => driver.cuMemcpyHtoDAsync_v2(address(dst), src, size, stream).ok(),
            Way::ToHost => driver.cuMemcpyDtoHAsync_v2(dst, address(src), size, stream).ok(),
            Way::InDevice => driver.cuMemcpyDtoDAsync_v2(address(dst), address(src), size, stream).ok(),
            Way::Any => driver.cuMemcpyAsync(address(dst), address(src), size, stream).ok(),
        }
    }

    fn hipMemcpyPeerAsync(
        dst: *mut c_void,
        dst_ordinal: c_int,
        src: *const c_void,
        src_ordinal: c_int,
        size: usize,
        stream: hipStream_t,
    ) {
        let driver = context::current()?;
        let (to, from) = (context::primary(driver, dst_ordinal)?, context::primary(driver, src_ordinal)?);
        driver.cuMemcpyPeerAsync(address(dst), to, address(src), from, size, stream.cast()).ok()
    }

    fn hipMemset(dst: *mut c_void, value: c_int, size: usize) {
        context::current()?.cuMemsetD8_v2(address(dst), value as u8, size).ok()
    }

    fn hipMemsetAsync(dst: *mut c_void, value: c_int, size: usize, stream: hipStream_t) {
        context::current()?.cuMemsetD8Async(address(dst), value as u8, size, stream.cast()).ok()
    }

    fn hipMemsetD32Async(dst: hipDeviceptr_t, value: c_int, count: usize, stream: hipStream_t) {
        context::current()?.cuMemsetD32Async(address(dst), value as c_uint, count, stream.cast()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_copy_has_its_way() {
        for (name, kind) in hipMemcpyKind::ALL {
            assert!(way(*kind).is_ok(), "{name}");
        }
        assert_eq!(way(hipMemcpyKind::hipMemcpyHostToDevice), Ok(Way::ToDevice));
        assert_eq!(way(hipMemcpyKind(77)), Err(hipError_t::hipErrorInvalidMemcpyDirection));
    }
}
