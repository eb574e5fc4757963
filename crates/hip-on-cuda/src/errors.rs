//! Names and descriptions of HIP's statuses, and the thread's last one.

use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char};
use std::sync::{Mutex, OnceLock};

use hip_sys::{hipError_t, runtime_table};

use crate::driver::absent_reason;
use crate::status::take_last;

/// Strings with the lifetime of the process, by what they describe.
static NAMES: OnceLock<HashMap<u32, CString>> = OnceLock::new();
static DESCRIPTIONS: Mutex<Vec<(u32, &'static CStr)>> = Mutex::new(Vec::new());

const UNKNOWN: &CStr = c"hipErrorUnknown";

fn name(status: hipError_t) -> &'static CStr {
    let names = NAMES.get_or_init(|| {
        let mut names = HashMap::new();
        for (name, status) in hipError_t::ALL {
            // Of several names for one number the first counts; none of them holds a zero.
            names.entry(status.0).or_insert_with(|| CString::new(*name).unwrap_or_default());
        }
        names
    });
    names.get(&status.0).map_or(UNKNOWN, CString::as_c_str)
}

fn description(status: hipError_t) -> &'static CStr {
    let Some(reason) = absent_reason().filter(|_| is_about_the_driver(status)) else {
        return known_description(status).unwrap_or_else(|| name(status));
    };
    let mut made = DESCRIPTIONS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if let Some((_, text)) = made.iter().find(|(of, _)| *of == status.0) {
        return text;
    }
    let text: &'static CStr = Box::leak(CString::new(reason).unwrap_or_default().into_boxed_c_str());
    made.push((status.0, text));
    text
}

fn is_about_the_driver(status: hipError_t) -> bool {
    [hipError_t::hipErrorNoDevice, hipError_t::hipErrorInsufficientDriver].contains(&status)
}

fn known_description(status: hipError_t) -> Option<&'static CStr> {
    Some(match status {
        hipError_t::hipSuccess => c"no error",
        hipError_t::hipErrorInvalidValue => c"an argument is out of its range",
        hipError_t::hipErrorOutOfMemory => c"the device has not that much memory free",
        hipError_t::hipErrorNotInitialized => c"the driver is not ready",
        hipError_t::hipErrorInsufficientDriver => c"the NVIDIA driver is too old",
        hipError_t::hipErrorNoDevice => c"there is no NVIDIA device",
        hipError_t::hipErrorInvalidDevice => c"there is no device of this ordinal",
        hipError_t::hipErrorInvalidImage => c"this is no code object",
        hipError_t::hipErrorNoBinaryForGpu => c"the code object has nothing for this device",
        hipError_t::hipErrorNotFound => c"there is no symbol of this name",
        hipError_t::hipErrorNotReady => c"the work is not done yet",
        hipError_t::hipErrorIllegalAddress => c"a kernel used an address that is not its own",
        hipError_t::hipErrorLaunchOutOfResources => c"a kernel needs more registers or shared memory than there are",
        hipError_t::hipErrorLaunchFailure => c"a kernel failed",
        hipError_t::hipErrorNotSupported => c"this is not supported on CUDA",
        _ => return None,
    })
}

#[allow(non_snake_case, reason = "the names are HIP's")]
mod exported {
    use super::*;

    /// Name of a status.
    #[unsafe(no_mangle)]
    pub extern "C" fn hipGetErrorName(status: hipError_t) -> *const c_char {
        name(status).as_ptr()
    }

    /// Description of a status.
    #[unsafe(no_mangle)]
    pub extern "C" fn hipGetErrorString(status: hipError_t) -> *const c_char {
        description(status).as_ptr()
    }

    /// The thread's last failure.
    #[unsafe(no_mangle)]
    pub extern "C" fn hipGetLastError() -> hipError_t {
        take_last()
    }

    const _: runtime_table::signatures::hipGetErrorName = hipGetErrorName;
    const _: runtime_table::signatures::hipGetErrorString = hipGetErrorString;
    const _: runtime_table::signatures::hipGetLastError = hipGetLastError;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_headers_first_ones() {
        assert_eq!(name(hipError_t::hipErrorOutOfMemory), c"hipErrorOutOfMemory");
        assert_eq!(name(hipError_t(700)), c"hipErrorIllegalAddress");
        assert_eq!(name(hipError_t(12345)), UNKNOWN);
    }

    #[test]
    fn every_status_has_a_description() {
        for (name, status) in hipError_t::ALL {
            assert!(!description(*status).is_empty(), "{name}");
        }
        assert_eq!(description(hipError_t(12345)), UNKNOWN);
    }
}
