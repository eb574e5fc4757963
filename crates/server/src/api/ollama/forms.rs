//! What Ollama's API answers, for the OpenAPI document.

use serde_json::Value;

use crate::openapi::form::{count, flag, list, map, number, object, text, word};

/// `/api/chat`, as a whole.
pub fn chat() -> Value {
    let message = object([("role", word(&["assistant"])), ("content", text())]);
    object([("model", text()), ("created_at", text()), ("message", message), ("done", flag()), ("done_reason", text())])
}

/// `/api/generate`, as a whole.
pub fn generated() -> Value {
    object([("model", text()), ("created_at", text()), ("response", text()), ("done", flag()), ("done_reason", text())])
}

/// `/api/embed`.
pub fn vectors() -> Value {
    object([
        ("model", text()),
        ("embeddings", list(list(number()))),
        ("total_duration", count()),
        ("load_duration", count()),
        ("prompt_eval_count", count()),
    ])
}

/// `/api/embeddings`.
pub fn vector() -> Value {
    object([("embedding", list(number()))])
}

/// `/api/tags` and `/api/ps`.
pub fn models() -> Value {
    let entry = object([
        ("name", text()),
        ("model", text()),
        ("modified_at", text()),
        ("size", count()),
        ("digest", text()),
        ("details", details()),
    ]);
    object([("models", list(entry))])
}

/// `/api/show`.
pub fn shown() -> Value {
    object([
        ("license", text()),
        ("template", text()),
        ("details", details()),
        ("model_info", map()),
        ("capabilities", list(text())),
        ("modified_at", text()),
    ])
}

fn details() -> Value {
    object([
        ("format", text()),
        ("family", text()),
        ("families", list(text())),
        ("parameter_size", text()),
        ("quantization_level", text()),
    ])
}

/// `/api/version`.
pub fn version() -> Value {
    object([("version", text())])
}
