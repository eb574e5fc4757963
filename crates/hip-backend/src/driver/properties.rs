//! What a device is.

use std::ffi::{c_char, c_int};
use std::sync::Arc;

use hip_sys::{Api, IdentityError, Version, hipDeviceAttribute_t as Attribute, hipError_t};

use super::{Fault, HipError, Status};

/// What a device says of itself, checked for plausibility.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Properties {
    /// The device's number in this process.
    pub ordinal: u32,
    /// Marketing name; may be empty.
    pub name: String,
    /// Instruction set without features: `gfx1100`, `gfx90a`; `sm_90` on an NVIDIA device.
    pub arch: String,
    /// Instruction set with its features: `gfx90a:sramecc+:xnack-`.
    pub arch_full: String,
    /// Lanes of a wave, 32 or 64.
    pub wave_size: u32,
    /// Compute units (AMD) or multiprocessors (NVIDIA), as the runtime counts them.
    pub compute_units: u32,
    /// Bytes of device memory.
    pub memory_bytes: u64,
    /// Bytes of local memory (LDS) of a workgroup at most, static and dynamic together.
    pub lds_bytes: u32,
    /// Bytes of the level 2 cache, 0 where unknown.
    pub l2_bytes: u64,
    /// Threads of a workgroup at most.
    pub max_threads_per_block: u32,
    /// Workgroups of a grid at most, in each dimension.
    pub max_grid: [u32; 3],
    /// Memory clock in kHz, 0 where unknown.
    pub memory_clock_khz: u32,
    /// Width of the memory bus in bits, 0 where unknown.
    pub memory_bus_bits: u32,
    /// Whether the device shares the host's memory (an APU).
    pub integrated: bool,
    /// PCI address as `0000:03:00.0`; may be empty.
    pub pci_address: String,
    /// Version of the driver.
    pub driver_version: Version,
    /// Version of the runtime library.
    pub runtime_version: Version,
}

/// The properties of all devices, in the order of their numbers; empty where there is no device.
///
/// # Errors
/// [`HipError::Call`] and [`HipError::ImplausibleDevice`].
pub fn enumerate(api: &Arc<Api>) -> Result<Vec<Properties>, HipError> {
    (0..device_count(api)?).map(|ordinal| Properties::query(api, ordinal)).collect()
}

/// Initialises the runtime and counts devices.
pub(crate) fn device_count(api: &Api) -> Result<u32, HipError> {
    // SAFETY: `hipInit` may be called any number of times, with no flags.
    let status = unsafe { api.hipInit(0) };
    if status == hipError_t::hipErrorNoDevice {
        return Ok(0);
    }
    check("hipInit", status)?;
    let mut count = 0;
    // SAFETY: the function writes one integer.
    let status = unsafe { api.hipGetDeviceCount(&mut count) };
    if status == hipError_t::hipErrorNoDevice {
        return Ok(0);
    }
    check("hipGetDeviceCount", status)?;
    Ok(u32::try_from(count).unwrap_or(0))
}

/// A call on behalf of no open device.
fn check(call: &'static str, status: hipError_t) -> Result<(), HipError> {
    match Status::of_failure(status) {
        None => Ok(()),
        Some(status) => Err(HipError::Call { fault: Fault { call, status }, bytes: 0 }),
    }
}

