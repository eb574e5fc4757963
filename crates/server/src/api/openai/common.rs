//! Fields and objects that OpenAI's APIs share.

use std::time::{SystemTime, UNIX_EPOCH};

use rocmforge_engine::StopMatch;
use rocmforge_grammar::Spec;
use serde_json::{Value, json};

use crate::body::Fields;
use crate::error::{ApiError, ErrorKind, Family};
use crate::generation::{Encoded, Finish, Params, Usage};
use crate::stream::Frames;

/// What completions and chat completions have in common.
#[derive(Debug, Clone, Default)]
pub struct Common {
    /// The model that is asked for.
    pub model: Option<String>,
    /// How to generate.
    pub params: Params,
    /// What the answer must look like.
    pub structured: Option<Spec>,
    /// Whether the answer comes in pieces.
    pub stream: StreamOptions,
    /// How tokens are reported.
    pub report: Report,
}

/// How an answer is streamed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StreamOptions {
    /// Whether it is.
    pub is_on: bool,
    /// A last event tells the counts.
    pub include_usage: bool,
    /// Each event does.
    pub continuous_usage: bool,
}

/// How tokens are reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// The ids of prompt and answer come along.
    pub token_ids: bool,
    /// Tokens are named by id.
    pub tokens_as_ids: bool,
}

impl Common {
    /// Takes the fields.
    ///
    /// # Errors
    /// 400 that names the field.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let model = fields.text("model", "Name of the model; without it, the one that is served.")?;
        let mut params = Params::read(fields)?;
        params.n = fields.integer("n", 1..=u32::from(u16::MAX), "Answers a prompt.")?.unwrap_or(1);
        let structured = super::format::read(fields)?;
        let stream = StreamOptions::read(fields)?;
        let report = Report {
            token_ids: fields.flag("return_token_ids", "Whether token ids are reported.")?.unwrap_or(false),
            tokens_as_ids: fields
                .flag("return_tokens_as_token_ids", "Whether tokens are named by id.")?
                .unwrap_or(false),
        };
        if stream.is_on && params.prompt_logprobs.is_some() {
            let message = "`prompt_logprobs` cannot be streamed: leave `stream` out";
            return Err(ApiError::unsupported("prompt_logprobs", message));
        }
        unsupported(fields)?;
        fields.without_effect(&[
            "user",
            "metadata",
            "store",
            "service_tier",
            "prompt_cache_key",
            "prompt_cache_retention",
            "safety_identifier",
            "request_id",
            "spaces_between_special_tokens",
        ]);
        Ok(Self { model, params, structured, stream, report })
    }
}

impl StreamOptions {
    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let is_on =
            fields.flag("stream", "Whether the answer comes in pieces, as server-sent events.")?.unwrap_or(false);
        let options = fields.object("stream_options", "Only with `stream`.", |options| {
            let include_usage = options.flag("include_usage", "Whether a last event tells the token counts.")?;
            let continuous = options.flag("continuous_usage_stats", "Whether each event tells them.")?;
            options.without_effect(&["include_obfuscation"]);
            Ok((include_usage.unwrap_or(false), continuous.unwrap_or(false)))
        })?;
        if options.is_some() && !is_on {
            return Err(ApiError::field("stream_options", "`stream_options` needs `stream` to be true"));
        }
        let (include_usage, continuous_usage) = options.unwrap_or_default();
        Ok(Self { is_on, include_usage, continuous_usage })
    }
}

/// Fields that would change the answer if they did anything.
fn unsupported(fields: &mut Fields) -> Result<(), ApiError> {
    for (name, nothing) in [
        ("use_beam_search", json!(false)),
        ("length_penalty", json!(1.0)),
        ("truncation_side", json!("left")),
        ("repetition_detection", Value::Null),
        ("thinking_token_budget", Value::Null),
        ("kv_transfer_params", Value::Null),
        ("vllm_xargs", Value::Null),
        ("mm_processor_kwargs", Value::Null),
        ("media_io_kwargs", Value::Null),
        ("logits_processors", Value::Null),
    ] {
        fields.unsupported(name, nothing)?;
    }
    Ok(())
}

/// What stands at the head of each object of an answer.
#[derive(Debug, Clone)]
pub struct Head {
    /// The name of the answer.
    pub id: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// The name of the model.
    pub model: String,
}

impl Head {
    /// An object with these choices.
    pub fn body(&self, object: &str, choices: Value, usage: Value) -> Value {
        let mut body = self.chunk(object, choices);
        body["usage"] = usage;
        body
    }

    /// An object of a stream with these choices.
    pub fn chunk(&self, object: &str, choices: Value) -> Value {
        json!({"id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices})
    }
}

/// The objects of one stream.
pub(super) struct Chunks {
    pub head: Head,
    /// What each is called.
    pub object: &'static str,
    pub stream: StreamOptions,
}

impl Chunks {
    /// Writes a piece of an answer, with the counts so far where they are asked for.
    pub fn write(&self, choice: Value, usage: &Usage, out: &mut Frames) {
        let mut chunk = self.head.chunk(self.object, json!([choice]));
        if self.stream.continuous_usage {
            chunk["usage"] = self::usage(usage);
        } else if self.stream.include_usage {
            chunk["usage"] = Value::Null;
        }
        out.data(&chunk);
    }

    /// Ends a stream that went well.
    pub fn close(&self, usage: &Usage, out: &mut Frames) {
        if self.stream.include_usage {
            out.data(&self.head.body(self.object, json!([]), self::usage(usage)));
        }
        out.word("[DONE]");
    }

    /// Ends a stream that broke off.
    pub fn fail(&self, error: &ApiError, out: &mut Frames) {
        out.event("error", &stream_error(error));
    }
}

/// A prompt in tokens, as routers ask for it.
pub fn rendered(model: &str, encoded: &Encoded, params: &Params) -> Value {
    json!({
        "request_id": new_id("render"),
        "model": model,
        "prompt": encoded.text,
        "token_ids": encoded.tokens,
        "count": encoded.tokens.len(),
        "sampling_params": {
            "n": params.n,
            "max_tokens": params.max_tokens,
            "temperature": params.sampling.temperature,
            "top_p": params.sampling.top_p,
            "seed": params.sampling.seed.map(u64::cast_signed),
        },
    })
}

/// The counts, as OpenAI writes them.
pub fn usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    })
}

/// The word for an end.
pub fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "stop",
        Finish::Length => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Cancelled => "abort",
    }
}

/// What of the request ended an answer: a token id, a text, or nothing.
pub fn stop_reason(stop: Option<&StopMatch>) -> Value {
    match stop {
        Some(StopMatch::Token(token)) => (*token).into(),
        Some(StopMatch::Text(text)) => text.as_str().into(),
        None => Value::Null,
    }
}

/// An error within a stream.
pub fn stream_error(error: &ApiError) -> Value {
    let mut body = error.body(Family::OpenAi);
    if error.kind == ErrorKind::Server {
        body["error"]["status"] = error.status.as_u16().into();
    }
    body
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// A name that nothing else has.
pub fn new_id(prefix: &str) -> String {
    format!("{prefix}-{}", uuid::Uuid::new_v4().simple())
}
