//! Runs a case on the device and on the reference interpreter, and compares.

use std::sync::Arc;

use rocmforge_cpu_backend::ReferenceBackend;
use rocmforge_hip_backend::library::{KernelOptions, Kernels};
use rocmforge_hip_backend::{HipBackend, HipOptions, Precision};
use rocmforge_program::backend::{Backend, BackendError, CacheId, ModelId, StepInput};

use super::case::{Bound, Case, Step};

/// Cases that one backend serves before it is given up with all its memory.
const CASES_A_BACKEND: usize = 24;

/// The logits of each step.
pub type Outputs = Vec<Vec<f32>>;

/// The truth.
pub fn reference(case: &Case) -> Result<Outputs, String> {
    let mut backend = ReferenceBackend::new();
    let mut run = || {
        let (model, cache) = load(&mut backend, case)?;
        case.steps.iter().map(|step| run_step(&mut backend, model, cache, step)).collect()
    };
    one_line(run())
}

/// The device, opened anew from time to time.
#[derive(Default)]
pub struct Hip {
    open: Option<(HipBackend, Precision, usize)>,
}

impl Hip {
    /// What the device computes.
    pub fn run(&mut self, case: &Case, precision: Precision) -> Result<Outputs, String> {
        let outcome = one_line(self.try_run(case, precision));
        if outcome.is_err() {
            self.open = None;
        }
        outcome
    }

    fn try_run(&mut self, case: &Case, precision: Precision) -> Result<Outputs, BackendError> {
        let backend = self.backend(precision)?;
        let (model, cache) = load(backend, case)?;
        let mut outputs = Vec::new();
        for step in &case.steps {
            let first = run_step(backend, model, cache, step)?;
            // A step that only decodes is recorded when it comes again, and replayed when it comes once more.
            let again = if step.input.sequences.iter().all(|s| s.num_tokens == 1) { 2 } else { 0 };
            for _ in 0..again {
                let found = run_step(backend, model, cache, step)?;
                if found.iter().map(|x| x.to_bits()).ne(first.iter().map(|x| x.to_bits())) {
                    return Err(BackendError::Device(format!(
                        "step `{}` gives other bits when it is replayed",
                        step.label
                    )));
                }
            }
            outputs.push(first);
        }
        Ok(outputs)
    }

    fn backend(&mut self, precision: Precision) -> Result<&mut HipBackend, BackendError> {
        if self.open.as_ref().is_some_and(|(_, of, cases)| *of != precision || *cases >= CASES_A_BACKEND) {
            self.open = None;
        }
        let (backend, _, cases) = match &mut self.open {
            Some(open) => open,
            closed => {
                closed.insert((HipBackend::open(HipOptions { precision, ..HipOptions::default() })?, precision, 0))
            }
        };
        *cases += 1;
        Ok(backend)
    }
}

/// Compiles the kernels that a device has neither built in nor on the disk, all at once instead of case by case.
pub fn compile_ahead() -> Result<(), String> {
    let backend = HipBackend::open(HipOptions::default()).map_err(|e| e.to_string())?;
    let names: Vec<&str> = rocmforge_kernels::modules().iter().map(|module| module.name.as_str()).collect();
    let kernels = Kernels::new(backend.hip_device(), KernelOptions::default());
    kernels.compile_ahead(&names).map_err(|e| e.to_string())
}

fn load<B: Backend>(backend: &mut B, case: &Case) -> Result<(ModelId, CacheId), BackendError> {
    let model = backend.load(&case.program, Arc::clone(&case.weights) as _, case.limits())?;
    Ok((model, backend.make_cache(model, case.cache)?))
}

fn run_step<B: Backend>(
    backend: &mut B,
    model: ModelId,
    cache: CacheId,
    step: &Step,
) -> Result<Vec<f32>, BackendError> {
    backend.move_blocks(cache, &step.copies)?;
    let ticket = backend.submit(model, cache, &step.input)?;
    Ok(backend.wait(ticket)?.logits)
}

fn one_line<T>(outcome: Result<T, BackendError>) -> Result<T, String> {
    outcome.map_err(|e| e.to_string().replace('\n', " | "))
}

/// The errors of some steps.
#[derive(Debug, Clone, Default)]
pub struct Errors {
    pub nmse: f64,
    pub worst: f64,
    /// Where the largest one is.
    pub at: String,
}

impl Errors {
    pub fn fit(&self, bound: Bound) -> bool {
        self.nmse <= bound.nmse && self.worst <= bound.worst
    }
}

