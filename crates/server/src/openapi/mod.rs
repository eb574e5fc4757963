//! The OpenAPI document: made from the same lines that read the requests.

pub mod form;

use std::collections::BTreeMap;

use axum::routing::get as route;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use crate::app::AppState;
use crate::body::{Read, fields};
use crate::error::Family;
use crate::{health, metrics};
use form::{object, or_null, text, word};

/// One route in the document.
#[derive(Debug, Clone)]
pub struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// The request's name and schema.
    request: Option<(&'static str, Value)>,
    /// Types of the answer, each with the form of its content.
    answers: Vec<(&'static str, Form)>,
}

/// The form of an answer.
#[derive(Debug, Clone)]
enum Form {
    /// One that the document names.
    Named(&'static str, Value),
    /// Text that JSON schemas do not reach into.
    Text,
}

impl Operation {
    fn new(method: &'static str, path: &'static str, summary: &'static str) -> Self {
        Self { method, path, summary, request: None, answers: Vec::new() }
    }

    /// It answers with JSON of this form.
    #[must_use]
    pub fn answers(mut self, name: &'static str, form: Value) -> Self {
        self.answers.push(("application/json", Form::Named(name, form)));
        self
    }

    /// It answers, perhaps, with text of this type, such as a stream.
    #[must_use]
    pub fn answers_as(mut self, media: &'static str) -> Self {
        self.answers.push((media, Form::Text));
        self
    }
}

/// Server-sent events.
pub const EVENTS: &str = "text/event-stream";

/// One JSON object a line.
pub const LINES: &str = "application/x-ndjson";

/// A route that is read.
pub fn get(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("get", path, summary)
}

/// A route that takes a request.
pub fn post<T: Read>(path: &'static str, summary: &'static str) -> Operation {
    Operation { request: Some((T::NAME, fields::schema::<T>())), ..Operation::new("post", path, summary) }
}

/// A route that takes nothing but its path.
pub fn post_empty(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("post", path, summary)
}

/// A route that deletes.
pub fn delete(path: &'static str, summary: &'static str) -> Operation {
    Operation::new("delete", path, summary)
}

/// The route of the document.
pub fn routes() -> Router<AppState> {
    Router::new().route("/openapi.json", route(async || Json(document(&operations()))))
}

/// All routes but those of the chat page.
fn operations() -> Vec<Operation> {
    let own = get("/openapi.json", "This document.").answers("Document", form::map());
    [crate::api::operations(), health::operations(), metrics::operations(), vec![own]].concat()
}

fn document(operations: &[Operation]) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut schemas = Map::new();
    for operation in operations {
        if let Some((name, schema)) = &operation.request {
            schemas.insert((*name).to_owned(), schema.clone());
        }
        for (_, form) in &operation.answers {
            if let Form::Named(name, form) = form {
                schemas.insert((*name).to_owned(), form.clone());
            }
        }
        paths.entry(operation.path).or_default().insert(operation.method.to_owned(), operation.to_value());
    }
    let families = [Family::OpenAi, Family::Anthropic, Family::Ollama];
    schemas.extend(families.map(|family| (error_name(family).to_owned(), error_form(family))));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ROCmForge",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "MIT OR Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"key": []}, {}],
    })
}

impl Operation {
    fn to_value(&self) -> Value {
        let failure = json!({
            "description": "The request is refused, or cannot be answered now.",
            "content": {"application/json": {"schema": reference(error_name(Family::of(self.path)))}},
        });
        let content = self.answers.iter().map(|(media, form)| {
            let content = match form {
                Form::Named(name, _) => json!({"schema": reference(name)}),
                Form::Text => json!({}),
            };
            ((*media).to_owned(), content)
        });
        let mut value = json!({
            "summary": self.summary,
            "responses": {
                "200": {"description": "The answer.", "content": content.collect::<Map<_, _>>()},
                "4XX": failure,
                "5XX": failure,
            },
        });
        if let Some((name, _)) = &self.request {
            value["requestBody"] =
                json!({"required": true, "content": {"application/json": {"schema": reference(name)}}});
        }
        let parameters: Vec<Value> = parameters(self.path).map(parameter).collect();
        if !parameters.is_empty() {
            value["parameters"] = parameters.into();
        }
        value
    }
}

/// The names in braces.
fn parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
}

fn parameter(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

fn error_name(family: Family) -> &'static str {
    match family {
        Family::OpenAi => "Error",
        Family::Anthropic => "AnthropicError",
        Family::Ollama => "OllamaError",
    }
}

/// What [`ApiError::body`](crate::error::ApiError::body) writes.
fn error_form(family: Family) -> Value {
    match family {
        Family::OpenAi => {
            let error = [("message", text()), ("type", text()), ("param", or_null(text())), ("code", or_null(text()))];
            object([("error", object(error))])
        }
        Family::Anthropic => {
            object([("type", word(&["error"])), ("error", object([("type", text()), ("message", text())]))])
        }
        Family::Ollama => object([("error", text())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere_and_every_parameter_is_told() {
        let document = document(&operations());
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap_or_default();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for operation in methods.as_object().expect("methods").values() {
                let told = operation["parameters"].as_array().map_or(0, Vec::len);
                assert_eq!(told, parameters(path).count(), "{path}");
                let content = operation["responses"]["200"]["content"].as_object();
                assert!(content.is_some_and(|content| !content.is_empty()), "{path} says nothing of its answer");
            }
        }
    }
}
