//! A kernel to launch.

use bytemuck::{Pod, Zeroable};
use hip_sys::{Api, Rtc};
use rocmforge_hip_backend::driver::{Buffer, DevicePtr, Dims, Function, HipError, Stream};
use rocmforge_hip_backend::library::compile;

const MODULE: &str = "elementwise/maps";

/// The kernel that [`scale`] launches.
pub const KERNEL: &str = "scale_f32";

const THREADS: u32 = 256;

/// Argument struct of the kernel.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct MapArgs {
    a: DevicePtr,
    b: DevicePtr,
    out: DevicePtr,
    count: u64,
    factor: f32,
    unused: u32,
}

/// Code object with the kernel, for a device of the given instruction set.
pub fn image(api: &Api, arch: &str) -> Vec<u8> {
    let rtc = Rtc::open(api).expect("the library compiles");
    let module = rocmforge_kernels::module(MODULE).expect("the table has the module");
    compile(&rtc, module, arch, &[]).expect("the kernel compiles")
}

/// Multiplies all f32 of a buffer.
pub fn scale(stream: &Stream, kernel: &Function, buffer: &Buffer, factor: f32) -> Result<(), HipError> {
    scale_with(stream, kernel, buffer, factor, Dims::line(1, THREADS))
}

/// As [`scale`], with other dimensions, of which the kernel ignores what it does not need.
pub fn scale_with(
    stream: &Stream,
    kernel: &Function,
    buffer: &Buffer,
    factor: f32,
    dims: Dims,
) -> Result<(), HipError> {
    assert_eq!(kernel.name(), KERNEL);
    let (ptr, count) = (buffer.ptr(), buffer.len() as u64 / 4);
    assert!(count <= 1024, "one workgroup multiplies 1024 numbers");
    let args = MapArgs { a: ptr, b: DevicePtr::NULL, out: ptr, count, factor, unused: 0 };
    // SAFETY: the struct is the kernel's, which reads and writes `count` numbers of the buffer, and the tests keep that
    // alive until the stream or graph is done.
    unsafe { stream.launch(kernel, dims, &args) }
}

/// Takes everything from device 0 that was not released, as the end of the process would.
pub fn reset_device(api: &Api) {
    // SAFETY: nothing of the device is in use: whoever had something there has dropped it.
    let status = unsafe { api.hipDeviceReset() };
    assert_eq!(status, hip_sys::hipError_t::hipSuccess);
}
