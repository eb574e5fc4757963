//! The structs of a device's properties, in both of HIP's layouts. They carry what callers need a struct for: the
//! name, the architecture, and the limits beside them; the rest is zero.

use std::ffi::{c_char, c_int};

use hip_sys::{hipDeviceProp_tR0000, hipDeviceProp_tR0600, hipError_t};

use crate::context;
use crate::device::property;
use crate::driver::{Driver, driver};
use crate::export::export;
use crate::generated::types::CUdevice_attribute_enum as Cuda;
use crate::status::{Check, place};

/// What both layouts have.
struct Common {
    name: [c_char; 256],
    arch: [c_char; 256],
    memory_bytes: usize,
    shared_bytes: usize,
    registers: c_int,
    warp: c_int,
    threads: c_int,
    block: [c_int; 3],
    grid: [c_int; 3],
    major: c_int,
    minor: c_int,
    processors: c_int,
    l2_bytes: c_int,
    integrated: c_int,
    pci: [c_int; 3],
}

/// Text with a zero at its end, cut where it is too long.
fn text(text: &str) -> [c_char; 256] {
    let mut chars = [0; 256];
    for (to, from) in chars.iter_mut().zip(text.bytes().take(255)) {
        *to = from as c_char;
    }
    chars
}

impl Common {
    fn of(driver: &Driver, ordinal: c_int) -> Result<Self, hipError_t> {
        let device = context::device(driver, ordinal)?;
        let get = |attribute| property(driver, ordinal, attribute);
        let (major, minor) = (
            get(Cuda::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            get(Cuda::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        let (mut name, mut memory_bytes) = ([0; 256], 0);
        // SAFETY: the name has room for 256 bytes with the zero at the end, and the size is one number.
        unsafe {
            driver.cuDeviceGetName(name.as_mut_ptr(), 256, device).ok()?;
            driver.cuDeviceTotalMem_v2(&mut memory_bytes, device).ok()?;
        }
        Ok(Self {
            name,
            arch: text(&format!("sm_{major}{minor}")),
            memory_bytes,
            shared_bytes: get(Cuda::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?.max(0) as usize,
            registers: get(Cuda::CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_BLOCK)?,
            warp: get(Cuda::CU_DEVICE_ATTRIBUTE_WARP_SIZE)?,
            threads: get(Cuda::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            block: [
                get(Cuda::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_X)?,
                get(Cuda::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Y)?,
                get(Cuda::CU_DEVICE_ATTRIBUTE_MAX_BLOCK_DIM_Z)?,
            ],
            grid: [
                get(Cuda::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X)?,
                get(Cuda::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Y)?,
                get(Cuda::CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_Z)?,
            ],
            major,
            minor,
            processors: get(Cuda::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            l2_bytes: get(Cuda::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?,
            integrated: get(Cuda::CU_DEVICE_ATTRIBUTE_INTEGRATED)?,
            pci: [
                get(Cuda::CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID)?,
                get(Cuda::CU_DEVICE_ATTRIBUTE_PCI_BUS_ID)?,
                get(Cuda::CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)?,
            ],
        })
    }
}

/// Writes the common properties into a struct of either layout.
macro_rules! fill {
    ($layout:ty, $common:expr) => {{
        let common: Common = $common;
        // SAFETY: the struct is numbers, arrays of numbers and pointers, for all of which zero is a value.
        let mut properties: $layout = unsafe { std::mem::zeroed() };
        properties.name = common.name;
        properties.gcnArchName = common.arch;
        properties.totalGlobalMem = common.memory_bytes;
        properties.sharedMemPerBlock = common.shared_bytes;
        properties.regsPerBlock = common.registers;
        properties.warpSize = common.warp;
        properties.maxThreadsPerBlock = common.threads;
        properties.maxThreadsDim = common.block;
        properties.maxGridSize = common.grid;
        properties.major = common.major;
        properties.minor = common.minor;
        properties.multiProcessorCount = common.processors;
        properties.l2CacheSize = common.l2_bytes;
        properties.integrated = common.integrated;
        [properties.pciDomainID, properties.pciBusID, properties.pciDeviceID] = common.pci;
        properties
    }};
}

export! {
    fn hipGetDevicePropertiesR0600(properties: *mut hipDeviceProp_tR0600, ordinal: c_int) {
        place(properties)?.write(fill!(hipDeviceProp_tR0600, Common::of(driver()?, ordinal)?));
        Ok(())
    }

    fn hipGetDevicePropertiesR0000(properties: *mut hipDeviceProp_tR0000, ordinal: c_int) {
        place(properties)?.write(fill!(hipDeviceProp_tR0000, Common::of(driver()?, ordinal)?));
        Ok(())
    }

    fn hipGetDeviceProperties(properties: *mut hipDeviceProp_tR0000, ordinal: c_int) {
        place(properties)?.write(fill!(hipDeviceProp_tR0000, Common::of(driver()?, ordinal)?));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_ends_with_a_zero() {
        assert_eq!(text("sm_90")[..6].iter().map(|c| *c as u8).collect::<Vec<_>>(), b"sm_90\0");
        assert_eq!(text(&"x".repeat(300))[255], 0);
    }
}
