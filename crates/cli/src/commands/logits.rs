//! `logits`: the raw output of a model, for comparing implementations.

use std::fs::File;
use std::io::{BufWriter, Write};

use rocmforge_cpu_backend::ReferenceBackend;
use rocmforge_engine::{Engine, EngineOptions};
use rocmforge_tokenizer::TokenId;

use crate::args::{Cli, LogitsArgs};
use crate::error::CliError;
use crate::output;

pub fn run(cli: &Cli, args: &LogitsArgs) -> Result<(), CliError> {
    let tokens: Vec<TokenId> = serde_json::from_value(super::read_json(&args.tokens)?)
        .map_err(|e| CliError::BadInput(format!("{}: expected a list of token ids: {e}", args.tokens.display())))?;
    let options = EngineOptions { logits_per_step: 64, ..cli.common.engine_options() };
    let mut engine = if args.reference {
        Engine::with_backend(cli.common.open_model()?, Box::new(ReferenceBackend::new()), options)?
    } else {
        cli.common.load_engine(options, true)?
    };
    let failed = |source| CliError::Write { path: args.output.clone(), source };
    let mut out = BufWriter::new(File::create(&args.output).map_err(failed)?);
    let mut written = Ok(());
    let bar = output::progress(tokens.len() as u64, "{bar:30} {pos}/{len} tokens");
    engine.score(&tokens, &mut |position, row| {
        bar.set_position(position as u64 + 1);
        if written.is_ok() {
            written = row.iter().try_for_each(|x| out.write_all(&x.to_le_bytes()));
        }
    })?;
    bar.finish_and_clear();
    written.and_then(|()| out.flush()).map_err(failed)
}
