//! What requests of Ollama's API say.

use rocmforge_grammar::Spec;
use serde_json::{Value, json};

use super::messages::{conversation, refuse_images};
use crate::body::{Fields, Read};
use crate::error::ApiError;
use crate::generation::{Chat, MOST_TOKENS, Params, Tool};

/// A request to `/api/chat`.
#[derive(Debug)]
pub struct ChatRequest {
    /// The conversation; without messages the client only wants the model loaded.
    pub chat: Chat,
    /// What the answer must look like, and how it is made.
    pub common: Common,
}

/// A request to `/api/generate`.
#[derive(Debug)]
pub struct GenerateRequest {
    /// The prompt; an empty one asks for the model to be loaded.
    pub prompt: String,
    /// What the model is told before it.
    pub system: Option<String>,
    /// Whether the prompt is continued as it is.
    pub raw: bool,
    /// Variables of the chat template.
    pub variables: serde_json::Map<String, Value>,
    /// What the answer must look like, and how it is made.
    pub common: Common,
}

/// What both have.
#[derive(Debug, Default)]
pub struct Common {
    /// The model that is asked.
    pub model: String,
    /// How to generate.
    pub params: Params,
    /// The context that the client counts on.
    pub num_ctx: Option<usize>,
    /// What the answer must look like.
    pub structured: Option<Spec>,
    /// Whether the answer comes piece by piece.
    pub stream: bool,
    /// Whether the client wants the model unloaded.
    pub unload: bool,
}

/// Messages of a conversation.
const MOST_MESSAGES: usize = 10_000;
/// Tools of a request.
const MOST_TOOLS: usize = 1024;
/// Texts that end an answer.
const MOST_STOPS: usize = 16;

impl Read for ChatRequest {
    const NAME: &'static str = "OllamaChatRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let mut common = Common::read(fields)?;
        let turn = json!({"type": "object", "required": ["role"], "properties": {
            "role": {"enum": ["system", "user", "assistant", "tool"]}, "content": {"type": "string"},
        }});
        let turns = fields.list("messages", 0..=MOST_MESSAGES, turn, "The conversation, oldest first.")?;
        let mut chat = Chat::new(conversation(turns.unwrap_or_default())?);
        let tools = fields.objects("tools", 0..=MOST_TOOLS, "What the model may call.", read_tool)?;
        chat.tools = tools.unwrap_or_default();
        chat.variables = read_think(fields)?;
        common.structured = read_format(fields)?;
        Ok(Self { chat, common })
    }
}

impl Read for GenerateRequest {
    const NAME: &'static str = "OllamaGenerateRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let mut common = Common::read(fields)?;
        let prompt = fields.text("prompt", "What is continued or answered.")?.unwrap_or_default();
        let system = fields.text("system", "What the model is told before it.")?;
        let raw = fields.flag("raw", "Whether the prompt is continued as it is, without a chat template.")?;
        refuse_images("", fields.any("images", json!({"type": "array", "maxItems": 0}), "Not supported.").as_ref())?;
        fields.unsupported("suffix", "".into())?;
        fields.unsupported("template", "".into())?;
        fields.unsupported("context", json!([]))?;
        fields.without_effect(&["width", "height", "steps"]);
        common.structured = read_format(fields)?;
        let variables = read_think(fields)?;
        Ok(Self { prompt, system, raw: raw.unwrap_or(false), variables, common })
    }
}

impl Common {
    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let model = fields.text("model", "The model that is asked.")?;
        let model = fields.require("model", model)?;
        let stream = fields.flag("stream", "Whether the answer comes line by line; it does unless told.")?;
        let options = fields.object("options", "How to generate.", read_options)?;
        let (params, num_ctx) = options.unwrap_or_default();
        let alive = json!({"oneOf": [{"type": "string"}, {"type": "number"}]});
        let alive = fields.any("keep_alive", alive, "Accepted; the model stays loaded.");
        fields.unsupported("logprobs", false.into())?;
        fields.unsupported("top_logprobs", 0.into())?;
        let unload = alive.is_some_and(|alive| alive.as_f64() == Some(0.0) || alive.as_str() == Some("0"));
        Ok(Self { model, params, num_ctx, structured: None, stream: stream.unwrap_or(true), unload })
    }
}

