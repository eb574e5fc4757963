//! The forms of answers, as JSON schemas. Fields that a form does not name may come too.

use serde_json::{Map, Value, json};

/// Any text.
pub fn text() -> Value {
    json!({"type": "string"})
}

/// One of these texts.
pub fn word(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

/// A number of things.
pub fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// Any number.
pub fn number() -> Value {
    json!({"type": "number"})
}

/// True or false.
pub fn flag() -> Value {
    json!({"type": "boolean"})
}

/// A list of these.
pub fn list(item: Value) -> Value {
    json!({"type": "array", "items": item})
}

/// An object with any fields.
pub fn map() -> Value {
    json!({"type": "object"})
}

/// This, or `null`.
pub fn or_null(form: Value) -> Value {
    json!({"anyOf": [form, {"type": "null"}]})
}

/// An object that has all of these fields.
pub fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let required = json!(required);
    let properties: Map<String, Value> = fields.into_iter().map(|(name, form)| (name.to_owned(), form)).collect();
    json!({"type": "object", "properties": properties, "required": required})
}
