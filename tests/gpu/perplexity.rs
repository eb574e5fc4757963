//! Perplexity of the bundled model over a text it was not trained on: on the device, against the processor's.

use std::path::Path;
use std::sync::Arc;

use rocmforge_engine::{Engine, ModelFile, Perplexity, PerplexityOptions};
use rocmforge_hip_backend::HipOptions;
use rocmforge_tokenizer::EncodeOptions;

use crate::bundled::{self, Weights};
use crate::report::Report;

/// Relative difference to the processor's value of the same windows.
const BOUND: f64 = 0.005;

#[derive(clap::Args)]
pub struct Limits {
    /// Only the first windows of 1024 tokens; all 82 without it
    #[arg(long, value_name = "N")]
    windows: Option<usize>,
    /// Tokens of a window, where it is not to be 1024
    #[arg(long, value_name = "N")]
    window: Option<usize>,
    /// One short window
    #[arg(long)]
    quick: bool,
}

pub fn run(data: &Path, limits: &Limits, report: &mut Report) {
    for weights in Weights::ALL {
        let name = format!("perplexity {}", weights.name());
        match compare(data, weights, limits) {
            Ok((found, expected)) => {
                println!("       {name}: {:.5} over {} tokens, expected {expected:.5}", found.value, found.tokens);
                report.bound(&name, (found.value / expected - 1.0).abs(), BOUND);
            }
            Err(error) => report.check(&name, Err(error)),
        }
    }
}

/// What the device finds, and what the processor does.
fn compare(data: &Path, weights: Weights, limits: &Limits) -> Result<(Perplexity, f64), String> {
    let text = bundled::text(data, "heldout.txt")?;
    let file = weights.file(data)?;
    let mut device = bundled::on_device(file.clone(), HipOptions::default(), bundled::options())?;
    let found = measure(&mut device, &text, limits)?;
    Ok((found, on_processor(file, &text, limits)?.value))
}

fn on_processor(file: Arc<ModelFile>, text: &str, limits: &Limits) -> Result<Perplexity, String> {
    let mut engine = Engine::load(file, bundled::options()).map_err(|e| e.to_string())?;
    measure(&mut engine, text, limits)
}

fn measure(engine: &mut Engine, text: &str, limits: &Limits) -> Result<Perplexity, String> {
    let options = EncodeOptions { add_special: false, parse_special: true };
    let tokens = engine.tokenizer().encode(text, options).map_err(|e| e.to_string())?;
    let window = limits.window.unwrap_or(if limits.quick { 128 } else { 1024 });
    let windows = limits.windows.unwrap_or(if limits.quick { 1 } else { usize::MAX });
    let tokens = &tokens[..tokens.len().min(window.saturating_mul(windows))];
    engine.perplexity(tokens, PerplexityOptions { window }, &mut |_, _, _| {}).map_err(|e| e.to_string())
}
