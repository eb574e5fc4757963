//! What is rendered: messages, special tokens, and the rest of a request.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One message of a conversation, in the shape of OpenAI's API.
///
/// Templates read fields by name and each family has its own, so a message is
/// the JSON object itself: every field that the caller sends reaches the template.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Message(Map<String, Value>);

impl Message {
    /// A message of `role` with text as its content.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Message::default().with("role", role).with("content", content.into())
    }

    /// What the model is told before the conversation.
    pub fn system(content: impl Into<String>) -> Self {
        Message::new("system", content)
    }

    /// What the user says.
    pub fn user(content: impl Into<String>) -> Self {
        Message::new("user", content)
    }

    /// What the model answered.
    pub fn assistant(content: impl Into<String>) -> Self {
        Message::new("assistant", content)
    }

    /// The result of the tool call named `tool_call_id`.
    pub fn tool(tool_call_id: &str, content: impl Into<String>) -> Self {
        Message::new("tool", content).with("tool_call_id", tool_call_id)
    }

    /// The message with one more field, or with that field replaced.
    ///
    /// `tool_calls` are given as their list of objects; most templates want the
    /// `arguments` of a call as an object and not as the text of one, see
    /// [`Message::parse_arguments`].
    #[must_use]
    pub fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.0.insert(field.to_owned(), value.into());
        self
    }

    /// The role, if it is text.
    pub fn role(&self) -> Option<&str> {
        self.0.get("role")?.as_str()
    }

    /// The content as text: itself, or the text parts of a list of parts joined.
    /// `None` where there is no content.
    pub fn text(&self) -> Option<String> {
        match self.0.get("content")? {
            Value::String(text) => Some(text.clone()),
            Value::Array(parts) => {
                let text = |part: &Value| match part {
                    Value::String(text) => Some(text.clone()),
                    other => Some(other.get("text")?.as_str()?.to_owned()),
                };
                Some(parts.iter().filter_map(text).collect())
            }
            _ => None,
        }
    }

    /// One field.
    pub fn get(&self, field: &str) -> Option<&Value> {
        self.0.get(field)
    }

    /// All fields, in order.
    pub fn fields(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Replaces the `arguments` of each tool call that are JSON text, as OpenAI's API
    /// sends them, by the object they are the text of, as templates read them.
    /// Text that is no JSON object stays text.
    pub fn parse_arguments(&mut self) {
        let Some(Value::Array(calls)) = self.0.get_mut("tool_calls") else {
            return;
        };
        for call in calls {
            let Some(arguments) = call.pointer_mut("/function/arguments") else {
                continue;
            };
            let parsed = arguments.as_str().map(serde_json::from_str::<Value>);
            if let Some(Ok(object @ Value::Object(_))) = parsed {
                *arguments = object;
            }
        }
    }
}

impl From<Map<String, Value>> for Message {
    fn from(fields: Map<String, Value>) -> Self {
        Message(fields)
    }
}

/// Texts of a model's special tokens by the names that templates use:
/// `bos_token`, `eos_token`, `unk_token`, `pad_token` and any other.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SpecialTokens(BTreeMap<String, String>);

impl SpecialTokens {
    /// No special tokens; templates then print nothing for them.
    pub fn new() -> Self {
        SpecialTokens::default()
    }

    /// Sets the text of one token; `name` is for example `bos_token`.
    #[must_use]
    pub fn with(mut self, name: &str, text: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), text.into());
        self
    }

    /// Sets the text of one token in place.
    pub fn set(&mut self, name: &str, text: impl Into<String>) {
        self.0.insert(name.to_owned(), text.into());
    }

    /// The text of one token.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// All tokens by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }
}

/// Everything one rendering takes.
#[derive(Debug, Clone, Copy)]
pub struct RenderInput<'a> {
    /// The conversation, oldest first.
    pub messages: &'a [Message],
    /// Tools as OpenAI's API describes them (`{"type": "function", "function": {…}}`).
    /// `None` and an empty list are different to a template; `None` is what
    /// a request without tools means.
    pub tools: Option<&'a [Value]>,
    /// Documents to ground the answer in, for templates that know them.
    pub documents: Option<&'a [Value]>,
    /// Whether the text ends with the opening of the assistant's answer.
    pub add_generation_prompt: bool,
    /// The model's special tokens.
    pub special: &'a SpecialTokens,
    /// Further variables by name, such as `enable_thinking`. They replace special tokens
    /// of the same name and never the fields above.
    pub extra: &'a Map<String, Value>,
    /// The moment that `strftime_now` prints, in UTC; `None` is the time of rendering.
    pub now: Option<SystemTime>,
}

static NO_EXTRA: LazyLock<Map<String, Value>> = LazyLock::new(Map::new);

impl<'a> RenderInput<'a> {
    /// Messages and nothing else, with the opening of the answer.
    pub fn new(messages: &'a [Message], special: &'a SpecialTokens) -> Self {
        RenderInput {
            messages,
            tools: None,
            documents: None,
            add_generation_prompt: true,
            special,
            extra: &NO_EXTRA,
            now: None,
        }
    }
}
