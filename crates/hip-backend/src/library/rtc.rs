//! hipRTC: from a module's sources to its code object.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr;

use hip_sys::{Rtc, hiprtcProgram, hiprtcResult};
use rocmforge_kernels::{Module, base_arch};

use super::KernelError;

/// Compiles a module for a target. No device is needed. All headers are passed by name, so that nothing is read from
/// the disk. `defines` are added to the module's own.
///
/// # Errors
/// [`KernelError::Compile`] with the compiler's messages, [`KernelError::Rtc`] for any other failure.
pub fn compile(rtc: &Rtc, module: &Module, arch: &str, defines: &[(String, String)]) -> Result<Vec<u8>, KernelError> {
    let job = Job { rtc, module, arch };
    let program = job.program()?;
    let status = program.compile(&job.options(defines))?;
    if status == hiprtcResult::HIPRTC_ERROR_COMPILATION {
        let log = program.log()?;
        return Err(KernelError::Compile { module: module.name.clone(), arch: arch.to_owned(), log });
    }
    job.check("hiprtcCompileProgram", status)?;
    program.code()
}

/// Which hipRTC this is, as part of the key of what it makes.
pub fn version(rtc: &Rtc) -> String {
    let ((major, minor), status) = numbers(rtc);
    format!("{} {major}.{minor} {}", rtc.path().display(), status.0)
}

/// What hipRTC says of its version, as `9.0`.
pub(crate) fn release(rtc: &Rtc) -> Option<String> {
    let ((major, minor), status) = numbers(rtc);
    (status == hiprtcResult::HIPRTC_SUCCESS).then(|| format!("{major}.{minor}"))
}

fn numbers(rtc: &Rtc) -> ((c_int, c_int), hiprtcResult) {
    let (mut major, mut minor) = (0, 0);
    // SAFETY: both pointers are to integers that live until the call returns.
    let status = unsafe { rtc.hiprtcVersion(&mut major, &mut minor) };
    ((major, minor), status)
}

/// No log and no code object is larger; a library that asks for more is broken.
const BYTES_MAX: usize = 1 << 30;

/// What is compiled, for messages.
#[derive(Clone, Copy)]
struct Job<'a> {
    rtc: &'a Rtc,
    module: &'a Module,
    arch: &'a str,
}

impl<'a> Job<'a> {
    fn error(&self, call: &'static str, message: impl Into<String>) -> KernelError {
        let (module, arch) = (self.module.name.clone(), self.arch.to_owned());
        KernelError::Rtc { module, arch, call, message: message.into() }
    }

    fn check(&self, call: &'static str, status: hiprtcResult) -> Result<(), KernelError> {
        if status == hiprtcResult::HIPRTC_SUCCESS {
            return Ok(());
        }
        // SAFETY: the function takes any status.
        let text = unsafe { self.rtc.hiprtcGetErrorString(status) };
        let text = if text.is_null() {
            String::new()
        } else {
            // SAFETY: hipRTC returns strings of static lifetime that end with a zero.
            unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
        };
        Err(self.error(call, format!("{status:?} ({text})")))
    }

    fn c_string(&self, text: &str) -> Result<CString, KernelError> {
        CString::new(text).map_err(|_| self.error("hiprtcCreateProgram", "a source or an option holds a zero byte"))
    }

    fn options(&self, defines: &[(String, String)]) -> Vec<String> {
        let added = defines.iter().map(|(name, value)| format!("-D{name}={value}"));
        // Features such as xnack stay open, as in the objects that are built ahead of time.
        let target = format!("--offload-arch={}", base_arch(self.arch));
        self.module.options().into_iter().chain([target]).chain(added).collect()
    }

