//! hipBLAS's matrix products over cuBLAS, with the signatures of hipBLAS 2's `_v2` functions.

use std::ffi::{c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};

use hip_sys::{hipDataType, hipStream_t};
use hipblas_sys::{
    hipblasComputeType_t, hipblasGemmAlgo_t, hipblasHandle_t, hipblasOperation_t, hipblasStatus_t, hipblasStride,
};

use crate::context;
use crate::cublas::{Cublas, SUCCESS, cublas};

fn guard(body: impl FnOnce() -> Result<(), hipblasStatus_t>) -> hipblasStatus_t {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or(Err(hipblasStatus_t::HIPBLAS_STATUS_INTERNAL_ERROR));
    result.err().unwrap_or(hipblasStatus_t::HIPBLAS_STATUS_SUCCESS)
}

/// cuBLAS, with the context of the thread current.
fn library() -> Result<&'static Cublas, hipblasStatus_t> {
    context::current().map_err(|_| hipblasStatus_t::HIPBLAS_STATUS_NOT_INITIALIZED)?;
    cublas().map_err(|_| hipblasStatus_t::HIPBLAS_STATUS_NOT_INITIALIZED)
}

fn check(status: c_int) -> Result<(), hipblasStatus_t> {
    use hipblasStatus_t as Hip;
    Err(match status {
        SUCCESS => return Ok(()),
        1 => Hip::HIPBLAS_STATUS_NOT_INITIALIZED,
        3 => Hip::HIPBLAS_STATUS_ALLOC_FAILED,
        7 => Hip::HIPBLAS_STATUS_INVALID_VALUE,
        8 => Hip::HIPBLAS_STATUS_ARCH_MISMATCH,
        11 => Hip::HIPBLAS_STATUS_MAPPING_ERROR,
        13 => Hip::HIPBLAS_STATUS_EXECUTION_FAILED,
        14 => Hip::HIPBLAS_STATUS_INTERNAL_ERROR,
        15 => Hip::HIPBLAS_STATUS_NOT_SUPPORTED,
        _ => Hip::HIPBLAS_STATUS_UNKNOWN,
    })
}

fn operation(operation: hipblasOperation_t) -> Result<c_int, hipblasStatus_t> {
    match operation {
        hipblasOperation_t::HIPBLAS_OP_N => Ok(0),
        hipblasOperation_t::HIPBLAS_OP_T => Ok(1),
        hipblasOperation_t::HIPBLAS_OP_C => Ok(2),
        _ => Err(hipblasStatus_t::HIPBLAS_STATUS_INVALID_ENUM),
    }
}

/// The number of an element type, which HIP took from CUDA for the real ones.
fn element(ty: hipDataType) -> Result<c_int, hipblasStatus_t> {
    let same = [
        hipDataType::HIP_R_32F,
        hipDataType::HIP_R_64F,
        hipDataType::HIP_R_16F,
        hipDataType::HIP_R_16BF,
        hipDataType::HIP_R_8I,
        hipDataType::HIP_R_32I,
    ];
    if same.contains(&ty) { Ok(ty.0 as c_int) } else { Err(hipblasStatus_t::HIPBLAS_STATUS_NOT_SUPPORTED) }
}

fn compute(ty: hipblasComputeType_t) -> Result<c_int, hipblasStatus_t> {
    use hipblasComputeType_t as Hip;
    Ok(match ty {
        Hip::HIPBLAS_COMPUTE_16F => 64,
        Hip::HIPBLAS_COMPUTE_16F_PEDANTIC => 65,
        Hip::HIPBLAS_COMPUTE_32F => 68,
        Hip::HIPBLAS_COMPUTE_32F_PEDANTIC => 69,
        Hip::HIPBLAS_COMPUTE_64F => 70,
        Hip::HIPBLAS_COMPUTE_64F_PEDANTIC => 71,
        Hip::HIPBLAS_COMPUTE_32I => 72,
        Hip::HIPBLAS_COMPUTE_32I_PEDANTIC => 73,
        Hip::HIPBLAS_COMPUTE_32F_FAST_16F => 74,
        Hip::HIPBLAS_COMPUTE_32F_FAST_16BF => 75,
        Hip::HIPBLAS_COMPUTE_32F_FAST_TF32 => 77,
        _ => return Err(hipblasStatus_t::HIPBLAS_STATUS_NOT_SUPPORTED),
    })
}

