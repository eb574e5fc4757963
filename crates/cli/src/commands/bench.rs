//! `bench`: prompt and generation speed, as llama-bench defines them.

use rocmforge_engine::{Engine, EngineOptions};
use serde_json::{Value, json};

use crate::args::{BenchArgs, Cli};
use crate::error::CliError;
use crate::output;

pub fn run(cli: &Cli, args: &BenchArgs) -> Result<(), CliError> {
    if args.repeat == 0 {
        return Err(CliError::BadInput("--repeat 0: expected at least 1".into()));
    }
    let longest = args.prompt_tokens.max(args.gen_tokens).max(1);
    let options = EngineOptions { context_length: Some(longest), ..cli.common.engine_options() };
    let mut engine = cli.common.load_engine(options, args.json)?;
    let prompt = measure(args.repeat, args.prompt_tokens, &mut engine, Engine::time_prompt)?;
    let generation = measure(args.repeat, args.gen_tokens, &mut engine, Engine::time_generation)?;
    if args.json {
        return output::print_json(&json!({
            "model": engine.file().path().display().to_string(),
            "device": engine.device().name,
            "threads": cli.common.threads,
            "kv_type": cli.common.kv_type_name(),
            "prompt_tokens": args.prompt_tokens,
            "gen_tokens": args.gen_tokens,
            "repeat": args.repeat,
            "prompt_tokens_per_second": prompt.json(),
            "generation_tokens_per_second": generation.json(),
        }));
    }
    output::print_line(&format!("prompt     {:>5} tokens: {}", args.prompt_tokens, prompt.text()))?;
    output::print_line(&format!("generation {:>5} tokens: {}", args.gen_tokens, generation.text()))
}

/// Tokens a second of several runs, in ascending order.
struct Rates(Vec<f64>);

fn measure(
    repeat: usize,
    tokens: usize,
    engine: &mut Engine,
    time: fn(&mut Engine, usize) -> Result<std::time::Duration, rocmforge_engine::EngineError>,
) -> Result<Rates, CliError> {
    if tokens == 0 {
        return Ok(Rates(Vec::new()));
    }
    // The first run touches memory for the first time.
    time(engine, tokens)?;
    let bar = output::progress(repeat as u64, "{bar:30} {pos}/{len} runs");
    let mut rates = Vec::with_capacity(repeat);
    for _ in 0..repeat {
        rates.push(tokens as f64 / time(engine, tokens)?.as_secs_f64());
        bar.inc(1);
    }
    bar.finish_and_clear();
    rates.sort_by(f64::total_cmp);
    Ok(Rates(rates))
}

impl Rates {
    fn median(&self) -> Option<f64> {
        let middle = self.0.len() / 2;
        match self.0.len() {
            0 => None,
            n if n % 2 == 1 => Some(self.0[middle]),
            _ => Some((self.0[middle - 1] + self.0[middle]) / 2.0),
        }
    }

    fn json(&self) -> Value {
        json!({ "median": self.median(), "min": self.0.first(), "max": self.0.last() })
    }

    fn text(&self) -> String {
        match (self.median(), self.0.first(), self.0.last()) {
            (Some(median), Some(min), Some(max)) => format!("{median:.2} tokens/s (min {min:.2}, max {max:.2})"),
            _ => "not measured".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rates;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Rates(vec![]).median(), None);
        assert_eq!(Rates(vec![1.0, 2.0, 9.0]).median(), Some(2.0));
        assert_eq!(Rates(vec![1.0, 2.0, 4.0, 9.0]).median(), Some(3.0));
    }
}
