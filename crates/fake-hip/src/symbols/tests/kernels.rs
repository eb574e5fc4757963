use std::ffi::{CStr, CString, c_char};
use std::ptr::{null, null_mut};

use hip_sys::{hipFunction_t, hipModule_t, hiprtcProgram, hiprtcResult};

use super::*;
use crate::say::say;
use crate::symbols::device::*;
use crate::symbols::modules::*;
use crate::symbols::rtc::*;

const SOURCE: &str = include_str!("kernels.hip");

/// Compiles a source with the kernels' headers: the image, or the status and the log.
fn compile(source: &str, options: &[&str]) -> Result<Vec<u8>, (hiprtcResult, String)> {
    let c_strings = |texts: Vec<&str>| texts.into_iter().map(|t| CString::new(t).unwrap()).collect::<Vec<_>>();
    let pointers = |texts: &[CString]| texts.iter().map(|t| t.as_ptr()).collect::<Vec<*const c_char>>();
    let headers: Vec<_> = rocmforge_kernels::sources().iter().filter(|s| s.path.starts_with("include/rf/")).collect();
    let texts = c_strings(headers.iter().map(|s| s.text).collect());
    let names = c_strings(headers.iter().map(|s| s.include_name()).collect());
    let source = CString::new(source).unwrap();
    let options = c_strings(options.to_vec());
    let (mut texts, mut names, mut options) = (pointers(&texts), pointers(&names), pointers(&options));
    let mut program: hiprtcProgram = null_mut();
    let mut bytes = 0;
    // SAFETY: lists of strings that live to the end of this function, and buffers of the sizes that were asked for.
    unsafe {
        let count = headers.len() as i32;
        let name = c"tests/kernels.hip".as_ptr();
        let made =
            hiprtcCreateProgram(&mut program, source.as_ptr(), name, count, texts.as_mut_ptr(), names.as_mut_ptr());
        assert_eq!(made, hiprtcResult::HIPRTC_SUCCESS);
        let status = hiprtcCompileProgram(program, options.len() as i32, options.as_mut_ptr());
        let result = if status == hiprtcResult::HIPRTC_SUCCESS {
            assert_eq!(hiprtcGetCodeSize(program, &mut bytes), status);
            let mut code = vec![0u8; bytes];
            assert_eq!(hiprtcGetCode(program, code.as_mut_ptr().cast()), status);
            Ok(code)
        } else {
            assert_eq!(hiprtcGetProgramLogSize(program, &mut bytes), hiprtcResult::HIPRTC_SUCCESS);
            let mut log = vec![0u8; bytes];
            assert_eq!(hiprtcGetProgramLog(program, log.as_mut_ptr().cast()), hiprtcResult::HIPRTC_SUCCESS);
            Err((status, CStr::from_bytes_with_nul(&log).unwrap().to_string_lossy().into_owned()))
        };
        assert_eq!(hiprtcDestroyProgram(&mut program), hiprtcResult::HIPRTC_SUCCESS);
        result
    }
}

struct Kernels {
    module: hipModule_t,
}

impl Kernels {
    /// The test kernels, `None` (told on stderr) without a compiler.
    fn load() -> Option<Self> {
        let arch = format!("--offload-arch={}", state::lock().settings.arch);
        match compile(SOURCE, &[&arch, "-O3", "-DFRACTION=0.5f"]) {
            Ok(image) => Some(Self { module: load(&image).unwrap() }),
            Err((_, log)) if crate::compiler().is_none() => {
                say(&format!("test skipped: {log}"));
                None
            }
            Err((status, log)) => panic!("{status:?}: {log}"),
        }
    }

    fn function(&self, name: &CStr) -> Result<hipFunction_t, hipError_t> {
        let mut function = null_mut();
        // SAFETY: the handle is written, and the name is a string.
        match unsafe { hipModuleGetFunction(&mut function, self.module, name.as_ptr()) } {
            OK => Ok(function),
            status => Err(status),
        }
    }

    /// Launches on the null stream.
    fn launch(&self, name: &CStr, blocks: u32, lanes: u32, args: &Args) -> hipError_t {
        let function = self.function(name).unwrap();
        let mut params = [std::ptr::from_ref(args).cast_mut().cast()];
        let params = params.as_mut_ptr();
        // SAFETY: one parameter, the struct that the test kernels take; its pointers are device memory or meant to fail.
        unsafe { hipModuleLaunchKernel(function, blocks, 1, 1, lanes, 1, 1, 0, null_mut(), params, null_mut()) }
    }
}

impl Drop for Kernels {
    fn drop(&mut self) {
        // SAFETY: the handle is only looked up.
        unsafe { hipModuleUnload(self.module) };
    }
}

fn load(image: &[u8]) -> Result<hipModule_t, hipError_t> {
    let mut module = null_mut();
    // SAFETY: the handle is written; the image is whole, or begins with at least eight bytes.
    match unsafe { hipModuleLoadData(&mut module, image.as_ptr().cast()) } {
        OK => Ok(module),
        status => Err(status),
    }
}

