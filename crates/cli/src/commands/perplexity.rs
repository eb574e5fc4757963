//! `perplexity`: how surprised a model is by a text.

use rocmforge_engine::{EngineOptions, Perplexity, PerplexityOptions};
use rocmforge_tokenizer::EncodeOptions;
use serde_json::json;

use crate::args::{Cli, PerplexityArgs};
use crate::error::CliError;
use crate::output;

pub fn run(cli: &Cli, args: &PerplexityArgs) -> Result<(), CliError> {
    let text = super::read_text(&args.file)?;
    let options = EngineOptions {
        logits_per_step: 64,
        context_length: Some(cli.common.ctx_size.unwrap_or(args.window)),
        ..cli.common.engine_options()
    };
    let mut engine = cli.common.load_engine(options, args.json)?;
    let tokens = engine.tokenizer().encode(&text, EncodeOptions { add_special: true, parse_special: true })?;
    let windows = tokens.len() / args.window.max(1);
    let bar = output::progress(windows as u64, "{bar:30} {pos}/{len} windows, {eta} left, {msg}");
    let result = engine.perplexity(&tokens, PerplexityOptions { window: args.window }, &mut |done, _, so_far| {
        bar.set_position(done as u64);
        bar.set_message(format!("perplexity {}", shown(&so_far)));
    })?;
    bar.finish_and_clear();
    if args.json {
        return output::print_json(&json!({
            "device": engine.device().name,
            "perplexity": result.value,
            "error": result.error,
            "tokens": result.tokens,
            "windows": result.windows,
            "window": args.window,
        }));
    }
    output::print_line(&format!(
        "perplexity {} over {} tokens, {} windows of {}",
        shown(&result),
        result.tokens,
        result.windows,
        args.window
    ))
}

fn shown(perplexity: &Perplexity) -> String {
    format!("{:.4} ± {:.4}", perplexity.value, perplexity.error)
}
