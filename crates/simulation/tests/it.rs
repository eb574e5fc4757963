//! Seeds run clean, mistakes are found, and runs repeat.

use rocmforge_simulation::{Options, Report, Sabotage, run, run_with};

fn options(sabotage: Option<Sabotage>) -> Options {
    Options { operations: 3000, trace: true, sabotage }
}

#[test]
fn seeds_run_clean() {
    let mut all = Report::default();
    for seed in 1000..1020 {
        match run_with(seed, options(None)) {
            Ok(report) => all.add(&report),
            Err(failure) => panic!("{}\n{failure}", failure.trace.join("\n")),
        }
    }
    // Everything that can happen has happened.
    let Report { tokens, refused, finished, cancelled, failed, preemptions, shared, moves, losses, .. } = all;
    for (count, what) in [
        (tokens, "tokens"),
        (refused, "refused"),
        (finished, "finished"),
        (cancelled, "cancelled"),
        (failed, "failed"),
        (preemptions, "preemptions"),
        (shared, "shared"),
        (moves, "moves"),
        (losses, "losses"),
    ] {
        assert!(count > 50, "{count} {what}");
    }
}

#[test]
fn a_seed_gives_the_same_trace_each_time() {
    let [first, again, other] = [5, 5, 6].map(|seed| run(seed, 2000).expect("clean"));
    assert_eq!(first, again);
    assert_ne!(first.trace, other.trace);
}

#[test]
fn each_mistake_of_a_backend_is_found_and_replays() {
    for sabotage in [
        Sabotage::SkipCopies,
        Sabotage::SkipSaves,
        Sabotage::SkipLoads,
        Sabotage::ReverseMoves,
        Sabotage::WrongPosition,
        Sabotage::WrongBlock,
    ] {
        let options = options(Some(sabotage));
        let failure = (0..20).find_map(|seed| run_with(seed, options).err());
        let failure = failure.unwrap_or_else(|| panic!("{sabotage:?} is not found"));
        assert!(failure.message.starts_with("I11"), "{sabotage:?}: {failure}");
        assert!(!failure.trace.is_empty());
        assert_eq!(run_with(failure.seed, options), Err(failure), "it replays");
    }
}
