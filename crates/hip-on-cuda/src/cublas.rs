//! cuBLAS, opened when it is first needed.

use std::sync::OnceLock;

use hip_sys::library::{SharedLibrary, Wanted};

use functions::CublasFunctions;

const WANTED: Wanted<'_> = Wanted {
    what: "cuBLAS",
    names: &["libcublas.so.13", "libcublas.so.12", "libcublas.so"],
    folders: &["/usr/local/cuda/lib64"],
    variable: "ROCMFORGE_CUBLAS_LIBRARY",
    packages: "the CUDA toolkit, or the Python package nvidia-cublas with its folder in LD_LIBRARY_PATH",
};

/// cuBLAS's functions, as methods under their own names.
#[derive(Debug)]
pub struct Cublas {
    functions: CublasFunctions,
}

/// What cuBLAS returns for success.
pub const SUCCESS: i32 = 0;

/// The few functions that hipBLAS's are made of. All enumerations are C's `int`.
#[allow(missing_docs, non_camel_case_types, non_snake_case, reason = "the names are cuBLAS's")]
mod functions {
    use std::ffi::{c_int, c_longlong, c_void};

    use crate::generated::types::CUstream;

    pub type Handle = *mut c_void;

    hip_sys::function_table! {
        #[doc = "Function pointers of cuBLAS."]
        pub struct CublasFunctions of super::Cublas, absent 15;
        required {
            #[doc = "Makes a handle for the current context."]
            fn cublasCreate_v2(handle: *mut Handle) -> c_int;
            #[doc = "Destroys a handle."]
            fn cublasDestroy_v2(handle: Handle) -> c_int;
            #[doc = "Sets the stream of a handle's work."]
            fn cublasSetStream_v2(handle: Handle, stream: CUstream) -> c_int;
            #[doc = "Matrix product."]
            fn cublasGemmEx(handle: Handle, trans_a: c_int, trans_b: c_int, m: c_int, n: c_int, k: c_int, alpha: *const c_void, a: *const c_void, a_type: c_int, lda: c_int, b: *const c_void, b_type: c_int, ldb: c_int, beta: *const c_void, c: *mut c_void, c_type: c_int, ldc: c_int, compute: c_int, algorithm: c_int) -> c_int;
            #[doc = "Matrix products of a batch."]
            fn cublasGemmStridedBatchedEx(handle: Handle, trans_a: c_int, trans_b: c_int, m: c_int, n: c_int, k: c_int, alpha: *const c_void, a: *const c_void, a_type: c_int, lda: c_int, stride_a: c_longlong, b: *const c_void, b_type: c_int, ldb: c_int, stride_b: c_longlong, beta: *const c_void, c: *mut c_void, c_type: c_int, ldc: c_int, stride_c: c_longlong, batch: c_int, compute: c_int, algorithm: c_int) -> c_int;
        }
        optional {}
    }
}

static CUBLAS: OnceLock<Result<Cublas, String>> = OnceLock::new();

/// cuBLAS, or why there is none.
pub fn cublas() -> Result<&'static Cublas, &'static str> {
    CUBLAS.get_or_init(open).as_ref().map_err(String::as_str)
}

fn open() -> Result<Cublas, String> {
    let library = SharedLibrary::open(&WANTED).map_err(|error| error.to_string())?;
    // SAFETY: a library of this name exports cuBLAS's functions with these types; it stays open.
    let functions = unsafe { CublasFunctions::load(|name| library.symbol(name)) };
    let functions = functions.map_err(|symbol| format!("{} has no `{symbol}`", library.path().display()))?;
    Ok(Cublas { functions })
}
