use std::ffi::{CStr, c_void};
use std::ptr::{from_ref, null_mut};

use hip_sys::{hipFunction_attribute, hipFunction_t};

use super::*;
use crate::symbols::modules::*;

/// What `emulated.hip` becomes, for gfx1100 and gfx1030.
const BUNDLE: &[u8] = include_bytes!("emulated.bundle");
const TARGET: &str = "emulate:gfx1100";

/// A kernel of the bundle.
fn function(name: &CStr) -> hipFunction_t {
    let (mut module, mut function) = (null_mut(), null_mut());
    // SAFETY: the handles are written, the bundle is whole, and the name is a string.
    unsafe {
        assert_eq!(hipModuleLoadData(&mut module, BUNDLE.as_ptr().cast()), OK, "{}", state::lock().message);
        assert_eq!(hipModuleGetFunction(&mut function, module, name.as_ptr()), OK);
    }
    function
}

fn attribute(function: hipFunction_t, attribute: hipFunction_attribute) -> i32 {
    let mut value = -1;
    // SAFETY: the value is written.
    assert_eq!(unsafe { hipFuncGetAttribute(&mut value, attribute, function) }, OK);
    value
}

/// Launches on the null stream.
fn launch(function: hipFunction_t, blocks: u32, block: [u32; 3], params: &[*const c_void]) -> hipError_t {
    let mut params: Vec<*mut c_void> = params.iter().map(|param| param.cast_mut()).collect();
    let [x, y, z] = block;
    let list = params.as_mut_ptr();
    // SAFETY: as many parameters as the kernel has; pointers in them are device memory or meant to fail.
    unsafe { hipModuleLaunchKernel(function, blocks, 1, 1, x, y, z, 0, null_mut(), list, null_mut()) }
}

fn scale(x: &Device<f32>, factor: f32, count: u32) -> hipError_t {
    let params = [from_ref(&x.address).cast(), from_ref(&factor).cast(), from_ref(&count).cast()];
    launch(function(c"scale"), count.div_ceil(256), [256, 1, 1], &params)
}

#[test]
fn machine_code_runs_in_every_order() {
    let turn = turn();
    turn.set("mode", TARGET);
    for order in ["forward", "reverse", "7"] {
        turn.set("order", order);
        let x = Device::new(&(0..1000).map(|i| i as f32).collect::<Vec<_>>());
        assert_eq!(scale(&x, 0.5, 1000), OK, "{}", turn.message());
        assert!(x.read().iter().enumerate().all(|(i, x)| *x == i as f32 / 2.0), "{order}");
    }
}

#[test]
fn parameters_may_come_in_one_buffer() {
    let turn = turn();
    turn.set("mode", TARGET);
    let x = Device::new(&[3.0f32; 4]);
    let mut buffer = [0u8; 16];
    buffer[..8].copy_from_slice(&(x.address as u64).to_le_bytes());
    buffer[8..12].copy_from_slice(&2.0f32.to_le_bytes());
    buffer[12..].copy_from_slice(&4u32.to_le_bytes());
    let launch = |mut bytes: usize| {
        let [pointer, size, end] = [1, 2, 3].map(std::ptr::without_provenance_mut::<c_void>);
        let mut extra = [pointer, buffer.as_ptr().cast_mut().cast(), size, (&raw mut bytes).cast(), end];
        let (extra, scale) = (extra.as_mut_ptr(), function(c"scale"));
        // SAFETY: markers and values as HIP wants them, and the kernel's parameters in their places.
        unsafe { hipModuleLaunchKernel(scale, 1, 1, 1, 256, 1, 1, 0, null_mut(), null_mut(), extra) }
    };
    assert_eq!(launch(12), hipError_t::hipErrorInvalidValue);
    assert_eq!(launch(16), OK, "{}", turn.message());
    assert_eq!(x.read(), [6.0; 4]);
}

#[test]
fn blocks_may_have_three_dimensions() {
    let turn = turn();
    turn.set("mode", TARGET);
    let out = Device::new(&[0u32; 32]);
    assert_eq!(launch(function(c"places"), 2, [4, 2, 2], &[from_ref(&out.address).cast()]), OK, "{}", turn.message());
    let place = |i: u32| i % 4 + 10 * (i / 4 % 2) + 100 * (i / 8 % 2) + 1000 * (i / 16);
    assert_eq!(out.read(), (0..32).map(place).collect::<Vec<_>>());
}

#[test]
fn a_store_beside_an_allocation_names_kernel_place_and_allocation() {
    let turn = turn();
    turn.set("mode", TARGET);
    let x = Device::new(&[1.0f32; 100]);
    assert_eq!(scale(&x, 2.0, 101), hipError_t::hipErrorIllegalAddress);
    let message = turn.message();
    for part in ["kernel scale", "pc 0x", "workgroup (0, 0, 0)", "lane 4", "allocation 1, of device 0"] {
        assert!(message.contains(part), "{message} lacks {part}");
    }
    // The device goes on.
    assert_eq!(scale(&x, 2.0, 100), OK, "{}", turn.message());
}

