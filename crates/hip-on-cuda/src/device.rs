//! Devices: which there are, what they are, which one a thread uses.

use std::ffi::{c_char, c_int, c_uint};

use hip_sys::{hipDevice_t, hipDeviceAttribute_t, hipError_t};

use crate::attributes::cuda_attribute;
use crate::context;
use crate::driver::{Driver, driver};
use crate::export::export;
use crate::generated::types::CUdevice_attribute;
use crate::status::{Check, place};

/// One property of a device in CUDA's terms.
pub fn property(driver: &Driver, ordinal: c_int, attribute: CUdevice_attribute) -> Result<c_int, hipError_t> {
    let device = context::device(driver, ordinal)?;
    let mut value = 0;
    // SAFETY: the function writes one integer.
    unsafe { driver.cuDeviceGetAttribute(&mut value, attribute, device) }.ok().map(|()| value)
}

/// CUDA's version number in HIP's encoding.
fn version() -> Result<c_int, hipError_t> {
    let mut version = 0;
    // SAFETY: the function writes one integer.
    unsafe { driver()?.cuDriverGetVersion(&mut version) }.ok()?;
    Ok(hip_version(version))
}

fn hip_version(cuda: c_int) -> c_int {
    cuda / 1000 * 10_000_000 + cuda % 1000 / 10 * 100_000
}

export! {
    fn hipInit(flags: c_uint) {
        if flags != 0 {
            return Err(hipError_t::hipErrorInvalidValue);
        }
        driver().map(drop)
    }

    fn hipDriverGetVersion(result: *mut c_int) {
        place(result)?.write(version()?);
        Ok(())
    }

    fn hipRuntimeGetVersion(result: *mut c_int) {
        place(result)?.write(version()?);
        Ok(())
    }

    fn hipGetDeviceCount(count: *mut c_int) {
        place(count)?.write(0);
        driver()?.cuDeviceGetCount(count).ok()?;
        if count.read() == 0 { Err(hipError_t::hipErrorNoDevice) } else { Ok(()) }
    }

    fn hipGetDevice(ordinal: *mut c_int) {
        place(ordinal)?.write(context::chosen());
        Ok(())
    }

    fn hipSetDevice(ordinal: c_int) {
        context::choose(ordinal)
    }

    fn hipDeviceGetAttribute(value: *mut c_int, attribute: hipDeviceAttribute_t, ordinal: c_int) {
        let cuda = cuda_attribute(attribute).ok_or(hipError_t::hipErrorInvalidValue)?;
        place(value)?.write(property(driver()?, ordinal, cuda)?);
        Ok(())
    }

    fn hipDeviceGetName(name: *mut c_char, len: c_int, device: hipDevice_t) {
        let driver = driver()?;
        driver.cuDeviceGetName(name, len, context::device(driver, device)?).ok()
    }

    fn hipDeviceTotalMem(bytes: *mut usize, device: hipDevice_t) {
        let driver = driver()?;
        driver.cuDeviceTotalMem_v2(bytes, context::device(driver, device)?).ok()
    }

    fn hipDeviceGetPCIBusId(id: *mut c_char, len: c_int, ordinal: c_int) {
        let driver = driver()?;
        driver.cuDeviceGetPCIBusId(id, len, context::device(driver, ordinal)?).ok()
    }

    fn hipDeviceSynchronize() {
        context::current()?.cuCtxSynchronize().ok()
    }

    fn hipDeviceReset() {
        let driver = context::current()?;
        driver.cuDevicePrimaryCtxReset_v2(context::device(driver, context::chosen())?).ok()?;
        crate::launch::forget_kernels();
        Ok(())
    }

    fn hipDeviceCanAccessPeer(can: *mut c_int, ordinal: c_int, peer: c_int) {
        let driver = driver()?;
        let (device, peer) = (context::device(driver, ordinal)?, context::device(driver, peer)?);
        driver.cuDeviceCanAccessPeer(can, device, peer).ok()
    }

    fn hipDeviceEnablePeerAccess(peer: c_int, flags: c_uint) {
        let driver = context::current()?;
        driver.cuCtxEnablePeerAccess(context::primary(driver, peer)?, flags).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_hips_encoding() {
        assert_eq!(hip_sys::Version(hip_version(13_000)).to_string(), "13.0.0");
        assert_eq!(hip_sys::Version(hip_version(12_080)).to_string(), "12.8.0");
    }
}
