//! HIP's calls as they arrive at a CUDA driver, which here is one that keeps account.

mod common;

use std::ffi::{CString, c_int, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{in_child, is_child, library};
use hip_sys::library::{SharedLibrary, Wanted};
use hip_sys::{Api, hipDeviceAttribute_t, hipError_t, hipMemcpyKind};

const ACCOUNT: &str = include_str!("fake_cuda.c");
const NEEDED: &str = include_str!("../src/generated/driver.rs");

/// Builds the accountant with a success for each function of the driver that it does not have itself.
fn build(folder: &Path) -> Option<PathBuf> {
    let mut source = ACCOUNT.to_string();
    for name in NEEDED.lines().filter_map(|line| line.trim().strip_prefix("fn ")).filter_map(|f| f.split('(').next()) {
        if !ACCOUNT.contains(&format!("int {name}(")) {
            source += &format!("int {name}(void) {{ return 0; }}\n");
        }
    }
    let (c, library) = (folder.join("fake_cuda.c"), folder.join("libfake_cuda.so"));
    std::fs::write(&c, source).expect("the C file");
    match Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&c).status() {
        Ok(status) => assert!(status.success(), "cc fails"),
        Err(error) => {
            println!("skipped: no C compiler ({error})");
            return None;
        }
    }
    Some(library)
}

/// The accountant's books.
struct Books(SharedLibrary);

impl Books {
    fn open() -> Self {
        let path = std::env::var_os("ROCMFORGE_CUDA_LIBRARY").expect("set by the parent");
        let wanted = Wanted { what: "accountant", names: &[], folders: &[], variable: "", packages: "" };
        Self(SharedLibrary::open_path(&wanted, Path::new(&path)).expect("the accountant"))
    }

    fn number(&self, name: &str) -> c_int {
        let address = self.0.symbol(name);
        assert!(!address.is_null(), "{name}");
        // SAFETY: the accountant's functions without arguments return an integer.
        unsafe { std::mem::transmute::<*const c_void, extern "C" fn() -> c_int>(address)() }
    }

    fn set_stream_status(&self, status: c_int) {
        let address = self.0.symbol("fake_set_stream_status");
        // SAFETY: this one takes an integer.
        unsafe { std::mem::transmute::<*const c_void, extern "C" fn(c_int)>(address)(status) }
    }

    fn extra(&self, at: c_int) -> usize {
        let address = self.0.symbol("fake_launch_extra");
        // SAFETY: this one takes an integer and returns an address.
        unsafe { std::mem::transmute::<*const c_void, extern "C" fn(c_int) -> usize>(address)(at) }
    }
}

/// Runs the test of this name against the accountant, in a process of its own.
fn with_accountant(test: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    if let Some(library) = build(folder.path()) {
        in_child(test, &[("ROCMFORGE_CUDA_LIBRARY", library.as_os_str())]);
    }
}

fn open() -> Option<(std::sync::Arc<Api>, Books)> {
    is_child().then(|| (Api::open_path(library()).expect("the library"), Books::open()))
}

#[test]
fn devices() {
    with_accountant("child::devices");
}

#[test]
fn memory() {
    with_accountant("child::memory");
}

#[test]
fn threads_share_a_context() {
    with_accountant("child::threads_share_a_context");
}

#[test]
fn launches_ask_for_shared_memory() {
    with_accountant("child::launches_ask_for_shared_memory");
}

mod child {
    use super::*;

    #[test]
    #[ignore = "runs in a process of its own"]
    fn devices() {
        let Some((api, _)) = open() else { return };
        let identity = api.device_identity(0).expect("a device");
        assert_eq!((identity.name.as_str(), identity.arch.as_str()), ("Accountant", "sm_90"));
        assert_eq!((identity.wave_size, identity.max_block), (32, [1024; 3]));
        assert!(api.device_identity(1).is_err());
        let (mut version, mut bytes, mut count) = (0, 0, 0);
        // SAFETY: each call writes one number.
        unsafe {
            assert_eq!(api.hipDriverGetVersion(&mut version), hipError_t::hipSuccess);
            assert_eq!(hip_sys::Version(version).to_string(), "13.0.0");
            assert_eq!(api.hipGetDeviceCount(&mut count), hipError_t::hipSuccess);
            assert_eq!(count, 1);
            let shared = hipDeviceAttribute_t::hipDeviceAttributeMaxSharedMemoryPerBlock;
            assert_eq!(api.hipDeviceGetAttribute(&mut bytes, shared, 0), hipError_t::hipSuccess);
            assert_eq!(bytes, 232_448);
            assert_eq!(api.hipSetDevice(3), hipError_t::hipErrorInvalidDevice);
            assert_eq!(api.hipGetDevice(&mut count), hipError_t::hipSuccess);
            assert_eq!(count, 0, "a device that does not exist is not chosen");
        }
    }

