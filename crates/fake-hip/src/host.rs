//! Kernels in host mode: shared objects that were compiled for this processor, and calls of what they hold.

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs;
use std::hash::{DefaultHasher, Hasher};
use std::sync::{LazyLock, Mutex, PoisonError};

use hip_sys::hipError_t;
use libloading::Library;

use crate::compile::unique_name;
use crate::module::LaunchCall;
use crate::say::say;
use crate::settings::{Check, Settings, base_arch};
use crate::state::{State, Status};

/// As `rf_host::Options` of `rf/host_run.h`.
#[repr(C)]
struct RunOptions {
    order: u32,
    seed: u32,
    workers: u32,
    error_bytes: u32,
    error: *mut c_char,
}

type RunFunction = unsafe extern "C" fn(
    args: *const c_void,
    grid_x: c_uint,
    grid_y: c_uint,
    grid_z: c_uint,
    threads: c_uint,
    lds_bytes: c_uint,
    options: *const RunOptions,
) -> c_int;
type NumberFunction = unsafe extern "C" fn() -> c_uint;
type TargetFunction = unsafe extern "C" fn() -> *const c_char;

/// A loaded shared object. It stays loaded for the life of the process: its fault handler must not lose its code.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Object {
    library: &'static Library,
}

/// A kernel of a shared object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kernel {
    run: RunFunction,
    /// Bytes of the argument struct.
    pub args_bytes: usize,
    /// Most lanes a workgroup, as RF_KERNEL says.
    pub lanes_max: u32,
}

impl Object {
    /// Loads a shared object for the device that the settings describe.
    pub(crate) fn load(object: &[u8], settings: &Settings) -> Result<Self, hipError_t> {
        let library = open_object(object).map_err(|reason| {
            say(&reason);
            hipError_t::hipErrorSharedObjectInitFailed
        })?;
        let object = Self { library };
        let target =
            object.symbol::<TargetFunction>("rf_host", "target").map_err(|_| hipError_t::hipErrorInvalidImage)?;
        // SAFETY: `rf/host.h` gives the function this type; it returns a constant.
        let target = unsafe { CStr::from_ptr(target()) };
        let fits = target.to_str() == Ok(base_arch(&settings.arch));
        if fits { Ok(object) } else { Err(hipError_t::hipErrorNoBinaryForGpu) }
    }

    pub(crate) fn kernel(&self, name: &str) -> Result<Kernel, hipError_t> {
        Ok(Kernel {
            run: self.symbol::<RunFunction>("rf_run", name)?,
            args_bytes: self.number("rf_args_size", name)? as usize,
            lanes_max: match self.number("rf_lanes", name)? {
                0 => 1024,
                lanes => lanes,
            },
        })
    }

    fn number(&self, prefix: &str, name: &str) -> Result<u32, hipError_t> {
        let function = self.symbol::<NumberFunction>(prefix, name)?;
        // SAFETY: RF_EXPORT gives functions of this name this type; they return a constant.
        Ok(unsafe { function() })
    }

    fn symbol<T: Copy>(&self, prefix: &str, name: &str) -> Result<T, hipError_t> {
        // SAFETY: callers ask for the types that RF_EXPORT gives to the functions, and the object stays loaded.
        let found = unsafe { self.library.get::<T>(format!("{prefix}_{name}").as_bytes()) };
        found.map(|symbol| *symbol).map_err(|_| hipError_t::hipErrorNotFound)
    }
}

/// Loads a shared object, the same one only once.
fn open_object(object: &[u8]) -> Result<&'static Library, String> {
    static LOADED: LazyLock<Mutex<HashMap<u64, &'static Library>>> = LazyLock::new(Mutex::default);
    let mut hasher = DefaultHasher::new();
    hasher.write(object);
    let key = hasher.finish();
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(library) = loaded.get(&key) {
        return Ok(library);
    }
    let file = std::env::temp_dir().join(format!("rocmforge-fake-hip-{}.so", unique_name()));
    fs::write(&file, object).map_err(|error| error.to_string())?;
    // SAFETY: the object came from our own compilation of kernel sources, whose initialisers only note launch bounds.
    let library = unsafe { Library::new(&file) }.map_err(|error| error.to_string());
    // The loader has mapped it; a file that stays is one more in the folder for temporary files.
    let _ = fs::remove_file(&file);
    let library: &'static Library = Box::leak(Box::new(library?));
    loaded.insert(key, library);
    Ok(library)
}

impl Kernel {
    /// Runs the kernel, then looks whether it wrote outside the allocations.
    pub(crate) fn run(&self, name: &str, call: &LaunchCall, state: &mut State) -> Status {
        let mut message = [0u8; 512];
        let (order, seed) = state.settings.order.number_and_seed();
        let options = RunOptions {
            order,
            seed,
            workers: state.settings.threads,
            error_bytes: message.len() as u32,
            error: message.as_mut_ptr().cast(),
        };
        let ([x, y, z], [threads, ..]) = (call.grid, call.block);
        // SAFETY: RF_EXPORT gives the function this type, and its object stays loaded; the arguments are a copy of as
        // many bytes as it reads. What the kernel does with the pointers in them is what HIP leaves to the caller.
        let failed = unsafe { (self.run)(call.args.as_ptr().cast(), x, y, z, threads, call.lds_bytes, &options) };
        if failed != 0 {
            let end = message.iter().position(|byte| *byte == 0).unwrap_or(message.len());
            let text = String::from_utf8_lossy(&message[..end]).into_owned();
            let (illegal, text) = with_neighbour(text, state);
            let status = if illegal { hipError_t::hipErrorIllegalAddress } else { hipError_t::hipErrorLaunchFailure };
            return Err(state.explain(text, status));
        }
        if state.settings.check != Check::Off { check_guards(state, name) } else { Ok(()) }
    }
}

/// Whether a launch failed by an access to memory that is not there, and beside which allocation it was.
fn with_neighbour(text: String, state: &State) -> (bool, String) {
    let Some((_, address)) = text.rsplit_once("illegal access to address 0x") else { return (false, text) };
    let neighbour = usize::from_str_radix(address, 16).ok().and_then(|address| state.memory.neighbour(address));
    (true, neighbour.map_or(text.clone(), |place| format!("{text}, {place}")))
}

fn check_guards(state: &mut State, kernel: &str) -> Status {
    let Some(first) = state.memory.damage().into_iter().next() else { return Ok(()) };
    let text = format!("kernel {kernel} wrote outside its memory: {first}");
    Err(state.explain(text, hipError_t::hipErrorIllegalAddress))
}
