//! One file a command, and what they share.

pub mod bench;
pub mod chat;
pub mod devices;
pub mod doctor;
pub mod generate;
pub mod inspect;
pub mod logits;
pub mod perplexity;
pub mod quantize;
pub mod render;
pub mod serve;
pub mod tokenize;

use std::fs;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use rocmforge_sampler::{Dry, Mirostat, SamplingParams};
use serde_json::Value;

use crate::args::SamplingArgs;
use crate::error::CliError;

/// Sampling parameters from the flags.
fn sampling_params(args: &SamplingArgs) -> SamplingParams {
    let mut params = SamplingParams {
        temperature: args.temperature,
        top_k: args.top_k,
        top_p: args.top_p,
        min_p: args.min_p,
        typical_p: args.typical_p,
        top_n_sigma: args.top_n_sigma,
        repetition_penalty: args.repetition_penalty,
        presence_penalty: args.presence_penalty,
        frequency_penalty: args.frequency_penalty,
        xtc_probability: args.xtc_probability,
        xtc_threshold: args.xtc_threshold,
        logit_bias: args.logit_bias.clone(),
        seed: args.seed,
        ..SamplingParams::default()
    };
    if args.dry_multiplier != 0.0 {
        params.dry = Some(Dry {
            multiplier: args.dry_multiplier,
            base: args.dry_base,
            allowed_length: args.dry_allowed_length,
            ..Dry::default()
        });
    }
    if args.mirostat_tau != 0.0 {
        params.mirostat = Some(Mirostat { tau: args.mirostat_tau, eta: args.mirostat_eta });
    }
    params
}

fn read_text(path: &Path) -> Result<String, CliError> {
    let read = |source| CliError::Read { path: path.to_path_buf(), source };
    String::from_utf8(fs::read(path).map_err(read)?)
        .map_err(|e| read(io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 text ({e})"))))
}

fn read_json(path: &Path) -> Result<Value, CliError> {
    serde_json::from_str(&read_text(path)?).map_err(|e| CliError::BadInput(format!("{}: {e}", path.display())))
}

/// What is piped in.
fn read_stdin() -> Result<String, CliError> {
    let mut bytes = Vec::new();
    let read = |source| CliError::Read { path: "stdin".into(), source };
    io::stdin().read_to_end(&mut bytes).map_err(read)?;
    String::from_utf8(bytes).map_err(|e| CliError::BadInput(format!("stdin is not UTF-8 text ({e})")))
}

/// A text from a flag, from a file, or from a pipe; `flags` are named if there is none.
fn text_argument(text: Option<&str>, file: Option<&Path>, flags: &str) -> Result<String, CliError> {
    match (text, file) {
        (Some(text), _) => Ok(text.to_string()),
        (None, Some(file)) => read_text(file),
        (None, None) if io::stdin().is_terminal() => {
            Err(CliError::BadInput(format!("no text: give {flags}, or pipe it in")))
        }
        (None, None) => read_stdin(),
    }
}
