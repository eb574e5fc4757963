//! The device property structs, in both layouts.

use std::ffi::{c_char, c_int};
use std::mem::MaybeUninit;

use hip_sys::{hipDeviceProp_tR0000, hipDeviceProp_tR0600, hipError_t};

use super::device::{L2_BYTES, LANES_MAX, LDS_BYTES, name_of};
use super::put;
use crate::state::State;

fn set_text(field: &mut [c_char], text: &str) {
    let room = field.len() - 1;
    field.iter_mut().zip(text.bytes().take(room)).for_each(|(to, from)| *to = from as c_char);
}

/// What both structs say alike.
macro_rules! fill {
    ($state:expr, $device:expr, $props:expr) => {{
        let (state, props): (&State, _) = ($state, &mut $props);
        set_text(&mut props.name, &name_of(state));
        set_text(&mut props.gcnArchName, &state.settings.arch);
        props.totalGlobalMem = state.settings.memory;
        props.sharedMemPerBlock = LDS_BYTES;
        props.maxSharedMemoryPerMultiProcessor = LDS_BYTES;
        props.regsPerBlock = 65_536;
        props.warpSize = state.settings.wave() as c_int;
        props.maxThreadsPerBlock = LANES_MAX as c_int;
        props.maxThreadsDim = [LANES_MAX as c_int; 3];
        props.maxGridSize = [c_int::MAX, 65_536, 65_536];
        props.clockRate = 1_000_000;
        props.memoryClockRate = 1_000_000;
        props.memoryBusWidth = 256;
        (props.major, props.minor) = version_of(state.settings.base_arch());
        props.multiProcessorCount = state.settings.units as c_int;
        props.l2CacheSize = L2_BYTES as c_int;
        props.maxThreadsPerMultiProcessor = 2048;
        props.concurrentKernels = 1;
        props.canMapHostMemory = 1;
        props.pciBusID = $device + 1;
    }};
}

/// `gfx1100` is 11.0, `gfx90a` is 9.0.
fn version_of(arch: &str) -> (c_int, c_int) {
    let digits = arch.trim_start_matches("gfx");
    let (major, rest) = digits.split_at(digits.len().saturating_sub(2));
    let minor = rest.chars().next().and_then(|c| c.to_digit(16)).unwrap_or(0);
    (major.parse().unwrap_or(0), minor as c_int)
}

fn check(state: &State, device: c_int) -> Result<(), hipError_t> {
    let known = usize::try_from(device).is_ok_and(|device| device < state.settings.devices);
    if known { Ok(()) } else { Err(hipError_t::hipErrorInvalidDevice) }
}

fn old_layout(state: &State, device: c_int) -> Result<hipDeviceProp_tR0000, hipError_t> {
    check(state, device)?;
    // SAFETY: the struct holds numbers and pointers, for which zeroes are values.
    let mut props: hipDeviceProp_tR0000 = unsafe { MaybeUninit::zeroed().assume_init() };
    fill!(state, device, props);
    Ok(props)
}

hip_functions! {
    fn hipGetDevicePropertiesR0600(s, call; to: *mut hipDeviceProp_tR0600, device: c_int) {
        check(s, device)?;
        // SAFETY: the struct holds numbers and pointers, for which zeroes are values.
        let mut props: hipDeviceProp_tR0600 = unsafe { MaybeUninit::zeroed().assume_init() };
        fill!(s, device, props);
        props.sharedMemPerMultiprocessor = LDS_BYTES;
        props.hostRegisterSupported = 1;
        // SAFETY: HIP's callers give a pointer to write to.
        unsafe { put(to, props) }
    }
    fn hipGetDevicePropertiesR0000(s, call; to: *mut hipDeviceProp_tR0000, device: c_int) {
        let props = old_layout(s, device)?;
        // SAFETY: as above.
        unsafe { put(to, props) }
    }
    fn hipGetDeviceProperties(s, call; to: *mut hipDeviceProp_tR0000, device: c_int) {
        let props = old_layout(s, device)?;
        // SAFETY: as above.
        unsafe { put(to, props) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(version_of("gfx1100"), (11, 0));
        assert_eq!(version_of("gfx1030"), (10, 3));
        assert_eq!(version_of("gfx90a"), (9, 0));
        assert_eq!(version_of("gfx942"), (9, 4));
    }
}
