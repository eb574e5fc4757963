//! Opening hipBLAS.

use std::path::Path;
use std::sync::Arc;

use hip_sys::library::{ROCM_FOLDERS, SharedLibrary, Wanted, named_by};
use hip_sys::{Api, LoadError};

use crate::dialect::Dialect;
use crate::generated::blas::BlasFunctions;

/// Environment variable that names hipBLAS's file.
pub const LIBRARY_VARIABLE: &str = "ROCMFORGE_HIPBLAS_LIBRARY";

const WANTED: Wanted<'_> = Wanted {
    what: "hipBLAS",
    names: &["libhipblas.so.3", "libhipblas.so.2", "libhipblas.so.1", "libhipblas.so"],
    folders: ROCM_FOLDERS,
    variable: LIBRARY_VARIABLE,
    packages: "ROCm: hipblas, Debian and Ubuntu: libhipblas2 or libhipblas1, Fedora: hipblas",
};

/// hipBLAS: an open library and its functions as methods under their own names.
#[derive(Debug)]
pub struct Blas {
    pub(crate) functions: BlasFunctions,
    library: SharedLibrary,
    dialect: Dialect,
}

impl Blas {
    /// Opens hipBLAS for a runtime. In this order: the file that `ROCMFORGE_HIPBLAS_LIBRARY` names; the runtime's own
    /// library, where that was asked for by name and has hipBLAS's functions; the `libhipblas.so` of the runtime's
    /// version, since another one would bring another runtime into the process.
    ///
    /// # Errors
    /// [`LoadError`]: nothing found, a file that does not open, or a library without a function that is needed.
    pub fn open(api: &Api) -> Result<Arc<Self>, LoadError> {
        let in_runtime = BlasFunctions::REQUIRED.iter().all(|name| !api.symbol(name).is_null());
        if in_runtime && api.is_named() && named_by(LIBRARY_VARIABLE).is_none() {
            return Self::of(api.library().clone());
        }
        let names = api.version().map_or(WANTED.names, |version| names_for(version.major()));
        Self::of(SharedLibrary::open(&Wanted { names, ..WANTED })?)
    }

    /// Opens hipBLAS in a given file.
    ///
    /// # Errors
    /// [`LoadError::Open`] or [`LoadError::MissingSymbol`].
    pub fn open_path(path: impl AsRef<Path>) -> Result<Arc<Self>, LoadError> {
        Self::of(SharedLibrary::open_path(&WANTED, path.as_ref())?)
    }

    fn of(library: SharedLibrary) -> Result<Arc<Self>, LoadError> {
        let missing = |symbol| LoadError::MissingSymbol {
            what: WANTED.what,
            path: library.path().to_path_buf(),
            symbol,
            version: None,
            needs: "hipBLAS of ROCm 5.7 or later",
            variable: LIBRARY_VARIABLE,
        };
        // SAFETY: a library that exports hipBLAS's symbols gives them the types of its headers; those whose types
        // changed are called as `Dialect` says. It stays open.
        let functions = unsafe { BlasFunctions::load(|name| library.symbol(name)) }.map_err(missing)?;
        let dialect = Dialect::of(&functions).ok_or_else(|| missing("hipblasGemmEx"))?;
        Ok(Arc::new(Self { functions, library, dialect }))
    }

    /// Which types the matrix products of this library take.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The function pointers themselves.
    pub fn functions(&self) -> &BlasFunctions {
        &self.functions
    }

    /// The name that the library was opened under.
    pub fn path(&self) -> &Path {
        self.library.path()
    }
}

/// The libraries that belong to a release of ROCm.
fn names_for(major: i32) -> &'static [&'static str] {
    match major {
        5 => &["libhipblas.so.1", "libhipblas.so.0", "libhipblas.so"],
        6 => &["libhipblas.so.2", "libhipblas.so"],
        7 => &["libhipblas.so.3", "libhipblas.so"],
        _ => WANTED.names,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_gets_the_library_of_its_release() {
        assert_eq!(names_for(6)[0], "libhipblas.so.2");
        assert!(!names_for(6).contains(&"libhipblas.so.3"));
        assert_eq!(names_for(12), WANTED.names);
    }
}
