//! A request in the words of no API.

use rocmforge_chat::Message;
use rocmforge_engine::CancelToken;
use rocmforge_grammar::Spec;
use rocmforge_sampler::TokenId;
use rocmforge_scheduler::ClientId;
use serde_json::{Map, Value, json};

use super::Params;
use crate::error::{ApiError, shown};

/// What to generate, for whom.
#[derive(Debug, Clone)]
pub struct Job {
    /// The prompts; each gets [`Params::n`] answers, numbered one prompt after the other.
    pub prompts: Vec<Prompt>,
    /// How to generate.
    pub params: Params,
    /// What the text of the answer must look like.
    pub structured: Option<Spec>,
    /// Whose request it is, for fairness.
    pub client: ClientId,
    /// Separates the caller's cached prefixes from those of others.
    pub salt: Option<[u8; 16]>,
    /// Stops it from outside.
    pub cancel: CancelToken,
}

impl Job {
    /// One prompt, and nothing special.
    pub fn new(prompt: Prompt) -> Self {
        Self {
            prompts: vec![prompt],
            params: Params::default(),
            structured: None,
            client: ClientId(0),
            salt: None,
            cancel: CancelToken::new(),
        }
    }
}

/// What an answer continues.
#[derive(Debug, Clone, PartialEq)]
pub enum Prompt {
    /// Text; what looks like a control token stays text.
    Text {
        /// The text.
        text: String,
        /// Whether the tokens that the model expects around a text are added.
        add_special: bool,
    },
    /// Tokens as they are.
    Tokens(Vec<TokenId>),
    /// A conversation.
    Chat(Box<Chat>),
}

impl Prompt {
    /// Text with the model's usual first token.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text { text: text.into(), add_special: true }
    }
}

/// A conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Chat {
    /// What was said, oldest first, in OpenAI's shape.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must.
    pub tool_choice: ToolChoice,
    /// Whether it may call several at once.
    pub parallel_tools: bool,
    /// Documents for templates that know them.
    pub documents: Vec<Value>,
    /// A template in place of the model's.
    pub template: Option<String>,
    /// Further variables of the template, such as `enable_thinking`.
    pub variables: Map<String, Value>,
    /// Whether the client chose names of variables, which the operator must have allowed.
    pub has_own_variables: bool,
    /// Whether the assistant's turn is opened.
    pub add_generation_prompt: bool,
    /// Whether the answer goes on with the last message.
    pub continue_final: bool,
}

impl Chat {
    /// A conversation without tools, to be answered.
    pub fn new(messages: Vec<Message>) -> Self {
        Self {
            messages,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            parallel_tools: true,
            documents: Vec::new(),
            template: None,
            variables: Map::new(),
            has_own_variables: false,
            add_generation_prompt: true,
            continue_final: false,
        }
    }

    /// Tells the template how long to think; with `none`, not at all.
    pub fn set_effort(&mut self, effort: &str) {
        self.variables.entry("reasoning_effort").or_insert_with(|| effort.into());
        if effort == "none" {
            self.variables.entry("enable_thinking").or_insert(false.into());
        }
    }

    /// Checks the conversation as a whole.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        if self.messages.is_empty() {
            return Err(ApiError::field("messages", "`messages` must have at least one message"));
        }
        if self.continue_final && self.add_generation_prompt {
            let message = "`continue_final_message` needs `add_generation_prompt` to be false";
            return Err(ApiError::field("continue_final_message", message));
        }
        if self.continue_final && self.messages.last().and_then(Message::role) != Some("assistant") {
            let message = "`continue_final_message` needs a last message of the assistant";
            return Err(ApiError::field("continue_final_message", message));
        }
        self.tools.iter().enumerate().try_for_each(|(i, tool)| {
            tool.check_name(i)?;
            let again = self.tools[..i].iter().any(|earlier| earlier.name == tool.name);
            if again {
                let message = format!("`tools[{i}]` has the name of an earlier tool, `{}`", tool.name);
                return Err(ApiError::field(format!("tools[{i}]"), message));
            }
            Ok(())
        })?;
        self.check_choice()
    }

    fn check_choice(&self) -> Result<(), ApiError> {
        match &self.tool_choice {
            ToolChoice::Named(name) if !self.tools.iter().any(|tool| tool.name == *name) => {
                let message = format!("`tool_choice` names `{}`, which is not among `tools`", shown(name));
                Err(ApiError::field("tool_choice", message))
            }
            ToolChoice::Required if self.tools.is_empty() => {
                Err(ApiError::field("tool_choice", "`tool_choice` asks for a call, but there are no `tools`"))
            }
            _ => Ok(()),
        }
    }

    /// Whether calls may come.
    pub(super) fn has_calls(&self) -> bool {
        !self.tools.is_empty() && self.tool_choice != ToolChoice::None
    }
}

/// A function that the model may call.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: Option<String>,
    /// The JSON schema of its arguments; `null` for any object.
    pub parameters: Value,
}

impl Tool {
    /// The tool as templates read it.
    pub fn to_value(&self) -> Value {
        let mut function = json!({"name": self.name});
        if let Some(description) = &self.description {
            function["description"] = description.as_str().into();
        }
        if !self.parameters.is_null() {
            function["parameters"] = self.parameters.clone();
        }
        json!({"type": "function", "function": function})
    }

    fn check_name(&self, i: usize) -> Result<(), ApiError> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if (1..=MOST_NAME).contains(&self.name.len()) && self.name.chars().all(is_name) {
            return Ok(());
        }
        let param = format!("tools[{i}].name");
        let message = format!(
            "`{param}` must be 1 to {MOST_NAME} letters, digits, `_`, `-` or `.`, found `{}`",
            shown(&self.name)
        );
        Err(ApiError::field(param, message))
    }
}

/// Characters of a tool's name.
const MOST_NAME: usize = 128;

/// Whether and what the model must call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ToolChoice {
    /// Nothing.
    None,
    /// As it sees fit.
    #[default]
    Auto,
    /// At least one tool.
    Required,
    /// This one.
    Named(String),
}
