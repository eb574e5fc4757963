//! What a request to `/v1/messages` says.

use rocmforge_grammar::Spec;
use serde_json::{Map, Value, json};

use super::messages::conversation;
use crate::body::{Fields, Read};
use crate::error::{ApiError, shown};
use crate::generation::{Chat, MOST_TOKENS, Params, Tool, ToolChoice};

/// A conversation to be answered.
#[derive(Debug)]
pub struct MessagesRequest {
    /// What is asked.
    pub question: Question,
    /// How to answer.
    pub params: Params,
    /// Most tokens of the answer.
    pub max_tokens: usize,
    /// Whether the answer comes piece by piece.
    pub stream: bool,
}

/// The part of a request that makes its prompt.
#[derive(Debug)]
pub struct Question {
    /// The model that is asked.
    pub model: String,
    /// The conversation and its tools.
    pub chat: Chat,
    /// What the answer must look like.
    pub structured: Option<Spec>,
}

/// Turns of a conversation.
const MOST_MESSAGES: usize = 10_000;
/// Tools of a request.
const MOST_TOOLS: usize = 1024;
/// Texts that end an answer.
const MOST_STOPS: usize = 16;

impl Read for MessagesRequest {
    const NAME: &'static str = "MessagesRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let question = Question::read(fields)?;
        let max = fields.integer("max_tokens", 1..=MOST_TOKENS, "Most tokens of the answer.")?;
        let max_tokens = fields.require("max_tokens", max)?;
        let stream = fields.flag("stream", "Whether the answer comes as events.")?.unwrap_or(false);
        Ok(Self { question, params: read_params(fields, max_tokens)?, max_tokens, stream })
    }
}

impl Read for Question {
    const NAME: &'static str = "CountTokensRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let model = fields.text("model", "The model that is asked.")?;
        let model = fields.require("model", model)?;
        let chat = read_chat(fields)?;
        let (structured, effort) = read_output(fields)?;
        fields.unsupported("mcp_servers", json!([]))?;
        fields.unsupported("container", Value::Null)?;
        fields.without_effect(&[
            "metadata",
            "service_tier",
            "cache_control",
            "context_management",
            "diagnostics",
            "inference_geo",
            "speed",
            "user_profile_id",
            "workspace_id",
        ]);
        let mut question = Self { model, chat, structured };
        if let Some(effort) = effort {
            question.chat.variables.insert("reasoning_effort".into(), effort.into());
        }
        Ok(question)
    }
}

fn read_params(fields: &mut Fields, max_tokens: usize) -> Result<Params, ApiError> {
    // Clients must name a limit and name a high one; an answer that reaches the end of the context says so.
    let mut params = Params { max_tokens: Some(max_tokens), fit_context: true, ..Params::default() };
    if let Some(temperature) = fields.number("temperature", "0 always takes the likeliest token.")? {
        params.sampling.temperature = temperature;
    }
    if let Some(top_p) = fields.number("top_p", "Keep the likeliest tokens up to this share.")? {
        params.sampling.top_p = top_p;
    }
    let top_k = fields.integer("top_k", 0..=u32::MAX, "Keep the k likeliest tokens; 0: all.")?;
    params.sampling.top_k = top_k.unwrap_or(0);
    let stop = fields.texts("stop_sequences", 0..=MOST_STOPS, "Texts that end the answer.")?;
    params.stop = stop.unwrap_or_default();
    Ok(params)
}

