//! Modules, kernels and launches.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ops::Range;

use hip_sys::{hipError_t, hipFuncAttribute, hipFunction_attribute, hipFunction_t, hipModule_t, hipStream_t};

use super::device::{LANES_MAX, LDS_BYTES};
use super::{put, text_of};
use crate::module::{Function, LaunchCall, Module};
use crate::stream::Work;

/// Markers in `extra`, which hands arguments over as one buffer.
const BUFFER_POINTER: usize = 1;
const BUFFER_SIZE: usize = 2;
const BUFFER_END: usize = 3;
/// No parameter needs more.
const PARAM_ALIGN: usize = 16;

/// Where each parameter of a launch lies, and its place among the bytes of all.
type Params = Vec<(Range<usize>, *const u8)>;

/// Where a launch's parameters lie.
///
/// # Safety
/// As of HIP: one of both lists is null, and the other one is in the form that HIP documents.
unsafe fn params_of(f: &Function, params: *mut *mut c_void, extra: *mut *mut c_void) -> Result<Params, hipError_t> {
    if !params.is_null() {
        // SAFETY: the list has as many entries as the kernel has parameters.
        let param = |i| unsafe { params.add(i).read() }.cast_const().cast::<u8>();
        let found: Params = f.params.iter().cloned().enumerate().map(|(i, place)| (place, param(i))).collect();
        let has_null = found.iter().any(|(_, param)| param.is_null());
        return if has_null { Err(hipError_t::hipErrorInvalidValue) } else { Ok(found) };
    }
    let (mut buffer, mut bytes) = (std::ptr::null::<u8>(), 0);
    let mut next = extra;
    while !next.is_null() {
        // SAFETY: pairs of marker and value until the end marker.
        unsafe {
            match next.read() as usize {
                BUFFER_POINTER => buffer = next.add(1).read().cast(),
                BUFFER_SIZE => bytes = next.add(1).read().cast::<usize>().read(),
                BUFFER_END => break,
                _ => return Err(hipError_t::hipErrorInvalidValue),
            }
            next = next.add(2);
        }
    }
    let args_bytes = f.args_bytes();
    // The last parameter of several may be padded.
    let most = if f.params.len() > 1 { args_bytes.next_multiple_of(PARAM_ALIGN) } else { args_bytes };
    if args_bytes > 0 && buffer.is_null() || !(args_bytes..=most).contains(&bytes) {
        return Err(hipError_t::hipErrorInvalidValue);
    }
    Ok(vec![(0..args_bytes, buffer)])
}

/// LDS that a kernel declares, bytes.
fn static_lds(f: &Function) -> u32 {
    f.about().map_or(0, |kernel| kernel.descriptor.group_segment_fixed_size)
}

fn check_shape(f: &Function, grid: [u32; 3], block: [u32; 3], lds: u32) -> Result<(), (String, hipError_t)> {
    let lanes = block.iter().map(|n| u64::from(*n)).product::<u64>();
    let blocks = grid.iter().map(|n| u64::from(*n) * u64::from(block[0])).max().unwrap_or(0);
    let wrong = |text: &str, status| Err((format!("launch of {}: {text}", f.name), status));
    match () {
        () if grid.contains(&0) => wrong("the grid is empty", hipError_t::hipErrorInvalidConfiguration),
        // HIP counts the lanes of a grid in 32 bits.
        () if blocks > u64::from(u32::MAX) => wrong("the grid is too large", hipError_t::hipErrorInvalidConfiguration),
        () if lanes == 0 || lanes > u64::from(LANES_MAX) => {
            wrong(&format!("{lanes} lanes a workgroup, not 1 to {LANES_MAX}"), hipError_t::hipErrorInvalidConfiguration)
        }
        () if f.about().is_none() && block[1..] != [1, 1] => {
            wrong("workgroups have one dimension in host mode", hipError_t::hipErrorNotSupported)
        }
        () if lanes > u64::from(f.lanes_max) => {
            wrong(&format!("{lanes} lanes, but RF_KERNEL({})", f.lanes_max), hipError_t::hipErrorLaunchFailure)
        }
        () if static_lds(f) as usize + lds as usize > LDS_BYTES => {
            wrong(&format!("{lds} bytes of LDS"), hipError_t::hipErrorLaunchOutOfResources)
        }
        () => Ok(()),
    }
}

/// What a code object says of its kernel, as HIP's attributes.
fn attribute_of(kernel: &gfx_emu::object::Kernel, attribute: hipFunction_attribute) -> c_int {
    let number = match attribute {
        hipFunction_attribute::HIP_FUNC_ATTRIBUTE_NUM_REGS => kernel.vgprs,
        hipFunction_attribute::HIP_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES => kernel.descriptor.private_segment_fixed_size,
        _ => 0,
    };
    number as c_int
}