#[repr(C)]
struct Args {
    x: *const f32,
    y: *const f32,
    out: *mut f32,
    count: u32,
    unused: u32,
}

fn args(x: &Device<f32>, y: &Device<f32>, out: &Device<f32>) -> Args {
    Args { x: x.address, y: y.address, out: out.address, count: out.count as u32, unused: 0 }
}

fn numbers(count: usize) -> Device<f32> {
    Device::new(&(0..count).map(|i| i as f32).collect::<Vec<_>>())
}

#[test]
fn vectors_are_added() {
    let _turn = turn();
    let Some(kernels) = Kernels::load() else { return };
    let (x, out) = (numbers(1000), Device::new(&[0f32; 1000]));
    assert_eq!(kernels.launch(c"add", 4, 256, &args(&x, &x, &out)), OK);
    assert!(out.read().iter().enumerate().all(|(i, v)| *v == 2.0 * i as f32));
    let unknown = kernels.function(c"subtract").err();
    assert_eq!(unknown, Some(hipError_t::hipErrorNotFound));
}

#[test]
fn blocks_are_summed_in_every_order() {
    let turn = turn();
    let Some(kernels) = Kernels::load() else { return };
    let (x, out) = (numbers(1024), Device::new(&[0f32; 4]));
    let call = Args { count: 1024, ..args(&x, &x, &out) };
    let expected: Vec<f32> = (0..4).map(|block| (0..256).map(|i| (block * 256 + i) as f32).sum()).collect();
    for order in ["forward", "reverse", "1", "2", "3"] {
        turn.set("order", order);
        assert_eq!(kernels.launch(c"sum", 4, 256, &call), OK);
        assert_eq!(out.read(), expected, "{order}");
    }
}

#[test]
fn another_order_shows_a_missing_barrier() {
    let turn = turn();
    let Some(kernels) = Kernels::load() else { return };
    let (x, out) = (numbers(64), Device::new(&[0f32; 64]));
    let expected: Vec<f32> = (0..64).map(|i| (i / 2) as f32).collect();
    let right = |order: &str| {
        turn.set("order", order);
        assert_eq!(kernels.launch(c"reverse_without_barrier", 1, 64, &args(&x, &x, &out)), OK);
        out.read() == expected
    };
    assert!(right("forward"), "lanes in their order hide it");
    assert!(!right("reverse"));
    assert!(!right("1"));
}

#[test]
fn divergence_is_told() {
    let turn = turn();
    let Some(kernels) = Kernels::load() else { return };
    let (x, out) = (numbers(64), Device::new(&[0f32; 64]));
    let status = kernels.launch(c"diverge", 1, 64, &args(&x, &x, &out));
    assert_eq!(status, hipError_t::hipErrorLaunchFailure);
    for words in ["kernel diverge", "block (0, 0, 0)", "divergence", "a shuffle", "barrier()"] {
        assert!(turn.message().contains(words), "{}", turn.message());
    }
    assert_eq!(kernels.launch(c"sum", 1, 64, &args(&x, &x, &out)), OK, "the next launch works again");
}

#[test]
fn a_write_beside_an_allocation_names_the_kernel() {
    let turn = turn();
    let Some(kernels) = Kernels::load() else { return };
    let (x, out) = (numbers(64), Device::new(&[0f32; 17]));
    let status = kernels.launch(c"write_behind", 1, 64, &args(&x, &x, &out));
    assert_eq!(status, hipError_t::hipErrorIllegalAddress);
    assert!(turn.message().contains("kernel write_behind wrote outside"), "{}", turn.message());
    assert!(turn.message().contains("byte 68 of the allocation of 68 bytes"), "{}", turn.message());
    assert_eq!(kernels.launch(c"add", 1, 64, &args(&x, &x, &out)), OK, "it is told once");
    turn.set("check", "off");
    assert_eq!(kernels.launch(c"write_behind", 1, 64, &args(&x, &x, &out)), OK);
}

#[test]
fn a_read_from_nowhere_is_an_illegal_address() {
    let turn = turn();
    let Some(kernels) = Kernels::load() else { return };
    let (x, out) = (numbers(1), Device::new(&[0f32; 1]));
    let call = Args { x: std::ptr::without_provenance(64), ..args(&x, &x, &out) };
    assert_eq!(kernels.launch(c"read_nowhere", 3, 64, &call), hipError_t::hipErrorIllegalAddress);
    assert!(turn.message().contains("block (1, 0, 0), lane 5: illegal access to address 0x40"), "{}", turn.message());
}

#[test]
fn pages_find_reads_beside_an_allocation() {
    let turn = turn();
    turn.set("check", "pages");
    let Some(kernels) = Kernels::load() else { return };
    let (x, out) = (numbers(64), Device::new(&[0f32; 256]));
    let call = args(&x, &x, &out);
    assert_eq!(kernels.launch(c"add", 1, 64, &call), OK);
    assert_eq!(kernels.launch(c"add", 1, 256, &call), hipError_t::hipErrorIllegalAddress);
    assert!(turn.message().contains("byte 256 of the allocation of 256 bytes"), "{}", turn.message());
}

