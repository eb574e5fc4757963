//! Each request has a name, a line in the log and its place in the figures, and none of them ends the server.
//!
//! Lines hold neither prompts nor keys, and nothing of a client that a terminal or a reader of logs would obey.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, StatusCode};
use http_body::{Body as _, Frame, SizeHint};

use super::RequestName;
use crate::app::AppState;
use crate::error::{ApiError, shown};
use crate::health;
use crate::metrics::{InFlight, Observed};
use crate::telemetry::{Span, TraceContext};
use crate::transport::{Peer, Refusal};

static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

/// Middleware: the outermost one.
pub async fn record(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let name = request.headers().get(&REQUEST_ID).and_then(|id| RequestName::given(id.to_str().ok()?));
    let name = name.unwrap_or_default();
    let trace = TraceContext::of(request.headers());
    request.extensions_mut().insert(name.clone());
    request.extensions_mut().insert(trace);
    let line = Line::of(&state, &request, name.clone(), trace);
    let mut response = match early_answer(&request) {
        Some(error) => error.into_response(),
        None => AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_| panicked()),
    };
    let headers = response.headers_mut();
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(REQUEST_ID.clone(), name);
    }
    if let Ok(trace) = HeaderValue::from_str(&trace.header()) {
        headers.insert(TRACE_PARENT.clone(), trace);
    }
    let status = response.status();
    response.map(|body| Body::new(Recorded { body, line: Line { status, ..line }, sent: 0, is_whole: false }))
}

/// What the transport refused, and what a full server does not answer.
fn early_answer(request: &Request) -> Option<ApiError> {
    if let Some(refusal) = Refusal::of(request) {
        return Some(ApiError::new(refusal.status(), refusal.message()));
    }
    let is_reserved = request.extensions().get::<Peer>().is_some_and(|peer| peer.is_reserved);
    (is_reserved && !health::is_liveness(request.uri().path()))
        .then(|| ApiError::unavailable("too many connections", std::time::Duration::from_secs(1)))
}

fn panicked() -> Response {
    // The panic's own message is on stderr already, by the hook.
    ApiError::internal("a handler panicked").into_response()
}

/// Whether a path asks about the server, as probes do all the time.
fn is_about_server(path: &str) -> bool {
    health::is_liveness(path) || path == "/metrics"
}

/// A line of the log.
struct Line {
    state: AppState,
    began: Instant,
    name: RequestName,
    trace: TraceContext,
    method: String,
    path: String,
    route: Option<MatchedPath>,
    peer: Option<Peer>,
    status: StatusCode,
    /// Counts it as under way, unless it is a question about the server itself.
    in_flight: Option<InFlight>,
}

impl Line {
    fn of(state: &AppState, request: &Request, name: RequestName, trace: TraceContext) -> Self {
        Self {
            state: state.clone(),
            began: Instant::now(),
            name,
            trace,
            method: shown(request.method().as_str()),
            path: shown(request.uri().path()),
            route: request.extensions().get().cloned(),
            peer: request.extensions().get().copied(),
            status: StatusCode::OK,
            in_flight: (!is_about_server(request.uri().path())).then(|| state.metrics.begin()),
        }
    }
}

/// A body that tells the log how it ended.
struct Recorded {
    body: Body,
    line: Line,
    sent: u64,
    is_whole: bool,
}

impl http_body::Body for Recorded {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => self.sent += frame.data_ref().map_or(0, Bytes::len) as u64,
            Poll::Ready(None) => self.is_whole = true,
            _ => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Recorded {
    fn drop(&mut self) {
        let Line { state, began, name, trace, method, path, route, peer, status, in_flight } = &self.line;
        let time = began.elapsed();
        let is_whole = self.is_whole || self.body.is_end_stream();
        let route = route.as_ref().map_or("", MatchedPath::as_str);
        state.metrics.observe(&Observed { route, status: *status, time, is_whole });
        if in_flight.is_some() {
            let (status, began) = (status.as_u16(), SystemTime::now() - time);
            let span = Span { trace: *trace, request_id: name, method, route, status, began, is_whole };
            state.config.spans.record(&span);
        }
        let (status, bytes) = (status.as_u16(), self.sent);
        let milliseconds = time.as_micros() as f64 / 1e3;
        let end = if is_whole { "sent" } else { "cut off" };
        let from = peer.map(|peer| peer.address.ip().to_string()).unwrap_or_default();
        let trace = trace.trace_id();
        if in_flight.is_none() {
            tracing::debug!(target: "rocmforge_server::access", request_id = %name, trace_id = %trace, %from, %method, %path, status, milliseconds, bytes, end);
        } else {
            tracing::info!(target: "rocmforge_server::access", request_id = %name, trace_id = %trace, %from, %method, %path, status, milliseconds, bytes, end);
        }
    }
}
