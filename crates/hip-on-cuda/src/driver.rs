//! The CUDA driver, opened when it is first needed.

use std::sync::OnceLock;

use hip_sys::hipError_t;
use hip_sys::library::{SharedLibrary, Wanted};

use crate::generated::driver::DriverFunctions;
use crate::status::hip_status;

const WANTED: Wanted<'_> = Wanted {
    what: "CUDA driver",
    names: &["libcuda.so.1"],
    folders: &["/usr/lib/wsl/lib"],
    variable: "ROCMFORGE_CUDA_LIBRARY",
    packages: "the NVIDIA driver",
};

/// The driver's functions, as methods under their own names.
#[derive(Debug)]
pub struct Driver {
    pub(crate) functions: DriverFunctions,
}

/// Why there is no driver: the status that every function returns, and the reason in words.
#[derive(Debug)]
struct Absent {
    status: hipError_t,
    reason: String,
}

static DRIVER: OnceLock<Result<Driver, Absent>> = OnceLock::new();

/// The driver, opened and initialised.
pub fn driver() -> Result<&'static Driver, hipError_t> {
    DRIVER.get_or_init(open).as_ref().map_err(|absent| absent.status)
}

/// Why there is no driver, once it has been looked for.
pub fn absent_reason() -> Option<&'static str> {
    DRIVER.get()?.as_ref().err().map(|absent| absent.reason.as_str())
}

fn open() -> Result<Driver, Absent> {
    let absent = |reason: String| Absent { status: hipError_t::hipErrorNoDevice, reason };
    let library = SharedLibrary::open(&WANTED).map_err(|error| absent(error.to_string()))?;
    // SAFETY: a library of this name exports the driver's functions with the types of CUDA's headers; it stays open.
    let functions = unsafe { DriverFunctions::load(|name| library.symbol(name)) };
    let functions = functions.map_err(|symbol| Absent {
        status: hipError_t::hipErrorInsufficientDriver,
        reason: format!("{} has no `{symbol}`; CUDA 11.4 or later is needed", library.path().display()),
    })?;
    let driver = Driver { functions };
    // SAFETY: the flags have to be 0.
    match hip_status(unsafe { driver.cuInit(0) }) {
        hipError_t::hipSuccess => Ok(driver),
        status => Err(Absent { status, reason: format!("cuInit: {status:?}") }),
    }
}
