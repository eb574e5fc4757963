//! What is answered: the parts of a message that do not depend on how it is sent.

use rocmforge_engine::StopMatch;
use serde_json::{Value, json};
use uuid::Uuid;

use super::events::SIGNATURE;
use crate::generation::{Answer, Finish, Usage};
use crate::openapi::form::{count, list, object, or_null, text, word};

/// An id of ours with a prefix that says of what.
pub fn id(prefix: &str) -> String {
    format!("{prefix}_{}", Uuid::new_v4().simple())
}

/// A message without content, as streams begin.
pub fn empty_message(id: &str, model: &str, usage: &Usage) -> Value {
    json!({
        "id": id,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": null,
        "stop_sequence": null,
        "usage": usage_of(usage),
    })
}

/// A whole message.
pub fn message(model: &str, answer: &Answer, usage: &Usage, max_tokens: usize) -> Value {
    let mut message = empty_message(&id("msg"), model, usage);
    let (reason, sequence) = stop_of(answer.finish, answer.stop.as_ref(), usage, max_tokens);
    message["content"] = content(answer).into();
    message["stop_reason"] = reason.into();
    message["stop_sequence"] = sequence.into();
    message
}

/// What a whole message looks like, for the OpenAPI document.
pub fn form() -> Value {
    let usage = ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"];
    object([
        ("id", text()),
        ("type", word(&["message"])),
        ("role", word(&["assistant"])),
        ("model", text()),
        ("content", list(object([("type", word(&["thinking", "text", "tool_use"]))]))),
        ("stop_reason", text()),
        ("stop_sequence", or_null(text())),
        ("usage", object(usage.map(|name| (name, count())))),
    ])
}

fn content(answer: &Answer) -> Vec<Value> {
    let mut blocks = Vec::new();
    if !answer.reasoning.is_empty() {
        blocks.push(json!({"type": "thinking", "thinking": answer.reasoning, "signature": SIGNATURE}));
    }
    if !answer.text.is_empty() {
        blocks.push(json!({"type": "text", "text": answer.text}));
    }
    blocks.extend(answer.calls.iter().map(|call| {
        let input: Value = serde_json::from_str(&call.arguments).unwrap_or_default();
        json!({"type": "tool_use", "id": call.id, "name": call.name, "input": input})
    }));
    blocks
}

/// Tokens that were cached are counted apart.
pub fn usage_of(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens.saturating_sub(usage.cached_tokens),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    })
}

/// Why an answer ended, and the sequence that ended it.
pub fn stop_of<'a>(
    finish: Finish,
    stop: Option<&'a StopMatch>,
    usage: &Usage,
    max_tokens: usize,
) -> (&'static str, Option<&'a str>) {
    match (finish, stop) {
        (Finish::Stop, Some(StopMatch::Text(text))) => ("stop_sequence", Some(text)),
        (Finish::ToolCalls, _) => ("tool_use", None),
        (Finish::Length, _) if usage.completion_tokens < max_tokens => ("model_context_window_exceeded", None),
        (Finish::Length, _) => ("max_tokens", None),
        (Finish::Stop | Finish::Cancelled, _) => ("end_turn", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_its_word() {
        let usage = Usage { completion_tokens: 5, ..Usage::default() };
        let text = StopMatch::Text("END".into());
        assert_eq!(stop_of(Finish::Stop, None, &usage, 9), ("end_turn", None));
        assert_eq!(stop_of(Finish::Stop, Some(&text), &usage, 9), ("stop_sequence", Some("END")));
        assert_eq!(stop_of(Finish::ToolCalls, None, &usage, 9), ("tool_use", None));
        assert_eq!(stop_of(Finish::Length, None, &usage, 5), ("max_tokens", None));
        assert_eq!(stop_of(Finish::Length, None, &usage, 9), ("model_context_window_exceeded", None));
    }

    #[test]
    fn cached_tokens_are_counted_once() {
        let usage = Usage { prompt_tokens: 10, cached_tokens: 8, completion_tokens: 3, ..Usage::default() };
        let written = usage_of(&usage);
        assert_eq!((&written["input_tokens"], &written["cache_read_input_tokens"]), (&json!(2), &json!(8)));
    }
}