/// Compares the steps for which `take` holds, each error divided by the size that its row and its column let expect;
/// `None` if there are none.
///
/// A sum over thousands of numbers hides a wrong small row behind a large one, and a number that is nearly zero by
/// cancellation has a large error relative to itself. So an error counts relative to `row * column / all`, the root
/// mean squares of the truth. A number whose row or column is all zeros must be exact.
pub fn compare(case: &Case, found: &Outputs, truth: &Outputs, take: impl Fn(&StepInput) -> bool) -> Option<Errors> {
    let cols = case.program.vocab_size;
    let sizes = Sizes::of(truth, cols, case.is_narrow);
    let (mut sum, mut count, mut errors) = (0.0, 0usize, Errors::default());
    let mut row_number = 0;
    for ((step, found), truth) in case.steps.iter().zip(found).zip(truth) {
        let is_taken = take(&step.input);
        if is_taken && found.len() != truth.len() {
            let at = format!("{}: {} numbers instead of {}", step.label, found.len(), truth.len());
            return Some(Errors { nmse: f64::INFINITY, worst: f64::INFINITY, at });
        }
        for (r, (found, truth)) in found.chunks_exact(cols).zip(truth.chunks_exact(cols)).enumerate() {
            for (c, (&y, &t)) in found.iter().zip(truth).enumerate().filter(|_| is_taken) {
                let error = relative(f64::from(y) - f64::from(t), sizes.at(row_number + r, c));
                sum += error * error;
                count += 1;
                if error > errors.worst || error.is_nan() {
                    let token = step.input.wanted.get(r).copied().unwrap_or_default();
                    errors.at = format!("{}: token {token} column {c}: {y:e} instead of {t:e}", step.label);
                    errors.worst = if error.is_nan() { f64::INFINITY } else { error };
                }
            }
        }
        row_number += truth.len() / cols;
    }
    errors.nmse = if sum.is_nan() { f64::INFINITY } else { sum / count.max(1) as f64 };
    (count > 0).then_some(errors)
}

fn relative(error: f64, size: f64) -> f64 {
    if error == 0.0 { 0.0 } else { error.abs() / size }
}

/// Root mean squares of the truth.
struct Sizes {
    rows: Vec<f64>,
    cols: Vec<f64>,
    all: f64,
}

impl Sizes {
    fn of(truth: &Outputs, width: usize, is_narrow: bool) -> Self {
        let rows: Vec<&[f32]> = truth.iter().flat_map(|step| step.chunks_exact(width)).collect();
        let square = |x: f32| f64::from(x) * f64::from(x);
        let rms = |sum: f64, n: usize| (sum / n.max(1) as f64).sqrt();
        let by_row: Vec<f64> = rows.iter().map(|row| row.iter().map(|&x| square(x)).sum()).collect();
        let mut by_col = vec![0.0; width];
        // Each row counts as much as any other, however large it is.
        for (row, sum) in rows.iter().zip(&by_row).filter(|(_, sum)| **sum > 0.0) {
            by_col.iter_mut().zip(*row).for_each(|(col, &x)| *col += square(x) / sum);
        }
        let mean = by_row.iter().sum::<f64>() / by_row.len().max(1) as f64;
        let total = by_col.iter().sum::<f64>();
        // A few rows say nothing about what a column lets expect.
        let knows_cols = rows.len() >= 16;
        Self {
            rows: by_row.iter().map(|&sum| rms(if is_narrow { mean } else { sum }, width)).collect(),
            cols: by_col.iter().map(|&sum| if knows_cols { sum.sqrt() } else { 1.0 }).collect(),
            all: if knows_cols { rms(total, width) } else { 1.0 },
        }
    }

    fn at(&self, row: usize, col: usize) -> f64 {
        self.rows[row] * self.cols[col] / self.all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::case::{Bench, Bounds};
    use crate::ops::random::{Rng, Size};

    /// A case of forty rows with a truth of its own, in which one number is changed.
    fn errors(change: impl Fn(&mut f32), at: usize, scale_of_row: impl Fn(usize) -> f32) -> Errors {
        let mut rng = Rng::named("oracle", 1);
        let mut bench = Bench::new(&mut rng);
        let x = bench.input(64, Size::Even);
        let case = bench.finish_rows(x, &[40], Bounds::all(0.0, 0.0));
        let rows = case.steps[0].input.wanted.len();
        let row = |r: usize| {
            let factor = scale_of_row(r);
            rng_row(r).into_iter().map(move |x| x * factor)
        };
        let truth = vec![(0..rows).flat_map(row).collect::<Vec<f32>>()];
        let mut found = truth.clone();
        change(&mut found[0][at]);
        compare(&case, &found, &truth, |_| true).expect("there are numbers")
    }

    fn rng_row(row: usize) -> Vec<f32> {
        Rng::named("row", row as u64).normals(64)
    }

    #[test]
    fn what_is_equal_has_no_error() {
        let found = errors(|_| (), 0, |_| 1.0);
        assert!((found.nmse, found.worst) == (0.0, 0.0), "{found:?}");
    }

    #[test]
    fn a_wrong_number_of_a_small_row_is_found() {
        let scale = |row: usize| if row == 3 { 1e-9 } else { 1e6 };
        let found = errors(|x| *x += 1e-9, 3 * 64 + 7, scale);
        assert!((0.3..3.0).contains(&found.worst), "{found:?}");
        assert!(found.at.contains("column 7"), "{found:?}");
    }

    #[test]
    fn zeros_must_be_exact_and_nan_never_fits() {
        let zero_row = |row: usize| if row == 2 { 0.0 } else { 1.0 };
        assert_eq!(errors(|x| *x = 1e-30, 2 * 64, zero_row).worst, f64::INFINITY);
        let found = errors(|x| *x = f32::NAN, 5, |_| 1.0);
        assert!(!found.fit(Bound { nmse: 1.0, worst: 1.0 }), "{found:?}");
    }
}
