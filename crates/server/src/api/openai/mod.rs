//! OpenAI's APIs, with the extensions that clients of other servers use.

mod chat;
mod chat_stream;
mod common;
mod completions;
mod completions_stream;
mod embeddings;
mod format;
mod forms;
mod logprobs;
mod messages;
mod models;
mod prompts;
mod responses;

use axum::Router;
use axum::routing::{get, post};

pub use chat::Conversation;
pub use responses::ResponseStore;

use crate::app::AppState;
use crate::openapi::{self, Operation, form};

/// The routes.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/v1/models", get(models::list))
        .route("/v1/models/{*id}", get(models::one))
        .route("/v1/completions", post(completions::complete))
        .route("/v1/completions/render", post(completions::render))
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/chat/completions/render", post(chat::render))
        .route("/v1/embeddings", post(embeddings::embed))
        .merge(responses::routes())
}

/// What the OpenAPI document says of them.
pub fn operations() -> Vec<Operation> {
    let mut all = vec![
        openapi::get("/v1/models", "The models that are served.").answers("Models", forms::models()),
        openapi::get("/v1/models/{id}", "One model.").answers("Model", forms::model()),
        openapi::post::<completions::CompletionRequest>("/v1/completions", "Continues a text.")
            .answers("Completion", forms::completion())
            .answers_as(openapi::EVENTS),
        openapi::post::<completions::CompletionRequest>(
            "/v1/completions/render",
            "The prompts of a completion in tokens.",
        )
        .answers("RenderedPrompts", form::list(forms::rendered())),
        openapi::post::<chat::ChatRequest>("/v1/chat/completions", "Answers a conversation.")
            .answers("ChatCompletion", forms::chat_completion())
            .answers_as(openapi::EVENTS),
        openapi::post::<chat::ChatRequest>("/v1/chat/completions/render", "The prompt of a conversation in tokens.")
            .answers("RenderedPrompt", forms::rendered()),
        openapi::post::<embeddings::EmbeddingRequest>("/v1/embeddings", "Vectors of texts.")
            .answers("Embeddings", forms::embeddings()),
    ];
    all.extend(responses::operations());
    all
}