fn read_chat(fields: &mut Fields) -> Result<Chat, ApiError> {
    let text = json!({"oneOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}]});
    let system = fields.any("system", text.clone(), "What the model is told before the conversation.");
    let turn = json!({"type": "object", "required": ["role", "content"], "properties": {
        "role": {"enum": ["user", "assistant", "system"]}, "content": text,
    }});
    let turns = fields.list("messages", 1..=MOST_MESSAGES, turn, "The conversation, oldest first.")?;
    let turns = fields.require("messages", turns)?;
    let mut chat = Chat::new(conversation(system, turns)?);
    // An answer that was begun is continued.
    chat.continue_final = chat.messages.last().is_some_and(|last| last.role() == Some("assistant"));
    chat.add_generation_prompt = !chat.continue_final;
    let tools = fields.objects("tools", 0..=MOST_TOOLS, "What the model may call.", read_tool)?;
    chat.tools = tools.unwrap_or_default();
    let choice = fields.object("tool_choice", "Whether and what it must call.", read_choice)?;
    if let Some((choice, parallel)) = choice {
        (chat.tool_choice, chat.parallel_tools) = (choice, parallel);
    }
    if let Some(thinking) = fields.object("thinking", "Whether the model reasons first.", read_thinking)? {
        chat.variables.insert("enable_thinking".into(), thinking.into());
    }
    Ok(chat)
}

fn read_tool(fields: &mut Fields) -> Result<Tool, ApiError> {
    let kind = fields.text("type", "`custom`; the tools that Anthropic runs itself are not here.")?;
    if let Some(kind) = kind.filter(|kind| kind != "custom") {
        let param = fields.path_of("type");
        let message = format!("`{param}`: this server has no tool of type `{}`", shown(&kind));
        return Err(ApiError::unsupported(param, message));
    }
    let name = fields.text("name", "Its name.")?;
    let name = fields.require("name", name)?;
    let description = fields.text("description", "What it does.")?;
    let schema = fields.map("input_schema", "The JSON schema of its input.")?;
    let schema = fields.require("input_schema", schema)?;
    // Every call follows its schema, whether `strict` or not.
    fields.without_effect(&[
        "strict",
        "cache_control",
        "input_examples",
        "defer_loading",
        "eager_input_streaming",
        "allowed_callers",
    ]);
    Ok(Tool { name, description, parameters: Value::Object(schema) })
}

#[derive(Clone, Copy)]
enum Choice {
    Auto,
    Any,
    Tool,
    None,
}

/// The choice, and whether several calls may come at once.
fn read_choice(fields: &mut Fields) -> Result<(ToolChoice, bool), ApiError> {
    let words = [("auto", Choice::Auto), ("any", Choice::Any), ("tool", Choice::Tool), ("none", Choice::None)];
    let kind = fields.word("type", &words, "How free the model is.")?;
    let kind = kind.ok_or_else(|| fields.wrong("type", "one of auto, any, tool, none", &Value::Null));
    let name = fields.text("name", "The tool that must be called, for `tool`.")?;
    let parallel = fields.flag("disable_parallel_tool_use", "At most one call.")? != Some(true);
    let choice = match kind? {
        Choice::Auto => ToolChoice::Auto,
        Choice::Any => ToolChoice::Required,
        Choice::Tool => ToolChoice::Named(fields.require("name", name)?),
        Choice::None => ToolChoice::None,
    };
    Ok((choice, parallel))
}

/// Whether the model reasons. How long it does is its own decision.
fn read_thinking(fields: &mut Fields) -> Result<bool, ApiError> {
    let words = [("enabled", true), ("adaptive", true), ("between_tools", true), ("disabled", false)];
    let thinks = fields.word("type", &words, "How free the model is.")?;
    fields.without_effect(&["budget_tokens", "display"]);
    thinks.ok_or_else(|| fields.wrong("type", "enabled, adaptive, between_tools or disabled", &Value::Null))
}

const EFFORTS: [(&str, &str); 5] =
    [("low", "low"), ("medium", "medium"), ("high", "high"), ("xhigh", "high"), ("max", "high")];

/// The form of the answer, and how much effort it is worth.
fn read_output(fields: &mut Fields) -> Result<(Option<Spec>, Option<&'static str>), ApiError> {
    // Its place before `output_config` was there.
    let earlier = fields.object("output_format", "The same as `output_config.format`.", read_format)?;
    let config = fields.object("output_config", "The form of the answer.", |config| {
        let effort = config.word("effort", &EFFORTS, "How much effort it is worth, for models that know efforts.")?;
        Ok((config.object("format", "What it must look like.", read_format)?, effort))
    })?;
    let (format, effort) = config.unwrap_or_default();
    let schema = format.or(earlier);
    Ok((schema.map(|schema| Spec::JsonSchema(Value::Object(schema))), effort))
}

fn read_format(fields: &mut Fields) -> Result<Map<String, Value>, ApiError> {
    fields.word("type", &[("json_schema", ())], "The one form there is.")?;
    let schema = fields.map("schema", "The JSON schema of the answer.")?;
    fields.require("schema", schema)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{fields, read};

    fn request(more: Value) -> Result<MessagesRequest, ApiError> {
        let mut body = json!({"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]});
        let Value::Object(more) = more else { panic!("an object") };
        body.as_object_mut().expect("an object").extend(more);
        read(body.to_string().as_bytes()).map(|(request, _)| request)
    }

    fn param(more: Value) -> String {
        request(more).expect_err("refused").param.expect("a param")
    }

    #[test]
    fn every_choice_of_tools_has_its_meaning() {
        let tools = json!([{"name": "f", "input_schema": {"type": "object"}, "cache_control": {"type": "ephemeral"}}]);
        let chat =
            |choice: Value| request(json!({"tools": tools, "tool_choice": choice})).expect("taken").question.chat;
        assert_eq!(chat(json!({"type": "auto"})).tool_choice, ToolChoice::Auto);
        assert_eq!(chat(json!({"type": "any"})).tool_choice, ToolChoice::Required);
        assert_eq!(chat(json!({"type": "none"})).tool_choice, ToolChoice::None);
        let named = chat(json!({"type": "tool", "name": "f", "disable_parallel_tool_use": true}));
        assert_eq!((named.tool_choice, named.parallel_tools), (ToolChoice::Named("f".into()), false));
        assert_eq!(param(json!({"tool_choice": {"type": "tool"}})), "tool_choice.name");
        assert_eq!(param(json!({"tool_choice": {}})), "tool_choice.type");
    }

    #[test]
    fn thinking_and_effort_reach_the_template() {
        let variables = |more: Value| Value::Object(request(more).expect("taken").question.chat.variables);
        assert_eq!(
            variables(json!({"thinking": {"type": "enabled", "budget_tokens": 1024}})),
            json!({"enable_thinking": true})
        );
        assert_eq!(variables(json!({"thinking": {"type": "disabled"}})), json!({"enable_thinking": false}));
        assert_eq!(variables(json!({"output_config": {"effort": "max"}})), json!({"reasoning_effort": "high"}));
        assert_eq!(variables(json!({})), json!({}));
    }

    #[test]
    fn a_schema_may_stand_in_either_place() {
        let schema = json!({"type": "json_schema", "schema": {"type": "object"}});
        let expected = Some(Spec::JsonSchema(json!({"type": "object"})));
        assert_eq!(request(json!({"output_config": {"format": schema}})).expect("taken").question.structured, expected);
        assert_eq!(request(json!({"output_format": schema})).expect("taken").question.structured, expected);
    }

    #[test]
    fn an_answer_that_was_begun_is_continued() {
        let turns = json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "The sum is"}]);
        let chat = request(json!({"messages": turns})).expect("taken").question.chat;
        assert!(chat.continue_final && !chat.add_generation_prompt);
    }

    #[test]
    fn wrong_fields_are_named() {
        assert_eq!(param(json!({"max_tokens": 0})), "max_tokens");
        assert_eq!(param(json!({"max_tokens": null})), "max_tokens");
        assert_eq!(param(json!({"messages": []})), "messages");
        assert_eq!(param(json!({"tools": [{"type": "web_search_20250305", "name": "web_search"}]})), "tools[0].type");
        assert_eq!(param(json!({"tools": [{"name": "f"}]})), "tools[0].input_schema");
        assert_eq!(param(json!({"mcp_servers": [{"url": "x"}]})), "mcp_servers");
        assert_eq!(param(json!({"output_config": {"format": {"type": "xml"}}})), "output_config.format.type");
    }

    #[test]
    fn requests_describe_themselves() {
        let schema = fields::schema::<MessagesRequest>();
        assert_eq!(schema["required"], json!(["model", "messages", "max_tokens"]));
        assert_eq!(schema["properties"]["tools"]["items"]["required"], json!(["name", "input_schema"]));
    }
}