impl Properties {
    /// Asks for every property, one by one.
    pub(crate) fn query(api: &Api, ordinal: u32) -> Result<Self, HipError> {
        let identity = api.device_identity(ordinal).map_err(|error| of_identity(error, ordinal))?;
        let ask = Ask { api, ordinal, device: ordinal as c_int };
        Ok(Self {
            ordinal,
            name: identity.name,
            arch: identity.arch,
            arch_full: identity.arch_full,
            wave_size: identity.wave_size,
            compute_units: ask.positive("number of compute units", Attribute::hipDeviceAttributeMultiprocessorCount)?,
            memory_bytes: ask.memory()?,
            lds_bytes: ask.positive("size of LDS", Attribute::hipDeviceAttributeMaxSharedMemoryPerBlock)?,
            l2_bytes: ask.optional(Attribute::hipDeviceAttributeL2CacheSize)?.into(),
            max_threads_per_block: identity.max_threads_per_block.min(identity.max_block[0]),
            max_grid: [
                ask.positive("grid limit in x", Attribute::hipDeviceAttributeMaxGridDimX)?,
                ask.positive("grid limit in y", Attribute::hipDeviceAttributeMaxGridDimY)?,
                ask.positive("grid limit in z", Attribute::hipDeviceAttributeMaxGridDimZ)?,
            ],
            memory_clock_khz: ask.optional(Attribute::hipDeviceAttributeMemoryClockRate)?,
            memory_bus_bits: ask.optional(Attribute::hipDeviceAttributeMemoryBusWidth)?,
            integrated: ask.optional(Attribute::hipDeviceAttributeIntegrated)? != 0,
            pci_address: ask.pci_address(),
            // SAFETY: the function writes one integer.
            driver_version: ask.version("hipDriverGetVersion", |out| unsafe { api.hipDriverGetVersion(out) })?,
            // SAFETY: as above.
            runtime_version: ask.version("hipRuntimeGetVersion", |out| unsafe { api.hipRuntimeGetVersion(out) })?,
        })
    }
}

fn of_identity(error: IdentityError, ordinal: u32) -> HipError {
    match error {
        IdentityError::Implausible { property, found, .. } => HipError::ImplausibleDevice { ordinal, property, found },
        IdentityError::Call { call, status, .. } => match check(call, status) {
            Err(error) => error,
            Ok(()) => HipError::ImplausibleDevice { ordinal, property: call, found: format!("{status:?}") },
        },
        error => HipError::ImplausibleDevice { ordinal, property: "identity", found: error.to_string() },
    }
}

/// Questions to one device.
struct Ask<'a> {
    api: &'a Api,
    ordinal: u32,
    device: c_int,
}

impl Ask<'_> {
    fn attribute(&self, attribute: Attribute) -> Result<c_int, HipError> {
        let mut value = 0;
        // SAFETY: the function writes one integer; it reports an unknown device or attribute.
        let status = unsafe { self.api.hipDeviceGetAttribute(&mut value, attribute, self.device) };
        check("hipDeviceGetAttribute", status)?;
        Ok(value)
    }

    fn positive(&self, property: &'static str, attribute: Attribute) -> Result<u32, HipError> {
        let value = self.attribute(attribute)?;
        let plausible = u32::try_from(value).ok().filter(|value| *value > 0);
        plausible.ok_or_else(|| self.implausible(property, value.to_string()))
    }

    /// An attribute that some runtimes do not know; 0 then.
    fn optional(&self, attribute: Attribute) -> Result<u32, HipError> {
        match self.attribute(attribute) {
            Ok(value) => Ok(u32::try_from(value).unwrap_or(0)),
            Err(error) if error.status().is_some_and(Status::is_sticky) => Err(error),
            Err(_) => Ok(0),
        }
    }

    fn memory(&self) -> Result<u64, HipError> {
        let mut bytes = 0;
        // SAFETY: the function writes one integer.
        let status = unsafe { self.api.hipDeviceTotalMem(&mut bytes, self.device) };
        check("hipDeviceTotalMem", status)?;
        match bytes {
            0 => Err(self.implausible("size of memory", "0".into())),
            bytes => Ok(bytes as u64),
        }
    }

    fn pci_address(&self) -> String {
        let mut text = [0u8; 32];
        let room = text.len() as c_int - 1;
        // SAFETY: the function writes at most `room` bytes, and the last byte stays zero.
        let status = unsafe { self.api.hipDeviceGetPCIBusId(text.as_mut_ptr().cast::<c_char>(), room, self.device) };
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(0);
        match check("hipDeviceGetPCIBusId", status) {
            Ok(()) => String::from_utf8_lossy(&text[..end]).into_owned(),
            Err(_) => String::new(),
        }
    }

    fn version(&self, call: &'static str, ask: impl FnOnce(*mut c_int) -> hipError_t) -> Result<Version, HipError> {
        let mut version = 0;
        check(call, ask(&mut version))?;
        Ok(Version(version))
    }

    fn implausible(&self, property: &'static str, found: String) -> HipError {
        HipError::ImplausibleDevice { ordinal: self.ordinal, property, found }
    }
}
