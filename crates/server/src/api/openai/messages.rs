//! Messages, tools and the choice of a tool.

use rocmforge_chat::Message;
use serde_json::{Value, json};

use crate::body::Fields;
use crate::error::ApiError;
use crate::generation::{Tool, ToolChoice};

/// Messages of a conversation.
const MOST_MESSAGES: usize = 10_000;
/// Tools of a request.
const MOST_TOOLS: usize = 512;
/// Parts of a message.
const MOST_PARTS: usize = 10_000;

/// Takes `messages`; `None` where there are none.
///
/// # Errors
/// 400 that names the message and its field.
pub fn read(fields: &mut Fields) -> Result<Option<Vec<Message>>, ApiError> {
    fields.objects("messages", 1..=MOST_MESSAGES, "The conversation, oldest first.", message)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Role {
    System,
    User,
    Assistant,
    Tool,
}

/// `developer` is the newer word for `system`, and the older one is what templates know.
const ROLES: [(&str, Role); 5] = [
    ("system", Role::System),
    ("developer", Role::System),
    ("user", Role::User),
    ("assistant", Role::Assistant),
    ("tool", Role::Tool),
];

fn message(fields: &mut Fields) -> Result<Message, ApiError> {
    let role = fields
        .word("role", &ROLES, "Who speaks.")?
        .map_or_else(|| fields.require("role", None::<()>).map(|()| Role::User), Ok)?;
    let content = content(fields)?;
    let calls = fields.objects("tool_calls", 0..=MOST_TOOLS, "Calls that the assistant made.", tool_call)?;
    let reasoning = fields.text("reasoning_content", "What the assistant thought.")?;
    let reasoning = fields.text("reasoning", "The same under its newer name.")?.or(reasoning);
    let name = fields.text("name", "The speaker's name, for templates that know it.")?;
    let call_id = fields.text("tool_call_id", "Which call this is the result of.")?;
    fields.unsupported("function_call", Value::Null)?;
    fields.unsupported("audio", Value::Null)?;
    fields.without_effect(&["refusal", "annotations", "id"]);
    let calls = calls.filter(|calls| !calls.is_empty() && role == Role::Assistant);
    let content = match content {
        None if calls.is_none() && reasoning.is_none() => fields.require("content", None)?,
        content => content.unwrap_or_default(),
    };
    let role = match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut message = Message::new(role, content);
    for (field, value) in [("name", name), ("tool_call_id", call_id), ("reasoning_content", reasoning)] {
        if let Some(value) = value {
            message = message.with(field, value);
        }
    }
    Ok(match calls {
        Some(calls) => message.with("tool_calls", calls),
        None => message,
    })
}

fn content(fields: &mut Fields) -> Result<Option<String>, ApiError> {
    let part = json!({"type": "object", "properties": {"type": {"enum": ["text"]}, "text": {"type": "string"}}});
    let schema = json!({"oneOf": [{"type": "string"}, {"type": "array", "items": part, "maxItems": MOST_PARTS}]});
    let path = fields.path_of("content");
    match fields.any("content", schema, "What is said.") {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Array(parts)) if parts.len() <= MOST_PARTS => {
            let texts = parts.into_iter().enumerate().map(|(i, part)| text_of(&format!("{path}[{i}]"), part));
            let texts: Vec<String> = texts.collect::<Result<_, _>>()?;
            Ok((!texts.is_empty()).then(|| texts.join("\n")))
        }
        Some(other) => Err(fields.wrong("content", "a string or a list of text parts", &other)),
    }
}

/// The text of one part. Nothing is ever fetched from where a part points to.
pub fn text_of(path: &str, part: Value) -> Result<String, ApiError> {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
    let field = match kind {
        "text" | "input_text" | "output_text" => "text",
        "refusal" => "refusal",
        "image_url" | "input_image" | "image" | "input_audio" | "audio_url" | "video_url" | "file" | "input_file" => {
            let message = format!("`{path}` is of type `{kind}`, and this model takes text only");
            return Err(ApiError::unsupported(path, message));
        }
        _ => return Err(crate::body::fields::wrong(&format!("{path}.type"), "`text`", &part["type"])),
    };
    match part.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        other => Err(crate::body::fields::wrong(&format!("{path}.{field}"), "a string", other.unwrap_or(&Value::Null))),
    }
}

fn tool_call(fields: &mut Fields) -> Result<Value, ApiError> {
    let id = fields.text("id", "Its id, which the result names.")?;
    fields.word("type", &[("function", ())], "")?;
    let function = fields.object("function", "", |function| {
        let name = function.text("name", "")?;
        let name = function.require("name", name)?;
        let arguments = function.text("arguments", "The text of a JSON object.")?;
        Ok(json!({"name": name, "arguments": arguments.unwrap_or_else(|| "{}".to_owned())}))
    })?;
    let function = fields.require("function", function)?;
    fields.without_effect(&["index"]);
    Ok(json!({"id": id, "type": "function", "function": function}))
}

