//! The items of an input as messages.

use rocmforge_chat::Message;
use serde_json::{Value, json};

use super::super::messages::text_of;
use crate::body::fields::wrong;
use crate::error::ApiError;

/// Items of an input.
const MOST_ITEMS: usize = 10_000;

/// The messages of `input`: a text, or a list of items.
pub(super) fn messages(input: Value) -> Result<Vec<Message>, ApiError> {
    let items = match input {
        Value::String(text) => return Ok(vec![Message::user(text)]),
        Value::Array(items) if (1..=MOST_ITEMS).contains(&items.len()) => items,
        other => return Err(wrong("input", &format!("a string or a list of 1 to {MOST_ITEMS} items"), &other)),
    };
    let mut messages = Vec::new();
    for (i, item) in items.into_iter().enumerate() {
        add(&format!("input[{i}]"), item, &mut messages)?;
    }
    Ok(messages)
}

fn add(path: &str, item: Value, messages: &mut Vec<Message>) -> Result<(), ApiError> {
    let kind = match item.get("type") {
        None | Some(Value::Null) => "message",
        Some(kind) => kind.as_str().unwrap_or_default(),
    };
    match kind {
        "message" => messages.push(message(path, &item)?),
        "function_call" => call(path, &item, messages)?,
        "function_call_output" => {
            let output = content(&format!("{path}.output"), item.get("output"))?;
            messages.push(Message::tool(&text(path, &item, "call_id")?, output));
        }
        "reasoning" => {}
        _ => {
            let param = format!("{path}.type");
            let expected = "message, function_call, function_call_output or reasoning";
            return Err(wrong(&param, expected, item.get("type").unwrap_or(&Value::Null)));
        }
    }
    Ok(())
}

fn text(path: &str, item: &Value, field: &str) -> Result<String, ApiError> {
    match item.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        other => Err(wrong(&format!("{path}.{field}"), "a string", other.unwrap_or(&Value::Null))),
    }
}

fn message(path: &str, item: &Value) -> Result<Message, ApiError> {
    let role = match item.get("role").and_then(Value::as_str) {
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some("system" | "developer") => "system",
        _ => {
            let found = item.get("role").unwrap_or(&Value::Null);
            return Err(wrong(&format!("{path}.role"), "user, assistant, system or developer", found));
        }
    };
    Ok(Message::new(role, content(&format!("{path}.content"), item.get("content"))?))
}

/// A text, or parts of one.
fn content(path: &str, content: Option<&Value>) -> Result<String, ApiError> {
    match content {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) if !parts.is_empty() => {
            let texts = parts.iter().enumerate().map(|(i, part)| text_of(&format!("{path}[{i}]"), part.clone()));
            Ok(texts.collect::<Result<Vec<_>, _>>()?.join("\n"))
        }
        other => Err(wrong(path, "a string or a list of text parts", other.unwrap_or(&Value::Null))),
    }
}

/// Calls belong to the assistant's message before them, if there is one.
fn call(path: &str, item: &Value, messages: &mut Vec<Message>) -> Result<(), ApiError> {
    let id = text(path, item, "call_id")?;
    let function = json!({"name": text(path, item, "name")?, "arguments": text(path, item, "arguments")?});
    let call = json!({"id": id, "type": "function", "function": function});
    let message = match messages.pop() {
        Some(last) if last.role() == Some("assistant") => last,
        Some(other) => {
            messages.push(other);
            Message::assistant("")
        }
        None => Message::assistant(""),
    };
    let mut calls = message.get("tool_calls").and_then(Value::as_array).cloned().unwrap_or_default();
    calls.push(call);
    messages.push(message.with("tool_calls", calls));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_become_messages() {
        let items = json!([
            {"role": "user", "content": [{"type": "input_text", "text": "hi"}]},
            {"type": "reasoning", "summary": []},
            {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
            {"type": "function_call", "call_id": "2", "name": "g", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "1", "output": "yes"},
        ]);
        let read = messages(items).expect("valid");
        assert_eq!(read.len(), 3);
        assert_eq!(read[0], Message::user("hi"));
        assert_eq!(read[1].get("tool_calls").and_then(Value::as_array).map(Vec::len), Some(2));
        assert_eq!(read[2], Message::tool("1", "yes"));
        assert_eq!(messages(json!("text")), Ok(vec![Message::user("text")]));
    }

    #[test]
    fn other_items_are_refused() {
        for (input, param) in [
            (json!([]), "input"),
            (json!(5), "input"),
            (json!([{"type": "item_reference", "id": "x"}]), "input[0].type"),
            (json!([{"role": "robot", "content": "x"}]), "input[0].role"),
            (json!([{"role": "user", "content": []}]), "input[0].content"),
            (
                json!([{"role": "user", "content": [{"type": "input_image", "image_url": "http://x"}]}]),
                "input[0].content[0]",
            ),
            (json!([{"type": "function_call", "name": "f"}]), "input[0].call_id"),
        ] {
            assert_eq!(messages(input.clone()).expect_err("refused").param.as_deref(), Some(param), "{input}");
        }
    }
}
