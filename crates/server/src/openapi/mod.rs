//! The OpenAPI document: made from the same lines that read the requests.

use std::collections::BTreeMap;

use axum::routing::get as route;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

use crate::app::AppState;
use crate::body::{Read, fields};

/// One route in the document.
#[derive(Debug, Clone)]
pub struct Operation {
    method: &'static str,
    path: &'static str,
    summary: &'static str,
    /// The request's name and schema.
    request: Option<(&'static str, Value)>,
}

/// A route that is read.
pub fn get(path: &'static str, summary: &'static str) -> Operation {
    Operation { method: "get", path, summary, request: None }
}

/// A route that takes a request.
pub fn post<T: Read>(path: &'static str, summary: &'static str) -> Operation {
    Operation { method: "post", path, summary, request: Some((T::NAME, fields::schema::<T>())) }
}

/// A route that takes nothing but its path.
pub fn post_empty(path: &'static str, summary: &'static str) -> Operation {
    Operation { method: "post", path, summary, request: None }
}

/// A route that deletes.
pub fn delete(path: &'static str, summary: &'static str) -> Operation {
    Operation { method: "delete", path, summary, request: None }
}

/// The route of the document.
pub fn routes() -> Router<AppState> {
    Router::new().route("/openapi.json", route(async || Json(document(&crate::api::operations()))))
}

fn document(operations: &[Operation]) -> Value {
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    let mut schemas = Map::new();
    for operation in operations {
        if let Some((name, schema)) = &operation.request {
            schemas.insert((*name).to_owned(), schema.clone());
        }
        paths.entry(operation.path).or_default().insert(operation.method.to_owned(), operation.to_value());
    }
    schemas.insert("Error".into(), error_schema());
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
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        });
        let mut value = json!({
            "summary": self.summary,
            "responses": {
                "200": {"description": "The answer; with `stream`, as a stream."},
                "4XX": failure,
                "5XX": failure,
            },
        });
        if let Some((name, _)) = &self.request {
            let reference = format!("#/components/schemas/{name}");
            value["requestBody"] =
                json!({"required": true, "content": {"application/json": {"schema": {"$ref": reference}}}});
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

fn error_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
            "required": ["message", "type"],
        }},
        "required": ["error"],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reference_leads_somewhere_and_every_parameter_is_told() {
        let document = document(&crate::api::operations());
        let text = document.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1) {
            let pointer = reference.split('"').next().unwrap_or_default();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        for (path, methods) in document["paths"].as_object().expect("paths") {
            for operation in methods.as_object().expect("methods").values() {
                let told = operation["parameters"].as_array().map_or(0, Vec::len);
                assert_eq!(told, parameters(path).count(), "{path}");
            }
        }
    }
}
