//! hipRTC's functions.

use std::path::Path;
use std::sync::Arc;

use crate::LoadError;
use crate::api::Api;
use crate::generated::rtc::RtcFunctions;
use crate::library::{ROCM_FOLDERS, SharedLibrary, Wanted, named_by};

/// Environment variable that names hipRTC's file.
pub const RTC_LIBRARY_VARIABLE: &str = "ROCMFORGE_HIPRTC_LIBRARY";

const WANTED: Wanted<'_> = Wanted {
    what: "hipRTC",
    names: &["libhiprtc.so.7", "libhiprtc.so.6", "libhiprtc.so.5", "libhiprtc.so"],
    folders: ROCM_FOLDERS,
    variable: RTC_LIBRARY_VARIABLE,
    packages: "ROCm: hip-runtime-amd, Debian and Ubuntu: libhiprtc6 or libamdhip64-5, Fedora: rocm-hip",
};

/// hipRTC, the compiler at run time: an open library and its functions as methods under their own names.
#[derive(Debug)]
pub struct Rtc {
    pub(crate) functions: RtcFunctions,
    library: SharedLibrary,
}

impl Rtc {
    /// Opens hipRTC for a runtime. In this order: the file that `ROCMFORGE_HIPRTC_LIBRARY` names; the runtime's own
    /// library, where that was asked for by name and has hipRTC's functions; a `libhiprtc.so`, of the runtime's own
    /// version if there is one; and the runtime's own library, which has them in ROCm before 7.
    ///
    /// # Errors
    /// [`LoadError`]: nothing found, a file that does not open, or a library without a function that is needed.
    pub fn open(api: &Api) -> Result<Arc<Self>, LoadError> {
        let in_runtime = RtcFunctions::REQUIRED.iter().all(|name| !api.symbol(name).is_null());
        let elsewhere = named_by(RTC_LIBRARY_VARIABLE).is_some();
        if in_runtime && api.is_named() && !elsewhere {
            return Self::of(api.library().clone());
        }
        let own = api.version().map(|version| format!("libhiprtc.so.{}", version.major()));
        let names: Vec<&str> = own.iter().map(String::as_str).chain(WANTED.names.iter().copied()).collect();
        match SharedLibrary::open(&Wanted { names: &names, ..WANTED }) {
            Err(_) if in_runtime && !elsewhere => Self::of(api.library().clone()),
            library => Self::of(library?),
        }
    }

    /// Opens hipRTC in a given file.
    ///
    /// # Errors
    /// [`LoadError::Open`] or [`LoadError::MissingSymbol`].
    pub fn open_path(path: impl AsRef<Path>) -> Result<Arc<Self>, LoadError> {
        Self::of(SharedLibrary::open_path(&WANTED, path.as_ref())?)
    }

    fn of(library: SharedLibrary) -> Result<Arc<Self>, LoadError> {
        // SAFETY: a library that exports hipRTC's symbols gives them the types of hipRTC's headers; it stays open.
        let functions = unsafe { RtcFunctions::load(|name| library.symbol(name)) };
        let functions = functions.map_err(|symbol| LoadError::MissingSymbol {
            what: WANTED.what,
            path: library.path().to_path_buf(),
            symbol,
            version: None,
            needs: "ROCm 5.7 or later",
            variable: RTC_LIBRARY_VARIABLE,
        })?;
        Ok(Arc::new(Self { functions, library }))
    }

    /// The function pointers themselves.
    pub fn functions(&self) -> &RtcFunctions {
        &self.functions
    }

    /// The name that the library was opened under.
    pub fn path(&self) -> &Path {
        self.library.path()
    }
}
