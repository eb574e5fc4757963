//! `cargo xtask test`: what a change has to pass, cheapest first.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::{process, simulate, table, tidy};

/// One thing to pass.
struct Step {
    name: &'static str,
    /// Arguments of cargo.
    args: &'static [&'static str],
    env: &'static [(&'static str, &'static str)],
}

const FORMAT: Step = Step { name: "format", args: &["fmt", "--all", "--", "--check"], env: &[] };
const CLIPPY: Step = Step {
    name: "clippy",
    args: &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"],
    env: &[],
};
const NEXTEST: Step = Step { name: "tests", args: &["nextest", "run", "--workspace", "--no-fail-fast"], env: &[] };
/// Doc tests have a step of their own, with either runner.
const CARGO_TEST: Step = Step {
    name: "tests",
    args: &["test", "--workspace", "--no-fail-fast", "--lib", "--bins", "--tests", "--examples"],
    env: &[],
};
const DOC_TESTS: Step = Step { name: "doc tests", args: &["test", "--quiet", "--workspace", "--doc"], env: &[] };
/// Libraries alone: a program documents itself with `--help`, whose text is not written for rustdoc.
const DOCS: Step = Step {
    name: "documentation",
    args: &["doc", "--quiet", "--workspace", "--no-deps", "--lib"],
    env: &[("RUSTDOCFLAGS", "-D warnings")],
};

impl Step {
    /// What a person types to run it again.
    fn command_line(&self) -> String {
        let env: String = self.env.iter().map(|(key, value)| format!("{key}=\"{value}\" ")).collect();
        format!("{env}cargo {}", self.args.join(" "))
    }

    fn passes(&self) -> bool {
        let mut command = process::cargo();
        command.args(self.args).envs(self.env.iter().copied());
        runs(&mut command)
    }
}

/// Whether a task of this program went well; if not, what it said is shown.
fn succeeds(result: Result<()>) -> bool {
    if let Err(error) = &result {
        eprintln!("{error:#}");
    }
    result.is_ok()
}

fn runs(command: &mut Command) -> bool {
    match command.status() {
        Ok(status) => status.success(),
        Err(error) => {
            eprintln!("cannot start {command:?}: {error}");
            false
        }
    }
}

fn has_nextest() -> bool {
    let mut command = process::cargo();
    command.args(["nextest", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Runs all steps; the first failure ends it.
pub fn run() -> Result<()> {
    let tests = if has_nextest() { NEXTEST } else { CARGO_TEST };
    let start = Instant::now();
    let mut done: Vec<(&str, Duration)> = Vec::new();
    let mut pass = |name: &'static str, command_line: &str, check: &dyn Fn() -> bool| {
        eprintln!("\n== {name}: {command_line}");
        let begun = Instant::now();
        let passed = check();
        done.push((name, begun.elapsed()));
        if !passed {
            bail!("{name} failed after {}; to run it again: {command_line}", seconds(begun.elapsed()));
        }
        eprintln!("== {name}: passed in {}", seconds(begun.elapsed()));
        Ok(())
    };
    pass(FORMAT.name, &FORMAT.command_line(), &|| FORMAT.passes())?;
    pass("tidy", "cargo xtask tidy", &|| succeeds(tidy::run(&tidy::TidyArgs::default())))?;
    pass(CLIPPY.name, &CLIPPY.command_line(), &|| CLIPPY.passes())?;
    let seeds = simulate::SimulateArgs::default();
    pass("simulation", "cargo xtask simulate", &|| succeeds(simulate::run(&seeds)))?;
    for step in [tests, DOC_TESTS, DOCS] {
        pass(step.name, &step.command_line(), &|| step.passes())?;
    }
    println!("\n{}", summary(&done));
    println!("all {} steps passed in {}", done.len(), seconds(start.elapsed()));
    Ok(())
}

fn summary(done: &[(&str, Duration)]) -> String {
    let rows: Vec<Vec<String>> = done.iter().map(|(name, time)| vec![name.to_string(), seconds(*time)]).collect();
    table::render(&["step", "time"], &rows)
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_is_seen() {
        assert!(runs(Command::new("sh").args(["-c", "exit 0"])));
        assert!(!runs(Command::new("sh").args(["-c", "exit 3"])));
        assert!(!runs(&mut Command::new("no-such-program-anywhere")));
    }

    #[test]
    fn a_step_prints_as_it_is_typed() {
        assert_eq!(DOCS.command_line(), "RUSTDOCFLAGS=\"-D warnings\" cargo doc --quiet --workspace --no-deps --lib");
        assert_eq!(FORMAT.command_line(), "cargo fmt --all -- --check");
    }

    #[test]
    fn the_summary_has_a_row_a_step() {
        let text = summary(&[("format", Duration::from_millis(1500)), ("tests", Duration::from_secs(60))]);
        assert_eq!(text, "step      time\n------  ------\nformat   1.5 s\ntests   60.0 s\n");
    }
}
