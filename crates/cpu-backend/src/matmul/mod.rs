//! Linear maps: `out[t, r] = sum over k of W[r, k] * x[t, k] (+ bias[r])`, for weights of every
//! type a GGUF file holds.
//!
//! One token is bound by memory: the weights are read once, in order, at the size they have in
//! the file. Many tokens are bound by arithmetic: weights are unpacked to bytes a little at a
//! time and meet six tokens in registers. Both use the dot products of bytes that processors
//! have for this, after the activations were rounded to 8 bits ([`Activations`]); weights that
//! are floats use fused multiply-adds with the activations as they are.
//!
//! A token's result is the same to the last bit whatever the number of tokens, threads, or the
//! instruction set: see `kernels.rs` and `float.rs` for the one order of roundings.
//!
//! | here | what |
//! |---|---|
//! | `format`, `codes`, `codebooks`, `pack` | the packed form, and how it is made |
//! | `activations` | the input |
//! | `kernels`, `float` | the inner loops, over `simd` |
//! | `isa` | which of them this processor runs |
//! | `schedule`, `experts` | who computes what |

mod activations;
mod codebooks;
mod codes;
mod error;
mod experts;
#[allow(clippy::needless_range_loop, reason = "several arrays share each index, and loops by number unroll")]
mod float;
mod format;
mod isa;
#[allow(clippy::needless_range_loop, reason = "several arrays share each index, and loops by number unroll")]
mod kernels;
mod pack;
mod schedule;
mod simd;
#[cfg(test)]
mod tests;

pub use activations::{Activations, Form, Input};
pub use error::MatmulError;
pub use experts::{Routing, Rows, matmul_experts};
pub use isa::Isa;
pub use pack::PackedMatrix;

use crate::pool::{Parts, Pool};
use error::check;
use schedule::{Work, run};

/// One of several products with the same input.
pub struct Job<'a> {
    w: &'a PackedMatrix,
    bias: Option<&'a [f32]>,
    out: Parts<'a, f32>,
    len: usize,
}

impl<'a> Job<'a> {
    /// `out`, `[tokens, w.rows()]`, becomes the product with `w`, plus `bias` of `[w.rows()]`.
    pub fn new(w: &'a PackedMatrix, bias: Option<&'a [f32]>, out: &'a mut [f32]) -> Self {
        let len = out.len();
        Self { w, bias, out: Parts::new(out), len }
    }
}

/// `out[t, r] = sum over k of w[r, k] * x[t, k] + bias[r]`, with `out` of `[tokens, w.rows()]`.
///
/// Allocates nothing.
///
/// # Errors
/// [`MatmulError::Columns`], [`MatmulError::Length`] or [`MatmulError::NotQuantized`] if the
/// arguments do not fit each other; nothing is written then.
pub fn matmul(
    pool: &Pool,
    w: &PackedMatrix,
    x: &Input<'_>,
    bias: Option<&[f32]>,
    out: &mut [f32],
) -> Result<(), MatmulError> {
    matmul_many(pool, &mut [Job::new(w, bias, out)], x)
}

/// Several products with one input at once, such as query, key and value: one dispatch, and no
/// thread waits between them.
///
/// # Errors
/// As [`matmul`].
pub fn matmul_many(pool: &Pool, jobs: &mut [Job<'_>], x: &Input<'_>) -> Result<(), MatmulError> {
    for job in jobs.iter() {
        fits(job.w, job.bias, x)?;
        check("output", length(x.tokens(), job.w.rows()), job.len)?;
    }
    let jobs = &*jobs;
    run(pool, x, jobs.len(), |i| Work {
        w: jobs[i].w,
        bias: jobs[i].bias,
        out: jobs[i].out.base(),
        tokens: x.tokens(),
        from: None,
        to: None,
    });
    Ok(())
}

/// The product with some rows of the input: `out`, `[rows.len(), w.rows()]`, gets in row `i`
/// what [`matmul`] computes for row `rows[i]`.
///
/// # Errors
/// As [`matmul`], and [`MatmulError::OutOfRange`] for a row that does not exist.
pub fn matmul_rows(
    pool: &Pool,
    w: &PackedMatrix,
    x: &Input<'_>,
    rows: &[u32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) -> Result<(), MatmulError> {
    fits(w, bias, x)?;
    check("output", length(rows.len(), w.rows()), out.len())?;
    if let Some(&row) = rows.iter().find(|&&row| row as usize >= x.tokens()) {
        return Err(MatmulError::OutOfRange { what: "input row", index: row as usize, len: x.tokens() });
    }
    let out = Parts::new(out);
    run(pool, x, 1, |_| Work { w, bias, out: out.base(), tokens: rows.len(), from: Some(rows), to: None });
    Ok(())
}

/// Values of a matrix by its shape; no slice is as long as the value that stands for overflow.
fn length(rows: usize, cols: usize) -> usize {
    rows.saturating_mul(cols)
}

/// Whether a matrix and its bias fit an input.
fn fits(w: &PackedMatrix, bias: Option<&[f32]>, x: &Input<'_>) -> Result<(), MatmulError> {
    if w.cols() != x.cols() {
        return Err(MatmulError::Columns { expected: w.cols(), found: x.cols() });
    }
    if let Some(bias) = bias {
        check("bias", w.rows(), bias.len())?;
    }
    if w.input_form() > x.form() && x.tokens() > 0 && x.cols() > 0 {
        return Err(MatmulError::NotQuantized { ty: w.ty() });
    }
    Ok(())
}
