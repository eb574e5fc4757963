//! What an answer must look like: `response_format`, `structured_outputs` and their older names.

use rocmforge_grammar::Spec;
use serde_json::{Value, json};

use crate::body::{Fields, json as strict};
use crate::error::ApiError;

/// Takes all fields that can ask for a form.
///
/// # Errors
/// 400 that names the field, also where two of them ask for a form.
pub fn read(fields: &mut Fields) -> Result<Option<Spec>, ApiError> {
    let mut found = One::default();
    found.add(
        "response_format",
        fields.object("response_format", "What the answer must look like.", response_format)?.flatten(),
    )?;
    let grouped = fields.object("structured_outputs", "What the answer must look like.", |group| {
        let mut found = One::default();
        read_kinds(group, "", &mut found)?;
        if group.flag("json_object", "")? == Some(true) {
            found.add("json_object", Some(Spec::JsonObject))?;
        }
        group.unsupported("structural_tag", Value::Null)?;
        group.without_effect(&[
            "disable_any_whitespace",
            "whitespace_pattern",
            "disable_fallback",
            "disable_additional_properties",
        ]);
        Ok(found.spec)
    })?;
    found.add("structured_outputs", grouped.flatten())?;
    read_kinds(fields, "guided_", &mut found)?;
    fields.without_effect(&["guided_decoding_backend", "guided_whitespace_pattern"]);
    Ok(found.spec)
}

/// At most one form.
#[derive(Debug, Default)]
struct One {
    spec: Option<Spec>,
    from: String,
}

impl One {
    fn add(&mut self, from: &str, spec: Option<Spec>) -> Result<(), ApiError> {
        if spec.is_none() {
            return Ok(());
        }
        if self.spec.is_some() {
            let message = format!("`{from}` and `{}` both say what the answer must look like: choose one", self.from);
            return Err(ApiError::field(from, message));
        }
        (self.spec, self.from) = (spec, from.to_owned());
        Ok(())
    }
}

fn read_kinds(fields: &mut Fields, prefix: &str, found: &mut One) -> Result<(), ApiError> {
    let name = |kind: &str| format!("{prefix}{kind}");
    let schema = json!({"oneOf": [{"type": "object"}, {"type": "string"}]});
    if let Some(value) = fields.any(&name("json"), schema, "A JSON schema, as an object or as text.") {
        let schema = schema_of(fields, &name("json"), value)?;
        found.add(&name("json"), Some(Spec::JsonSchema(schema)))?;
    }
    let regex = fields.text(&name("regex"), "A regular expression that the whole answer matches.")?;
    found.add(&name("regex"), regex.map(Spec::Regex))?;
    let choice =
        fields.list(&name("choice"), 1..=10_000, json!({"type": "string"}), "Texts of which the answer is one.")?;
    let choice = choice.map(|list| texts(fields, &name("choice"), list)).transpose()?;
    found.add(&name("choice"), choice.map(Spec::Choice))?;
    let grammar = fields.text(&name("grammar"), "A grammar in GBNF or Lark.")?;
    found.add(&name("grammar"), grammar.map(grammar_of))
}

/// GBNF has a sign of its own for a rule.
fn grammar_of(text: String) -> Spec {
    if text.contains("::=") { Spec::Gbnf(text) } else { Spec::Lark(text) }
}

fn schema_of(fields: &Fields, name: &str, value: Value) -> Result<Value, ApiError> {
    match value {
        Value::Object(_) | Value::Bool(_) => Ok(value),
        Value::String(text) => strict::parse(text.as_bytes()).map_err(|error| error.at(fields.path_of(name))),
        other => Err(fields.wrong(name, "a JSON schema", &other)),
    }
}

fn texts(fields: &Fields, name: &str, list: Vec<Value>) -> Result<Vec<String>, ApiError> {
    let text = |(i, value)| match value {
        Value::String(text) => Ok(text),
        other => Err(fields.wrong(&format!("{name}[{i}]"), "a string", &other)),
    };
    list.into_iter().enumerate().map(text).collect()
}

