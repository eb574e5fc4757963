//! Initialisation, versions, devices and their attributes.

use std::ffi::{CStr, c_char, c_int, c_uint};

use hip_sys::{hipDevice_t, hipDeviceAttribute_t, hipError_t};

use super::{put, put_text};
use crate::memory::Kind;
use crate::objects;
use crate::settings::Mode;
use crate::state::{self, State, Status};

/// 6.4 with a patch number that no release has, so that what is kept by version does not meet that of a real HIP.
const VERSION: c_int = 60_499_999;
/// Bytes of LDS of a workgroup.
pub(super) const LDS_BYTES: usize = 64 * 1024;
pub(super) const L2_BYTES: usize = 4 << 20;
pub(super) const LANES_MAX: u32 = 1024;

/// Emulated devices have one by the archive that hipRTC takes its objects from.
fn driver_version(state: &State) -> c_int {
    match state.settings.mode {
        Mode::Host => VERSION,
        Mode::Emulate => 70_000_000 + (objects::version(&state.settings) % 10_000_000) as c_int,
    }
}

fn check_device(state: &State, device: c_int) -> Result<usize, hipError_t> {
    match usize::try_from(device) {
        Ok(device) if device < state.settings.devices => Ok(device),
        _ => Err(hipError_t::hipErrorInvalidDevice),
    }
}

fn some_device(state: &State) -> Status {
    if state.settings.devices == 0 { Err(hipError_t::hipErrorNoDevice) } else { Ok(()) }
}

pub(super) fn name_of(state: &State) -> String {
    match state.settings.mode {
        Mode::Host => format!("Fake {} (host memory)", state.settings.base_arch()),
        Mode::Emulate => format!("Emulated {}", state.settings.base_arch()),
    }
}

hip_functions! {
    fn hipInit(s, call; flags: c_uint) {
        if flags != 0 {
            return Err(hipError_t::hipErrorInvalidValue);
        }
        some_device(s)
    }
    fn hipDriverGetVersion(s, call; version: *mut c_int) {
        // SAFETY: HIP's callers give a pointer to write to.
        unsafe { put(version, driver_version(s)) }
    }
    fn hipRuntimeGetVersion(s, call; version: *mut c_int) {
        // SAFETY: as above.
        unsafe { put(version, VERSION) }
    }
    fn hipGetDeviceCount(s, call; count: *mut c_int) {
        // SAFETY: as above.
        unsafe { put(count, s.settings.devices as c_int) }?;
        some_device(s)
    }
    fn hipGetDevice(s, call; device: *mut c_int) {
        some_device(s)?;
        // SAFETY: as above.
        unsafe { put(device, state::current_device() as c_int) }
    }
    fn hipSetDevice(s, call; device: c_int) {
        state::set_current_device(check_device(s, device)?);
        Ok(())
    }
    fn hipDeviceGetAttribute(s, call; value: *mut c_int, attribute: hipDeviceAttribute_t, device: c_int) {
        let device = check_device(s, device)?;
        let number = attribute_of(s, attribute, device).ok_or(hipError_t::hipErrorInvalidValue)?;
        // SAFETY: as above.
        unsafe { put(value, number) }
    }
    fn hipDeviceGetName(s, call; name: *mut c_char, room: c_int, device: hipDevice_t) {
        check_device(s, device)?;
        let text = name_of(s);
        // SAFETY: callers give room for as many bytes as they say.
        let written = unsafe { put_text(name, usize::try_from(room).unwrap_or(0), &text) };
        if written { Ok(()) } else { Err(hipError_t::hipErrorInvalidValue) }
    }
    fn hipDeviceTotalMem(s, call; bytes: *mut usize, device: hipDevice_t) {
        check_device(s, device)?;
        // SAFETY: as for the versions.
        unsafe { put(bytes, s.settings.memory) }
    }
    fn hipDeviceGetPCIBusId(s, call; text: *mut c_char, room: c_int, device: c_int) {
        let device = check_device(s, device)?;
        // SAFETY: as for the name.
        let written = unsafe { put_text(text, usize::try_from(room).unwrap_or(0), &format!("0000:{:02x}:00.0", device + 1)) };
        if written { Ok(()) } else { Err(hipError_t::hipErrorInvalidValue) }
    }
    fn hipDeviceSynchronize(s, call;) {
        s.forbid_during_capture()?;
        s.drain_all()
    }
    fn hipDeviceReset(s, call;) {
        let device = state::current_device();
        s.memory.free_device(device);
        s.streams.retain(|stream| stream.device != device);
        Ok(())
    }
    fn hipDeviceCanAccessPeer(s, call; can: *mut c_int, device: c_int, peer: c_int) {
        let (device, peer) = (check_device(s, device)?, check_device(s, peer)?);
        // SAFETY: as for the versions.
        unsafe { put(can, c_int::from(device != peer)) }
    }
    fn hipDeviceEnablePeerAccess(s, call; peer: c_int, flags: c_uint) {
        let peer = check_device(s, peer)?;
        match flags {
            0 if peer != state::current_device() => Ok(()),
            0 => Err(hipError_t::hipErrorInvalidDevice),
            _ => Err(hipError_t::hipErrorInvalidValue),
        }
    }
    fn hipMemGetInfo(s, call; free: *mut usize, total: *mut usize) {
        some_device(s)?;
        let used = s.memory.used(Kind::Device(state::current_device()));
        // SAFETY: as for the versions.
        unsafe {
            put(free, s.settings.memory.saturating_sub(used))?;
            put(total, s.settings.memory)
        }
    }
}