/// Takes `tools`.
///
/// # Errors
/// 400 that names the tool and its field.
pub fn tools(fields: &mut Fields) -> Result<Vec<Tool>, ApiError> {
    let tool = |fields: &mut Fields| {
        fields.word("type", &[("function", ())], "Only functions can be called.")?;
        let function = fields.object("function", "", function)?;
        fields.require("function", function)
    };
    Ok(fields.objects("tools", 0..=MOST_TOOLS, "What the model may call.", tool)?.unwrap_or_default())
}

/// Takes the fields of a function that can be called.
///
/// # Errors
/// 400 that names the field.
pub fn function(fields: &mut Fields) -> Result<Tool, ApiError> {
    let name = fields.text("name", "Its name.")?;
    let name = fields.require("name", name)?;
    let description = fields.text("description", "What it does.")?;
    let parameters = fields.map("parameters", "The JSON schema of its arguments.")?;
    fields.without_effect(&["strict"]);
    Ok(Tool { name, description, parameters: parameters.map_or(Value::Null, Value::Object) })
}

/// Takes `tool_choice`: a word, or an object that names a function here or one level below.
///
/// # Errors
/// 400 for anything else.
pub fn tool_choice(fields: &mut Fields) -> Result<ToolChoice, ApiError> {
    let object = json!({"type": "object", "properties": {"type": {"enum": ["function"]}}});
    let schema = json!({"oneOf": [{"enum": ["none", "auto", "required"]}, object]});
    let Some(value) = fields.any("tool_choice", schema, "Whether and what the model must call.") else {
        return Ok(ToolChoice::Auto);
    };
    let named = || value.pointer("/function/name").or_else(|| value.get("name")).and_then(Value::as_str);
    match (value.as_str(), value.get("type").and_then(Value::as_str)) {
        (Some("none"), _) => Ok(ToolChoice::None),
        (Some("auto"), _) => Ok(ToolChoice::Auto),
        (Some("required"), _) => Ok(ToolChoice::Required),
        (None, Some("function")) if named().is_some() => Ok(ToolChoice::Named(named().unwrap_or_default().to_owned())),
        _ => Err(fields.wrong("tool_choice", "none, auto, required, or an object that names a function", &value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(value: Value) -> Fields {
        Fields::new(value.as_object().expect("an object").clone())
    }

    fn messages(list: Value) -> Result<Vec<Message>, ApiError> {
        read(&mut fields(json!({"messages": list}))).map(Option::unwrap_or_default)
    }

    #[test]
    fn parts_of_text_become_one_text() {
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        let read = messages(json!([{"role": "developer", "content": parts}])).expect("valid");
        assert_eq!(read, [Message::system("a\nb")]);
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        let part = |value: Value| json!([{"role": "user", "content": [value]}]);
        for (list, param) in [
            (json!([]), "messages"),
            (json!("hi"), "messages"),
            (json!(["hi"]), "messages[0]"),
            (json!([{"content": "hi"}]), "messages[0].role"),
            (json!([{"role": "robot", "content": "hi"}]), "messages[0].role"),
            (json!([{"role": "user"}]), "messages[0].content"),
            (json!([{"role": "user", "content": null}]), "messages[0].content"),
            (json!([{"role": "assistant", "content": null}]), "messages[0].content"),
            (json!([{"role": "user", "content": 5}]), "messages[0].content"),
            (part(json!({"type": "image_url", "image_url": {"url": "http://x/"}})), "messages[0].content[0]"),
            (
                part(json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}})),
                "messages[0].content[0]",
            ),
            (part(json!({"type": "text", "text": 5})), "messages[0].content[0].text"),
            (part(json!("x")), "messages[0].content[0].type"),
        ] {
            let error = messages(list.clone()).expect_err("refused");
            assert_eq!((error.status.as_u16(), error.param.as_deref()), (400, Some(param)), "{list}");
        }
    }

    #[test]
    fn an_assistant_may_call_and_say_nothing() {
        let call = json!({"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}});
        let read = messages(json!([{"role": "assistant", "content": null, "tool_calls": [call]}])).expect("valid");
        assert_eq!(read[0].get("tool_calls"), Some(&json!([call])));
    }

    #[test]
    fn a_choice_is_a_word_or_a_name() {
        let choice = |value: Value| tool_choice(&mut fields(json!({"tool_choice": value})));
        assert_eq!(choice(json!("required")), Ok(ToolChoice::Required));
        assert_eq!(choice(json!(null)), Ok(ToolChoice::Auto));
        let named = Ok(ToolChoice::Named("f".into()));
        assert_eq!(choice(json!({"type": "function", "function": {"name": "f"}})), named);
        assert_eq!(choice(json!({"type": "function", "name": "f"})), named);
        for bad in [json!("maybe"), json!({}), json!({"type": "function"}), json!(1), json!({"type": "web_search"})] {
            assert!(choice(bad).is_err());
        }
    }
}
