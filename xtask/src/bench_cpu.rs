//! `cargo xtask bench-cpu`: our speed against llama-bench on the same files, in alternation.
//!
//! A machine's speed drifts with heat and neighbours. So each round runs both, the order changes from round to round,
//! and the ratio is taken within a round.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::{Value, json};

use crate::{process, table};

/// Options of `bench-cpu`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Model file; may be repeated
    #[arg(long, required = true, value_name = "FILE", num_args = 1..)]
    model: Vec<PathBuf>,
    /// A command that runs llama-bench, with its first arguments, divided at spaces
    #[arg(long, required = true, value_name = "COMMAND")]
    llama_bench: String,
    /// Prompt tokens
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    prompt_tokens: u32,
    /// Tokens generated
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    gen_tokens: u32,
    /// Threads of both
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    threads: u32,
    /// Rounds
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Tokens a second of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Speed {
    prompt: f64,
    generation: f64,
}

/// One round: ours and theirs.
type Round = (Speed, Speed);

/// Runs all rounds for all files and prints a table, or JSON.
pub fn run(args: &BenchArgs) -> Result<()> {
    let program = process::build_rocmforge()?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for model in &args.model {
        let mut rounds = Vec::new();
        for round in 0..args.rounds {
            eprintln!("{}: round {} of {}", model.display(), round + 1, args.rounds);
            rounds.push(one_round(args, &program, model, round % 2 == 1)?);
        }
        let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (kind, pick) in tests(args) {
            let result = Comparison::of(&rounds, pick);
            rows.push(result.row(&name, &kind));
            values.push(result.json(model, &kind));
        }
    }
    if args.json {
        let head = json!({ "threads": args.threads, "rounds": args.rounds, "results": values });
        println!("{head:#}");
    } else {
        let head = ["file", "test", "ours t/s", "llama-bench t/s", "ratio min", "median", "max"];
        print!("{}", table::render(&head, &rows));
    }
    Ok(())
}

/// The number of a run that a test is about.
type Pick = fn(&Speed) -> f64;

/// The two tests, named as llama-bench names them.
fn tests(args: &BenchArgs) -> [(String, Pick); 2] {
    [(format!("pp{}", args.prompt_tokens), |s| s.prompt), (format!("tg{}", args.gen_tokens), |s| s.generation)]
}

fn one_round(args: &BenchArgs, program: &Path, model: &Path, theirs_first: bool) -> Result<Round> {
    if theirs_first {
        let theirs = run_theirs(args, model)?;
        return Ok((run_ours(args, program, model)?, theirs));
    }
    Ok((run_ours(args, program, model)?, run_theirs(args, model)?))
}

fn run_ours(args: &BenchArgs, program: &Path, model: &Path) -> Result<Speed> {
    let mut command = Command::new(program);
    command.args(["bench", "--json", "--repeat", "1", "--model"]).arg(model);
    command.args(["--threads", &args.threads.to_string()]);
    command.args(["--prompt-tokens", &args.prompt_tokens.to_string()]);
    command.args(["--gen-tokens", &args.gen_tokens.to_string()]);
    our_speed(&process::stdout_of(&mut command)?)
}

fn run_theirs(args: &BenchArgs, model: &Path) -> Result<Speed> {
    let mut words = args.llama_bench.split_whitespace();
    let mut command = Command::new(words.next().context("--llama-bench is empty")?);
    command.args(words).arg("-m").arg(model);
    command.args(["-p", &args.prompt_tokens.to_string(), "-n", &args.gen_tokens.to_string()]);
    command.args(["-t", &args.threads.to_string(), "-o", "json", "-r", "1"]);
    their_speed(&process::stdout_of(&mut command)?)
}

/// Reads what `rocmforge bench --json` prints.
fn our_speed(output: &[u8]) -> Result<Speed> {
    let value: Value = serde_json::from_slice(output).context("rocmforge bench printed no JSON")?;
    let median =
        |key: &str| value[key]["median"].as_f64().with_context(|| format!("rocmforge bench: no `{key}.median`"));
    positive(Speed { prompt: median("prompt_tokens_per_second")?, generation: median("generation_tokens_per_second")? })
}

