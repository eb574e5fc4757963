//! What is asked for.

use rocmforge_chat::Message;
use rocmforge_grammar::Spec;
use serde_json::{Map, Value, json};

use super::super::{common, format, messages};
use super::input;
use crate::body::{Fields, Read};
use crate::error::ApiError;
use crate::generation::{Chat, Params};

/// A request for a response.
#[derive(Debug, Clone)]
pub(super) struct ResponsesRequest {
    pub model: Option<String>,
    pub instructions: Option<String>,
    /// What is new since the previous response.
    pub messages: Vec<Message>,
    pub previous: Option<String>,
    /// Tools and what else the template sees; without messages.
    pub chat: Chat,
    pub params: Params,
    pub structured: Option<Spec>,
    pub stream: bool,
    pub store: bool,
    pub background: bool,
    effort: Option<&'static str>,
    metadata: Map<String, Value>,
    tools: Vec<Value>,
    tool_choice: Value,
}

const EFFORTS: [&str; 6] = ["none", "minimal", "low", "medium", "high", "xhigh"];

/// Tools of a request.
const MOST_TOOLS: usize = 512;

impl Read for ResponsesRequest {
    const NAME: &'static str = "ResponsesRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let schema = json!({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]});
        let input = fields.any("input", schema, "A text, or items: messages, calls and their outputs.");
        let input = fields.require("input", input)?;
        let messages = if input.is_null() { Vec::new() } else { input::messages(input)? };
        let (chat, tools, tool_choice) = read_tools(fields)?;
        let (chat, effort) = read_reasoning(fields, chat)?;
        let mut params = Params::read(fields)?;
        params.max_tokens = fields.integer("max_output_tokens", 1..=i32::MAX as usize, "Most tokens of the answer.")?;
        params.sampling.logprobs = read_logprobs(fields)?;
        let text = |text: &mut Fields| {
            text.without_effect(&["verbosity"]);
            format::text_format(text)
        };
        let structured = fields.object("text", "The form of the text.", text)?.flatten();
        let (stream, background) = read_ways(fields)?;
        let store = fields.flag("store", "Whether the response can be asked for again.")?.unwrap_or(true);
        if background && !store {
            return Err(ApiError::field("store", "`background` needs `store`: nobody could ask for the response"));
        }
        unsupported(fields)?;
        Ok(Self {
            model: fields.text("model", "Name of the model; without it, the one that is served.")?,
            instructions: fields.text("instructions", "What the model is told before the conversation.")?,
            messages,
            previous: fields.text("previous_response_id", "The response that this goes on from.")?,
            chat,
            params,
            structured,
            stream,
            store,
            background,
            effort,
            metadata: fields.map("metadata", "Kept with the response.")?.unwrap_or_default(),
            tools,
            tool_choice,
        })
    }
}

fn read_tools(fields: &mut Fields) -> Result<(Chat, Vec<Value>, Value), ApiError> {
    let tool = |fields: &mut Fields| {
        fields.word("type", &[("function", ())], "Only functions can be called.")?;
        messages::function(fields)
    };
    let mut chat = Chat::new(Vec::new());
    chat.tools = fields.objects("tools", 0..=MOST_TOOLS, "What the model may call.", tool)?.unwrap_or_default();
    chat.tool_choice = messages::tool_choice(fields)?;
    let parallel = fields.flag("parallel_tool_calls", "Whether there may be several calls at once.")?;
    chat.parallel_tools = parallel.unwrap_or(true);
    let told = |tool: &crate::generation::Tool| {
        json!({
            "type": "function",
            "name": tool.name,
            "description": tool.description,
            "parameters": tool.parameters,
            "strict": null,
        })
    };
    let tools = chat.tools.iter().map(told).collect();
    let choice = match &chat.tool_choice {
        crate::generation::ToolChoice::None => "none".into(),
        crate::generation::ToolChoice::Auto => "auto".into(),
        crate::generation::ToolChoice::Required => "required".into(),
        crate::generation::ToolChoice::Named(name) => json!({"type": "function", "name": name}),
    };
    Ok((chat, tools, choice))
}

