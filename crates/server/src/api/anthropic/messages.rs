//! From Anthropic's turns of content blocks to messages as chat templates read them.

use rocmforge_chat::Message;
use serde_json::{Map, Value, json};

use crate::body::fields::wrong;
use crate::error::{ApiError, shown};

/// A conversation's messages: those of `system` and of `turns`.
///
/// Turns of the same role in a row are one turn. A user's turn becomes one message for each
/// tool result and one for its text; an assistant's becomes one message with its text, its
/// calls and its reasoning.
///
/// # Errors
/// 400 that names the block, for blocks of the wrong shape and of kinds that no text model reads.
pub fn conversation(system: Option<Value>, turns: Vec<Value>) -> Result<Vec<Message>, ApiError> {
    let mut messages = Vec::with_capacity(turns.len() + 1);
    if let Some(system) = system {
        messages.push(Message::system(texts("system", system)?));
    }
    for (i, turn) in turns.into_iter().enumerate() {
        let path = format!("messages[{i}]");
        let Value::Object(mut turn) = turn else { return Err(wrong(&path, "an object", &turn)) };
        let content = turn.remove("content").unwrap_or_default();
        let path_of_content = format!("{path}.content");
        let next = match turn.get("role").and_then(Value::as_str) {
            Some("user") => user(&path_of_content, content)?,
            Some("assistant") => vec![assistant(&path_of_content, content)?],
            Some("system") => vec![Message::system(texts(&path_of_content, content)?)],
            _ => {
                let role = turn.get("role").unwrap_or(&Value::Null);
                return Err(wrong(&format!("{path}.role"), "user or assistant", role));
            }
        };
        for message in next {
            push(&mut messages, message);
        }
    }
    Ok(messages)
}

/// Adds a message; plain text of the same role as the last message continues that one.
fn push(messages: &mut Vec<Message>, message: Message) {
    if let Some(last) = messages.last_mut()
        && is_plain(last)
        && is_plain(&message)
        && last.role() == message.role()
    {
        let joined = [last.text(), message.text()].into_iter().flatten().collect::<Vec<_>>().join("\n\n");
        *last = std::mem::take(last).with("content", joined);
    } else {
        messages.push(message);
    }
}

/// Whether a message is a role and a text and nothing else.
fn is_plain(message: &Message) -> bool {
    message.fields().len() == 2 && message.role() != Some("system")
}

fn user(path: &str, content: Value) -> Result<Vec<Message>, ApiError> {
    let mut messages = Vec::new();
    for (path, block) in blocks(path, content)? {
        let message = match block.kind(&path)? {
            "text" => Message::user(block.text(&path, "text")?),
            "tool_result" => {
                let id = block.text(&path, "tool_use_id")?;
                let path = format!("{path}.content");
                let result =
                    block.0.get("content").cloned().map_or(Ok(String::new()), |result| texts(&path, result))?;
                Message::tool(&id, result)
            }
            kind => return Err(unreadable(&path, kind)),
        };
        push(&mut messages, message);
    }
    Ok(messages)
}

