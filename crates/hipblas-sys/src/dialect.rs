//! Matrix products across the versions of hipBLAS, whose types changed twice.
//!
//! hipBLAS 1 (ROCm 5) knows element types of its own, and says with one of them also how to compute. hipBLAS 2
//! (ROCm 6) keeps these functions and adds some with the suffix `_v2`, which take HIP's element types and a type for
//! the way to compute. hipBLAS 3 (ROCm 7) has only the new ones, without the suffix.

use std::ffi::{c_int, c_void};
use std::mem::transmute;

use hip_sys::hipDataType;

use crate::blas_table::signatures;
use crate::generated::blas::BlasFunctions;
use crate::{
    Blas, hipblasComputeType_t, hipblasDatatype_t, hipblasGemmAlgo_t, hipblasHandle_t, hipblasOperation_t,
    hipblasStatus_t, hipblasStride,
};

/// Which types the matrix products of a library take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// hipBLAS 1: types of its own.
    Own,
    /// hipBLAS 2: HIP's types, in functions with the suffix `_v2`.
    HipSuffixed,
    /// hipBLAS 3: HIP's types.
    Hip,
}

impl Dialect {
    /// What a library's functions show: only hipBLAS 2 has the suffix, and `hipblasGemmExWithFlags` came with it.
    pub(crate) fn of(functions: &BlasFunctions) -> Option<Self> {
        if functions.hipblasGemmEx_v2.is_some() && functions.hipblasGemmStridedBatchedEx_v2.is_some() {
            return Some(Self::HipSuffixed);
        }
        let plain = functions.hipblasGemmEx.is_some() && functions.hipblasGemmStridedBatchedEx.is_some();
        let flags = functions.hipblasGemmExWithFlags.is_some();
        plain.then_some(if flags { Self::Hip } else { Self::Own })
    }
}

/// Elements of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32-bit floats.
    F32,
    /// 16-bit IEEE floats.
    F16,
    /// 16-bit floats with the exponent of 32-bit ones.
    Bf16,
}

impl Element {
    /// HIP's number.
    pub fn hip(self) -> hipDataType {
        match self {
            Self::F32 => hipDataType::HIP_R_32F,
            Self::F16 => hipDataType::HIP_R_16F,
            Self::Bf16 => hipDataType::HIP_R_16BF,
        }
    }

    /// hipBLAS's own number.
    pub fn own(self) -> hipblasDatatype_t {
        match self {
            Self::F32 => hipblasDatatype_t::HIPBLAS_R_32F,
            Self::F16 => hipblasDatatype_t::HIPBLAS_R_16F,
            Self::Bf16 => hipblasDatatype_t::HIPBLAS_R_16B,
        }
    }
}

/// A matrix on the device, column by column.
#[derive(Debug, Clone, Copy)]
pub struct Matrix {
    /// Address of the first element.
    pub data: *mut c_void,
    /// Its elements.
    pub element: Element,
    /// Elements from one column to the next.
    pub leading: c_int,
    /// Elements from one matrix of a batch to the next.
    pub stride: hipblasStride,
}

/// `c = alpha op(a) op(b) + beta c`, computed in 32-bit floats, with `op(a)` `[m, k]` and `op(b)` `[k, n]`.
#[derive(Debug, Clone, Copy)]
pub struct Gemm {
    /// Whether `a` and `b` are transposed.
    pub transposed: [bool; 2],
    /// Rows of the result.
    pub m: c_int,
    /// Columns of the result.
    pub n: c_int,
    /// Length of the sums.
    pub k: c_int,
    /// Factor of the product.
    pub alpha: f32,
    /// Factor of what `c` holds.
    pub beta: f32,
    /// The left matrix, `[m, k]` or transposed.
    pub a: Matrix,
    /// The right matrix, `[k, n]` or transposed.
    pub b: Matrix,
    /// The result.
    pub c: Matrix,
    /// How many products, each further by the strides.
    pub batch: c_int,
}

type Plain<T, C> = unsafe extern "C" fn(
    hipblasHandle_t,
    hipblasOperation_t,
    hipblasOperation_t,
    c_int,
    c_int,
    c_int,
    *const c_void,
    *const c_void,
    T,
    c_int,
    *const c_void,
    T,
    c_int,
    *const c_void,
    *mut c_void,
    T,
    c_int,
    C,
    hipblasGemmAlgo_t,
) -> hipblasStatus_t;

