//! The HIP runtime's functions.

use std::ffi::{c_int, c_void};
use std::path::Path;
use std::sync::Arc;

use crate::generated::runtime::{RuntimeFunctions, signatures};
use crate::library::{ROCM_FOLDERS, SharedLibrary, Wanted, named_by};
use crate::{LoadError, Version, hipError_t};

/// Environment variable that names the HIP runtime's file.
pub const LIBRARY_VARIABLE: &str = "ROCMFORGE_HIP_LIBRARY";

const WANTED: Wanted<'_> = Wanted {
    what: "HIP runtime",
    names: &["libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so.5", "libamdhip64.so"],
    folders: ROCM_FOLDERS,
    variable: LIBRARY_VARIABLE,
    packages: "ROCm: hip-runtime-amd, Debian and Ubuntu: libamdhip64-6 or libamdhip64-5, Fedora: rocm-hip",
};

/// The HIP runtime: an open library and its functions as methods under their own names.
///
/// Each function belongs to the library for the whole life of the process, so that the table may be shared between
/// threads; HIP's functions may be called from any thread.
#[derive(Debug)]
pub struct Api {
    pub(crate) functions: RuntimeFunctions,
    library: SharedLibrary,
    named: bool,
}

impl Api {
    /// Opens the runtime: the file that `ROCMFORGE_HIP_LIBRARY` names, or else the newest one that the system's
    /// loader knows, or that lies in `/opt/rocm/lib`.
    ///
    /// # Errors
    /// [`LoadError`]: nothing found, a file that does not open, or a library without a function that is needed.
    pub fn open() -> Result<Arc<Self>, LoadError> {
        Self::of(SharedLibrary::open(&WANTED)?, named_by(LIBRARY_VARIABLE).is_some())
    }

    /// Opens the runtime in a given file.
    ///
    /// # Errors
    /// [`LoadError::Open`] or [`LoadError::MissingSymbol`].
    pub fn open_path(path: impl AsRef<Path>) -> Result<Arc<Self>, LoadError> {
        Self::of(SharedLibrary::open_path(&WANTED, path.as_ref())?, true)
    }

    fn of(library: SharedLibrary, named: bool) -> Result<Arc<Self>, LoadError> {
        // SAFETY: a library that exports HIP's symbols gives them the types of HIP's headers, whose binary interface
        // is stable within the versions that the names stand for; the library stays open.
        let functions = unsafe { RuntimeFunctions::load(|name| library.symbol(name)) };
        let functions = functions.map_err(|symbol| LoadError::MissingSymbol {
            what: WANTED.what,
            path: library.path().to_path_buf(),
            symbol,
            version: version_of(&library),
            needs: "ROCm 5.7 or later",
            variable: LIBRARY_VARIABLE,
        })?;
        Ok(Arc::new(Self { functions, library, named }))
    }

    /// The function pointers themselves.
    pub fn functions(&self) -> &RuntimeFunctions {
        &self.functions
    }

    /// The name that the library was opened under.
    pub fn path(&self) -> &Path {
        self.library.path()
    }

    /// Whether the file was asked for by name, and not found by searching.
    pub fn is_named(&self) -> bool {
        self.named
    }

    /// The address of another symbol of the library, null where it has none.
    pub fn symbol(&self, name: &str) -> *const c_void {
        self.library.symbol(name)
    }

    /// What the runtime says of its version, which needs no device.
    pub fn version(&self) -> Option<Version> {
        version_of(&self.library)
    }

    /// The open library, for other libraries' functions in the same file.
    pub fn library(&self) -> &SharedLibrary {
        &self.library
    }
}

/// What a library says of its version, which needs no device.
fn version_of(library: &SharedLibrary) -> Option<Version> {
    let address = library.symbol("hipRuntimeGetVersion");
    // SAFETY: the symbol has this type in every version of HIP; null is `None`.
    let function = unsafe { std::mem::transmute::<*const c_void, Option<signatures::hipRuntimeGetVersion>>(address) }?;
    let mut version: c_int = 0;
    // SAFETY: the function writes one integer.
    let status = unsafe { function(&mut version) };
    (status == hipError_t::hipSuccess).then_some(Version(version))
}