/// Waves of RDNA3 that a pair of compute units holds by their registers: four SIMDs of at most 16 waves, with 1024 vector
/// registers of 32 lanes, or 1536 in some chips (LLVM's "User Guide for AMDGPU Backend", `.vgpr_count`, and its features
/// of gfx1100, gfx1101 and gfx1151). A wave takes them by the 16 or 24.
fn waves_of_unit(vgprs: u32, wave_size: u32, arch: &str) -> usize {
    let (file, unit) = if ["gfx1100", "gfx1101", "gfx1151"].contains(&arch) { (1536, 24) } else { (1024, 16) };
    let taken = (vgprs.max(1) * wave_size / 32).next_multiple_of(unit);
    4 * (file / taken).min(16) as usize
}

hip_functions! {
    fn hipModuleLoadData(s, call; module: *mut hipModule_t, image: *const c_void) {
        if image.is_null() {
            return Err(hipError_t::hipErrorInvalidValue);
        }
        // SAFETY: HIP's callers give an image.
        let loaded = unsafe { Module::load(image.cast(), &s.settings) };
        let loaded = loaded.map_err(|refusal| match refusal.reason {
            Some(reason) => s.explain(reason, refusal.status),
            None => refusal.status,
        })?;
        // SAFETY: HIP's callers give a pointer to write to.
        unsafe { call.give(module, || Ok(s.modules.insert(loaded))) }
    }
    fn hipModuleUnload(s, call; module: hipModule_t) {
        s.modules.get(module as usize)?;
        let finished = s.drain_all();
        s.modules.remove(module as usize)?;
        s.functions.retain(|function| function.module != module as usize);
        finished
    }
    fn hipModuleGetFunction(s, call; function: *mut hipFunction_t, module: hipModule_t, name: *const c_char) {
        // SAFETY: HIP's callers give a string.
        let name = unsafe { text_of(name) };
        let found = s.modules.get(module as usize)?.function(module as usize, &name)?;
        // SAFETY: as for the new module.
        unsafe { call.give(function, || Ok(s.functions.insert(found))) }
    }
    fn hipFuncGetAttribute(s, call; value: *mut c_int, attribute: hipFunction_attribute, function: hipFunction_t) {
        let f = s.functions.get(function as usize)?;
        let number = match attribute {
            hipFunction_attribute::HIP_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK => f.lanes_max as c_int,
            hipFunction_attribute::HIP_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES => {
                LDS_BYTES as c_int - static_lds(f) as c_int
            }
            hipFunction_attribute::HIP_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES => static_lds(f) as c_int,
            // A CPU has no like of the others.
            _ => f.about().map_or(0, |kernel| attribute_of(kernel, attribute)),
        };
        // SAFETY: as for the new module.
        unsafe { put(value, number) }
    }
    fn hipFuncSetAttribute(s, call; function: *const c_void, attribute: hipFuncAttribute, value: c_int) {
        Ok(())
    }
    fn hipModuleLaunchKernel(s, call; function: hipFunction_t, grid_x: c_uint, grid_y: c_uint, grid_z: c_uint, block_x: c_uint, block_y: c_uint, block_z: c_uint, lds_bytes: c_uint, stream: hipStream_t, params: *mut *mut c_void, extra: *mut *mut c_void) {
        let f = s.functions.get(function as usize)?.clone();
        let (grid, block) = ([grid_x, grid_y, grid_z], [block_x, block_y, block_z]);
        check_shape(&f, grid, block, lds_bytes).map_err(|(text, status)| s.explain(text, status))?;
        // SAFETY: HIP's callers give the arguments in one of two ways.
        let params = unsafe { params_of(&f, params, extra) }.map_err(|status| {
            s.explain(format!("launch of {}: its arguments are null or of another size", f.name), status)
        })?;
        // SAFETY: the caller's parameters are the kernel's.
        let args = unsafe { LaunchCall::copy_args(&params, f.args_bytes()) };
        let launch = LaunchCall { function: function as usize, grid, block, lds_bytes, args };
        s.enqueue(stream as usize, Work::Launch(launch), call.unwritten)
    }
    fn hipModuleOccupancyMaxActiveBlocksPerMultiprocessor(s, call; blocks: *mut c_int, function: hipFunction_t, block_size: c_int, lds_bytes: usize) {
        let f = s.functions.get(function as usize)?;
        let lanes = usize::try_from(block_size).ok().filter(|lanes| (1..=LANES_MAX as usize).contains(lanes));
        let lanes = lanes.ok_or(hipError_t::hipErrorInvalidValue)?;
        let by_lds = LDS_BYTES.checked_div(lds_bytes + static_lds(f) as usize).unwrap_or(usize::MAX);
        let by_registers = f.about().map_or(usize::MAX, |kernel| {
            waves_of_unit(kernel.vgprs, kernel.wave_size, s.settings.base_arch()) / lanes.div_ceil(kernel.wave_size as usize)
        });
        // SAFETY: as for the new module.
        unsafe { put(blocks, (2048 / lanes).min(by_lds).min(by_registers) as c_int) }
    }
}
