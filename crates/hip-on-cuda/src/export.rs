//! The shape of an exported function.

/// Exports HIP functions. A body gives `Result<(), hipError_t>`; a panic in it ends here as `hipErrorUnknown`. The
/// signature is held against that of `hip-sys`.
macro_rules! export {
    ($(fn $name:ident($($argument:ident: $ty:ty),* $(,)?) $body:block)*) => {$(
        #[allow(non_snake_case, clippy::too_many_arguments, reason = "the name and the signature are HIP's")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $ty),*) -> hip_sys::hipError_t {
            $crate::status::guard(|| {
                // SAFETY: the caller keeps the rules of HIP's function of this name: pointers are null or valid for
                // what it reads or writes, and handles are its own. The body passes them on to the CUDA functions of
                // the same meaning, whose rules are the same.
                #[allow(unused_unsafe, reason = "not every body calls one")]
                unsafe { $body }
            })
        }

        const _: hip_sys::runtime_table::signatures::$name = $name;
    )*};
}

pub(crate) use export;