    #[test]
    #[ignore = "runs in a process of its own"]
    fn memory() {
        let Some((api, books)) = open() else { return };
        let mut pointer = std::ptr::null_mut();
        let mut back = [0u8; 4];
        // SAFETY: the accountant's device memory is host memory, and all sizes are those of the buffers.
        unsafe {
            assert_eq!(api.hipMalloc(&mut pointer, 2 << 30), hipError_t::hipErrorOutOfMemory);
            assert_eq!(api.hipMalloc(&mut pointer, 0), hipError_t::hipSuccess);
            assert!(pointer.is_null(), "nothing is asked for");
            assert_eq!(api.hipMalloc(&mut pointer, 4), hipError_t::hipSuccess);
            let data = [1u8, 2, 3, 4];
            let up = hipMemcpyKind::hipMemcpyHostToDevice;
            assert_eq!(api.hipMemcpy(pointer, data.as_ptr().cast(), 4, up), hipError_t::hipSuccess);
            assert_eq!(api.hipMemset(pointer.cast::<u8>().add(2).cast(), 9, 1), hipError_t::hipSuccess);
            let down = hipMemcpyKind::hipMemcpyDeviceToHost;
            assert_eq!(api.hipMemcpy(back.as_mut_ptr().cast(), pointer, 4, down), hipError_t::hipSuccess);
            assert_eq!(back, [1, 2, 9, 4]);
            let wrong = hipMemcpyKind(99);
            assert_eq!(api.hipMemcpy(pointer, pointer, 4, wrong), hipError_t::hipErrorInvalidMemcpyDirection);
            assert_eq!(api.hipFree(pointer), hipError_t::hipSuccess);
            books.set_stream_status(700);
            assert_eq!(api.hipStreamSynchronize(std::ptr::null_mut()), hipError_t::hipErrorIllegalAddress);
            books.set_stream_status(600);
            assert_eq!(api.hipStreamSynchronize(std::ptr::null_mut()), hipError_t::hipErrorNotReady);
        }
    }

    #[test]
    #[ignore = "runs in a process of its own"]
    fn threads_share_a_context() {
        let Some((api, books)) = open() else { return };
        let touch = || {
            for _ in 0..3 {
                // SAFETY: waiting for the device needs nothing.
                assert_eq!(unsafe { api.hipDeviceSynchronize() }, hipError_t::hipSuccess);
            }
        };
        touch();
        assert_eq!((books.number("fake_retained"), books.number("fake_set_current")), (1, 1));
        std::thread::scope(|scope| {
            scope.spawn(touch);
        });
        assert_eq!((books.number("fake_retained"), books.number("fake_set_current")), (1, 2));
    }

    #[test]
    #[ignore = "runs in a process of its own"]
    fn launches_ask_for_shared_memory() {
        let Some((api, books)) = open() else { return };
        let launch = |shared, extra| {
            let function = std::ptr::without_provenance_mut(0x500);
            let (stream, parameters) = (std::ptr::null_mut(), std::ptr::null_mut());
            // SAFETY: the accountant looks at no kernel and no argument; the list is null or has an end.
            unsafe { api.hipModuleLaunchKernel(function, 1, 1, 1, 32, 1, 1, shared, stream, parameters, extra) }
        };
        let none = std::ptr::null_mut();
        // 1 KiB of 48 is the kernel's own.
        for (shared, asked, limit) in
            [(0, 0, 0), (47 << 10, 0, 0), (48 << 10, 1, 48 << 10), (40 << 10, 1, 48 << 10), (100 << 10, 2, 100 << 10)]
        {
            assert_eq!(launch(shared, none), hipError_t::hipSuccess);
            assert_eq!(books.number("fake_launch_shared"), shared as c_int);
            assert_eq!((books.number("fake_set_attribute"), books.number("fake_dynamic_limit")), (asked, limit));
        }
        assert_eq!(launch(300 << 10, none), hipError_t::hipErrorInvalidValue, "more than the device has");

        let (mut size, name) = (24usize, CString::new("arguments").expect("text"));
        let key = std::ptr::without_provenance_mut::<c_void>;
        let size_at = (&raw mut size).cast();
        let mut extra = [key(1), name.as_ptr().cast_mut().cast(), key(2), size_at, key(3)];
        assert_eq!(launch(0, extra.as_mut_ptr()), hipError_t::hipSuccess);
        assert_eq!((books.extra(0), books.extra(2), books.extra(4)), (1, 2, 0));
        assert_eq!(books.extra(3), size_at.addr());
    }
}
