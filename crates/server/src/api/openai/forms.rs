//! What OpenAI's APIs answer, for the OpenAPI document.

use serde_json::Value;

use crate::openapi::form::{count, flag, list, map, number, object, or_null, text, word};

fn usage() -> Value {
    object([
        ("prompt_tokens", count()),
        ("completion_tokens", count()),
        ("total_tokens", count()),
        ("prompt_tokens_details", object([("cached_tokens", count())])),
        ("completion_tokens_details", object([("reasoning_tokens", count())])),
    ])
}

fn answers(kind: &str, choice: Value) -> Value {
    object([
        ("id", text()),
        ("object", word(&[kind])),
        ("created", count()),
        ("model", text()),
        ("choices", list(choice)),
        ("usage", usage()),
    ])
}

fn finish_reason() -> Value {
    word(&["stop", "length", "tool_calls", "abort"])
}

/// `/v1/completions`.
pub fn completion() -> Value {
    let choice = object([
        ("index", count()),
        ("text", text()),
        ("logprobs", or_null(map())),
        ("finish_reason", finish_reason()),
        ("stop_reason", serde_json::json!({"type": ["string", "integer", "null"]})),
    ]);
    answers("text_completion", choice)
}

/// `/v1/chat/completions`.
pub fn chat_completion() -> Value {
    let message = object([("role", word(&["assistant"])), ("content", or_null(text())), ("refusal", or_null(text()))]);
    let choice = object([
        ("index", count()),
        ("message", message),
        ("logprobs", or_null(map())),
        ("finish_reason", finish_reason()),
    ]);
    answers("chat.completion", choice)
}

/// A prompt in tokens.
pub fn rendered() -> Value {
    object([
        ("request_id", text()),
        ("model", text()),
        ("prompt", text()),
        ("token_ids", list(count())),
        ("count", count()),
        ("sampling_params", map()),
    ])
}

/// `/v1/embeddings`.
pub fn embeddings() -> Value {
    let vector = serde_json::json!({"oneOf": [list(number()), text()]});
    let entry = object([("object", word(&["embedding"])), ("index", count()), ("embedding", vector)]);
    object([
        ("object", word(&["list"])),
        ("data", list(entry)),
        ("model", text()),
        ("usage", object([("prompt_tokens", count()), ("total_tokens", count())])),
    ])
}

/// One model.
pub fn model() -> Value {
    object([
        ("id", text()),
        ("object", word(&["model"])),
        ("created", count()),
        ("owned_by", text()),
        ("max_model_len", count()),
    ])
}

/// `/v1/models`.
pub fn models() -> Value {
    object([("object", word(&["list"])), ("data", list(model()))])
}

/// `/v1/responses`.
pub fn response() -> Value {
    object([
        ("id", text()),
        ("object", word(&["response"])),
        ("created_at", count()),
        ("status", word(&["in_progress", "completed", "incomplete", "failed", "cancelled"])),
        ("model", text()),
        ("output", list(object([("id", text()), ("type", word(&["message", "reasoning", "function_call"]))]))),
        ("error", or_null(object([("code", text()), ("message", text())]))),
        ("usage", or_null(object([("input_tokens", count()), ("output_tokens", count()), ("total_tokens", count())]))),
    ])
}

/// A response that was forgotten.
pub fn deleted() -> Value {
    object([("id", text()), ("object", word(&["response"])), ("deleted", flag())])
}
