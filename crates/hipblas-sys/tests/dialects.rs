//! A product reaches each version of hipBLAS with the numbers that this version understands.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use hip_sys::LoadError;
use hipblas_sys::{Blas, Dialect, Element, Gemm, Matrix, hipblasStatus_t};

/// Functions that note the numbers of the types they get, in the order a, b, c, compute, and return success.
const COMMON: &str = r"
#include <stdint.h>
int seen[8];
int hipblasCreate(void **h) { *h = seen; return 0; }
int hipblasDestroy(void *h) { (void)h; return 0; }
int hipblasSetStream(void *h, void *s) { (void)h; (void)s; return 0; }
#define PLAIN(name) int name(void *h, int ta, int tb, int m, int n, int k, const void *al, const void *a, int at, int la, \
    const void *b, int bt, int lb, const void *be, void *c, int ct, int lc, int compute, int algo) { \
    seen[0] = at, seen[1] = bt, seen[2] = ct, seen[3] = compute, seen[4] = ta, seen[5] = tb, seen[6] = 1; \
    return m == 2 && n == 3 && k == 4 && *(float *)al == 0.5f && *(float *)be == 1.5f && la == 5 && lb == 6 && lc == 7 \
        && algo == 160 ? 0 : 3; }
#define BATCHED(name) int name(void *h, int ta, int tb, int m, int n, int k, const void *al, const void *a, int at, \
    int la, int64_t sa, const void *b, int bt, int lb, int64_t sb, const void *be, void *c, int ct, int lc, int64_t sc, \
    int batch, int compute, int algo) { \
    seen[0] = at, seen[1] = bt, seen[2] = ct, seen[3] = compute, seen[4] = ta, seen[5] = tb, seen[6] = batch; \
    return sa == 50 && sb == 60 && sc == 70 && la == 5 && lb == 6 && lc == 7 && algo == 160 ? 0 : 3; }
";

fn build(folder: &Path, functions: &str) -> Option<PathBuf> {
    let (c, library) = (folder.join("blas.c"), folder.join("libblas_of_tests.so"));
    std::fs::write(&c, format!("{COMMON}{functions}")).expect("the C file");
    match Command::new("cc").args(["-w", "-shared", "-fPIC", "-o"]).arg(&library).arg(&c).status() {
        Ok(status) => assert!(status.success(), "cc fails"),
        Err(error) => {
            println!("skipped: no C compiler ({error})");
            return None;
        }
    }
    Some(library)
}

fn product(batch: i32) -> Gemm {
    let matrix = |element, leading, stride| Matrix { data: std::ptr::null_mut(), element, leading, stride };
    Gemm {
        transposed: [true, false],
        m: 2,
        n: 3,
        k: 4,
        alpha: 0.5,
        beta: 1.5,
        a: matrix(Element::F16, 5, 50),
        b: matrix(Element::Bf16, 6, 60),
        c: matrix(Element::F32, 7, 70),
        batch,
    }
}

/// What the library notes for a product of `batch` matrices.
fn seen(blas: &Arc<Blas>, batch: i32) -> [i32; 7] {
    let mut handle = std::ptr::null_mut();
    // SAFETY: the library of the test writes a handle, which is the address of its notes, and reads no matrix.
    unsafe {
        assert_eq!(blas.hipblasCreate(&mut handle), hipblasStatus_t::HIPBLAS_STATUS_SUCCESS);
        assert_eq!(blas.gemm(handle, &product(batch)), hipblasStatus_t::HIPBLAS_STATUS_SUCCESS);
        *handle.cast()
    }
}

fn check(functions: &str, dialect: Dialect, types: [i32; 4]) {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(library) = build(folder.path(), functions) else { return };
    let blas = Blas::open_path(library).expect("a library");
    assert_eq!(blas.dialect(), dialect);
    for batch in [1, 8] {
        let [a, b, c, compute, op_a, op_b, batches] = seen(&blas, batch);
        assert_eq!([a, b, c, compute], types);
        assert_eq!((op_a, op_b, batches), (112, 111, batch));
    }
}

#[test]
fn the_first_version_takes_its_own_types() {
    check("PLAIN(hipblasGemmEx) BATCHED(hipblasGemmStridedBatchedEx)", Dialect::Own, [150, 168, 151, 151]);
}

#[test]
fn the_second_version_takes_hips_types_under_a_suffix() {
    let old = "int hipblasGemmEx(void) { return 6; } int hipblasGemmStridedBatchedEx(void) { return 6; } \
               int hipblasGemmExWithFlags(void) { return 6; }\n";
    let new = "PLAIN(hipblasGemmEx_v2) BATCHED(hipblasGemmStridedBatchedEx_v2)";
    check(&format!("{old}{new}"), Dialect::HipSuffixed, [2, 14, 0, 2]);
}

#[test]
fn the_third_version_takes_hips_types() {
    let flags = "int hipblasGemmExWithFlags(void) { return 6; }\n";
    let functions = format!("{flags}PLAIN(hipblasGemmEx) BATCHED(hipblasGemmStridedBatchedEx)");
    check(&functions, Dialect::Hip, [2, 14, 0, 2]);
}

#[test]
fn a_library_without_products_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(library) = build(folder.path(), "") else { return };
    let error = Blas::open_path(library).expect_err("no product");
    assert!(matches!(error, LoadError::MissingSymbol { symbol: "hipblasGemmEx", .. }), "{error:?}");
    assert!(error.to_string().contains("ROCMFORGE_HIPBLAS_LIBRARY"), "{error}");
}
