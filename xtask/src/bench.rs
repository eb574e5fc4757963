//! Our speed against llama-bench on the same files, in alternation.
//!
//! A machine's speed drifts with heat and neighbours. So each round runs both, the order changes from round to round,
//! and the ratio is taken within a round.

pub mod cpu;
pub mod gpu;
pub mod serve;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::{process, table};

/// What is run, for each file.
trait Bench {
    /// Prompt tokens, and tokens generated.
    fn tokens(&self) -> (u32, u32);

    /// Our program with all but the model, the numbers of tokens and the form of its output.
    fn ours(&self) -> Command;

    /// llama-bench likewise, or nothing to compare with.
    fn theirs(&self) -> Result<Option<Command>>;

    /// Whether a result of ours is about the device that was meant, from what our program prints.
    fn accept(&self, _ours: &Value) -> Result<()> {
        Ok(())
    }
}

/// Tokens a second of one run.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Speed {
    prompt: f64,
    generation: f64,
}

/// One round: ours and theirs.
type Round = (Speed, Option<Speed>);

/// The number of a run that a test is about.
type Pick = fn(&Speed) -> f64;

/// Runs all rounds for all files and prints a table, or JSON that begins with `head`.
fn run(bench: &dyn Bench, models: &[PathBuf], rounds: u32, head: Value, print_json: bool) -> Result<()> {
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for model in models {
        let mut done = Vec::new();
        for round in 0..rounds {
            eprintln!("{}: round {} of {rounds}", model.display(), round + 1);
            done.push(one_round(bench, model, round % 2 == 1)?);
        }
        let name = model.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for (kind, pick) in tests(bench.tokens()) {
            let result = Comparison::of(&done, pick);
            rows.push(result.row(&name, &kind));
            values.push(result.json(model, &kind));
        }
    }
    if print_json {
        let mut whole = head;
        whole["rounds"] = rounds.into();
        whole["results"] = values.into();
        println!("{whole:#}");
    } else {
        let head = ["file", "test", "ours t/s", "llama-bench t/s", "ratio min", "median", "max"];
        print!("{}", table::render(&head, &rows));
    }
    Ok(())
}

/// The two tests, named as llama-bench names them.
fn tests((prompt, generation): (u32, u32)) -> [(String, Pick); 2] {
    [(format!("pp{prompt}"), |s| s.prompt), (format!("tg{generation}"), |s| s.generation)]
}

fn one_round(bench: &dyn Bench, model: &Path, theirs_first: bool) -> Result<Round> {
    if theirs_first {
        let theirs = run_theirs(bench, model)?;
        return Ok((run_ours(bench, model)?, theirs));
    }
    Ok((run_ours(bench, model)?, run_theirs(bench, model)?))
}

fn run_ours(bench: &dyn Bench, model: &Path) -> Result<Speed> {
    let (prompt, generation) = bench.tokens();
    let mut command = bench.ours();
    command.args(["bench", "--json", "--repeat", "1", "--model"]).arg(model);
    command.args(["--prompt-tokens", &prompt.to_string(), "--gen-tokens", &generation.to_string()]);
    let output = process::stdout_of(&mut command)?;
    let value: Value = serde_json::from_slice(&output).context("rocmforge bench printed no JSON")?;
    bench.accept(&value)?;
    our_speed(&value)
}

fn run_theirs(bench: &dyn Bench, model: &Path) -> Result<Option<Speed>> {
    let Some(mut command) = bench.theirs()? else { return Ok(None) };
    let (prompt, generation) = bench.tokens();
    command.arg("-m").arg(model);
    command.args(["-p", &prompt.to_string(), "-n", &generation.to_string(), "-o", "json", "-r", "1"]);
    let output = process::stdout_of(&mut command)?;
    let value: Value = serde_json::from_slice(&output).context("llama-bench printed no JSON")?;
    their_speed(&value).map(Some)
}

/// A command of words divided at spaces.
fn command_of(text: &str) -> Result<Command> {
    let mut words = text.split_whitespace();
    let mut command = Command::new(words.next().context("--llama-bench is empty")?);
    command.args(words);
    Ok(command)
}

/// Reads what `rocmforge bench --json` prints.
fn our_speed(value: &Value) -> Result<Speed> {
    let median =
        |key: &str| value[key]["median"].as_f64().with_context(|| format!("rocmforge bench: no `{key}.median`"));
    positive(Speed { prompt: median("prompt_tokens_per_second")?, generation: median("generation_tokens_per_second")? })
}

/// Reads what `llama-bench -o json` prints: a list of tests, one with prompt tokens only, one with generated ones only.
fn their_speed(value: &Value) -> Result<Speed> {
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
    theirs: Option<Spread>,
    ratio: Option<Spread>,
}

