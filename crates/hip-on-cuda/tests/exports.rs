//! The built library has every symbol that ROCmForge opens, and says what is missing on a machine without CUDA.

mod common;

use std::ffi::CStr;

use common::{in_child, is_child, library};
use hip_sys::rtc_table::RtcFunctions;
use hip_sys::runtime_table::RuntimeFunctions;
use hip_sys::{Api, Rtc, hipError_t, hiprtcResult};
use hipblas_sys::blas_table::BlasFunctions;
use hipblas_sys::{Blas, Dialect};

#[test]
fn every_symbol_of_the_tables_is_exported() {
    let api = Api::open_path(library()).expect("all required symbols");
    let runtime = RuntimeFunctions::REQUIRED.iter().chain(RuntimeFunctions::OPTIONAL);
    let blas = ["hipblasGemmEx_v2", "hipblasGemmStridedBatchedEx_v2"];
    let names = runtime.chain(RtcFunctions::REQUIRED).chain(BlasFunctions::REQUIRED).chain(&blas);
    let missing: Vec<&&str> = names.filter(|name| api.symbol(name).is_null()).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn hiprtc_and_hipblas_are_found_in_the_same_library() {
    let api = Api::open_path(library()).expect("the library");
    assert_eq!(Rtc::open(&api).expect("hipRTC").path(), library());
    let blas = Blas::open(&api).expect("hipBLAS");
    assert_eq!(blas.path(), library());
    assert_eq!(blas.dialect(), Dialect::HipSuffixed);
}

#[test]
fn without_a_driver_each_function_says_so() {
    let nowhere = std::ffi::OsStr::new("/nowhere/libcuda.so.1");
    in_child("without_a_driver", &[("ROCMFORGE_CUDA_LIBRARY", nowhere), ("ROCMFORGE_NVRTC_LIBRARY", nowhere)]);
}

#[test]
#[ignore = "runs in a process of its own"]
fn without_a_driver() {
    if !is_child() {
        return;
    }
    let api = Api::open_path(library()).expect("the library opens without CUDA");
    let mut count = 7;
    // SAFETY: each call writes to a place of its own, or to none.
    unsafe {
        assert_eq!(api.hipGetDeviceCount(&mut count), hipError_t::hipErrorNoDevice);
        assert_eq!(count, 0);
        let mut pointer = std::ptr::null_mut();
        assert_eq!(api.hipMalloc(&mut pointer, 64), hipError_t::hipErrorNoDevice);
        assert_eq!(api.hipMalloc(std::ptr::null_mut(), 64), hipError_t::hipErrorInvalidValue);
        assert_eq!(api.hipGetLastError(), hipError_t::hipErrorInvalidValue);
        assert_eq!(api.hipGetLastError(), hipError_t::hipSuccess);
        let text = CStr::from_ptr(api.hipGetErrorString(hipError_t::hipErrorNoDevice)).to_string_lossy();
        assert!(text.contains("/nowhere/libcuda.so.1") && text.contains("ROCMFORGE_CUDA_LIBRARY"), "{text}");
    }
    let rtc = Rtc::open(&api).expect("hipRTC");
    let mut program = std::ptr::null_mut();
    let none = std::ptr::null_mut;
    // SAFETY: the strings end with a zero, and there are no headers.
    unsafe {
        let status = rtc.hiprtcCreateProgram(&mut program, c"".as_ptr(), c"x".as_ptr(), 0, none(), none());
        assert_eq!(status, hiprtcResult::HIPRTC_ERROR_INTERNAL_ERROR);
        let text = CStr::from_ptr(rtc.hiprtcGetErrorString(status)).to_string_lossy();
        assert!(text.contains("ROCMFORGE_NVRTC_LIBRARY"), "{text}");
    }
}
