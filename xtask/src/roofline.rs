//! `cargo xtask roofline`: how fast a model could be on a GPU, estimated from what its kernels execute.

mod card;
mod emulate;
mod estimate;
mod file;
mod launches;
mod recording;
mod report;
mod shape;
mod step;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::gpu::Programs;
use crate::process;
use card::{CARDS, Card};
use estimate::Assumptions;
use recording::{Recording, StepKind};
use shape::Model;

/// Options of `roofline`.
#[derive(Debug, Args)]
pub struct RooflineArgs {
    /// Card: rx7900xtx, rx7900xt, w7900, strix-halo or mi300x; several with commas, or all
    #[arg(long, value_name = "CARD,...", value_delimiter = ',', default_value = "all")]
    gpu: Vec<String>,
    /// Shape and types of the model, such as llama-8b:q4_k_m; unknown names are answered with those that there are
    #[arg(long, value_name = "MODEL:TYPES", default_value = "llama-8b:q4_k_m")]
    model: String,
    /// Tokens of the prompt, computed in one step
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u64).range(2..=2048))]
    prompt: u64,
    /// Tokens before the one that is generated
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [0, 4096])]
    context: Vec<u64>,
    /// Sequences that decode side by side
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=64))]
    batch: u64,
    /// Takes the counts from a file of --save instead of running the emulator; model and steps are then the file's
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "prompt", "context", "batch"])]
    counts: Option<PathBuf>,
    /// Writes the counts to a file
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// A folder that `pack` has filled, whose programs are used instead of building any
    #[arg(long, value_name = "DIR")]
    packed: Option<PathBuf>,
    /// Writes docs/performance.md instead of printing
    #[arg(long)]
    page: bool,
    #[command(flatten)]
    assumptions: Assumptions,
}

/// Counts, estimates and reports.
pub fn run(args: &RooflineArgs) -> Result<()> {
    let cards = cards(&args.gpu)?;
    args.assumptions.check()?;
    let recording = match &args.counts {
        Some(path) => Recording::read(path)?,
        None => emulate::record(&Model::named(&args.model)?, &steps(args), &programs(args))?,
    };
    if let Some(path) = &args.save {
        recording.write(path)?;
    }
    let text = report::markdown(&recording, &cards, &args.assumptions)?;
    if !args.page {
        print!("{text}");
        return Ok(());
    }
    let path = process::root().join("docs/performance.md");
    fs::write(&path, text).with_context(|| path.display().to_string())?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

/// The emulator is optimised in every profile.
fn programs(args: &RooflineArgs) -> Programs {
    args.packed.clone().map_or(Programs::Built { profile: "dev" }, Programs::Packed)
}

fn cards(names: &[String]) -> Result<Vec<&'static Card>> {
    if names.iter().any(|name| name == "all") {
        return Ok(CARDS.iter().collect());
    }
    names.iter().map(|name| Card::named(name)).collect()
}

/// Decoding in each context, and then the prompt.
fn steps(args: &RooflineArgs) -> Vec<StepKind> {
    let decode = args.context.iter().map(|&context| StepKind { sequences: args.batch, tokens: 1, context });
    decode.chain([StepKind { sequences: 1, tokens: args.prompt, context: 0 }]).collect()
}

impl Assumptions {
    /// That there is nothing to divide by which is none.
    fn check(&self) -> Result<()> {
        for (name, share) in [
            ("memory-share", self.memory_share),
            ("issue-share", self.issue_share),
            ("matrix-share", self.matrix_share),
        ] {
            ensure!(share > 0.0 && share <= 1.0, "--{name}: {share} is no share between 0 and 1");
        }
        for (name, number) in [
            ("vector-latency", self.vector_latency),
            ("independent", self.independent),
            ("memory-ns", self.memory_ns),
            ("loads-under-way", self.loads_under_way),
        ] {
            ensure!(number > 0.0 && number.is_finite(), "--{name}: {number} is not above 0");
        }
        ensure!(self.launch_us >= 0.0 && self.launch_us.is_finite(), "--launch-us: {} is below 0", self.launch_us);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        args: RooflineArgs,
    }

    fn parse(line: &[&str]) -> RooflineArgs {
        Line::parse_from([&["roofline"], line].concat()).args
    }

    #[test]
    fn steps_are_every_context_and_the_prompt() {
        let args = parse(&["--context", "0,128", "--batch", "4", "--prompt", "64"]);
        let kinds = steps(&args).into_iter().map(|s| (s.sequences, s.tokens, s.context)).collect::<Vec<_>>();
        assert_eq!(kinds, [(4, 1, 0), (4, 1, 128), (1, 64, 0)]);
    }

    #[test]
    fn cards_are_named_or_all() {
        assert_eq!(cards(&parse(&[]).gpu).unwrap().len(), CARDS.len());
        assert_eq!(cards(&["w7900".into()]).unwrap()[0].name, "w7900");
        assert!(cards(&["w7900".into(), "w1".into()]).unwrap_err().to_string().contains("strix-halo"));
    }

    #[test]
    fn assumptions_that_mean_nothing_are_refused() {
        assert!(Assumptions::USUAL.check().is_ok());
        for line in [["--memory-share", "1.5"], ["--issue-share", "0"], ["--memory-ns", "NaN"], ["--launch-us", "inf"]]
        {
            let error = parse(&line).assumptions.check().unwrap_err().to_string();
            assert!(error.starts_with(line[0]), "{error}");
        }
    }
}
