//! Answers on the wire while they are generated: server-sent events, or one JSON object a line.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::{FutureExt, stream};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::Value;

use crate::api::ask::Asked;
use crate::error::ApiError;
use crate::generation::{Piece, Usage};

/// Proxies close what is silent; a comment is no event to a client.
const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Pieces that are written at once where they are there already.
const MOST_AT_ONCE: usize = 32;

/// How a stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `text/event-stream`.
    Events,
    /// `application/x-ndjson`.
    Lines,
}

/// Writes pieces in the words of one API.
pub trait Encoder: Send + 'static {
    /// How the stream is cut.
    const WIRE: Wire;

    /// What comes before the first piece.
    fn open(&mut self, out: &mut Frames);

    /// A piece. `usage` counts what was generated so far.
    fn piece(&mut self, piece: Piece, usage: &Usage, out: &mut Frames);

    /// What comes after the last piece.
    fn close(&mut self, usage: &Usage, out: &mut Frames);

    /// What comes instead of all further pieces when the request has failed; nothing follows it.
    fn fail(&mut self, error: &ApiError, out: &mut Frames);
}

/// Bytes on their way to a client.
#[derive(Debug, Default)]
pub struct Frames(String);

impl Frames {
    /// An event without a name.
    pub fn data(&mut self, value: &Value) {
        self.0 += &format!("data: {value}\n\n");
    }

    /// An event with a name.
    pub fn event(&mut self, name: &str, value: &Value) {
        self.0 += &format!("event: {name}\ndata: {value}\n\n");
    }

    /// An event whose data is no JSON.
    pub fn word(&mut self, word: &str) {
        self.0 += &format!("data: {word}\n\n");
    }

    /// A line of JSON.
    pub fn line(&mut self, value: &Value) {
        self.0 += &format!("{value}\n");
    }

    /// What was written, as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The response that streams `answers`. A client that leaves cancels them; one that does not read holds them back.
pub fn respond<E: Encoder>(answers: Asked, encoder: E) -> Response {
    let state = State { answers: Some(answers), encoder, is_open: false };
    let body = stream::unfold(state, async move |mut state| {
        let frames = state.next().await?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(frames.0)), state))
    });
    let kind = match E::WIRE {
        Wire::Events => "text/event-stream; charset=utf-8",
        Wire::Lines => "application/x-ndjson",
    };
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(kind)),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (http::HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no")),
    ];
    (headers, Body::from_stream(body)).into_response()
}

struct State<E> {
    /// `None` when the stream has ended.
    answers: Option<Asked>,
    encoder: E,
    is_open: bool,
}

impl<E: Encoder> State<E> {
    /// The next bytes, never none; `None` at the end.
    async fn next(&mut self) -> Option<Frames> {
        let mut out = Frames::default();
        if !self.is_open {
            self.is_open = true;
            self.encoder.open(&mut out);
        }
        while out.0.is_empty() {
            let answers = self.answers.as_mut()?;
            match tokio::time::timeout(KEEP_ALIVE, answers.next()).await {
                Err(_) if E::WIRE == Wire::Events => out.0 += ": waiting\n\n",
                Err(_) => {}
                Ok(next) => self.take(next, &mut out),
            }
        }
        self.take_more(&mut out);
        Some(out)
    }

    /// Takes what is there already.
    fn take_more(&mut self, out: &mut Frames) {
        for _ in 0..MOST_AT_ONCE {
            let Some(next) = self.answers.as_mut().and_then(|answers| answers.next().now_or_never()) else { return };
            self.take(next, out);
        }
    }

    fn take(&mut self, next: Option<Result<Piece, ApiError>>, out: &mut Frames) {
        let Some(answers) = &self.answers else { return };
        match next {
            Some(Ok(piece)) => self.encoder.piece(piece, answers.usage(), out),
            Some(Err(error)) => {
                self.encoder.fail(&error, out);
                self.answers = None;
            }
            None => {
                self.encoder.close(answers.usage(), out);
                self.answers = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn text_cannot_forge_an_event() {
        let mut out = Frames::default();
        out.data(&json!({"text": "a\n\ndata: [DONE]\r\n\u{2028}"}));
        assert_eq!(out.as_str().matches('\n').count(), 2);
        assert!(!out.as_str().contains('\r'));
    }
}
