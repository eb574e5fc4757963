//! Every op of a Program on the device against the reference interpreter: a row an op, with the errors it may have.
//!
//! A case is a small Program whose inputs are rows of random tables, so that tokens choose what an op sees; its name
//! and a seed decide all of it. The device runs it as it would run a model, in both precisions.

mod case;
mod linear;
mod oracle;
mod random;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use rocmforge_hip_backend::Precision;

use crate::report::Report;
use case::{Case, Entry};
use oracle::{Errors, Hip, Outputs};
use random::Rng;

/// One op, or several that belong together.
struct Op {
    name: &'static str,
    cases: fn() -> Vec<Entry>,
}

const OPS: &[Op] = &[Op { name: "linear", cases: linear::cases }];

/// What is to be run.
pub struct Choice<'a> {
    /// Part of the names of cases.
    pub filter: &'a str,
    /// Only cases that are cheap where the device is a processor.
    pub quick: bool,
    pub seed: u64,
}

/// A case with its truth.
struct Ready {
    name: String,
    case: Case,
    truth: Result<Outputs, String>,
}

pub fn run(choice: &Choice<'_>, report: &mut Report) {
    let named = |op: &Op| (op.cases)().into_iter().map(|e| Entry { name: format!("{} {}", op.name, e.name), ..e });
    let chosen = |e: &Entry| e.name.contains(choice.filter) && (e.quick || !choice.quick);
    let entries: Vec<Entry> = OPS.iter().flat_map(named).filter(chosen).collect();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (sender, receiver) = mpsc::sync_channel(threads * 2);
    // The reference is slow and single-threaded, the device is one: truths are computed ahead.
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (sender, entries, next) = (sender.clone(), &entries, &next);
            scope.spawn(move || {
                while let Some(entry) = entries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let case = (entry.make)(&mut Rng::named(&entry.name, choice.seed));
                    let truth = oracle::reference(&case);
                    if sender.send(Ready { name: entry.name.clone(), case, truth }).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut hips = [Hip::default(), Hip::default()];
        receiver.iter().for_each(|ready| check(&mut hips, &ready, choice.seed, report));
    });
}

fn check(hips: &mut [Hip; 2], ready: &Ready, seed: u64, report: &mut Report) {
    let bounds = ready.case.bounds;
    for (hip, precision) in hips.iter_mut().zip([Precision::Fast, Precision::Exact]) {
        let is_few = |n: usize| n <= FEW;
        let classes = match precision {
            Precision::Fast => vec![("few", bounds.few, 0..FEW + 1), ("many", bounds.many, FEW + 1..usize::MAX)],
            Precision::Exact => vec![("exact", bounds.exact, 0..usize::MAX)],
        };
        let _ = is_few;
        let outcome = ready.truth.clone().and_then(|truth| Ok((hip.run(&ready.case, precision)?, truth)));
        let (found, truth) = match outcome {
            Ok(both) => both,
            Err(error) => {
                let name = format!("{} {precision:?}", ready.name);
                report.check(&name, Err(format!("{error}; seed {seed}")));
                continue;
            }
        };
        for (class, bound, rows) in classes {
            let take = |step: &rocmforge_program::backend::StepInput| rows.contains(&step.wanted.len());
            let Some(errors) = oracle::compare(&ready.case, &found, &truth, take) else { continue };
            let name = format!("{} {class}", ready.name);
            report.check(&name, verdict(&errors, errors.fit(bound), bound, seed));
        }
    }
}

/// Rows up to which matrix-vector kernels compute.
const FEW: usize = 8;

fn verdict(errors: &Errors, fits: bool, bound: case::Bound, seed: u64) -> Result<String, String> {
    let Errors { nmse, worst, at } = errors;
    if fits {
        return Ok(format!("nmse {nmse:.1e} worst {worst:.1e}"));
    }
    let case::Bound { nmse: most, worst: most_worst } = bound;
    Err(format!("nmse {nmse:.1e} (at most {most:.0e}), worst {worst:.1e} (at most {most_worst:.0e}): {at}; seed {seed}"))
}
