//! `cargo xtask simulate`: the scheduler and the KV cache under random use and faults, from seeds.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Result, anyhow, bail};
use clap::Args;
use rocmforge_simulation::{Failure, Options, Report, run_with};

/// Every so many seeds, one runs twice and must give the same trace.
const REPEATED: u64 = 16;

/// Options of `simulate`.
#[derive(Debug, Args)]
pub struct SimulateArgs {
    /// Seeds to run, the last one excluded
    #[arg(long, value_name = "A..B", default_value = "0..200", value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// Operations for each seed
    #[arg(long, value_name = "N", default_value_t = 5000)]
    ops: u64,
    /// Seeds run at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1024))]
    threads: u64,
    /// Show the last operations before a failure
    #[arg(long)]
    trace: bool,
}

impl Default for SimulateArgs {
    /// A million operations.
    fn default() -> Self {
        Self { seeds: 0..200, ops: 5000, threads: 1, trace: false }
    }
}

fn parse_seeds(text: &str) -> Result<Range<u64>> {
    let bad = || anyhow!("expected two numbers as in 0..100");
    let (from, to) = text.split_once("..").ok_or_else(bad)?;
    let seeds = from.parse().map_err(|_| bad())?..to.parse().map_err(|_| bad())?;
    if seeds.is_empty() { Err(bad()) } else { Ok(seeds) }
}

/// Runs all seeds; the first failure ends it.
pub fn run(args: &SimulateArgs) -> Result<()> {
    let start = Instant::now();
    let reports = match run_all(args) {
        Ok(reports) => reports,
        Err(failure) => bail!("{}", tell(*failure, args)),
    };
    let mut all = Report::default();
    reports.iter().for_each(|report| all.add(report));
    println!("{all}");
    println!("seeds {}..{} are clean, in {:.1} s", args.seeds.start, args.seeds.end, start.elapsed().as_secs_f64());
    Ok(())
}

/// The report of each seed, or the failure of the lowest seed that was found to fail.
fn run_all(args: &SimulateArgs) -> Result<Vec<Report>, Box<Failure>> {
    let (next, has_failed) = (AtomicU64::new(args.seeds.start), AtomicBool::new(false));
    let done = Mutex::new(Vec::new());
    let work = || {
        while !has_failed.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= args.seeds.end {
                return;
            }
            let result = run_seed(seed, args);
            has_failed.fetch_or(result.is_err(), Ordering::Relaxed);
            done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((seed, result));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..args.threads {
            scope.spawn(work);
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|(seed, _)| *seed);
    done.into_iter().map(|(_, result)| result).collect()
}

fn run_seed(seed: u64, args: &SimulateArgs) -> Result<Report, Box<Failure>> {
    let options = Options { operations: args.ops, trace: false, sabotage: None };
    let report = run_with(seed, options)?;
    if seed.is_multiple_of(REPEATED) {
        let again = run_with(seed, options)?;
        if again != report {
            let message = format!("I17: the same seed gives another trace\n{report}\n{again}");
            return Err(Box::new(Failure { seed, operation: 0, step: 0, message, trace: Vec::new() }));
        }
    }
    Ok(report)
}

/// A failure, and how to see it again.
fn tell(failure: Failure, args: &SimulateArgs) -> String {
    let (seed, ops) = (failure.seed, args.ops);
    let mut text = String::new();
    if args.trace {
        let traced = run_with(seed, Options { operations: ops, trace: true, sabotage: None });
        for operation in traced.err().into_iter().flat_map(|failure| failure.trace) {
            text += &operation;
            text.push('\n');
        }
    }
    let next = seed + 1;
    format!("{text}{failure}\nto replay: cargo xtask simulate --seeds {seed}..{next} --ops {ops} --trace")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_a_range() {
        assert_eq!(parse_seeds("3..7").ok(), Some(3..7));
        for bad in ["", "3", "7..3", "3..3", "a..b", "-1..3", "1..=3"] {
            assert!(parse_seeds(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn threads_do_not_change_the_reports() {
        let args = |threads| SimulateArgs { seeds: 15..20, ops: 300, threads, trace: false };
        let reports = run_all(&args(1)).expect("clean");
        assert_eq!(reports.len(), 5);
        assert_eq!(run_all(&args(3)).expect("clean"), reports);
    }

    #[test]
    fn a_failure_says_how_to_replay_it() {
        let failure = Failure { seed: 7, operation: 12, step: 9, message: "I1: no".into(), trace: Vec::new() };
        let text = tell(failure, &SimulateArgs::default());
        let expected =
            "seed 7, operation 12, step 9: I1: no\nto replay: cargo xtask simulate --seeds 7..8 --ops 5000 --trace";
        assert_eq!(text, expected);
    }
}