    fn program(self) -> Result<Program<'a>, KernelError> {
        // A library that stands in for hipRTC may compile for the host; the real one leaves what it does not need.
        let files = self.module.files_for_any();
        let Some((source, headers)) = files.split_first() else {
            return Err(self.error("hiprtcCreateProgram", format!("the program lacks {}", self.module.file)));
        };
        let text = self.c_string(source.text)?;
        let name = self.c_string(source.path)?;
        let texts = headers.iter().map(|h| self.c_string(h.text)).collect::<Result<Vec<_>, _>>()?;
        let names = headers.iter().map(|h| self.c_string(h.include_name())).collect::<Result<Vec<_>, _>>()?;
        let (mut texts, mut names) = (pointers(&texts), pointers(&names));
        let mut raw: hiprtcProgram = ptr::null_mut();
        // SAFETY: all strings end with a zero and outlive the call, which copies them; both lists have as many entries
        // as it is told.
        let status = unsafe {
            let count = texts.len() as c_int;
            let (text, name) = (text.as_ptr(), name.as_ptr());
            self.rtc.hiprtcCreateProgram(&mut raw, text, name, count, texts.as_mut_ptr(), names.as_mut_ptr())
        };
        self.check("hiprtcCreateProgram", status)?;
        Ok(Program { job: self, raw })
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).collect()
}

/// A program of hipRTC, destroyed on drop.
struct Program<'a> {
    job: Job<'a>,
    raw: hiprtcProgram,
}

impl Program<'_> {
    fn compile(&self, options: &[String]) -> Result<hiprtcResult, KernelError> {
        let options = options.iter().map(|option| self.job.c_string(option)).collect::<Result<Vec<_>, _>>()?;
        let mut options = pointers(&options);
        // SAFETY: the program is alive, and the list has as many strings as the call is told.
        Ok(unsafe { self.job.rtc.hiprtcCompileProgram(self.raw, options.len() as c_int, options.as_mut_ptr()) })
    }

    fn log(&self) -> Result<String, KernelError> {
        let mut bytes = 0;
        // SAFETY: the program is alive, and the size is written to a live integer.
        let status = unsafe { self.job.rtc.hiprtcGetProgramLogSize(self.raw, &mut bytes) };
        self.job.check("hiprtcGetProgramLogSize", status)?;
        let mut log = self.buffer("hiprtcGetProgramLogSize", bytes)?;
        // SAFETY: the buffer holds what the call before has asked for.
        let status = unsafe { self.job.rtc.hiprtcGetProgramLog(self.raw, log.as_mut_ptr().cast()) };
        self.job.check("hiprtcGetProgramLog", status)?;
        let end = log.iter().position(|&byte| byte == 0).unwrap_or(log.len());
        Ok(String::from_utf8_lossy(&log[..end]).trim().to_owned())
    }

    fn buffer(&self, call: &'static str, bytes: usize) -> Result<Vec<u8>, KernelError> {
        if bytes > BYTES_MAX {
            return Err(self.job.error(call, format!("asks for {bytes} bytes")));
        }
        Ok(vec![0; bytes])
    }

    fn code(&self) -> Result<Vec<u8>, KernelError> {
        let mut bytes = 0;
        // SAFETY: the program is alive, and the size is written to a live integer.
        let status = unsafe { self.job.rtc.hiprtcGetCodeSize(self.raw, &mut bytes) };
        self.job.check("hiprtcGetCodeSize", status)?;
        let mut code = self.buffer("hiprtcGetCodeSize", bytes)?;
        // SAFETY: the buffer holds what the call before has asked for.
        let status = unsafe { self.job.rtc.hiprtcGetCode(self.raw, code.as_mut_ptr().cast()) };
        self.job.check("hiprtcGetCode", status)?;
        if code.is_empty() {
            return Err(self.job.error("hiprtcGetCode", "an empty code object"));
        }
        Ok(code)
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        // SAFETY: the program came from hiprtcCreateProgram and has this one owner. A failure leaks a little memory.
        unsafe { self.job.rtc.hiprtcDestroyProgram(&mut self.raw) };
    }
}
