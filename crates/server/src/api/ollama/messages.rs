//! From Ollama's messages to messages as chat templates read them.

use std::collections::VecDeque;

use rocmforge_chat::Message;
use serde_json::{Map, Value, json};

use crate::body::fields::wrong;
use crate::error::ApiError;

/// The messages of a conversation.
///
/// Ollama's calls have no ids and its results name at most the tool, so that calls get ids
/// in order and each result answers the oldest call that none answered.
///
/// # Errors
/// 400 that names the field, for messages of the wrong shape and for images.
pub fn conversation(turns: Vec<Value>) -> Result<Vec<Message>, ApiError> {
    let mut calls = Calls::default();
    let message = |(i, turn)| message(&format!("messages[{i}]"), turn, &mut calls);
    turns.into_iter().enumerate().map(message).collect()
}

/// Ids of the calls so far.
#[derive(Default)]
struct Calls {
    made: usize,
    unanswered: VecDeque<String>,
}

impl Calls {
    fn made(&mut self) -> String {
        let id = format!("call_{}", self.made);
        self.made += 1;
        self.unanswered.push_back(id.clone());
        id
    }
}

fn message(path: &str, turn: Value, calls: &mut Calls) -> Result<Message, ApiError> {
    let Value::Object(turn) = turn else { return Err(wrong(path, "an object", &turn)) };
    refuse_images(path, turn.get("images"))?;
    let content = text(path, &turn, "content")?.unwrap_or_default();
    let role = turn.get("role").unwrap_or(&Value::Null);
    match role.as_str() {
        Some(role @ ("system" | "user")) => Ok(Message::new(role, content)),
        Some("assistant") => assistant(path, &turn, content, calls),
        Some("tool") => {
            let id = calls.unanswered.pop_front().unwrap_or_default();
            let message = Message::tool(&id, content);
            Ok(match text(path, &turn, "tool_name")? {
                Some(name) => message.with("name", name),
                None => message,
            })
        }
        _ => Err(wrong(&format!("{path}.role"), "system, user, assistant or tool", role)),
    }
}

fn assistant(path: &str, turn: &Map<String, Value>, content: String, calls: &mut Calls) -> Result<Message, ApiError> {
    let mut message = Message::assistant(content);
    if let Some(thinking) = text(path, turn, "thinking")? {
        message = message.with("reasoning_content", thinking);
    }
    let path = format!("{path}.tool_calls");
    match turn.get("tool_calls") {
        None | Some(Value::Null) => Ok(message),
        Some(Value::Array(list)) => {
            let list = list.iter().enumerate().map(|(i, call)| tool_call(&format!("{path}[{i}]"), call, calls.made()));
            let list: Vec<Value> = list.collect::<Result<_, _>>()?;
            Ok(if list.is_empty() { message } else { message.with("tool_calls", list) })
        }
        Some(other) => Err(wrong(&path, "a list", other)),
    }
}

fn tool_call(path: &str, call: &Value, id: String) -> Result<Value, ApiError> {
    let function = |field: &str| call.get("function").and_then(|function| function.get(field)).unwrap_or(&Value::Null);
    let (name, arguments) = (function("name"), function("arguments"));
    if !name.is_string() {
        return Err(wrong(&format!("{path}.function.name"), "a string", name));
    }
    if !arguments.is_object() {
        return Err(wrong(&format!("{path}.function.arguments"), "an object", arguments));
    }
    Ok(json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}))
}

/// # Errors
/// 400 where there are any.
pub fn refuse_images(path: &str, images: Option<&Value>) -> Result<(), ApiError> {
    match images {
        None | Some(Value::Null) => Ok(()),
        Some(Value::Array(list)) if list.is_empty() => Ok(()),
        Some(_) => {
            let path = if path.is_empty() { "images".to_owned() } else { format!("{path}.images") };
            let message = format!("`{path}`: this model reads text, and no images");
            Err(ApiError::unsupported(path, message))
        }
    }
}

fn text(path: &str, turn: &Map<String, Value>, field: &str) -> Result<Option<String>, ApiError> {
    match turn.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(wrong(&format!("{path}.{field}"), "a string", other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(turns: Value) -> Result<Value, ApiError> {
        let Value::Array(turns) = turns else { panic!("a list") };
        conversation(turns).map(|messages| serde_json::to_value(messages).expect("messages are JSON"))
    }

    #[test]
    fn results_answer_calls_in_order() {
        let call = |city: &str| json!({"function": {"name": "get_weather", "arguments": {"city": city}}});
        let made = |id: &str, city: &str| json!({"id": id, "type": "function", "function": {"name": "get_weather", "arguments": {"city": city}}});
        let turns = json!([
            {"role": "user", "content": "Weather in Oslo and Rome?"},
            {"role": "assistant", "thinking": "Two calls.", "tool_calls": [call("Oslo"), call("Rome")]},
            {"role": "tool", "tool_name": "get_weather", "content": "rain"},
            {"role": "tool", "content": "sun"},
        ]);
        let expected = json!([
            {"role": "user", "content": "Weather in Oslo and Rome?"},
            {"role": "assistant", "content": "", "reasoning_content": "Two calls.", "tool_calls": [made("call_0", "Oslo"), made("call_1", "Rome")]},
            {"role": "tool", "content": "rain", "tool_call_id": "call_0", "name": "get_weather"},
            {"role": "tool", "content": "sun", "tool_call_id": "call_1"},
        ]);
        assert_eq!(read(turns), Ok(expected));
    }

    #[test]
    fn wrong_shapes_are_refused_by_name() {
        let param = |turn: Value| read(json!([turn])).expect_err("refused").param.expect("a param");
        assert_eq!(param(json!("hi")), "messages[0]");
        assert_eq!(param(json!({"role": "robot", "content": ""})), "messages[0].role");
        assert_eq!(param(json!({"role": "user", "content": ["x"]})), "messages[0].content");
        assert_eq!(param(json!({"role": "user", "content": "x", "images": ["AA=="]})), "messages[0].images");
        assert_eq!(param(json!({"role": "assistant", "tool_calls": {}})), "messages[0].tool_calls");
        let call = json!({"function": {"name": "f", "arguments": "{}"}});
        assert_eq!(
            param(json!({"role": "assistant", "tool_calls": [call]})),
            "messages[0].tool_calls[0].function.arguments"
        );
    }
}
