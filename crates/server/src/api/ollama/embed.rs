//! `/api/embed`, and `/api/embeddings` as it was before: texts as vectors.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::answer::nanoseconds;
use super::resolve;
use crate::app::AppState;
use crate::body::{Body, Fields, Read};
use crate::error::ApiError;
use crate::generation::{Job, Prompt};
use crate::guard::Caller;

/// Texts of one request.
const MOST_INPUTS: usize = 2048;

/// A request to `/api/embed`.
#[derive(Debug)]
pub struct EmbedRequest {
    model: String,
    input: Vec<String>,
    dimensions: Option<usize>,
}

impl Read for EmbedRequest {
    const NAME: &'static str = "OllamaEmbedRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let model = fields.text("model", "The model that is asked.")?;
        let model = fields.require("model", model)?;
        let input = fields.texts("input", 1..=MOST_INPUTS, "A text or several.")?;
        let input = fields.require("input", input)?;
        let dimensions = fields.integer("dimensions", 1..=usize::from(u16::MAX), "Only the model's own number.")?;
        // A text that is too long is an error, whether it might be cut or not.
        fields.without_effect(&["truncate", "options", "keep_alive"]);
        Ok(Self { model, input, dimensions })
    }
}

/// A request to `/api/embeddings`.
#[derive(Debug)]
pub struct EmbeddingsRequest {
    model: String,
    prompt: String,
}

impl Read for EmbeddingsRequest {
    const NAME: &'static str = "OllamaEmbeddingsRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let model = fields.text("model", "The model that is asked.")?;
        let prompt = fields.text("prompt", "The text.")?;
        fields.without_effect(&["options", "keep_alive"]);
        Ok(Self { model: fields.require("model", model)?, prompt: fields.require("prompt", prompt)? })
    }
}

/// `/api/embed`.
pub async fn embed(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<EmbedRequest>,
) -> Result<Json<Value>, ApiError> {
    let began = Instant::now();
    let name = resolve(&state, &request.model)?;
    let size = state.generator.model()?.hidden_size;
    if let Some(asked) = request.dimensions.filter(|asked| *asked != size) {
        let message = format!("`dimensions` must be {size}, which this model's vectors have, found {asked}");
        return Err(ApiError::unsupported("dimensions", message));
    }
    let (vectors, tokens) = vectors(&state, &caller, request.input, "input").await?;
    Ok(Json(json!({
        "model": name,
        "embeddings": vectors,
        "total_duration": nanoseconds(began.elapsed()),
        "load_duration": nanoseconds(Duration::ZERO),
        "prompt_eval_count": tokens,
    })))
}

/// `/api/embeddings`.
pub async fn embeddings(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<EmbeddingsRequest>,
) -> Result<Json<Value>, ApiError> {
    resolve(&state, &request.model)?;
    let (mut vectors, _) = vectors(&state, &caller, vec![request.prompt], "prompt").await?;
    Ok(Json(json!({"embedding": vectors.pop()})))
}

/// A vector for each text, and the number of their tokens. `field` is where the texts came from.
async fn vectors(
    state: &AppState,
    caller: &Caller,
    texts: Vec<String>,
    field: &str,
) -> Result<(Vec<Vec<f32>>, usize), ApiError> {
    let mut job = Job::new(Prompt::text(""));
    job.prompts = texts.into_iter().map(Prompt::text).collect();
    (job.client, job.salt) = (caller.client, caller.salt);
    let named = |error: ApiError| if error.param.as_deref() == Some("prompt") { error.at(field) } else { error };
    state.generator.embed(job).await.map_err(named)
}