/// Reads what `llama-bench -o json` prints: a list of tests, one with prompt tokens only, one with generated ones only.
fn their_speed(output: &[u8]) -> Result<Speed> {
    let value: Value = serde_json::from_slice(output).context("llama-bench printed no JSON")?;
    let tests = value.as_array().context("llama-bench printed no list")?;
    let rate = |has: &str, lacks: &str| {
        let test = tests.iter().find(|t| t[has].as_u64().is_some_and(|n| n > 0) && t[lacks].as_u64() == Some(0));
        test.and_then(|t| t["avg_ts"].as_f64()).with_context(|| format!("llama-bench: no test with `{has}` alone"))
    };
    positive(Speed { prompt: rate("n_prompt", "n_gen")?, generation: rate("n_gen", "n_prompt")? })
}

fn positive(speed: Speed) -> Result<Speed> {
    ensure!(speed.prompt > 0.0 && speed.generation > 0.0, "a speed of zero: {speed:?}");
    Ok(speed)
}

/// All rounds of one test.
#[derive(Debug, PartialEq)]
struct Comparison {
    ours: Spread,
    theirs: Spread,
    ratio: Spread,
}

impl Comparison {
    fn of(rounds: &[Round], pick: Pick) -> Self {
        let spread = |f: &dyn Fn(&Round) -> f64| Spread::of(rounds.iter().map(f).collect());
        Self {
            ours: spread(&|(ours, _)| pick(ours)),
            theirs: spread(&|(_, theirs)| pick(theirs)),
            ratio: spread(&|(ours, theirs)| pick(ours) / pick(theirs)),
        }
    }

    fn row(&self, file: &str, kind: &str) -> Vec<String> {
        let rate = |spread: &Spread| format!("{:.2}", spread.median);
        let ratio = |x: f64| format!("{x:.3}");
        let Spread { min, median, max } = self.ratio;
        vec![file.into(), kind.into(), rate(&self.ours), rate(&self.theirs), ratio(min), ratio(median), ratio(max)]
    }

    fn json(&self, model: &Path, kind: &str) -> Value {
        json!({
            "file": model.display().to_string(),
            "test": kind,
            "ours": self.ours.json(),
            "llama_bench": self.theirs.json(),
            "ratio": self.ratio.json(),
        })
    }
}

/// Smallest, middle and largest of several numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// Of at least one number.
    fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        Self { min: values[0], median: (values[(n - 1) / 2] + values[n / 2]) / 2.0, max: values[n - 1] }
    }

    fn json(&self) -> Value {
        json!({ "min": self.min, "median": self.median, "max": self.max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_rounds() {
        let speed = |generation| Speed { prompt: 1.0, generation };
        let rounds = [(speed(10.0), speed(20.0)), (speed(40.0), speed(40.0)), (speed(9.0), speed(30.0))];
        let result = Comparison::of(&rounds, |s| s.generation);
        assert_eq!(result.ratio, Spread { min: 0.3, median: 0.5, max: 1.0 });
        assert_eq!((result.ours.median, result.theirs.median), (10.0, 30.0));
        assert_eq!(result.row("m", "tg32"), ["m", "tg32", "10.00", "30.00", "0.300", "0.500", "1.000"]);
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of(vec![3.0, 1.0]), Spread { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(Spread::of(vec![7.0]), Spread { min: 7.0, median: 7.0, max: 7.0 });
    }

    #[test]
    fn both_outputs_are_read() {
        let ours = br#"{"prompt_tokens_per_second":{"median":5.5},"generation_tokens_per_second":{"median":2.5}}"#;
        assert_eq!(our_speed(ours).expect("complete"), Speed { prompt: 5.5, generation: 2.5 });
        let theirs = br#"[{"n_prompt":128,"n_gen":0,"avg_ts":11.0},{"n_prompt":0,"n_gen":32,"avg_ts":5.0}]"#;
        assert_eq!(their_speed(theirs).expect("complete"), Speed { prompt: 11.0, generation: 5.0 });
    }

    #[test]
    fn incomplete_outputs_are_refused() {
        assert!(our_speed(b"{}").is_err());
        assert!(our_speed(b"not json").is_err());
        assert!(their_speed(br#"[{"n_prompt":128,"n_gen":0,"avg_ts":11.0}]"#).is_err());
        assert!(their_speed(br#"{"n_prompt":128}"#).is_err());
        let zero = br#"{"prompt_tokens_per_second":{"median":0.0},"generation_tokens_per_second":{"median":2.5}}"#;
        assert!(our_speed(zero).is_err());
    }
}
