//! hipRTC.

use std::ffi::{c_char, c_int};

use hip_sys::rtc_table::signatures;
use hip_sys::{hiprtcProgram, hiprtcResult};

use super::device::static_text;
use super::{rtc_call, text_of};
use crate::compile::{CompileError, Program, compile};
use crate::objects;
use crate::settings::Mode;
use crate::state;

type RtcStatus = Result<(), hiprtcResult>;

macro_rules! rtc_functions {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) $body:block)*) => {$(
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($arg: $ty),*) -> hiprtcResult {
            rtc_call(stringify!($name), || $body)
        }
        const _: signatures::$name = $name;
    )*};
}

/// Writes a result.
///
/// # Safety
/// `to` is null or points to a `T` that may be written.
unsafe fn put<T>(to: *mut T, value: T) -> RtcStatus {
    // SAFETY: as the caller says.
    unsafe { super::put(to, value) }.map_err(|_| hiprtcResult::HIPRTC_ERROR_INVALID_INPUT)
}

/// The strings of a list.
///
/// # Safety
/// `list` is null or has `count` strings.
unsafe fn texts_of(list: *mut *const c_char, count: c_int) -> Vec<String> {
    let count = if list.is_null() { 0 } else { usize::try_from(count).unwrap_or(0) };
    // SAFETY: as the caller says.
    (0..count).map(|i| unsafe { text_of(list.add(i).read()) }).collect()
}

fn with_program<T>(program: hiprtcProgram, read: impl FnOnce(&mut Program) -> T) -> Result<T, hiprtcResult> {
    let mut state = state::lock();
    let found = state.programs.get_mut(program as usize);
    found.map(read).map_err(|_| hiprtcResult::HIPRTC_ERROR_INVALID_PROGRAM)
}

/// Bytes of a log with the zero at its end.
fn log_bytes(program: &mut Program) -> usize {
    program.log.len() + 1
}

rtc_functions! {
    fn hiprtcVersion(major: *mut c_int, minor: *mut c_int) {
        // SAFETY: callers give pointers to write to.
        unsafe {
            put(major, 6)?;
            put(minor, 4)
        }
    }
    fn hiprtcCreateProgram(program: *mut hiprtcProgram, source: *const c_char, name: *const c_char, count: c_int, headers: *mut *const c_char, include_names: *mut *const c_char) {
        if program.is_null() || source.is_null() {
            return Err(hiprtcResult::HIPRTC_ERROR_INVALID_INPUT);
        }
        // SAFETY: callers give strings, and lists as long as they say.
        let new = unsafe {
            let names = texts_of(include_names, count);
            let headers = names.into_iter().zip(texts_of(headers, count)).collect();
            Program { source: text_of(source), name: text_of(name), headers, ..Program::default() }
        };
        let handle = state::lock().programs.insert(new);
        // SAFETY: as for the version.
        unsafe { put(program, handle) }
    }
    fn hiprtcCompileProgram(program: hiprtcProgram, count: c_int, options: *mut *const c_char) {
        // SAFETY: callers give a list as long as they say.
        let options = unsafe { texts_of(options, count) };
        let source = with_program(program, |program| program.clone())?;
        let settings = state::lock().settings.clone();
        // Without the lock: it takes a second.
        let result = match settings.mode {
            Mode::Host => compile(&source, &options, &settings),
            Mode::Emulate => objects::answer(&source, &options, &settings).map_err(CompileError::from),
        };
        with_program(program, |program| match result {
            Ok(object) => {
                program.log.clear();
                program.code = object;
                Ok(())
            }
            Err(error) => {
                program.log = error.to_string();
                program.code.clear();
                Err(match error {
                    CompileError::Rejected(_) | CompileError::Objects(_) => hiprtcResult::HIPRTC_ERROR_COMPILATION,
                    CompileError::IncludeName(_) => hiprtcResult::HIPRTC_ERROR_INVALID_INPUT,
                    CompileError::NoCompiler | CompileError::Io { .. } => hiprtcResult::HIPRTC_ERROR_INTERNAL_ERROR,
                })
            }
        })?
    }
    fn hiprtcGetProgramLogSize(program: hiprtcProgram, bytes: *mut usize) {
        let size = with_program(program, log_bytes)?;
        // SAFETY: as for the version.
        unsafe { put(bytes, size) }
    }
    fn hiprtcGetProgramLog(program: hiprtcProgram, log: *mut c_char) {
        let text = with_program(program, |program| program.log.clone())?;
        // SAFETY: the log has room for as many bytes as hiprtcGetProgramLogSize says.
        let written = unsafe { super::put_text(log, text.len() + 1, &text) };
        if written { Ok(()) } else { Err(hiprtcResult::HIPRTC_ERROR_INVALID_INPUT) }
    }
    fn hiprtcGetCodeSize(program: hiprtcProgram, bytes: *mut usize) {
        let size = with_program(program, |program| program.code.len())?;
        if size == 0 {
            return Err(hiprtcResult::HIPRTC_ERROR_INVALID_PROGRAM);
        }
        // SAFETY: as for the version.
        unsafe { put(bytes, size) }
    }
    fn hiprtcGetCode(program: hiprtcProgram, code: *mut c_char) {
        if code.is_null() {
            return Err(hiprtcResult::HIPRTC_ERROR_INVALID_INPUT);
        }
        with_program(program, |program| {
            // SAFETY: the caller has room for as many bytes as hiprtcGetCodeSize says.
            unsafe { std::ptr::copy_nonoverlapping(program.code.as_ptr().cast(), code, program.code.len()) };
        })
    }
    fn hiprtcDestroyProgram(program: *mut hiprtcProgram) {
        if program.is_null() {
            return Err(hiprtcResult::HIPRTC_ERROR_INVALID_INPUT);
        }
        // SAFETY: not null; callers give a pointer to a handle.
        let handle = unsafe { program.read() };
        let removed = state::lock().programs.remove(handle as usize);
        removed.map_err(|_| hiprtcResult::HIPRTC_ERROR_INVALID_PROGRAM)?;
        // SAFETY: as above.
        unsafe { put(program, std::ptr::null_mut()) }
    }
}

/// Description of a status, a string with static lifetime.
#[unsafe(no_mangle)]
pub extern "C" fn hiprtcGetErrorString(status: hiprtcResult) -> *const c_char {
    static_text(status.name().unwrap_or("an unknown status of hipRTC"))
}
const _: signatures::hiprtcGetErrorString = hiprtcGetErrorString;