type Batched<T, C> = unsafe extern "C" fn(
    hipblasHandle_t,
    hipblasOperation_t,
    hipblasOperation_t,
    c_int,
    c_int,
    c_int,
    *const c_void,
    *const c_void,
    T,
    c_int,
    hipblasStride,
    *const c_void,
    T,
    c_int,
    hipblasStride,
    *const c_void,
    *mut c_void,
    T,
    c_int,
    hipblasStride,
    c_int,
    C,
    hipblasGemmAlgo_t,
) -> hipblasStatus_t;

/// The two functions of a dialect, as far as the library has them.
type Both<T, C> = (Option<Plain<T, C>>, Option<Batched<T, C>>);
type HipPlain = Plain<hipDataType, hipblasComputeType_t>;
type HipBatched = Batched<hipDataType, hipblasComputeType_t>;

impl Gemm {
    fn operations(&self) -> [hipblasOperation_t; 2] {
        self.transposed.map(|t| if t { hipblasOperation_t::HIPBLAS_OP_T } else { hipblasOperation_t::HIPBLAS_OP_N })
    }

    /// # Safety
    /// As of [`Blas::gemm`].
    unsafe fn call<T, C>(
        &self,
        handle: hipblasHandle_t,
        (plain, batched): Both<T, C>,
        ty: impl Fn(Element) -> T,
        compute: C,
    ) -> hipblasStatus_t {
        let Self { m, n, k, a, b, c, batch, .. } = *self;
        let [op_a, op_b] = self.operations();
        let (alpha, beta) = ((&raw const self.alpha).cast(), (&raw const self.beta).cast());
        let (ta, tb, tc) = (ty(a.element), ty(b.element), ty(c.element));
        let algorithm = hipblasGemmAlgo_t::HIPBLAS_GEMM_DEFAULT;
        match (plain, batched) {
            // SAFETY: the caller vouches for handle and matrices; the factors are read before the function returns.
            (Some(one), _) if batch == 1 => unsafe {
                one(
                    handle, op_a, op_b, m, n, k, alpha, a.data, ta, a.leading, b.data, tb, b.leading, beta, c.data, tc,
                    c.leading, compute, algorithm,
                )
            },
            // SAFETY: as above.
            (_, Some(many)) => unsafe {
                many(
                    handle, op_a, op_b, m, n, k, alpha, a.data, ta, a.leading, a.stride, b.data, tb, b.leading,
                    b.stride, beta, c.data, tc, c.leading, c.stride, batch, compute, algorithm,
                )
            },
            _ => hipblasStatus_t::HIPBLAS_STATUS_NOT_SUPPORTED,
        }
    }
}

impl Blas {
    /// Enqueues a product, or a batch of products, with the types that the library's version takes.
    ///
    /// # Safety
    /// The handle is one of this library. The matrices lie in memory of its device, are large enough for the sizes,
    /// strides and batch, and stay alive until the work is done.
    pub unsafe fn gemm(&self, handle: hipblasHandle_t, gemm: &Gemm) -> hipblasStatus_t {
        let f = self.functions();
        let compute = hipblasComputeType_t::HIPBLAS_COMPUTE_32F;
        match self.dialect() {
            Dialect::Own => {
                let functions = (f.hipblasGemmEx, f.hipblasGemmStridedBatchedEx);
                // SAFETY: the caller's promise; in this version the functions take hipBLAS's own types.
                unsafe { gemm.call(handle, functions, Element::own, hipblasDatatype_t::HIPBLAS_R_32F) }
            }
            Dialect::HipSuffixed => {
                let functions = (f.hipblasGemmEx_v2, f.hipblasGemmStridedBatchedEx_v2);
                // SAFETY: the caller's promise; the functions with the suffix take HIP's types.
                unsafe { gemm.call(handle, functions, Element::hip, compute) }
            }
            Dialect::Hip => {
                // SAFETY: in this version the functions have the signatures of those with the suffix, which differ
                // from the others in the meaning of the numbers alone.
                let functions = unsafe {
                    (
                        transmute::<Option<signatures::hipblasGemmEx>, Option<HipPlain>>(f.hipblasGemmEx),
                        transmute::<Option<signatures::hipblasGemmStridedBatchedEx>, Option<HipBatched>>(
                            f.hipblasGemmStridedBatchedEx,
                        ),
                    )
                };
                // SAFETY: the caller's promise.
                unsafe { gemm.call(handle, functions, Element::hip, compute) }
            }
        }
    }
}