fn attribute_of(state: &State, attribute: hipDeviceAttribute_t, device: usize) -> Option<c_int> {
    use hipDeviceAttribute_t as A;
    let number = match attribute {
        A::hipDeviceAttributeWarpSize => state.settings.wave() as usize,
        A::hipDeviceAttributeMultiprocessorCount => state.settings.units as usize,
        A::hipDeviceAttributeMaxThreadsPerBlock
        | A::hipDeviceAttributeMaxBlockDimX
        | A::hipDeviceAttributeMaxBlockDimY
        | A::hipDeviceAttributeMaxBlockDimZ => LANES_MAX as usize,
        A::hipDeviceAttributeMaxGridDimX => c_int::MAX as usize,
        A::hipDeviceAttributeMaxGridDimY | A::hipDeviceAttributeMaxGridDimZ => 65_536,
        A::hipDeviceAttributeMaxSharedMemoryPerBlock | A::hipDeviceAttributeMaxSharedMemoryPerMultiprocessor => {
            LDS_BYTES
        }
        A::hipDeviceAttributeL2CacheSize => L2_BYTES,
        A::hipDeviceAttributeMaxThreadsPerMultiProcessor => 2048,
        A::hipDeviceAttributePciBusId => device + 1,
        A::hipDeviceAttributeClockRate | A::hipDeviceAttributeMemoryClockRate => 1_000_000,
        A::hipDeviceAttributeMemoryBusWidth => 256,
        A::hipDeviceAttributePciDeviceId
        | A::hipDeviceAttributePciDomainID
        | A::hipDeviceAttributeIntegrated
        | A::hipDeviceAttributeKernelExecTimeout
        | A::hipDeviceAttributeMemoryPoolsSupported
        | A::hipDeviceAttributeManagedMemory => 0,
        A::hipDeviceAttributeCanMapHostMemory | A::hipDeviceAttributeConcurrentKernels => 1,
        _ => return None,
    };
    Some(number as c_int)
}

/// Name of a status, a string with static lifetime.
#[unsafe(no_mangle)]
pub extern "C" fn hipGetErrorName(status: hipError_t) -> *const c_char {
    static_text(status.name().unwrap_or("hipErrorUnknown"))
}
const _: hip_sys::runtime_table::signatures::hipGetErrorName = hipGetErrorName;

/// Description of a status, a string with static lifetime.
#[unsafe(no_mangle)]
pub extern "C" fn hipGetErrorString(status: hipError_t) -> *const c_char {
    hipGetErrorName(status)
}
const _: hip_sys::runtime_table::signatures::hipGetErrorString = hipGetErrorString;

/// The calling thread's last failure, which this call clears.
#[unsafe(no_mangle)]
pub extern "C" fn hipGetLastError() -> hipError_t {
    state::take_last_error()
}
const _: hip_sys::runtime_table::signatures::hipGetLastError = hipGetLastError;

/// The text with a zero at its end, made once and kept.
pub(super) fn static_text(text: &'static str) -> *const c_char {
    use std::collections::HashMap;
    use std::ffi::CString;
    use std::sync::{LazyLock, Mutex, PoisonError};
    static TEXTS: LazyLock<Mutex<HashMap<&'static str, &'static CStr>>> = LazyLock::new(Mutex::default);
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    let kept =
        texts.entry(text).or_insert_with(|| Box::leak(CString::new(text).unwrap_or_default().into_boxed_c_str()));
    kept.as_ptr()
}
