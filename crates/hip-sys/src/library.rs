//! Opening a shared library at run time.

use std::ffi::c_void;
use std::path::{Path, PathBuf};

use libloading::Library;

use crate::error::{LoadError, Tried};

/// Where ROCm's own packages put libraries, which the loader need not know.
pub const ROCM_FOLDERS: &[&str] = &["/opt/rocm/lib"];

/// An address in a library.
pub type Address = *const c_void;

/// What to look for, and what to say when it is not there.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The library in words.
    pub what: &'static str,
    /// File names, the preferred one first.
    pub names: &'a [&'a str],
    /// Folders to look in for all names, after the ones that the system's loader knows.
    pub folders: &'a [&'a str],
    /// Environment variable that names another file.
    pub variable: &'static str,
    /// Which packages bring the library.
    pub packages: &'static str,
}

/// An open library. It stays open until the process ends: ROCm's libraries run threads and exit handlers of their
/// own, which must not lose their code.
#[derive(Debug, Clone)]
pub struct SharedLibrary {
    path: PathBuf,
    library: &'static Library,
}

impl SharedLibrary {
    /// Opens the file that the environment variable names, or else the first of the names that opens.
    ///
    /// # Errors
    /// [`LoadError::Open`] for a named file, [`LoadError::NotFound`] with every attempt otherwise.
    pub fn open(wanted: &Wanted<'_>) -> Result<Self, LoadError> {
        match named_by(wanted.variable) {
            Some(path) => Self::open_path(wanted, &path),
            None => Self::search(wanted),
        }
    }

    /// Opens one file.
    ///
    /// # Errors
    /// [`LoadError::Open`].
    pub fn open_path(wanted: &Wanted<'_>, path: &Path) -> Result<Self, LoadError> {
        Self::load(path).map_err(|reason| LoadError::Open {
            what: wanted.what,
            path: path.to_path_buf(),
            variable: wanted.variable,
            reason,
        })
    }

    fn search(wanted: &Wanted<'_>) -> Result<Self, LoadError> {
        let mut tried = Vec::new();
        let folders = std::iter::once(&"").chain(wanted.folders);
        for path in folders.flat_map(|folder| wanted.names.iter().map(move |name| Path::new(folder).join(name))) {
            match Self::load(&path) {
                Ok(library) => return Ok(library),
                Err(reason) => tried.push(Tried { path, reason }),
            }
        }
        Err(LoadError::NotFound { what: wanted.what, tried, packages: wanted.packages, variable: wanted.variable })
    }

    fn load(path: &Path) -> Result<Self, String> {
        // SAFETY: opening a library runs its initialisers; the file is one that the system's loader finds under a
        // name of ROCm, or one that the user named for this purpose.
        let library = unsafe { Library::new(path) }.map_err(|error| error.to_string())?;
        Ok(Self { path: path.to_path_buf(), library: Box::leak(Box::new(library)) })
    }

    /// The name that the library was opened under.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The address of a symbol, null where the library has none.
    pub fn symbol(&self, name: &str) -> Address {
        // SAFETY: the symbol is only looked up; whoever calls through it vouches for its type.
        let found = unsafe { self.library.get::<Address>(name.as_bytes()) };
        found.map_or(std::ptr::null(), |symbol| *symbol)
    }
}

/// The file that an environment variable names; empty means none.
pub fn named_by(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}
