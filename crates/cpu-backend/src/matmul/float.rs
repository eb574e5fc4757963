//! The kernels for weights that are floats, or are decoded to floats on the way.
//!
//! The order of roundings for an output element, on every path: columns are taken in runs of
//! 256. Within a run, two sums, one over even columns and one over odd, grow by one fused
//! multiply-add a column; then their sum is added to the output, which starts at the bias.

use super::format::ROWS;
use super::kernels::{Target, load_rows, store_rows};
use super::simd::Simd;

/// Columns of a run.
pub(super) const RUN: usize = 256;

/// How the 16 weights of a column are stored.
pub(super) trait Column {
    /// Bytes of the 16.
    const BYTES: usize;
    /// Reads them.
    ///
    /// # Safety
    /// Those of [`Simd`].
    unsafe fn load<S: Simd>(at: *const u8) -> S::Floats;
}

macro_rules! column {
    ($($name:ident $bytes:literal $load:ident;)*) => {$(
        pub(super) struct $name;
        impl Column for $name {
            const BYTES: usize = $bytes * ROWS;
            #[inline(always)]
            unsafe fn load<S: Simd>(at: *const u8) -> S::Floats {
                // SAFETY: the caller's promise.
                unsafe { S::$load(at.cast()) }
            }
        }
    )*};
}

column! {
    Single 4 load;
    Half 2 half;
    Bfloat 2 bfloat;
}

/// What a float kernel works on: some columns of some panels.
pub(super) struct Floats {
    /// Column by column, 16 weights each.
    pub weights: *const u8,
    /// From one panel to the next.
    pub panel_bytes: usize,
    /// The first panel; those after it follow.
    pub panel: usize,
    /// How many of the kernel's panels exist.
    pub panels: usize,
    /// Columns to add; those before them are a multiple of [`RUN`].
    pub cols: usize,
    /// Whether outputs start here, rather than from what `out` holds.
    pub first: bool,
    pub target: Target,
    /// For each token its value in the first of the columns.
    pub x: *const *const f32,
    /// One output row of `target.rows` for each token. Two tokens may name the same row if they
    /// have the same input.
    pub out: *const *mut f32,
}

/// For `T` tokens times `P` panels.
///
/// # Safety
/// Those of [`Simd`]; the pointers of `a` are valid as their descriptions say, and no other
/// thread touches the outputs.
#[inline(always)]
pub(super) unsafe fn floats<S: Simd, C: Column, const P: usize, const T: usize>(a: &Floats) {
    // SAFETY: the caller vouches for the arguments. A panel that does not exist reads the weights
    // of the last that does, and has no rows to store.
    unsafe {
        let mut x: [*const f32; T] = std::array::from_fn(|t| *a.x.add(t));
        let out: [*mut f32; T] = std::array::from_fn(|t| *a.out.add(t));
        let mut w: [*const u8; P] = std::array::from_fn(|p| a.weights.add(p.min(a.panels - 1) * a.panel_bytes));
        let rows: [usize; P] = std::array::from_fn(|p| if p < a.panels { a.target.rows_of(a.panel + p) } else { 0 });
        let mut left = a.cols;
        let mut first = a.first;
        loop {
            let run = left.min(RUN);
            let mut sums = add_run::<S, C, P, T>(w, x, run);
            for w in &mut w {
                *w = w.add(run * C::BYTES);
            }
            for x in &mut x {
                *x = x.add(run);
            }
            for t in 0..T {
                for p in 0..P {
                    let before = if first {
                        if rows[p] > 0 { a.target.first::<S>(a.panel + p) } else { S::zero() }
                    } else {
                        load_rows::<S>(out[t], rows[p], a.panel + p)
                    };
                    sums[t][p] = S::add(before, sums[t][p]);
                }
            }
            for t in 0..T {
                for p in 0..P {
                    store_rows::<S>(out[t], rows[p], a.panel + p, sums[t][p]);
                }
            }
            first = false;
            left -= run;
            if left == 0 {
                break;
            }
        }
    }
}

/// The sums over a run of columns. A function that returns them, for in one body with the code
/// that indexes them by variables the compiler keeps them in memory.
///
/// # Safety
/// Those of [`Simd`]; `run` columns follow each pointer.
#[inline(always)]
unsafe fn add_run<S: Simd, C: Column, const P: usize, const T: usize>(
    mut w: [*const u8; P],
    mut x: [*const f32; T],
    run: usize,
) -> [[S::Floats; P]; T] {
    // SAFETY: as promised by the caller.
    unsafe {
        let mut even = [[S::zero(); P]; T];
        let mut odd = [[S::zero(); P]; T];
        for _ in 0..run / 2 {
            even = step::<S, C, P, T>(&w, &x, 0, even);
            odd = step::<S, C, P, T>(&w, &x, 1, odd);
            for w in &mut w {
                *w = w.add(2 * C::BYTES);
            }
            for x in &mut x {
                *x = x.add(2);
            }
        }
        if run % 2 == 1 {
            even = step::<S, C, P, T>(&w, &x, 0, even);
        }
        for t in 0..T {
            for p in 0..P {
                even[t][p] = S::add(even[t][p], odd[t][p]);
            }
        }
        even
    }
}

/// Adds column `at` from here to `sums`.
///
/// # Safety
/// Those of [`Simd`]; that column exists.
#[inline(always)]
unsafe fn step<S: Simd, C: Column, const P: usize, const T: usize>(
    w: &[*const u8; P],
    x: &[*const f32; T],
    at: usize,
    mut sums: [[S::Floats; P]; T],
) -> [[S::Floats; P]; T] {
    // SAFETY: as promised by the caller.
    unsafe {
        let mut columns = [C::load::<S>(w[0].add(at * C::BYTES)); P];
        for p in 1..P {
            columns[p] = C::load::<S>(w[p].add(at * C::BYTES));
        }
        for t in 0..T {
            let x = S::splat(x[t].add(at));
            for p in 0..P {
                sums[t][p] = S::fma(columns[p], x, sums[t][p]);
            }
        }
    }
    sums
}