/// The kinds of `response_format`.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Text,
    Object,
    Schema,
}

fn response_format(fields: &mut Fields) -> Result<Option<Spec>, ApiError> {
    let kinds = [("text", Kind::Text), ("json_object", Kind::Object), ("json_schema", Kind::Schema)];
    let kind = fields.word("type", &kinds, "")?;
    let inner = fields.object("json_schema", "With the type `json_schema`.", |schema| {
        schema.without_effect(&["name", "description", "strict"]);
        Ok(schema.map("schema", "The JSON schema.")?.map(Value::Object))
    })?;
    // The schema may also stand beside the type, as in the Responses API and with `json_object` elsewhere.
    let beside = fields.map("schema", "The JSON schema.")?.map(Value::Object);
    fields.without_effect(&["name", "description", "strict"]);
    let schema = inner.flatten().or(beside);
    match kind.map_or_else(|| fields.require("type", None).map(|()| Kind::Text), Ok)? {
        Kind::Text => Ok(None),
        Kind::Object => Ok(Some(schema.map_or(Spec::JsonObject, Spec::JsonSchema))),
        Kind::Schema => {
            let schema = fields.require("json_schema", schema)?;
            Ok(Some(Spec::JsonSchema(schema)))
        }
    }
}

/// The `text.format` of the Responses API.
///
/// # Errors
/// As [`read`].
pub fn text_format(fields: &mut Fields) -> Result<Option<Spec>, ApiError> {
    Ok(fields.object("format", "What the answer must look like.", response_format)?.flatten())
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;

    fn of(value: Value) -> Result<Option<Spec>, ApiError> {
        let map: Map<String, Value> = value.as_object().expect("an object").clone();
        read(&mut Fields::new(map))
    }

    #[test]
    fn each_name_of_a_form_is_understood() {
        let schema = json!({"type": "object"});
        let same = Some(Spec::JsonSchema(schema.clone()));
        for request in [
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}),
            json!({"response_format": {"type": "json_object", "schema": schema}}),
            json!({"structured_outputs": {"json": schema}}),
            json!({"structured_outputs": {"json": schema.to_string()}}),
            json!({"guided_json": schema}),
        ] {
            assert_eq!(of(request.clone()), Ok(same.clone()), "{request}");
        }
        assert_eq!(of(json!({"response_format": {"type": "text"}})), Ok(None));
        assert_eq!(of(json!({"response_format": {"type": "json_object"}})), Ok(Some(Spec::JsonObject)));
        assert_eq!(of(json!({"guided_regex": "a+"})), Ok(Some(Spec::Regex("a+".into()))));
        assert_eq!(of(json!({"guided_choice": ["a", "b"]})), Ok(Some(Spec::Choice(vec!["a".into(), "b".into()]))));
        assert_eq!(of(json!({"guided_grammar": "root ::= \"a\""})), Ok(Some(Spec::Gbnf("root ::= \"a\"".into()))));
        assert_eq!(of(json!({"guided_grammar": "start: \"a\""})), Ok(Some(Spec::Lark("start: \"a\"".into()))));
    }

    #[test]
    fn an_unclear_form_is_refused() {
        for request in [
            json!({"response_format": {"type": "xml"}}),
            json!({"response_format": {}}),
            json!({"response_format": {"type": "json_schema"}}),
            json!({"response_format": {"type": "json_object"}, "guided_regex": "a"}),
            json!({"structured_outputs": {"regex": "a", "choice": ["b"]}}),
            json!({"structured_outputs": {"structural_tag": "x"}}),
            json!({"guided_json": "{"}),
            json!({"guided_choice": []}),
        ] {
            assert!(of(request.clone()).is_err(), "{request}");
        }
    }
}
