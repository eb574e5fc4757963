//! `/v1/embeddings`.

use axum::{Extension, Json, extract::State};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::prompts;
use crate::app::AppState;
use crate::body::{Body, Fields, Read};
use crate::error::ApiError;
use crate::generation::{Job, Params, Prompt};
use crate::guard::Caller;

/// Texts of one request.
const MOST_INPUTS: usize = 2048;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct EmbeddingRequest {
    model: Option<String>,
    prompts: Vec<Prompt>,
    params: Params,
    dimensions: Option<usize>,
    encoding: Encoding,
}

/// How a vector is written.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Encoding {
    #[default]
    Float,
    /// The bytes of its 32-bit floats, the lowest first.
    Base64,
}

impl Read for EmbeddingRequest {
    const NAME: &'static str = "EmbeddingRequest";

    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let model = fields.text("model", "Name of the model; without it, the one that is served.")?;
        let add_special = fields.flag("add_special_tokens", "Whether a text gets the model's usual first token.")?;
        let prompts = prompts::read(fields, "input", MOST_INPUTS, add_special.unwrap_or(true))?;
        let params = Params::read_placement(fields)?;
        let dimensions = fields.integer("dimensions", 1..=usize::from(u16::MAX), "Only the model's own number.")?;
        let encodings = [("float", Encoding::Float), ("base64", Encoding::Base64)];
        let encoding = fields.word("encoding_format", &encodings, "How a vector is written.")?.unwrap_or_default();
        fields.without_effect(&["user", "request_id"]);
        Ok(Self { model, prompts, params, dimensions, encoding })
    }
}

/// Handles `POST /v1/embeddings`.
///
/// # Errors
/// 400 for a request that cannot be fulfilled, 503 where it cannot be now.
pub async fn embed(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    Body(request): Body<EmbeddingRequest>,
) -> Result<Json<Value>, ApiError> {
    let name = state.generator.resolve(request.model.as_deref())?;
    let mut job = Job::new(Prompt::text(""));
    (job.prompts, job.params) = (request.prompts, request.params);
    (job.client, job.salt) = (caller.client, caller.salt);
    let size = state.generator.model()?.hidden_size;
    if let Some(asked) = request.dimensions.filter(|asked| *asked != size) {
        let message = format!("`dimensions` must be {size}, which this model's vectors have, found {asked}");
        return Err(ApiError::unsupported("dimensions", message));
    }
    let (vectors, tokens) = state.generator.embed(job).await.map_err(of_input)?;
    let data = vectors.iter().enumerate().map(
        |(index, vector)| json!({"object": "embedding", "index": index, "embedding": request.encoding.write(vector)}),
    );
    let usage = json!({"prompt_tokens": tokens, "total_tokens": tokens});
    Ok(Json(json!({"object": "list", "data": data.collect::<Vec<_>>(), "model": name, "usage": usage})))
}

/// The prompts of this request have another name.
fn of_input(error: ApiError) -> ApiError {
    if error.param.as_deref() == Some("prompt") { error.at("input") } else { error }
}

impl Encoding {
    fn write(self, vector: &[f32]) -> Value {
        match self {
            Self::Float => vector.into(),
            Self::Base64 => STANDARD.encode(vector.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_in_base64_is_its_bytes() {
        assert_eq!(Encoding::Base64.write(&[1.0, -2.0]), "AACAPwAAAMA=");
        assert_eq!(Encoding::Float.write(&[1.0, -2.0]), json!([1.0, -2.0]));
    }
}