#[test]
fn what_nobody_has_written_does_not_reach_the_host() {
    let turn = turn();
    turn.set("mode", TARGET);
    let mut address = null_mut();
    let mut host = [0u8; 64];
    // SAFETY: the pointer is written, and the copies lie inside of both allocations.
    unsafe {
        assert_eq!(hipMalloc(&mut address, 64), OK);
        assert_eq!(hipMemset(address, 7, 32), OK);
        let to_host = hipMemcpyKind::hipMemcpyDeviceToHost;
        let mut copy = |bytes| hipMemcpy(host.as_mut_ptr().cast(), address, bytes, to_host);
        assert_eq!(copy(32), OK);
        assert_eq!(copy(64), hipError_t::hipErrorIllegalAddress);
        assert!(turn.message().contains("byte 32 of the allocation of 64 bytes"), "{}", turn.message());
        turn.set("check", "off");
        assert_eq!(copy(64), OK);
        assert_eq!(hipFree(address), OK);
    }
}

#[test]
fn a_copy_on_the_device_copies_what_was_never_written() {
    let turn = turn();
    turn.set("mode", TARGET);
    let (mut from, mut to) = (null_mut(), null_mut());
    let mut host = [0u8; 32];
    // SAFETY: the pointers are written, and the copies lie inside of all allocations.
    unsafe {
        assert_eq!((hipMalloc(&mut from, 64), hipMalloc(&mut to, 64)), (OK, OK));
        assert_eq!(hipMemset(from.byte_add(32), 7, 32), OK);
        assert_eq!(hipMemset(to, 1, 64), OK);
        assert_eq!(hipMemcpy(to, from, 64, hipMemcpyKind::hipMemcpyDeviceToDevice), OK);
        let mut copy =
            |at| hipMemcpy(host.as_mut_ptr().cast(), to.byte_add(at), 32, hipMemcpyKind::hipMemcpyDeviceToHost);
        assert_eq!((copy(32), copy(0)), (OK, hipError_t::hipErrorIllegalAddress));
        assert_eq!((hipFree(from), hipFree(to)), (OK, OK));
    }
}

#[test]
fn a_device_without_its_code_says_what_there_is() {
    let turn = turn();
    turn.set("mode", "emulate:gfx1101");
    let mut module = null_mut();
    // SAFETY: the handle is written, and the images are whole or longer than eight bytes.
    let mut load = |image: &[u8]| unsafe { hipModuleLoadData(&mut module, image.as_ptr().cast()) };
    assert_eq!(load(BUNDLE), hipError_t::hipErrorNoBinaryForGpu);
    let message = turn.message();
    assert!(["gfx1101", "gfx1100", "gfx1030"].iter().all(|target| message.contains(target)), "{message}");
    assert_eq!(load(b"no code object at all"), hipError_t::hipErrorInvalidImage);
    assert_eq!(load(b"CCOB and more"), hipError_t::hipErrorInvalidImage);
    assert!(turn.message().contains("compressed"), "{}", turn.message());
    turn.set("mode", "host");
    assert_eq!(load(BUNDLE), hipError_t::hipErrorNoBinaryForGpu);
}

#[test]
fn attributes_are_those_of_the_code_object() {
    let turn = turn();
    turn.set("mode", TARGET);
    let places = function(c"places");
    assert_eq!(attribute(places, hipFunction_attribute::HIP_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES), 64);
    assert_eq!(attribute(places, hipFunction_attribute::HIP_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK), 16);
    assert!((1..32).contains(&attribute(places, hipFunction_attribute::HIP_FUNC_ATTRIBUTE_NUM_REGS)));
    assert_eq!(launch(places, 1, [8, 2, 2], &[from_ref(&null_mut::<u32>()).cast()]), hipError_t::hipErrorLaunchFailure);
    let mut blocks = 0;
    // SAFETY: the number is written.
    assert_eq!(unsafe { hipModuleOccupancyMaxActiveBlocksPerMultiprocessor(&mut blocks, places, 16, 0) }, OK);
    assert_eq!(blocks, 64, "as many as there are waves, which its registers allow");
}

#[test]
fn each_launch_leaves_a_line_of_figures() {
    let turn = turn();
    let file = std::env::temp_dir().join(format!("{}.jsonl", crate::compile::unique_name()));
    turn.set("mode", TARGET);
    turn.set("counts", file.to_str().unwrap());
    let (x, y) = (Device::new(&[5u32; 128]), Device::new(&[0u32; 128]));
    let params = [from_ref(&x.address).cast(), from_ref(&y.address).cast()];
    assert_eq!(launch(function(c"copy"), 2, [64, 1, 1], &params), OK, "{}", turn.message());
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!((line["kernel"].as_str(), line["module"].as_str()), (Some("copy"), None));
    let number = |key: &str| line[key].as_u64().unwrap();
    assert_eq!((number("workgroups"), number("waves")), (2, 4));
    assert_eq!((number("loaded_bytes"), number("stored_bytes")), (512, 512));
    assert_eq!((number("loaded_lines"), number("stored_lines")), (4, 4));
    assert_eq!((line["instructions"]["load"].as_u64(), line["instructions"]["store"].as_u64()), (Some(4), Some(4)));
}
