//! What Ollama's clients ask about models: which there are, what they can do, which are loaded.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use rocmforge_engine::ModelInfo;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::resolve;
use super::time::rfc3339;
use crate::app::AppState;
use crate::body::{Body, Fields, Read};
use crate::error::ApiError;

/// `/api/tags`: the models that there are.
pub async fn tags(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    let model = state.generator.model()?;
    let entry = |name: &String| entry(name, &model);
    let entries: Vec<Value> = state.generator.names()?.iter().map(entry).collect();
    Ok(Json(json!({"models": entries})))
}

/// The model stays loaded, which Ollama's clients are told as a day far away.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// `/api/ps`: the models that are loaded.
pub async fn ps(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    let model = state.generator.model()?;
    let is_on_host = model.device.name.starts_with("CPU");
    let entry = |name: &String| {
        let mut entry = entry(name, &model);
        entry["expires_at"] = rfc3339(model.loaded_at + FOREVER).into();
        entry["size_vram"] = if is_on_host { 0 } else { model.file_bytes }.into();
        entry["context_length"] = model.context_length.into();
        entry
    };
    let entries: Vec<Value> = state.generator.names()?.iter().map(entry).collect();
    Ok(Json(json!({"models": entries})))
}

/// A request to `/api/show`.
#[derive(Debug)]
pub struct ShowRequest {
    model: String,
}

impl Read for ShowRequest {
    const NAME: &'static str = "OllamaShowRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let model = fields.text("model", "The model that is asked about.")?;
        let earlier = fields.text("name", "The same, as clients had it earlier.")?;
        fields.without_effect(&["verbose", "system", "template", "options"]);
        Ok(Self { model: fields.require("model", model.or(earlier))? })
    }
}

/// `/api/show`: what a model is and can do.
pub async fn show(State(state): State<AppState>, Body(request): Body<ShowRequest>) -> Result<Json<Value>, ApiError> {
    resolve(&state, &request.model)?;
    let model = state.generator.model()?;
    let metadata = model.file().gguf().metadata();
    let license = metadata.get_str("general.license").ok().flatten().unwrap_or_default();
    let template = model.chat.usable_template().map(|template| template.source()).unwrap_or_default();
    Ok(Json(json!({
        "modelfile": "",
        "parameters": "",
        "license": license,
        "template": template,
        "details": details(&model),
        "model_info": facts(&model),
        "capabilities": capabilities(&model),
        "modified_at": rfc3339(model.loaded_at),
    })))
}

fn entry(name: &str, model: &ModelInfo) -> Value {
    json!({
        "name": name,
        "model": name,
        "modified_at": rfc3339(model.loaded_at),
        "size": model.file_bytes,
        "digest": digest(name, model),
        "details": details(model),
    })
}

/// Tells models apart without reading the whole file.
fn digest(name: &str, model: &ModelInfo) -> String {
    let sizes = format!("{name}\n{}\n{}", model.file_bytes, model.parameters);
    Sha256::digest(sizes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn details(model: &ModelInfo) -> Value {
    json!({
        "parent_model": "",
        "format": "gguf",
        "family": model.architecture,
        "families": [model.architecture],
        "parameter_size": parameter_size(model.parameters),
        "quantization_level": model.quantization,
    })
}

/// A count in the unit that leaves it readable, as in `7.2B`.
fn parameter_size(count: u64) -> String {
    match count {
        1_000_000_000.. => format!("{:.1}B", count as f64 / 1e9),
        1_000_000.. => format!("{:.1}M", count as f64 / 1e6),
        _ => format!("{:.1}K", count as f64 / 1e3),
    }
}

/// The file's metadata, without its lists. The context is the one that is served, which clients
/// plan with.
fn facts(model: &ModelInfo) -> Map<String, Value> {
    let metadata = model.file().gguf().metadata();
    let fact = |key: &str| -> Option<Value> {
        if let Ok(Some(text)) = metadata.get_str(key) {
            return Some(text.into()).filter(|_| key != "tokenizer.chat_template");
        }
        if let Ok(Some(flag)) = metadata.get_bool(key) {
            return Some(flag.into());
        }
        if let Some(number) = metadata.get(key)?.as_integer() {
            return i64::try_from(number).ok().map(Value::from);
        }
        metadata.get_f32(key).ok().flatten().map(Value::from)
    };
    let mut facts: Map<String, Value> =
        metadata.iter().filter_map(|(key, _)| Some((key.to_owned(), fact(key)?))).collect();
    facts.insert("general.architecture".into(), model.architecture.as_str().into());
    facts.insert("general.parameter_count".into(), model.parameters.into());
    facts.insert(format!("{}.context_length", model.architecture), model.context_length.into());
    facts
}

fn capabilities(model: &ModelInfo) -> Vec<&'static str> {
    let template = model.chat.usable_template().ok();
    let format = template.map(|template| template.output_format());
    let tools = template.is_some_and(|template| template.supports_tools())
        && format.as_ref().is_some_and(|format| format.calls.is_some());
    let thinking = format.is_some_and(|format| format.reasoning.is_some());
    let all = [("completion", true), ("tools", tools), ("thinking", thinking), ("embedding", true)];
    all.into_iter().filter(|(_, has)| *has).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_parameters_are_short() {
        assert_eq!(parameter_size(7_241_732_096), "7.2B");
        assert_eq!(parameter_size(6_961_920), "7.0M");
        assert_eq!(parameter_size(1_500), "1.5K");
    }
}
