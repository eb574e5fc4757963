//! Every op of a Program on the device against the reference interpreter: a row an op, with the errors it may have.
//!
//! A case is a small Program whose inputs are rows of random tables, so that tokens choose what an op sees; its name
//! and a seed decide all of it. The device runs it as it would run a model, in both precisions.

mod attention;
mod case;
mod elementwise;
mod experts;
mod linear;
mod oracle;
mod random;
mod rope;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use rocmforge_hip_backend::Precision;
use rocmforge_program::backend::StepInput;

use crate::report::Report;
use case::{Bound, Case, Entry};
use oracle::{Errors, Hip, Outputs};
use random::Rng;

/// One op, or several that belong together.
struct Op {
    name: &'static str,
    cases: fn() -> Vec<Entry>,
}

const OPS: &[Op] = &[
    Op { name: "embed", cases: linear::embeds },
    Op { name: "linear", cases: linear::cases },
    Op { name: "linears", cases: linear::shared },
    Op { name: "norm", cases: elementwise::norms },
    Op { name: "add_norm", cases: elementwise::add_norms },
    Op { name: "gate", cases: elementwise::gates },
    Op { name: "form", cases: elementwise::forms },
    Op { name: "map", cases: elementwise::maps },
    Op { name: "rope", cases: rope::cases },
    Op { name: "attention", cases: attention::cases },
    Op { name: "route", cases: experts::routers },
    Op { name: "experts", cases: experts::mixtures },
];

/// What is to be run.
#[derive(clap::Args)]
pub struct Choice {
    /// Only cases whose name contains this
    #[arg(default_value = "")]
    filter: String,
    /// Only cases that are cheap where the device is a processor
    #[arg(long)]
    quick: bool,
    /// What random numbers begin with
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// A case with its truth.
struct Ready {
    name: String,
    case: Case,
    truth: Result<Outputs, String>,
}

pub fn run(choice: &Choice, report: &mut Report) {
    let entries = entries(choice);
    if entries.len() > MANY
        && let Err(error) = oracle::compile_ahead()
    {
        return report.check("kernels", Err(error));
    }
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
        // Moved in, so that a panic here ends the threads that would send.
        receiver.into_iter().for_each(|ready| check(&mut hips, &ready, choice.seed, report));
    });
}

/// The cases that were asked for.
fn entries(choice: &Choice) -> Vec<Entry> {
    let mut entries = Vec::new();
    for op in OPS {
        entries.extend((op.cases)().into_iter().map(|e| Entry { name: format!("{} {}", op.name, e.name), ..e }));
    }
    entries.retain(|e| e.name.contains(&choice.filter) && (e.quick || !choice.quick));
    entries
}

/// Cases that need nearly all kernels.
const MANY: usize = 500;

/// Rows up to which matrix-vector kernels compute.
const FEW: usize = 8;

fn check(hips: &mut [Hip; 2], ready: &Ready, seed: u64, report: &mut Report) {
    let bounds = ready.case.bounds;
    let few = ("few", bounds.few, 0..=FEW);
    let many = ("many", bounds.many, FEW + 1..=usize::MAX);
    let exact = ("exact", bounds.exact, 0..=usize::MAX);
    let runs = [(Precision::Fast, vec![few, many]), (Precision::Exact, vec![exact])];
    for (hip, (precision, classes)) in hips.iter_mut().zip(runs) {
        let outcome = ready.truth.as_ref().map_err(|e| format!("reference: {e}"));
        let outcome = outcome.and_then(|truth| Ok((caught(hip, &ready.case, precision)?, truth)));
        let (found, truth) = match outcome {
            Ok(both) => both,
            Err(error) => {
                report.check(&format!("{} {precision:?}", ready.name), Err(format!("{error}; seed {seed}")));
                continue;
            }
        };
        for (class, bound, rows) in classes {
            let take = |step: &StepInput| rows.contains(&step.wanted.len());
            let Some(errors) = oracle::compare(&ready.case, &found, truth, take) else { continue };
            report.check(&format!("{} {class}", ready.name), verdict(&errors, bound, seed));
        }
    }
}

/// What the device computes, or why it does not: a panic ends the case, not the others.
fn caught(hip: &mut Hip, case: &Case, precision: Precision) -> Result<Outputs, String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| hip.run(case, precision)));
    outcome.unwrap_or_else(|_| {
        *hip = Hip::default();
        Err("a panic".into())
    })
}

fn verdict(errors: &Errors, bound: Bound, seed: u64) -> Result<String, String> {
    let Errors { nmse, worst, at } = errors;
    if errors.fit(bound) {
        return Ok(format!("nmse {nmse:.1e} worst {worst:.1e}"));
    }
    let Bound { nmse: most, worst: most_worst } = bound;
    Err(format!(
        "nmse {nmse:.1e} (at most {most:.0e}), worst {worst:.1e} (at most {most_worst:.0e}): {at}; seed {seed}"
    ))
}
