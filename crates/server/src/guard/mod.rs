//! What every request passes before a handler sees it, from the outside in: a name and a line in the log, its address,
//! the page it came from, a key, and its body, read whole and within limits.

mod access;
mod address;
mod auth;
mod content;
mod cors;
mod keys;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use http::StatusCode;
use rocmforge_scheduler::ClientId;

use crate::app::AppState;
use crate::body;
use crate::error::{self, ApiError};

pub use address::Hosts;
pub use content::BodyLimits;
pub use cors::Origins;
pub use keys::{Keys, KeysError};

/// Who asks; an extension of each request that a handler sees.
#[derive(Debug, Clone)]
pub struct Caller {
    /// For fairness between callers.
    pub client: ClientId,
    /// Keeps cached prompts of different keys apart.
    pub salt: Option<[u8; 16]>,
    /// The name of this request in logs and in the answer's `x-request-id`.
    pub request_id: RequestName,
}

/// What a request is called: the caller's `x-request-id`, or a name of our own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestName(Arc<str>);

impl RequestName {
    /// Longest name that is taken over from a caller.
    const MOST: usize = 128;

    /// The caller's name for it, if that is short and plain.
    pub fn given(name: &str) -> Option<Self> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
        (!name.is_empty() && name.len() <= Self::MOST && name.bytes().all(is_plain)).then(|| Self(name.into()))
    }

    /// A name that no other request has.
    pub fn new() -> Self {
        Self(uuid::Uuid::new_v4().to_string().into())
    }
}

impl Default for RequestName {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for RequestName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RequestName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self)
    }
}

/// Puts all guards around the routes.
pub fn protect(routes: Router<AppState>, state: &AppState) -> Router {
    // The layer that is added last is the first that a request meets.
    routes
        .fallback(async || ApiError::new(StatusCode::NOT_FOUND, "there is no such route; /openapi.json lists them"))
        .method_not_allowed_fallback(async || {
            ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "this route does not take this method")
        })
        .layer(from_fn(body::report_ignored))
        // Bodies are read whole before, with a limit that the operator sets.
        .layer(DefaultBodyLimit::disable())
        .layer(from_fn_with_state(state.clone(), content::read_body))
        .layer(from_fn_with_state(state.clone(), auth::authenticate))
        .layer(from_fn_with_state(state.clone(), cors::answer))
        .layer(from_fn_with_state(state.clone(), address::check))
        .layer(from_fn(error::by_family))
        .layer(from_fn_with_state(state.clone(), access::record))
        .with_state(state.clone())
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use axum::routing::get;
    use clap::Parser;
    use http_body_util::BodyExt;
    use rocmforge_engine::{EngineError, EngineHandle, ServiceOptions};
    use tokio::net::TcpListener;
    use tower::ServiceExt;

    use super::*;
    use crate::app::{Config, Server};
    use crate::args::ServeArgs;

    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        serve: ServeArgs,
    }

    /// The state of a server whose model is never there.
    async fn state() -> AppState {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let bound = listener.local_addr().expect("an address");
        let Options { serve } = Options::parse_from(["test"]);
        let config = Config::new(&serve, "127.0.0.1", bound, "model").expect("good options");
        let engine = EngineHandle::start(ServiceOptions::default(), || Err(EngineError::EmptyPrompt));
        Server::new(listener, config, engine.expect("a thread")).state().clone()
    }

    #[tokio::test]
    async fn a_handler_that_panics_is_an_error_of_its_request_alone() {
        let panics = get(async || -> StatusCode { panic!("planted at 0x7f00") });
        let routes = Router::new().route("/panic", panics).route("/calm", get(async || "calm"));
        let app = protect(routes, &state().await);
        let ask = async |path: &str| {
            let request = Request::get(path).header("host", "localhost").body(Body::empty()).expect("a request");
            let response = app.clone().oneshot(request).await.expect("an answer");
            let status = response.status().as_u16();
            let body = response.into_body().collect().await.expect("a body").to_bytes();
            (status, String::from_utf8(body.to_vec()).expect("text"))
        };
        for _ in 0..2 {
            let (status, body) = ask("/panic").await;
            assert_eq!(status, 500);
            let value: serde_json::Value = serde_json::from_str(&body).expect("JSON");
            assert_eq!(value["error"]["type"], "server_error");
            assert!(!body.contains("planted") && !body.contains("0x7f00"), "{body}");
            assert_eq!(ask("/calm").await, (200, "calm".to_owned()));
        }
    }
}
