//! Whether the server lives, and whether it takes requests.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use http::StatusCode;
use rocmforge_engine::Status;
use serde_json::json;

use crate::app::AppState;
use crate::error::ApiError;
use crate::openapi::{self, Operation, form};

/// Paths that are answered without a key and on a full server.
const LIVENESS: [&str; 3] = ["/health", "/live", "/ready"];

/// Whether a path asks whether the server lives, and nothing else.
pub fn is_liveness(path: &str) -> bool {
    LIVENESS.contains(&path)
}

/// Questions about health, and what is running here.
pub fn routes() -> Router<AppState> {
    Router::new()
        .route("/health", get(health))
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/ping", get(health).post(health))
        .route("/version", get(version))
        .route("/load", get(load))
}

/// What the OpenAPI document says of them.
pub fn operations() -> Vec<Operation> {
    let status = || form::object([("status", form::text())]);
    let counts = ["server_load", "running", "waiting", "waiting_tokens", "cache_used_blocks", "cache_total_blocks"];
    vec![
        openapi::get("/health", "Whether the server lives and gets on with its work.").answers("Status", status()),
        openapi::get("/live", "Whether the process answers.").answers("Status", status()),
        openapi::get("/ready", "Whether requests are taken.").answers("Status", status()),
        openapi::get("/ping", "As /health.").answers("Status", status()),
        openapi::post_empty("/ping", "As /health.").answers("Status", status()),
        openapi::get("/version", "The server's version.").answers("Version", form::object([("version", form::text())])),
        openapi::get("/load", "How much there is to do.")
            .answers("Load", form::object(counts.map(|name| (name, form::count())))),
    ]
}

/// Why the server does not live: an engine that has failed, or one that makes no progress on the work it has.
pub fn ailment(state: &AppState) -> Option<String> {
    match state.engine.status() {
        Status::Failed(_) => return Some("the engine has failed; the server's log says more".into()),
        Status::Stopped => return Some("the engine has stopped".into()),
        Status::Loading | Status::Ready => {}
    }
    let health = state.engine.health();
    let limit = state.config.stall_time;
    (health.is_busy && health.since_progress > limit)
        .then(|| format!("no progress for {} s on the work there is", health.since_progress.as_secs()))
}

/// Why the server takes no requests now.
pub fn unreadiness(state: &AppState) -> Option<String> {
    if state.is_draining.load(Ordering::Relaxed) {
        return Some("the server is shutting down".into());
    }
    if state.engine.status() == Status::Loading {
        return Some("the model is being loaded".into());
    }
    ailment(state)
}

fn answer(problem: Option<String>, good: &'static str) -> Response {
    match problem {
        None => Json(json!({"status": good})).into_response(),
        Some(reason) => ApiError::unavailable(reason, Duration::from_secs(2)).into_response(),
    }
}

/// 200 while the process lives and its engine gets on with its work, which loading a model is part of.
async fn health(State(state): State<AppState>) -> Response {
    answer(ailment(&state), "ok")
}

/// 200 while the process answers.
async fn live() -> Response {
    answer(None, "live")
}

/// 200 while requests are taken.
async fn ready(State(state): State<AppState>) -> Response {
    answer(unreadiness(&state), "ready")
}

async fn version() -> Response {
    Json(json!({"version": env!("CARGO_PKG_VERSION")})).into_response()
}

async fn load(State(state): State<AppState>) -> Response {
    let load = state.engine.load();
    let body = Json(json!({
        "server_load": load.running + load.waiting,
        "running": load.running,
        "waiting": load.waiting,
        "waiting_tokens": load.waiting_tokens,
        "cache_used_blocks": load.used_blocks,
        "cache_cached_blocks": load.cached_blocks,
        "cache_total_blocks": load.total_blocks,
    }));
    (StatusCode::OK, body).into_response()
}
