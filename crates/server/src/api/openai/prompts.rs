//! One text, several, the token ids of one, or those of several.

use serde_json::{Value, json};

use crate::body::Fields;
use crate::body::fields::token_ids;
use crate::error::ApiError;
use crate::generation::Prompt;

/// Takes up to `most` prompts.
///
/// # Errors
/// 400 that names the entry.
pub fn read(fields: &mut Fields, name: &str, most: usize, add_special: bool) -> Result<Vec<Prompt>, ApiError> {
    let ids = json!({"type": "array", "items": {"type": "integer", "minimum": 0}});
    let texts = json!({"type": "array", "items": {"type": "string"}, "maxItems": most});
    let many = json!({"type": "array", "items": ids, "maxItems": most});
    let schema = json!({"anyOf": [{"type": "string"}, texts, ids, many]});
    let value = fields.any(name, schema, "A text, texts, token ids, or lists of them.");
    let value = fields.require(name, value)?;
    let text = |text: String| Prompt::Text { text, add_special };
    let expected = "a text, token ids, or a list of them";
    match value {
        Value::String(one) => Ok(vec![text(one)]),
        Value::Array(list) if list.is_empty() => Err(fields.wrong(name, expected, &Value::Array(list))),
        Value::Array(list) if list[0].is_number() => Ok(vec![Prompt::Tokens(token_ids(&fields.path_of(name), &list)?)]),
        Value::Array(list) if list.len() > most => {
            let message = format!("`{name}` may have {most} entries, found {}", list.len());
            Err(ApiError::field(name, message))
        }
        Value::Array(list) => {
            let each = list.into_iter().enumerate();
            each.map(|(i, prompt)| match prompt {
                Value::String(one) => Ok(text(one)),
                Value::Array(ids) => Ok(Prompt::Tokens(token_ids(&format!("{name}[{i}]"), &ids)?)),
                other => Err(fields.wrong(&format!("{name}[{i}]"), "a text or token ids", &other)),
            })
            .collect()
        }
        // What a description of a request has.
        Value::Null => Ok(Vec::new()),
        other => Err(fields.wrong(name, expected, &other)),
    }
}
