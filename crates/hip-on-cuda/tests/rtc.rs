//! hipRTC over a real NVRTC, which needs no GPU. Where there is none the tests say that they were skipped.

mod common;

use std::ffi::{CStr, CString, c_char};
use std::sync::Arc;

use hip_sys::{Api, Rtc, hiprtcProgram, hiprtcResult};

fn rtc() -> Option<Arc<Rtc>> {
    let api = Api::open_path(common::library()).expect("the library");
    let rtc = Rtc::open(&api).expect("hipRTC");
    let (mut major, mut minor) = (0, 0);
    // SAFETY: the function writes two numbers.
    match unsafe { rtc.hiprtcVersion(&mut major, &mut minor) } {
        hiprtcResult::HIPRTC_SUCCESS => Some(rtc),
        status => {
            // SAFETY: the text has static lifetime.
            let reason = unsafe { CStr::from_ptr(rtc.hiprtcGetErrorString(status)) };
            println!("skipped: {}", reason.to_string_lossy());
            None
        }
    }
}

/// Compiles a source that may include `rf/scale.h`: status, messages, code.
fn compile(rtc: &Rtc, source: &str, options: &[&str]) -> (hiprtcResult, String, Vec<u8>) {
    const HEADER: &CStr = c"#define SCALE 3\n";
    let source = CString::new(source).expect("text");
    let options: Vec<CString> = options.iter().map(|o| CString::new(*o).expect("text")).collect();
    let mut options: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
    let (mut headers, mut names) = ([HEADER.as_ptr()], [c"rf/scale.h".as_ptr()]);
    let mut program: hiprtcProgram = std::ptr::null_mut();
    let ok = hiprtcResult::HIPRTC_SUCCESS;
    // SAFETY: all strings end with a zero and outlive the program; buffers have the sizes that were asked for.
    unsafe {
        let created = rtc.hiprtcCreateProgram(
            &mut program,
            source.as_ptr(),
            c"test.hip".as_ptr(),
            1,
            headers.as_mut_ptr(),
            names.as_mut_ptr(),
        );
        assert_eq!(created, ok);
        let status = rtc.hiprtcCompileProgram(program, options.len() as i32, options.as_mut_ptr());
        let (mut log_bytes, mut code_bytes) = (0, 0);
        assert_eq!(rtc.hiprtcGetProgramLogSize(program, &mut log_bytes), ok);
        let mut log = vec![0u8; log_bytes.max(1)];
        assert_eq!(rtc.hiprtcGetProgramLog(program, log.as_mut_ptr().cast()), ok);
        let mut code = Vec::new();
        if status == ok {
            assert_eq!(rtc.hiprtcGetCodeSize(program, &mut code_bytes), ok);
            code.resize(code_bytes, 0u8);
            assert_eq!(rtc.hiprtcGetCode(program, code.as_mut_ptr().cast()), ok);
        }
        assert_eq!(rtc.hiprtcDestroyProgram(&mut program), ok);
        (status, String::from_utf8_lossy(&log).into_owned(), code)
    }
}

const KERNEL: &str = r#"
#include "rf/scale.h"
struct Args { const float* x; float* y; };
__device__ float tripled(float v) { return v * SCALE * EXTRA; }
extern "C" __global__ __launch_bounds__(256) void scale(Args a) { a.y[threadIdx.x] = tripled(a.x[threadIdx.x]); }
"#;

const OPTIONS: [&str; 5] = ["--offload-arch=sm_90", "-O3", "-std=c++17", "-ffp-contract=fast", "-DEXTRA=2"];

#[test]
fn a_kernel_with_headers_becomes_machine_code() {
    let Some(rtc) = rtc() else { return };
    let (status, log, code) = compile(&rtc, KERNEL, &OPTIONS);
    assert_eq!(status, hiprtcResult::HIPRTC_SUCCESS, "{log}");
    assert_eq!(&code[..4], b"\x7fELF");
    // e_machine of CUDA.
    assert_eq!(u16::from_le_bytes([code[18], code[19]]), 190);
    assert!(code.windows(5).any(|w| w == b"scale"), "the kernel's name");
}

#[test]
fn messages_name_file_line_and_fault() {
    let Some(rtc) = rtc() else { return };
    let (status, log, _) = compile(&rtc, KERNEL, &OPTIONS[..4]);
    assert_eq!(status, hiprtcResult::HIPRTC_ERROR_COMPILATION);
    assert!(log.contains("test.hip(4)") && log.contains("EXTRA"), "{log}");
}

#[test]
fn an_option_that_nobody_knows_is_an_error() {
    let Some(rtc) = rtc() else { return };
    let (status, ..) = compile(&rtc, KERNEL, &["--offload-arch=sm_90", "--no-such-option"]);
    assert_eq!(status, hiprtcResult::HIPRTC_ERROR_INVALID_OPTION);
}
