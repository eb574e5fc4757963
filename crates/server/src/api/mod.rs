//! The APIs, each a translation of its wire format to and from one neutral job.

pub mod anthropic;
pub mod ask;
pub mod native;
pub mod ollama;
pub mod openai;
mod tokenize;

use axum::Router;

use crate::app::AppState;
use crate::openapi::{self, Operation};

/// The routes of all APIs.
pub fn routes() -> Router<AppState> {
    Router::new()
        .merge(anthropic::routes())
        .merge(ollama::routes())
        .merge(openai::routes())
        .merge(native::routes())
        .merge(tokenize::routes())
        .merge(openapi::routes())
}

/// What the OpenAPI document says of them.
pub fn operations() -> Vec<Operation> {
    let all = [
        openai::operations(),
        anthropic::operations(),
        ollama::operations(),
        native::operations(),
        tokenize::operations(),
    ];
    all.concat()
}