/// cuBLAS's own choice of an algorithm, which is also the only one that hipBLAS names.
const DEFAULT_ALGORITHM: c_int = -1;

macro_rules! export_blas {
    ($(fn $name:ident($($argument:ident: $ty:ty),* $(,)?) $body:block)*) => {$(
        #[allow(non_snake_case, clippy::too_many_arguments, reason = "the name and the signature are hipBLAS's")]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $ty),*) -> hipblasStatus_t {
            guard(|| {
                // SAFETY: the caller keeps the rules of hipBLAS's function of this name, which are those of cuBLAS's
                // function of the same meaning, where the body passes pointers and handles on.
                unsafe { $body }
            })
        }

        const _: hipblas_sys::blas_table::signatures::$name = $name;
    )*};
}

export_blas! {
    fn hipblasCreate(handle: *mut hipblasHandle_t) {
        check(library()?.cublasCreate_v2(handle))
    }

    fn hipblasDestroy(handle: hipblasHandle_t) {
        check(library()?.cublasDestroy_v2(handle))
    }

    fn hipblasSetStream(handle: hipblasHandle_t, stream: hipStream_t) {
        check(library()?.cublasSetStream_v2(handle, stream.cast()))
    }

    fn hipblasGemmEx_v2(
        handle: hipblasHandle_t,
        trans_a: hipblasOperation_t,
        trans_b: hipblasOperation_t,
        m: c_int,
        n: c_int,
        k: c_int,
        alpha: *const c_void,
        a: *const c_void,
        a_type: hipDataType,
        lda: c_int,
        b: *const c_void,
        b_type: hipDataType,
        ldb: c_int,
        beta: *const c_void,
        c: *mut c_void,
        c_type: hipDataType,
        ldc: c_int,
        compute_type: hipblasComputeType_t,
        _algorithm: hipblasGemmAlgo_t,
    ) {
        let (trans_a, trans_b) = (operation(trans_a)?, operation(trans_b)?);
        let (a_type, b_type, c_type) = (element(a_type)?, element(b_type)?, element(c_type)?);
        check(library()?.cublasGemmEx(
            handle, trans_a, trans_b, m, n, k, alpha, a, a_type, lda, b, b_type, ldb, beta, c, c_type, ldc,
            compute(compute_type)?, DEFAULT_ALGORITHM,
        ))
    }

    fn hipblasGemmStridedBatchedEx_v2(
        handle: hipblasHandle_t,
        trans_a: hipblasOperation_t,
        trans_b: hipblasOperation_t,
        m: c_int,
        n: c_int,
        k: c_int,
        alpha: *const c_void,
        a: *const c_void,
        a_type: hipDataType,
        lda: c_int,
        stride_a: hipblasStride,
        b: *const c_void,
        b_type: hipDataType,
        ldb: c_int,
        stride_b: hipblasStride,
        beta: *const c_void,
        c: *mut c_void,
        c_type: hipDataType,
        ldc: c_int,
        stride_c: hipblasStride,
        batch: c_int,
        compute_type: hipblasComputeType_t,
        _algorithm: hipblasGemmAlgo_t,
    ) {
        let (trans_a, trans_b) = (operation(trans_a)?, operation(trans_b)?);
        let (a_type, b_type, c_type) = (element(a_type)?, element(b_type)?, element(c_type)?);
        check(library()?.cublasGemmStridedBatchedEx(
            handle, trans_a, trans_b, m, n, k, alpha, a, a_type, lda, stride_a, b, b_type, ldb, stride_b, beta, c,
            c_type, ldc, stride_c, batch, compute(compute_type)?, DEFAULT_ALGORITHM,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_numbers() {
        assert_eq!(check(0), Ok(()));
        assert_eq!(check(13), Err(hipblasStatus_t::HIPBLAS_STATUS_EXECUTION_FAILED));
        assert_eq!(check(99), Err(hipblasStatus_t::HIPBLAS_STATUS_UNKNOWN));
        assert_eq!(operation(hipblasOperation_t::HIPBLAS_OP_T), Ok(1));
        assert_eq!(element(hipDataType::HIP_R_16BF), Ok(14));
        assert!(element(hipDataType::HIP_C_32F).is_err());
        assert_eq!(compute(hipblasComputeType_t::HIPBLAS_COMPUTE_32F), Ok(68));
    }
}
