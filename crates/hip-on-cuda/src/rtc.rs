//! hipRTC's functions over NVRTC. A program's handle is NVRTC's own.

use std::ffi::{CStr, CString, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use hip_sys::{hiprtcProgram, hiprtcResult};

use crate::device::property;
use crate::driver::driver;
use crate::generated::types::{CUdevice_attribute_enum, nvrtcResult};
use crate::nvrtc::{Nvrtc, absent_reason, nvrtc};
use crate::{context, options};

/// NVRTC's status as hipRTC's: the same numbers up to the internal error, which newer ones become.
fn rtc_status(status: nvrtcResult) -> hiprtcResult {
    let internal = hiprtcResult::HIPRTC_ERROR_INTERNAL_ERROR;
    if status.0 <= internal.0 { hiprtcResult(status.0) } else { internal }
}

fn check(status: nvrtcResult) -> Result<(), hiprtcResult> {
    match rtc_status(status) {
        hiprtcResult::HIPRTC_SUCCESS => Ok(()),
        status => Err(status),
    }
}

fn compiler() -> Result<&'static Nvrtc, hiprtcResult> {
    nvrtc().map_err(|_| hiprtcResult::HIPRTC_ERROR_INTERNAL_ERROR)
}

fn guard(body: impl FnOnce() -> Result<(), hiprtcResult>) -> hiprtcResult {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(hiprtcResult::HIPRTC_ERROR_INTERNAL_ERROR));
    result.err().unwrap_or(hiprtcResult::HIPRTC_SUCCESS)
}

fn place<T>(pointer: *mut T) -> Result<*mut T, hiprtcResult> {
    if pointer.is_null() { Err(hiprtcResult::HIPRTC_ERROR_INVALID_INPUT) } else { Ok(pointer) }
}

/// The architecture of the thread's device, where there is one.
fn device_arch() -> Option<String> {
    let driver = driver().ok()?;
    let get = |attribute| property(driver, context::chosen(), attribute).ok();
    let major = get(CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
    let minor = get(CUdevice_attribute_enum::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
    Some(format!("sm_{major}{minor}"))
}

/// The words of an option list.
///
/// # Safety
/// `list` holds `count` strings with a zero at their ends.
unsafe fn words<'a>(count: c_int, list: *mut *const c_char) -> Result<Vec<&'a str>, hiprtcResult> {
    let count = usize::try_from(count).map_err(|_| hiprtcResult::HIPRTC_ERROR_INVALID_INPUT)?;
    if count == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the caller vouches for the list and for its strings.
    let list = unsafe { std::slice::from_raw_parts(place(list)?, count) };
    let word = |text: &*const c_char| {
        // SAFETY: as above.
        let text = (!text.is_null()).then(|| unsafe { CStr::from_ptr(*text) });
        text.and_then(|text| text.to_str().ok()).ok_or(hiprtcResult::HIPRTC_ERROR_INVALID_OPTION)
    };
    list.iter().map(word).collect()
}

/// NVRTC's functions that give the bytes of what was compiled: machine code, or PTX where only that was asked for.
struct Code {
    bytes: usize,
    is_ptx: bool,
}

impl Code {
    /// # Safety
    /// `program` is a live program.
    unsafe fn of(nvrtc: &Nvrtc, program: hiprtcProgram) -> Result<Self, hiprtcResult> {
        let mut bytes = 0;
        // SAFETY: the caller vouches for the program; each function writes one size.
        unsafe {
            check(nvrtc.nvrtcGetCUBINSize(program.cast(), &mut bytes))?;
            if bytes > 0 {
                return Ok(Self { bytes, is_ptx: false });
            }
            check(nvrtc.nvrtcGetPTXSize(program.cast(), &mut bytes))?;
        }
        Ok(Self { bytes, is_ptx: true })
    }
}

fn description(status: hiprtcResult) -> &'static CStr {
    static WITHOUT_NVRTC: OnceLock<CString> = OnceLock::new();
    match (status, absent_reason()) {
        (hiprtcResult::HIPRTC_ERROR_INTERNAL_ERROR, Some(reason)) => {
            WITHOUT_NVRTC.get_or_init(|| CString::new(reason).unwrap_or_default())
        }
        (hiprtcResult::HIPRTC_SUCCESS, _) => c"no error",
        (hiprtcResult::HIPRTC_ERROR_OUT_OF_MEMORY, _) => c"out of memory",
        (hiprtcResult::HIPRTC_ERROR_PROGRAM_CREATION_FAILURE, _) => c"the program was not created",
        (hiprtcResult::HIPRTC_ERROR_INVALID_INPUT, _) => c"invalid input",
        (hiprtcResult::HIPRTC_ERROR_INVALID_PROGRAM, _) => c"invalid program",
        (hiprtcResult::HIPRTC_ERROR_INVALID_OPTION, _) => c"invalid option",
        (hiprtcResult::HIPRTC_ERROR_COMPILATION, _) => c"the program does not compile",
        (hiprtcResult::HIPRTC_ERROR_INTERNAL_ERROR, _) => c"internal error",
        _ => c"unknown error",
    }
}

macro_rules! export_rtc {
    ($(fn $name:ident($($argument:ident: $ty:ty),* $(,)?) $body:block)*) => {$(
        #[allow(non_snake_case, reason = "the name is hipRTC's")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $ty),*) -> hiprtcResult {
            guard(|| {
                // SAFETY: the caller keeps the rules of hipRTC's function of this name, which are those of NVRTC's
                // function of the same meaning, where the body passes pointers and handles on.
                unsafe { $body }
            })
        }

        const _: hip_sys::rtc_table::signatures::$name = $name;
    )*};
}