#[test]
fn launches_that_cannot_be() {
    let turn = turn();
    let Some(kernels) = Kernels::load() else { return };
    let x = numbers(64);
    let call = args(&x, &x, &x);
    assert_eq!(kernels.launch(c"add", 0, 64, &call), hipError_t::hipErrorInvalidConfiguration);
    assert_eq!(kernels.launch(c"add", 1, 1025, &call), hipError_t::hipErrorInvalidConfiguration);
    assert_eq!(kernels.launch(c"add", 1, 512, &call), hipError_t::hipErrorLaunchFailure);
    assert!(turn.message().contains("RF_KERNEL(256)"), "{}", turn.message());
    let add = kernels.function(c"add").unwrap();
    let launch = |lds, params| {
        // SAFETY: refused before anything is read.
        unsafe { hipModuleLaunchKernel(add, 1, 1, 1, 64, 1, 1, lds, null_mut(), params, null_mut()) }
    };
    assert_eq!(launch(70_000, [null_mut()].as_mut_ptr()), hipError_t::hipErrorLaunchOutOfResources);
    assert_eq!(launch(0, [null_mut()].as_mut_ptr()), hipError_t::hipErrorInvalidValue);
    assert_eq!(launch(0, null_mut()), hipError_t::hipErrorInvalidValue);
}

#[test]
fn arguments_as_one_buffer() {
    let _turn = turn();
    let Some(kernels) = Kernels::load() else { return };
    let (x, out) = (numbers(64), Device::new(&[0f32; 64]));
    let mut call = args(&x, &x, &out);
    let add = kernels.function(c"add").unwrap();
    let mut launch = |mut bytes: usize| {
        let buffer = std::ptr::from_mut(&mut call).cast();
        let size = std::ptr::from_mut(&mut bytes).cast();
        let [pointer, length, end] = [1, 2, 3].map(std::ptr::without_provenance_mut);
        let mut extra = [pointer, buffer, length, size, end];
        // SAFETY: the list has HIP's form, and the buffer the argument struct.
        unsafe { hipModuleLaunchKernel(add, 1, 1, 1, 64, 1, 1, 0, null_mut(), null_mut(), extra.as_mut_ptr()) }
    };
    assert_eq!(launch(size_of::<Args>()), OK);
    assert_eq!(launch(8), hipError_t::hipErrorInvalidValue);
    assert_eq!(out.read()[63], 126.0);
}

#[test]
fn modules_are_for_one_target() {
    let turn = turn();
    for (arch, wave) in [("gfx1100", 32.0), ("gfx942", 64.0)] {
        turn.set("arch", arch);
        let Some(kernels) = Kernels::load() else { return };
        let out = Device::new(&[0f32]);
        assert_eq!(kernels.launch(c"wave_size", 1, 64, &args(&out, &out, &out)), OK);
        assert_eq!(out.read(), [wave + 0.5]);
    }
    let image = compile(SOURCE, &["--offload-arch=gfx1100", "-DFRACTION=0.5f"]).unwrap();
    assert_eq!(load(&image), Err(hipError_t::hipErrorNoBinaryForGpu));
    assert_eq!(load(b"nonsense"), Err(hipError_t::hipErrorInvalidImage));
}

#[test]
fn a_mistake_in_the_source_comes_back_in_the_log() {
    let _turn = turn();
    if crate::compiler().is_none() {
        say("test skipped: no C++ compiler");
        return;
    }
    let (status, log) = compile("#include \"rf/platform.h\"\nint f() { return nothing; }\n", &[]).unwrap_err();
    assert_eq!(status, hiprtcResult::HIPRTC_ERROR_COMPILATION);
    assert!(log.contains("tests/kernels.hip:2") && log.contains("nothing"), "{log}");
}

#[test]
fn without_a_compiler_the_log_says_so() {
    let turn = turn();
    turn.set("cxx", "no-such-compiler");
    let (status, log) = compile(SOURCE, &[]).unwrap_err();
    assert_eq!(status, hiprtcResult::HIPRTC_ERROR_INTERNAL_ERROR);
    assert!(log.contains("no C++ compiler"), "{log}");
}

#[test]
fn names_of_statuses() {
    let name = |pointer| {
        // SAFETY: strings with static lifetime.
        unsafe { CStr::from_ptr(pointer) }.to_str().unwrap()
    };
    assert_eq!(name(hipGetErrorName(hipError_t::hipErrorIllegalAddress)), "hipErrorIllegalAddress");
    assert_eq!(name(hipGetErrorString(hipError_t(12_345))), "hipErrorUnknown");
    assert_eq!(name(hiprtcGetErrorString(hiprtcResult::HIPRTC_ERROR_COMPILATION)), "HIPRTC_ERROR_COMPILATION");
    // SAFETY: null is refused.
    assert_eq!(unsafe { hipModuleLoadData(null_mut(), null()) }, hipError_t::hipErrorInvalidValue);
}
