//! What a text must look like.

use std::fmt::Write as _;

use rocmforge_chat::CallFormat;
use serde_json::Value;

use crate::limits::within;
use crate::{GrammarError, Limits};

/// A constraint on a generated text, as a request states it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Spec {
    /// Any JSON object.
    JsonObject,
    /// A JSON value that fulfils a JSON schema.
    JsonSchema(Value),
    /// A text that a regular expression (of the `regex` crate) matches as a whole.
    Regex(String),
    /// One of these texts.
    Choice(Vec<String>),
    /// A grammar in llguidance's variant of Lark.
    Lark(String),
    /// A grammar in llama.cpp's GBNF.
    Gbnf(String),
    /// Calls of tools, as a model's chat format writes them.
    Tools(Tools),
    /// Any text up to the first `mark`, the mark, and then what `then` says: for models that reason first.
    After {
        /// What ends the free text, such as `</think>`.
        mark: String,
        /// What follows it.
        then: Box<Spec>,
    },
}

/// Calls of tools.
#[derive(Debug, Clone, PartialEq)]
pub struct Tools {
    /// How the model writes a call.
    pub format: &'static CallFormat,
    /// What may be called.
    pub tools: Vec<Tool>,
    /// Whether something must be called.
    pub choice: ToolChoice,
    /// Whether there may be more than one call.
    pub parallel: bool,
}

/// A tool that can be called.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// The JSON schema of its arguments; `null` for any object.
    pub parameters: Value,
}

/// Whether and what a model must call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// Free text, calls, or both.
    Auto,
    /// At least one call, and nothing else.
    Any,
    /// A call of this tool, and nothing else.
    Named(String),
}

impl Spec {
    /// The kind of the constraint, for messages.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::JsonObject => "JSON object",
            Self::JsonSchema(_) => "JSON schema",
            Self::Regex(_) => "regular expression",
            Self::Choice(_) => "choice",
            Self::Lark(_) => "Lark grammar",
            Self::Gbnf(_) => "GBNF grammar",
            Self::Tools(_) => "tools",
            Self::After { then, .. } => then.kind(),
        }
    }

    /// Checks what can be checked without understanding the constraint: sizes, and the depth of JSON.
    /// Afterwards it is safe to walk it recursively.
    pub(crate) fn check_size(&self, limits: &Limits) -> Result<(), GrammarError> {
        match self {
            Self::JsonObject => Ok(()),
            Self::JsonSchema(schema) => check_json([schema], limits),
            Self::Regex(text) | Self::Lark(text) | Self::Gbnf(text) => {
                within("bytes of the grammar", text.len(), limits.text_bytes)
            }
            Self::Choice(choices) => {
                within("choices", choices.len(), limits.enum_items)?;
                within("bytes of the choices", choices.iter().map(String::len).sum(), limits.text_bytes)
            }
            Self::Tools(tools) => {
                within("tools", tools.tools.len(), limits.tools)?;
                check_json(tools.tools.iter().map(|tool| &tool.parameters), limits)
            }
            Self::After { mark, then } => {
                within("bytes of the mark", mark.len(), limits.depth)?;
                if matches!(**then, Self::After { .. }) {
                    return Err(GrammarError::Invalid {
                        kind: self.kind(),
                        message: "only one mark can come before it".to_owned(),
                    });
                }
                then.check_size(limits)
            }
        }
    }

    /// The constraint as text, different for different constraints. The order of properties counts,
    /// since it is the order in which they are generated.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::JsonObject => "object".to_owned(),
            Self::JsonSchema(schema) => format!("schema {schema}"),
            Self::Regex(text) => format!("regex {text}"),
            Self::Choice(choices) => format!("choice {}", Value::from(choices.clone())),
            Self::Lark(text) => format!("lark {text}"),
            Self::Gbnf(text) => format!("gbnf {text}"),
            Self::Tools(tools) => tools.key(),
            Self::After { mark, then } => format!("after {} {mark} {}", mark.len(), then.key()),
        }
    }
}

impl Tools {
    fn key(&self) -> String {
        let mut key = format!("tools {} {:?} {}", self.format.name, self.choice, self.parallel);
        for tool in &self.tools {
            // Writing to a string does not fail.
            let _ = write!(key, "\n{:?} {}", tool.name, tool.parameters);
        }
        key
    }
}

/// Counts values, their depth and about their bytes, without recursion.
fn check_json<'a>(values: impl IntoIterator<Item = &'a Value>, limits: &Limits) -> Result<(), GrammarError> {
    let mut open: Vec<(&Value, usize)> = values.into_iter().map(|value| (value, 1)).collect();
    let (mut count, mut bytes) = (0, 0);
    while let Some((value, depth)) = open.pop() {
        count += 1;
        bytes += 4;
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => {
                bytes += fields.keys().map(|key| key.len() + 4).sum::<usize>();
                open.extend(fields.values().map(|field| (field, depth + 1)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
        within("depth of the JSON schema", depth, limits.depth)?;
        within("bytes of the JSON schema", bytes, limits.schema_bytes)?;
    }
    within("values in the JSON schema", count, limits.schema_values)
}
