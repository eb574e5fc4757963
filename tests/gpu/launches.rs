//! Which kernels a step launches and what they execute, as a device writes it down that counts.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;

use rocmforge_hip_backend::HipOptions;
use serde_json::{Value, json};

use crate::speed::{Bench, Room};

/// What is run.
#[derive(clap::Args)]
pub struct LaunchesArgs {
    /// The model
    file: PathBuf,
    /// The file to which the device adds a line for each launch
    #[arg(long, value_name = "FILE")]
    counts: PathBuf,
    /// Sequences, tokens of each and tokens before them, with commas; may be repeated
    #[arg(long, value_name = "N,N,N", required = true)]
    step: Vec<Step>,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    sequences: usize,
    tokens: usize,
    context: usize,
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Result<Vec<usize>, _> = text.split(',').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[sequences, tokens, context]) if sequences > 0 && tokens > 0 => Ok(Self { sequences, tokens, context }),
            _ => Err("expected three numbers, such as 1,512,0".into()),
        }
    }
}

/// Prints for each step one line: the step, and the launches that it made.
pub fn run(args: &LaunchesArgs) -> ExitCode {
    match count(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn count(args: &LaunchesArgs) -> Result<(), Box<dyn std::error::Error>> {
    let most = |of: fn(&Step) -> usize| args.step.iter().map(of).max().unwrap_or(1);
    let room = Room {
        step: most(|step| step.sequences * step.tokens),
        sequences: most(|step| step.sequences),
        tokens: most(|step| step.context + step.tokens),
    };
    // A graph would launch the same kernels, but once more to be recorded.
    let mut bench = Bench::load(&args.file, &room, HipOptions { graphs: false, ..HipOptions::default() })?;
    for &Step { sequences, tokens, context } in &args.step {
        let before = read(&args.counts)?.len();
        bench.step(sequences, context, tokens)?;
        let text = read(&args.counts)?;
        let lines = text.get(before..).unwrap_or_default().lines();
        let launches = lines.map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
        if launches.is_empty() {
            return Err(format!("{}: the device wrote nothing", args.counts.display()).into());
        }
        println!("{}", json!({"sequences": sequences, "tokens": tokens, "context": context, "launches": launches}));
    }
    Ok(())
}

/// The file so far; it begins with the first launch.
fn read(path: &Path) -> std::io::Result<String> {
    fs::read_to_string(path)
        .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(String::new()) } else { Err(error) })
}
