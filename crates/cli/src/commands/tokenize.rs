//! `tokenize`: text to token ids.

use rocmforge_tokenizer::{EncodeOptions, Tokenizer};
use serde_json::json;

use crate::args::{Cli, TokenizeArgs};
use crate::error::CliError;
use crate::output;

pub fn run(cli: &Cli, args: &TokenizeArgs) -> Result<(), CliError> {
    let text = super::text_argument(args.text.as_deref(), args.text_file.as_deref(), "--text or --text-file")?;
    let file = cli.common.open_model()?;
    let tokenizer = Tokenizer::from_gguf(file.gguf().metadata())?;
    let options = EncodeOptions { add_special: args.bos, parse_special: !args.no_parse_special };
    let ids = tokenizer.encode(&text, options)?;
    let pieces: Vec<String> = ids.iter().map(|&id| tokenizer.piece(id).unwrap_or_default().into_owned()).collect();
    if args.json {
        return output::print_json(&json!({ "ids": ids, "pieces": pieces }));
    }
    for (id, piece) in ids.iter().zip(&pieces) {
        output::print_line(&format!("{id:>8}  {piece:?}"))?;
    }
    eprintln!("{} tokens", ids.len());
    Ok(())
}
