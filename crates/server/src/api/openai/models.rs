//! The models that are served.

use std::time::UNIX_EPOCH;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use crate::app::AppState;
use crate::error::ApiError;
use crate::generation::Generator;

/// All of them.
pub async fn list(State(state): State<AppState>) -> Result<Json<Value>, ApiError> {
    let names = state.generator.names()?;
    let data = names.iter().map(|name| model(&state.generator, name)).collect::<Result<Vec<_>, _>>()?;
    Ok(Json(json!({"object": "list", "data": data})))
}

/// The one of this name.
pub async fn one(State(state): State<AppState>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let name = state.generator.resolve(Some(&id))?;
    Ok(Json(model(&state.generator, &name)?))
}

fn model(generator: &Generator, name: &str) -> Result<Value, ApiError> {
    let model = generator.model()?;
    let created = model.loaded_at.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    Ok(json!({
        "id": name,
        "object": "model",
        "created": created,
        "owned_by": "rocmforge",
        "root": name,
        "parent": null,
        "max_model_len": model.context_length,
    }))
}
