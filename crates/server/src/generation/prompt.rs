//! From a prompt to tokens, and from constraints to a grammar; all of it may take long.

use rocmforge_chat::{ChatTemplate, OutputFormat, RenderInput};
use rocmforge_engine::ModelInfo;
use rocmforge_grammar::{Spec, Tools};
use rocmforge_sampler::TokenId;
use rocmforge_tokenizer::{EncodeOptions, Tokenizer};
use serde_json::Value;

use super::{Chat, Prompt, ToolChoice};
use crate::error::ApiError;

/// A prompt in tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoded {
    /// The text; empty for a prompt that was given in tokens.
    pub text: String,
    /// The tokens.
    pub tokens: Vec<TokenId>,
    /// What the answer is taken apart by.
    pub(super) format: OutputFormat,
    /// Control tokens that mark up the answer: they are looked at, and are no part of it.
    pub(super) marks: Vec<TokenId>,
    /// The answer starts inside of the reasoning, which this mark ends.
    pub(super) reasoning_end: Option<&'static str>,
}

/// A constraint, and whether the request fails without it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Constraint {
    pub spec: Spec,
    pub is_required: bool,
}

impl Prompt {
    /// The prompt in tokens. Text of a user never becomes a control token.
    pub(super) fn encode(&self, model: &ModelInfo) -> Result<Encoded, ApiError> {
        match self {
            Self::Text { text, add_special } => {
                let options = EncodeOptions { add_special: *add_special, parse_special: false };
                let tokens = model.tokenizer.encode(text, options).map_err(ApiError::internal)?;
                Ok(Encoded::plain(text.clone(), tokens))
            }
            Self::Tokens(tokens) => {
                let vocab_size = model.tokenizer.vocab_size();
                match tokens.iter().position(|token| *token as usize >= vocab_size) {
                    Some(i) => {
                        let token = tokens[i];
                        let message = format!("`prompt` has token {token} at {i}, but the vocabulary has {vocab_size}");
                        Err(ApiError::field("prompt", message))
                    }
                    None => Ok(Encoded::plain(String::new(), tokens.clone())),
                }
            }
            Self::Chat(chat) => chat.encode(model),
        }
    }
}

impl Encoded {
    /// The prompt as text, also where it was given in tokens.
    pub fn shown(&self, tokenizer: &Tokenizer) -> String {
        if self.text.is_empty() { tokenizer.decode(&self.tokens, false) } else { self.text.clone() }
    }

    fn plain(text: String, tokens: Vec<TokenId>) -> Self {
        Self { text, tokens, format: OutputFormat::PLAIN, marks: Vec::new(), reasoning_end: None }
    }
}

impl Chat {
    fn encode(&self, model: &ModelInfo) -> Result<Encoded, ApiError> {
        let own;
        let template = match &self.template {
            Some(source) => {
                own = ChatTemplate::parse(source)?;
                &own
            }
            None => model.chat.usable_template()?,
        };
        let format = self.format(template)?;
        let mut messages = self.messages.clone();
        messages.iter_mut().for_each(rocmforge_chat::Message::parse_arguments);
        let tools: Vec<Value> = self.tools.iter().map(super::Tool::to_value).collect();
        let input = RenderInput {
            tools: self.has_calls().then_some(&tools),
            documents: (!self.documents.is_empty()).then_some(&self.documents),
            add_generation_prompt: self.add_generation_prompt,
            extra: &self.variables,
            ..RenderInput::new(&messages, model.chat.special_tokens())
        };
        let prompt = model.chat.prompt(&model.tokenizer, template, &input, self.continue_final)?;
        let opened = |marks: &(&str, &str)| prompt.text.trim_end().ends_with(marks.0);
        let reasoning_end = format.reasoning.filter(opened).map(|(_, close)| close);
        let marks = marks(&format, &model.tokenizer);
        Ok(Encoded { text: prompt.text, tokens: prompt.tokens, format, marks, reasoning_end })
    }

    /// How the answer is marked up. Without tools nothing is a call.
    fn format(&self, template: &ChatTemplate) -> Result<OutputFormat, ApiError> {
        let format = template.output_format();
        if !self.has_calls() {
            return Ok(OutputFormat { calls: None, ..format });
        }
        if !template.supports_tools() || format.calls.is_none() {
            let message = "the model's chat template knows no tools: leave `tools` out, or take another model";
            return Err(ApiError::unsupported("tools", message));
        }
        Ok(format)
    }

    /// What the answer must look like so that every call in it is one that can be made.
    fn calls(&self, format: &OutputFormat) -> Option<Constraint> {
        let format = format.calls.filter(|_| self.has_calls())?;
        let tool = |tool: &super::Tool| rocmforge_grammar::Tool {
            name: tool.name.clone(),
            parameters: tool.parameters.clone(),
        };
        let choice = match &self.tool_choice {
            ToolChoice::Required => rocmforge_grammar::ToolChoice::Any,
            ToolChoice::Named(name) => rocmforge_grammar::ToolChoice::Named(name.clone()),
            ToolChoice::Auto | ToolChoice::None => rocmforge_grammar::ToolChoice::Auto,
        };
        let is_required = choice != rocmforge_grammar::ToolChoice::Auto;
        let tools = self.tools.iter().map(tool).collect();
        let spec = Spec::Tools(Tools { format, tools, choice, parallel: self.parallel_tools });
        Some(Constraint { spec, is_required })
    }
}

/// The marks of a format that are control tokens.
fn marks(format: &OutputFormat, tokenizer: &Tokenizer) -> Vec<TokenId> {
    let tokens = format.marks().filter_map(|mark| tokenizer.token_to_id(mark));
    tokens.filter(|token| tokenizer.is_special(*token)).collect()
}

/// The constraint on the answer to a prompt. A form that was asked for comes before tools that may be called.
pub(super) fn constraint(
    prompt: &Prompt,
    encoded: &Encoded,
    structured: Option<&Spec>,
) -> Result<Option<Constraint>, ApiError> {
    let calls = match prompt {
        Prompt::Chat(chat) => chat.calls(&encoded.format),
        Prompt::Text { .. } | Prompt::Tokens(_) => None,
    };
    let constraint = match (structured, calls) {
        (Some(_), Some(Constraint { is_required: true, .. })) => {
            let message = "`tool_choice` asks for a call and the request for another form of the answer: choose one";
            return Err(ApiError::field("tool_choice", message));
        }
        (Some(spec), _) => Some(Constraint { spec: spec.clone(), is_required: true }),
        (None, calls) => calls,
    };
    let Some(Constraint { spec, is_required }) = constraint else { return Ok(None) };
    let spec = match encoded.reasoning_end {
        Some(mark) => Spec::After { mark: mark.to_owned(), then: Box::new(spec) },
        None => spec,
    };
    Ok(Some(Constraint { spec, is_required }))
}