/// Parameters of the answer, and the context that the client counts on.
fn read_options(fields: &mut Fields) -> Result<(Params, Option<usize>), ApiError> {
    // An answer may want more tokens than the context has left: it then ends there.
    let mut params = Params { fit_context: true, ..Params::default() };
    let sampling = &mut params.sampling;
    for (name, slot) in [
        ("temperature", &mut sampling.temperature),
        ("top_p", &mut sampling.top_p),
        ("min_p", &mut sampling.min_p),
        ("typical_p", &mut sampling.typical_p),
        ("repeat_penalty", &mut sampling.repetition_penalty),
        ("presence_penalty", &mut sampling.presence_penalty),
        ("frequency_penalty", &mut sampling.frequency_penalty),
    ] {
        if let Some(value) = fields.number(name, "As for every API of this server.")? {
            *slot = value;
        }
    }
    let top_k = fields.integer("top_k", -1..=i64::from(u32::MAX), "Keep the k likeliest tokens; 0 or -1: all.")?;
    sampling.top_k = top_k.map_or(0, |k| u32::try_from(k).unwrap_or(0));
    let seed = fields.integer("seed", i64::MIN..=i64::MAX, "The same seed gives the same answer.")?;
    sampling.seed = seed.map(i64::cast_unsigned);
    let last_n =
        fields.integer("repeat_last_n", -1..=i64::from(i32::MAX), "Tokens that penalties look at; -1: all.")?;
    sampling.penalty_last_n = last_n.and_then(|n| usize::try_from(n).ok());
    let most =
        fields.integer("num_predict", -2..=i64::from(i32::MAX), "Most tokens; negative: what the context holds.")?;
    params.max_tokens = most.and_then(|most| usize::try_from(most).ok());
    params.stop = fields.texts("stop", 0..=MOST_STOPS, "Texts that end the answer.")?.unwrap_or_default();
    fields.unsupported("mirostat", 0.into())?;
    let num_ctx = fields.integer("num_ctx", 1..=MOST_TOKENS, "The context that the client counts on.")?;
    // These are the operator's to decide, or exist no more.
    fields.without_effect(&[
        "embedding_only",
        "f16_kv",
        "logits_all",
        "low_vram",
        "main_gpu",
        "mirostat_eta",
        "mirostat_tau",
        "num_batch",
        "num_gpu",
        "num_keep",
        "num_thread",
        "numa",
        "penalize_newline",
        "tfs_z",
        "use_mlock",
        "use_mmap",
        "vocab_only",
    ]);
    Ok((params, num_ctx))
}

fn read_tool(fields: &mut Fields) -> Result<Tool, ApiError> {
    fields.word("type", &[("function", ())], "The one kind there is.")?;
    let tool = fields.object("function", "The function.", |function| {
        let name = function.text("name", "Its name.")?;
        let name = function.require("name", name)?;
        let description = function.text("description", "What it does.")?;
        let parameters = function.map("parameters", "The JSON schema of its arguments.")?;
        Ok(Tool { name, description, parameters: parameters.map_or(Value::Null, Value::Object) })
    })?;
    fields.require("function", tool)
}

/// What the template is told of the wish for reasoning.
fn read_think(fields: &mut Fields) -> Result<serde_json::Map<String, Value>, ApiError> {
    let schema = json!({"oneOf": [{"type": "boolean"}, {"enum": ["low", "medium", "high"]}]});
    let variables = match fields.any("think", schema, "Whether the model reasons first, or how much.") {
        None => json!({}),
        Some(Value::Bool(thinks)) => json!({"enable_thinking": thinks}),
        Some(Value::String(effort)) if ["low", "medium", "high"].contains(&effort.as_str()) => {
            json!({"enable_thinking": true, "reasoning_effort": effort})
        }
        Some(other) => return Err(fields.wrong("think", "true, false, low, medium or high", &other)),
    };
    Ok(variables.as_object().cloned().unwrap_or_default())
}