fn assistant(path: &str, content: Value) -> Result<Message, ApiError> {
    let (mut text, mut reasoning, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    for (path, block) in blocks(path, content)? {
        match block.kind(&path)? {
            "text" => text.push(block.text(&path, "text")?),
            "thinking" => reasoning.push(block.text(&path, "thinking")?),
            // Nobody but its maker can read it.
            "redacted_thinking" => {}
            "tool_use" => calls.push(json!({
                "id": block.text(&path, "id")?,
                "type": "function",
                "function": {"name": block.text(&path, "name")?, "arguments": block.object(&path, "input")?},
            })),
            kind => return Err(unreadable(&path, kind)),
        }
    }
    let mut message = Message::assistant(text.join("\n\n"));
    if !reasoning.is_empty() {
        message = message.with("reasoning_content", reasoning.join("\n\n"));
    }
    if !calls.is_empty() {
        message = message.with("tool_calls", calls);
    }
    Ok(message)
}

/// Text that is given as such or as a list of text blocks.
fn texts(path: &str, content: Value) -> Result<String, ApiError> {
    let text = |(path, block): (String, Block)| match block.kind(&path)? {
        "text" => block.text(&path, "text"),
        kind => Err(unreadable(&path, kind)),
    };
    let texts: Vec<String> = blocks(path, content)?.into_iter().map(text).collect::<Result<_, _>>()?;
    Ok(texts.join("\n\n"))
}

/// One content block.
struct Block(Map<String, Value>);

impl Block {
    fn kind(&self, path: &str) -> Result<&str, ApiError> {
        let kind = self.0.get("type").unwrap_or(&Value::Null);
        kind.as_str().ok_or_else(|| wrong(&format!("{path}.type"), "the kind of a content block", kind))
    }

    fn text(&self, path: &str, field: &str) -> Result<String, ApiError> {
        let value = self.0.get(field).unwrap_or(&Value::Null);
        value.as_str().map(str::to_owned).ok_or_else(|| wrong(&format!("{path}.{field}"), "a string", value))
    }

    fn object(&self, path: &str, field: &str) -> Result<Value, ApiError> {
        let value = self.0.get(field).unwrap_or(&Value::Null);
        if value.is_object() { Ok(value.clone()) } else { Err(wrong(&format!("{path}.{field}"), "an object", value)) }
    }
}

/// Content as blocks, each with where it stands; text is one block.
fn blocks(path: &str, content: Value) -> Result<Vec<(String, Block)>, ApiError> {
    let list = match content {
        Value::String(text) => vec![json!({"type": "text", "text": text})],
        Value::Array(list) => list,
        other => return Err(wrong(path, "a string or a list of content blocks", &other)),
    };
    let block = |(i, value)| match value {
        Value::Object(fields) => Ok((format!("{path}[{i}]"), Block(fields))),
        other => Err(wrong(&format!("{path}[{i}]"), "a content block", &other)),
    };
    list.into_iter().enumerate().map(block).collect()
}

fn unreadable(path: &str, kind: &str) -> ApiError {
    let message = format!("`{path}`: this model reads text, and no block of kind `{}`", shown(kind));
    ApiError::unsupported(path, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(system: Value, turns: Value) -> Result<Value, ApiError> {
        let Value::Array(turns) = turns else { panic!("a list") };
        let system = Some(system).filter(|system| !system.is_null());
        conversation(system, turns).map(|messages| serde_json::to_value(messages).expect("messages are JSON"))
    }

    #[test]
    fn text_is_text_however_it_is_given() {
        let expected = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]);
        assert_eq!(read(json!("Be brief."), json!([{"role": "user", "content": "Hi"}])), Ok(expected.clone()));
        let block = |text: &str| json!([{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]);
        assert_eq!(read(block("Be brief."), json!([{"role": "user", "content": block("Hi")}])), Ok(expected));
    }

    #[test]
    fn a_call_and_its_result_become_messages_of_their_own() {
        let turns = json!([
            {"role": "user", "content": "Weather in Oslo?"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Ask the tool.", "signature": "s"},
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "t1", "name": "get_weather", "input": {"city": "Oslo"}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "rain"}]},
                {"type": "text", "text": "And tomorrow?"},
            ]},
        ]);
        let expected = json!([
            {"role": "user", "content": "Weather in Oslo?"},
            {"role": "assistant", "content": "Let me look.", "reasoning_content": "Ask the tool.", "tool_calls": [
                {"id": "t1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}},
            ]},
            {"role": "tool", "content": "rain", "tool_call_id": "t1"},
            {"role": "user", "content": "And tomorrow?"},
        ]);
        assert_eq!(read(Value::Null, turns), Ok(expected));
    }

    #[test]
    fn turns_of_one_role_in_a_row_are_one() {
        let turns =
            json!([{"role": "user", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}]);
        assert_eq!(read(Value::Null, turns), Ok(json!([{"role": "user", "content": "a\n\nb"}])));
    }

    #[test]
    fn what_no_text_model_reads_is_refused_by_name() {
        let param = |content: Value| {
            let error = read(Value::Null, json!([{"role": "user", "content": content}])).expect_err("refused");
            assert_eq!(error.status, 400);
            error.param.expect("a param")
        };
        let image = json!({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}});
        assert_eq!(param(json!([{"type": "text", "text": "x"}, image])), "messages[0].content[1]");
        assert_eq!(
            param(json!([{"type": "tool_result", "tool_use_id": "t", "content": [image]}])),
            "messages[0].content[0].content[0]"
        );
        assert_eq!(param(json!([{"type": "text"}])), "messages[0].content[0].text");
        assert_eq!(param(json!([{"text": "x"}])), "messages[0].content[0].type");
        assert_eq!(param(json!(7)), "messages[0].content");
        assert_eq!(
            read(Value::Null, json!([{"role": "robot", "content": "x"}])).expect_err("refused").param.as_deref(),
            Some("messages[0].role")
        );
    }
}
