//! hipBLAS: matrix products.

use super::{Group, Table, f, optional};

pub const GROUP: Group = Group {
    name: "hipblas",
    folder: "crates/hipblas-sys/src/generated",
    headers: &["hip/library_types.h", "hipblas/hipblas.h"],
    library: "hipBLAS",
    version: ["hipblasVersionMajor", "hipblasVersionMinor", "hipblasVersionPatch"],
    extra_types: &[],
    layouts: &[],
    constants: &[],
    tables: &[("blas", BLAS)],
    foreign: &["hipStream_t", "hipDataType"],
    macros: "hip_sys",
};

const BLAS: Table = Table {
    functions: "BlasFunctions",
    owner: "crate::Blas",
    absent: "hipblasStatus_t::HIPBLAS_STATUS_NOT_SUPPORTED",
    doc: "Function pointers of hipBLAS.",
    list: &[
        f("hipblasCreate", "Makes a handle for the current device."),
        f("hipblasDestroy", "Destroys a handle."),
        f("hipblasSetStream", "Sets the stream of a handle's work."),
        optional("hipblasGemmEx", "Matrix product; the types of its arguments are those of hipBLAS 1 and 2."),
        optional("hipblasGemmEx_v2", "Matrix product, in hipBLAS 2."),
        optional("hipblasGemmExWithFlags", "Matrix product with flags, in hipBLAS 2 and later."),
        optional(
            "hipblasGemmStridedBatchedEx",
            "Matrix products of a batch; the types of its arguments are those of hipBLAS 1 and 2.",
        ),
        optional("hipblasGemmStridedBatchedEx_v2", "Matrix products of a batch, in hipBLAS 2."),
    ],
};
