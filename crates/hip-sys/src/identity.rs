//! What a device says it is, checked before anything relies on it.
//!
//! HIP reports the architecture only in a struct whose layout depends on the version, and a layout read wrongly gives
//! plausible garbage. So everything else comes from attributes, one number each, and what comes from the struct has to
//! look like what it should be.

use std::ffi::{CStr, c_int};
use std::mem::offset_of;

use crate::{Api, hipDeviceAttribute_t, hipDeviceProp_tR0000, hipDeviceProp_tR0600, hipError_t};

/// A device's name, instruction set and block limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceIdentity {
    /// Marketing name; may be empty.
    pub name: String,
    /// Instruction set without features: `gfx90a`, `sm_90` where the library runs on an NVIDIA device.
    pub arch: String,
    /// Instruction set as the device says it, with features: `gfx90a:sramecc+:xnack-`.
    pub arch_full: String,
    /// Lanes of a wave, 32 or 64.
    pub wave_size: u32,
    /// Threads of a block at most.
    pub max_threads_per_block: u32,
    /// Threads of a block at most in each dimension.
    pub max_block: [u32; 3],
}

/// Why a device is not to be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    /// A call failed.
    #[error("{call} of device {device}: {status:?}")]
    Call {
        /// The function.
        call: &'static str,
        /// Ordinal of the device.
        device: c_int,
        /// What it returned.
        status: hipError_t,
    },
    /// A property cannot be right, so that the library's binary interface is not the one these bindings are made for.
    #[error("device {device} reports `{found}` as its {property}; this HIP library is not compatible")]
    Implausible {
        /// Ordinal of the device.
        device: c_int,
        /// The property in words.
        property: &'static str,
        /// What was reported.
        found: String,
    },
}

impl Api {
    /// Name, architecture and block limits of a device.
    ///
    /// # Errors
    /// [`IdentityError`]: a call fails, or a property is out of all bounds.
    pub fn device_identity(&self, device: u32) -> Result<DeviceIdentity, IdentityError> {
        let implausible =
            |property, found: String| IdentityError::Implausible { device: device as c_int, property, found };
        let device = c_int::try_from(device).map_err(|_| implausible("ordinal", device.to_string()))?;
        let attribute = |property, attribute| {
            let value = self.attribute(device, attribute)?;
            u32::try_from(value).ok().filter(|&v| v > 0).ok_or_else(|| implausible(property, value.to_string()))
        };
        let wave_size = attribute("wave size", hipDeviceAttribute_t::hipDeviceAttributeWarpSize)?;
        if ![32, 64].contains(&wave_size) {
            return Err(implausible("wave size", wave_size.to_string()));
        }
        let max_block = [
            attribute("block limit in x", hipDeviceAttribute_t::hipDeviceAttributeMaxBlockDimX)?,
            attribute("block limit in y", hipDeviceAttribute_t::hipDeviceAttributeMaxBlockDimY)?,
            attribute("block limit in z", hipDeviceAttribute_t::hipDeviceAttributeMaxBlockDimZ)?,
        ];
        let max_threads_per_block =
            attribute("threads of a block", hipDeviceAttribute_t::hipDeviceAttributeMaxThreadsPerBlock)?;
        let (name, arch_full) = self.names(device)?;
        let arch = arch_full.split(':').next().unwrap_or_default().to_string();
        if !is_architecture(&arch) {
            return Err(implausible("architecture", arch_full));
        }
        Ok(DeviceIdentity { name, arch, arch_full, wave_size, max_threads_per_block, max_block })
    }

    fn attribute(&self, device: c_int, attribute: hipDeviceAttribute_t) -> Result<c_int, IdentityError> {
        let mut value = 0;
        // SAFETY: the function writes one integer; it reports an unknown device or attribute.
        let status = unsafe { self.hipDeviceGetAttribute(&mut value, attribute, device) };
        match status {
            hipError_t::hipSuccess => Ok(value),
            status => Err(IdentityError::Call { call: "hipDeviceGetAttribute", device, status }),
        }
    }