impl Comparison {
    fn of(rounds: &[Round], pick: Pick) -> Self {
        let with_theirs = || rounds.iter().filter_map(|(ours, theirs)| Some((pick(ours), pick(theirs.as_ref()?))));
        Self {
            ours: Spread::of(rounds.iter().map(|(ours, _)| pick(ours)).collect()).unwrap_or_default(),
            theirs: Spread::of(with_theirs().map(|(_, theirs)| theirs).collect()),
            ratio: Spread::of(with_theirs().map(|(ours, theirs)| ours / theirs).collect()),
        }
    }

    fn row(&self, file: &str, kind: &str) -> Vec<String> {
        let rate = |spread: &Spread| format!("{:.2}", spread.median);
        let none = || "-".to_owned();
        let theirs = self.theirs.as_ref().map_or_else(none, rate);
        let ratio = |of: fn(&Spread) -> f64| self.ratio.as_ref().map_or_else(none, |r| format!("{:.3}", of(r)));
        let ratios = [ratio(|r| r.min), ratio(|r| r.median), ratio(|r| r.max)];
        [file.into(), kind.into(), rate(&self.ours), theirs].into_iter().chain(ratios).collect()
    }

    fn json(&self, model: &Path, kind: &str) -> Value {
        json!({
            "file": model.display().to_string(),
            "test": kind,
            "ours": self.ours.json(),
            "llama_bench": self.theirs.as_ref().map(Spread::json),
            "ratio": self.ratio.as_ref().map(Spread::json),
        })
    }
}

/// Smallest, middle and largest of several numbers.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Spread {
    min: f64,
    median: f64,
    max: f64,
}

impl Spread {
    /// `None` of no numbers.
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let n = values.len();
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { min, median: (values[(n - 1) / 2] + values[n / 2]) / 2.0, max })
    }

    fn json(&self) -> Value {
        json!({ "min": self.min, "median": self.median, "max": self.max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speed(generation: f64) -> Speed {
        Speed { prompt: 1.0, generation }
    }

    #[test]
    fn ratios_are_taken_within_rounds() {
        let rounds = [(10.0, 20.0), (40.0, 40.0), (9.0, 30.0)].map(|(ours, theirs)| (speed(ours), Some(speed(theirs))));
        let result = Comparison::of(&rounds, |s| s.generation);
        assert_eq!(result.ratio, Some(Spread { min: 0.3, median: 0.5, max: 1.0 }));
        assert_eq!((result.ours.median, result.theirs.map(|t| t.median)), (10.0, Some(30.0)));
        assert_eq!(result.row("m", "tg32"), ["m", "tg32", "10.00", "30.00", "0.300", "0.500", "1.000"]);
    }

    #[test]
    fn there_may_be_nothing_to_compare_with() {
        let result = Comparison::of(&[(speed(10.0), None), (speed(20.0), None)], |s| s.generation);
        assert_eq!(result.row("m", "tg32"), ["m", "tg32", "15.00", "-", "-", "-", "-"]);
        assert!(result.json(Path::new("m"), "tg32")["ratio"].is_null());
    }

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of(vec![3.0, 1.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0 }));
        assert_eq!(Spread::of(vec![7.0]), Some(Spread { min: 7.0, median: 7.0, max: 7.0 }));
        assert_eq!(Spread::of(vec![]), None);
    }

    #[test]
    fn both_outputs_are_read() {
        let ours =
            json!({"prompt_tokens_per_second": {"median": 5.5}, "generation_tokens_per_second": {"median": 2.5}});
        assert_eq!(our_speed(&ours).expect("complete"), Speed { prompt: 5.5, generation: 2.5 });
        let theirs =
            json!([{"n_prompt": 128, "n_gen": 0, "avg_ts": 11.0}, {"n_prompt": 0, "n_gen": 32, "avg_ts": 5.0}]);
        assert_eq!(their_speed(&theirs).expect("complete"), Speed { prompt: 11.0, generation: 5.0 });
    }

    #[test]
    fn incomplete_outputs_are_refused() {
        assert!(our_speed(&json!({})).is_err());
        assert!(their_speed(&json!([{"n_prompt": 128, "n_gen": 0, "avg_ts": 11.0}])).is_err());
        assert!(their_speed(&json!({"n_prompt": 128})).is_err());
        let zero =
            json!({"prompt_tokens_per_second": {"median": 0.0}, "generation_tokens_per_second": {"median": 2.5}});
        assert!(our_speed(&zero).is_err());
    }

    #[test]
    fn a_command_is_words() {
        let command = command_of("in-container llama-bench -ub 2048").expect("not empty");
        assert_eq!(command.get_program(), "in-container");
        assert_eq!(command.get_args().collect::<Vec<_>>(), ["llama-bench", "-ub", "2048"]);
        assert!(command_of("  ").is_err());
    }
}
