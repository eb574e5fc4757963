//! NVRTC, opened when it is first needed.

use std::sync::OnceLock;

use hip_sys::library::{SharedLibrary, Wanted};

use crate::generated::nvrtc::NvrtcFunctions;

const WANTED: Wanted<'_> = Wanted {
    what: "NVRTC",
    names: &["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"],
    folders: &["/usr/local/cuda/lib64"],
    variable: "ROCMFORGE_NVRTC_LIBRARY",
    packages: "the CUDA toolkit, or the Python package nvidia-cuda-nvrtc with its folder in LD_LIBRARY_PATH",
};

/// NVRTC's functions, as methods under their own names.
#[derive(Debug)]
pub struct Nvrtc {
    pub(crate) functions: NvrtcFunctions,
}

static NVRTC: OnceLock<Result<Nvrtc, String>> = OnceLock::new();

/// NVRTC, or why there is none.
pub fn nvrtc() -> Result<&'static Nvrtc, &'static str> {
    NVRTC.get_or_init(open).as_ref().map_err(String::as_str)
}

/// Why there is no NVRTC, once it has been looked for.
pub fn absent_reason() -> Option<&'static str> {
    NVRTC.get()?.as_ref().err().map(String::as_str)
}

fn open() -> Result<Nvrtc, String> {
    let library = SharedLibrary::open(&WANTED).map_err(|error| error.to_string())?;
    // SAFETY: a library of this name exports NVRTC's functions with the types of its headers; it stays open.
    let functions = unsafe { NvrtcFunctions::load(|name| library.symbol(name)) };
    let functions = functions.map_err(|symbol| format!("{} has no `{symbol}`", library.path().display()))?;
    Ok(Nvrtc { functions })
}