    /// Name and architecture from the versioned struct: the new layout where the library has it.
    fn names(&self, device: c_int) -> Result<(String, String), IdentityError> {
        let has = self.functions();
        let (call, read) = if has.hipGetDevicePropertiesR0600.is_some() {
            let text = Text {
                name: offset_of!(hipDeviceProp_tR0600, name),
                arch: offset_of!(hipDeviceProp_tR0600, gcnArchName),
            };
            (
                "hipGetDevicePropertiesR0600",
                text.read(|buffer| {
                    // SAFETY: the buffer is larger than the struct of this layout and aligned for it.
                    unsafe { self.hipGetDevicePropertiesR0600(buffer.cast(), device) }
                }),
            )
        } else {
            let text = Text {
                name: offset_of!(hipDeviceProp_tR0000, name),
                arch: offset_of!(hipDeviceProp_tR0000, gcnArchName),
            };
            (
                "hipGetDeviceProperties",
                text.read(|buffer| {
                    // SAFETY: as above; without the suffix the symbol has the old layout in every version.
                    unsafe { self.hipGetDeviceProperties(buffer.cast(), device) }
                }),
            )
        };
        let (name, arch) = read.map_err(|status| IdentityError::Call { call, device, status })?;
        let arch =
            arch.ok_or(IdentityError::Implausible { device, property: "architecture", found: "no text".into() })?;
        Ok((name.unwrap_or_default(), arch))
    }
}

/// Room for the struct of any version, larger than all known ones, so that a grown struct does not write past it.
#[repr(C, align(16))]
struct Room([u8; 8192]);

const _: () = assert!(size_of::<hipDeviceProp_tR0600>() * 4 < size_of::<Room>());
const _: () = assert!(size_of::<hipDeviceProp_tR0000>() * 4 < size_of::<Room>());

/// Offsets of the two texts, 256 bytes each.
struct Text {
    name: usize,
    arch: usize,
}

type Names = (Option<String>, Option<String>);

impl Text {
    fn read(&self, fill: impl FnOnce(*mut u8) -> hipError_t) -> Result<Names, hipError_t> {
        let mut room = Room([0; 8192]);
        match fill(room.0.as_mut_ptr()) {
            hipError_t::hipSuccess => {}
            status => return Err(status),
        }
        let text = |offset: usize| {
            let text = CStr::from_bytes_until_nul(&room.0[offset..offset + 256]).ok()?;
            Some(text.to_string_lossy().into_owned())
        };
        Ok((text(self.name), text(self.arch)))
    }
}

/// Beginnings of architectures: AMD's, NVIDIA's where HIP's symbols stand over CUDA, and the CPU's where they stand
/// over host memory.
const ARCHITECTURES: [&str; 3] = ["gfx", "sm_", "host"];

fn is_architecture(arch: &str) -> bool {
    let rest = ARCHITECTURES.iter().find_map(|start| arch.strip_prefix(start));
    rest.is_some_and(|rest| {
        (2..=16).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_are_told_from_garbage() {
        for good in ["gfx906", "gfx90a", "gfx1100", "gfx942", "gfx9-4-generic", "sm_90", "sm_90a", "host32"] {
            assert!(is_architecture(good), "{good}");
        }
        for bad in ["", "gfx", "sm_", "gfx\u{1}\u{2}", "Radeon", "gfx1100 with more", "gf1100"] {
            assert!(!is_architecture(bad), "{bad}");
        }
    }

    #[test]
    fn text_is_read_at_its_offset() {
        let text = Text { name: 0, arch: 1160 };
        let names = text.read(|room| {
            let bytes = b"gfx90a:xnack-\0";
            // SAFETY: the room is larger than both texts.
            unsafe { room.add(1160).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
            hipError_t::hipSuccess
        });
        assert_eq!(names, Ok((Some(String::new()), Some("gfx90a:xnack-".into()))));
    }

    #[test]
    fn text_without_an_end_is_none_and_a_status_is_kept() {
        let text = Text { name: 0, arch: 300 };
        let endless = text.read(|room| {
            // SAFETY: the room is larger than this.
            unsafe { room.write_bytes(b'x', 400) };
            hipError_t::hipSuccess
        });
        assert_eq!(endless.map(|names| names.0), Ok(None));
        let failed = text.read(|_| hipError_t::hipErrorInvalidDevice);
        assert_eq!(failed, Err(hipError_t::hipErrorInvalidDevice));
    }
}
