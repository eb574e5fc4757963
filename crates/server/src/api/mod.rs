//! The APIs, each a translation of its wire format to and from one neutral job.

pub mod anthropic;
pub mod ask;
pub mod ollama;

use axum::Router;

use crate::app::AppState;

/// The routes of all APIs.
pub fn routes() -> Router<AppState> {
    Router::new().merge(anthropic::routes()).merge(ollama::routes())
}
