//! `render`: the text that a chat template makes of messages.

use rocmforge_chat::{ChatTemplate, Message, RenderInput, SpecialTokens};
use rocmforge_engine::ChatFormat;
use rocmforge_tokenizer::Tokenizer;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::path::Path;

use crate::args::{Cli, RenderArgs};
use crate::error::CliError;
use crate::output;

pub fn run(cli: &Cli, args: &RenderArgs) -> Result<(), CliError> {
    let messages: Vec<Message> = parsed(&args.messages, "a list of messages")?;
    let tools: Option<Vec<Value>> = args.tools.as_deref().map(|path| parsed(path, "a list of tools")).transpose()?;
    // A template of its own needs no model, unless the special tokens are the model's.
    let format = match (&args.template, &cli.common.model) {
        (Some(_), None) => None,
        _ => {
            let file = cli.common.open_model()?;
            let tokenizer = Tokenizer::from_gguf(file.gguf().metadata())?;
            Some(ChatFormat::of(file.gguf().metadata(), &tokenizer)?)
        }
    };
    let mut special = format.as_ref().map_or_else(SpecialTokens::new, |f| f.special_tokens().clone());
    if let Some(path) = &args.special {
        let texts: std::collections::BTreeMap<String, String> = parsed(path, "an object of texts")?;
        texts.into_iter().for_each(|(name, text)| special.set(&name, text));
    }
    let own;
    let template = match (&args.template, &format) {
        (Some(path), _) => {
            own = ChatTemplate::parse(&super::read_text(path)?)?;
            &own
        }
        (None, Some(format)) => format.usable_template()?,
        (None, None) => return Err(rocmforge_engine::EngineError::NoChatTemplate.into()),
    };
    let input = RenderInput {
        tools: tools.as_deref(),
        add_generation_prompt: !args.no_generation_prompt,
        ..RenderInput::new(&messages, &special)
    };
    output::print(&template.render(&input)?)
}

fn parsed<T: DeserializeOwned>(path: &Path, what: &str) -> Result<T, CliError> {
    serde_json::from_value(super::read_json(path)?)
        .map_err(|e| CliError::BadInput(format!("{}: expected {what}: {e}", path.display())))
}