fn read_format(fields: &mut Fields) -> Result<Option<Spec>, ApiError> {
    let schema = json!({"oneOf": [{"enum": ["", "json"]}, {"type": "object"}]});
    match fields.any("format", schema, "`json`, or the JSON schema of the answer.") {
        None => Ok(None),
        Some(Value::String(word)) if word.is_empty() => Ok(None),
        Some(Value::String(word)) if word == "json" => Ok(Some(Spec::JsonObject)),
        Some(schema @ Value::Object(_)) => Ok(Some(Spec::JsonSchema(schema))),
        Some(other) => Err(fields.wrong("format", "`json` or a JSON schema", &other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::read;

    fn chat(more: Value) -> Result<ChatRequest, ApiError> {
        let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "Hi"}]});
        let Value::Object(more) = more else { panic!("an object") };
        body.as_object_mut().expect("an object").extend(more);
        read(body.to_string().as_bytes()).map(|(request, _)| request)
    }

    #[test]
    fn options_have_ollamas_names() {
        let options = json!({"temperature": 0.5, "top_k": 40, "num_predict": 7, "repeat_penalty": 1.1, "seed": -1,
            "stop": ["END"], "num_ctx": 2048, "num_thread": 8, "repeat_last_n": -1});
        let common = chat(json!({"options": options, "keep_alive": "5m"})).expect("taken").common;
        let sampling = &common.params.sampling;
        assert_eq!((sampling.temperature, sampling.top_k, sampling.repetition_penalty), (0.5, 40, 1.1));
        assert_eq!((sampling.seed, sampling.penalty_last_n), (Some(u64::MAX), None));
        assert_eq!((common.params.max_tokens, common.num_ctx), (Some(7), Some(2048)));
        assert_eq!(common.params.stop, ["END"]);
        assert!(common.stream && !common.unload);
        let all = chat(json!({"options": {"num_predict": -1, "top_k": -1}})).expect("taken").common.params;
        assert_eq!((all.max_tokens, all.sampling.top_k), (None, 0));
    }

    #[test]
    fn formats_and_thinking_are_read() {
        assert_eq!(chat(json!({"format": ""})).expect("taken").common.structured, None);
        assert_eq!(chat(json!({"format": "json"})).expect("taken").common.structured, Some(Spec::JsonObject));
        let schema = json!({"type": "object"});
        assert_eq!(chat(json!({"format": schema})).expect("taken").common.structured, Some(Spec::JsonSchema(schema)));
        let variables = chat(json!({"think": "low"})).expect("taken").chat.variables;
        assert_eq!(Value::Object(variables), json!({"enable_thinking": true, "reasoning_effort": "low"}));
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        let param = |more: Value| chat(more).expect_err("refused").param.expect("a param");
        assert_eq!(param(json!({"format": "xml"})), "format");
        assert_eq!(param(json!({"think": "much"})), "think");
        assert_eq!(param(json!({"options": {"mirostat": 2}})), "options.mirostat");
        assert_eq!(param(json!({"options": {"num_ctx": 0}})), "options.num_ctx");
        assert_eq!(param(json!({"tools": [{"type": "function"}]})), "tools[0].function");
        let generate = |body: Value| read::<GenerateRequest>(body.to_string().as_bytes()).expect_err("refused").param;
        assert_eq!(generate(json!({"model": "m", "prompt": "x", "images": ["AA=="]})).as_deref(), Some("images"));
        assert_eq!(generate(json!({"model": "m", "prompt": "x", "suffix": "y"})).as_deref(), Some("suffix"));
        assert_eq!(generate(json!({"prompt": "x"})).as_deref(), Some("model"));
    }
}