fn read_reasoning(fields: &mut Fields, mut chat: Chat) -> Result<(Chat, Option<&'static str>), ApiError> {
    let effort = fields.object("reasoning", "How long to think.", |reasoning| {
        reasoning.without_effect(&["summary", "generate_summary"]);
        reasoning.word("effort", &EFFORTS.map(|word| (word, word)), "`none`: not at all, if the template can say so.")
    })?;
    let effort = effort.flatten();
    if let Some(effort) = effort {
        chat.set_effort(effort);
    }
    Ok((chat, effort))
}

fn read_logprobs(fields: &mut Fields) -> Result<Option<u32>, ApiError> {
    let top = fields.integer("top_logprobs", 0..=20_u32, "Alternatives to report for each token.")?;
    let include =
        fields.list("include", 0..=16, json!({"type": "string"}), "What else is reported.")?.unwrap_or_default();
    let is_asked = include.iter().any(|what| what == "message.output_text.logprobs");
    Ok(top.or(is_asked.then_some(0)))
}

fn read_ways(fields: &mut Fields) -> Result<(bool, bool), ApiError> {
    let stream = fields.flag("stream", "Whether the answer comes in pieces, as server-sent events.")?.unwrap_or(false);
    let options = fields.map("stream_options", "Only with `stream`; without effect.")?;
    if options.is_some() && !stream {
        return Err(ApiError::field("stream_options", "`stream_options` needs `stream` to be true"));
    }
    let background = fields.flag("background", "Whether the response is made while nobody waits.")?.unwrap_or(false);
    if stream && background {
        return Err(ApiError::unsupported("background", "`background` and `stream` cannot be used together"));
    }
    Ok((stream, background))
}

fn unsupported(fields: &mut Fields) -> Result<(), ApiError> {
    for (name, nothing) in [
        ("max_tool_calls", Value::Null),
        ("conversation", Value::Null),
        ("prompt", Value::Null),
        ("truncation", json!("disabled")),
        ("context_management", Value::Null),
    ] {
        fields.unsupported(name, nothing)?;
    }
    fields.without_effect(&["user", "service_tier", "prompt_cache_key", "prompt_cache_retention", "safety_identifier"]);
    Ok(())
}

impl ResponsesRequest {
    /// Whether log-probabilities are reported.
    pub fn has_logprobs(&self) -> bool {
        self.params.sampling.logprobs.is_some()
    }

    /// The response as far as the request says it.
    pub fn head(&self, id: String, created: u64, model: String) -> Map<String, Value> {
        let format = match &self.structured {
            None => json!({"type": "text"}),
            Some(Spec::JsonSchema(schema)) => json!({"type": "json_schema", "name": "answer", "schema": schema}),
            Some(_) => json!({"type": "json_object"}),
        };
        let head = json!({
            "id": id,
            "object": "response",
            "created_at": created,
            "status": "in_progress",
            "background": self.background,
            "error": null,
            "incomplete_details": null,
            "instructions": self.instructions,
            "max_output_tokens": self.params.max_tokens,
            "metadata": self.metadata,
            "model": model,
            "output": [],
            "parallel_tool_calls": self.chat.parallel_tools,
            "previous_response_id": self.previous,
            "reasoning": {"effort": self.effort, "summary": null},
            "store": self.store,
            "temperature": self.params.sampling.temperature,
            "text": {"format": format},
            "tool_choice": self.tool_choice,
            "tools": self.tools,
            "top_logprobs": self.params.sampling.logprobs.unwrap_or(0),
            "top_p": self.params.sampling.top_p,
            "truncation": "disabled",
            "usage": null,
            "user": null,
        });
        match head {
            Value::Object(head) => head,
            _ => Map::new(),
        }
    }
}

/// The counts, as this API writes them.
pub(super) fn usage(usage: &crate::generation::Usage) -> Value {
    let chat = common::usage(usage);
    json!({
        "input_tokens": chat["prompt_tokens"],
        "input_tokens_details": chat["prompt_tokens_details"],
        "output_tokens": chat["completion_tokens"],
        "output_tokens_details": chat["completion_tokens_details"],
        "total_tokens": chat["total_tokens"],
    })
}