export_rtc! {
    fn hiprtcVersion(major: *mut c_int, minor: *mut c_int) {
        check(compiler()?.nvrtcVersion(major, minor))
    }

    fn hiprtcCreateProgram(
        program: *mut hiprtcProgram,
        source: *const c_char,
        name: *const c_char,
        header_count: c_int,
        headers: *mut *const c_char,
        include_names: *mut *const c_char,
    ) {
        let program = place(program)?.cast();
        check(compiler()?.nvrtcCreateProgram(program, source, name, header_count, headers.cast(), include_names.cast()))
    }

    fn hiprtcCompileProgram(program: hiprtcProgram, count: c_int, options: *mut *const c_char) {
        let words = words(count, options)?;
        let compiler = compiler()?;
        let translated = options::translate(&words, device_arch().as_deref());
        let strings: Result<Vec<CString>, _> = translated.into_iter().map(CString::new).collect();
        let strings = strings.map_err(|_| hiprtcResult::HIPRTC_ERROR_INVALID_OPTION)?;
        let mut pointers: Vec<*const c_char> = strings.iter().map(|option| option.as_ptr()).collect();
        check(compiler.nvrtcCompileProgram(program.cast(), pointers.len() as c_int, pointers.as_mut_ptr().cast()))
    }

    fn hiprtcGetProgramLogSize(program: hiprtcProgram, bytes: *mut usize) {
        check(compiler()?.nvrtcGetProgramLogSize(program.cast(), bytes))
    }

    fn hiprtcGetProgramLog(program: hiprtcProgram, log: *mut c_char) {
        check(compiler()?.nvrtcGetProgramLog(program.cast(), log))
    }

    fn hiprtcGetCodeSize(program: hiprtcProgram, bytes: *mut usize) {
        place(bytes)?.write(Code::of(compiler()?, program)?.bytes);
        Ok(())
    }

    fn hiprtcGetCode(program: hiprtcProgram, code: *mut c_char) {
        let compiler = compiler()?;
        match Code::of(compiler, program)?.is_ptx {
            false => check(compiler.nvrtcGetCUBIN(program.cast(), code)),
            true => check(compiler.nvrtcGetPTX(program.cast(), code)),
        }
    }

    fn hiprtcDestroyProgram(program: *mut hiprtcProgram) {
        check(compiler()?.nvrtcDestroyProgram(program.cast()))
    }
}

/// Description of a status.
#[allow(non_snake_case, reason = "the name is hipRTC's")]
#[unsafe(no_mangle)]
pub extern "C" fn hiprtcGetErrorString(status: hiprtcResult) -> *const c_char {
    description(status).as_ptr()
}

const _: hip_sys::rtc_table::signatures::hiprtcGetErrorString = hiprtcGetErrorString;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_of_equal_numbers_have_equal_names() {
        for (name, status) in nvrtcResult::ALL.iter().filter(|(_, s)| s.0 <= 11) {
            let hip = rtc_status(*status).name().expect("a name").trim_start_matches("HIPRTC_").to_string();
            assert_eq!(hip, name.trim_start_matches("NVRTC_"));
        }
        assert_eq!(rtc_status(nvrtcResult(99)), hiprtcResult::HIPRTC_ERROR_INTERNAL_ERROR);
    }

    #[test]
    fn a_panic_stays_inside() {
        assert_eq!(guard(|| panic!("a fault of ours")), hiprtcResult::HIPRTC_ERROR_INTERNAL_ERROR);
    }
}
