//! An answer that is sent while it is written.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use rocmforge_engine::StopMatch;
use tokio::time::timeout;

use super::answer::{empty_message, id, stop_of, usage_of};
use super::events::{EventWriter, NamedEvent};
use crate::api::ask::Asked;
use crate::error::{ApiError, Family};
use crate::generation::{Finish, Piece, PieceKind};

/// Silence after which the client hears that the connection is alive.
const PING: Duration = Duration::from_secs(10);

/// The events of an answer as a response.
pub fn respond(asked: Asked, model: &str, max_tokens: usize) -> Response {
    let start = EventWriter::start(empty_message(&id("msg"), model, asked.usage()));
    let stream = MessageStream {
        asked,
        writer: Some(EventWriter::default()),
        ready: VecDeque::from([start, NamedEvent::ping()]),
        finish: None,
        max_tokens,
    };
    let events = unfold(stream, async |mut stream| {
        let event = stream.next().await?;
        Some((Ok::<Event, Infallible>(event.into()), stream))
    });
    Sse::new(events).into_response()
}

struct MessageStream {
    asked: Asked,
    /// Nothing when the last event was written.
    writer: Option<EventWriter>,
    ready: VecDeque<NamedEvent>,
    finish: Option<(Finish, Option<StopMatch>)>,
    max_tokens: usize,
}

impl MessageStream {
    async fn next(&mut self) -> Option<NamedEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let writer = self.writer.as_mut()?;
            match timeout(PING, self.asked.next()).await {
                Err(_) => return Some(NamedEvent::ping()),
                Ok(Some(Ok(piece))) => self.ready.extend(write(writer, piece, &mut self.finish)),
                Ok(Some(Err(error))) => self.fail(&error),
                Ok(None) => self.end(),
            }
        }
    }

    fn end(&mut self) {
        let Some(writer) = self.writer.take() else { return };
        let (finish, stop) = self.finish.take().unwrap_or((Finish::Stop, None));
        let usage = self.asked.usage();
        let (reason, sequence) = stop_of(finish, stop.as_ref(), usage, self.max_tokens);
        self.ready.extend(writer.finish(reason, sequence, usage_of(usage)));
    }

    /// An error is the last event.
    fn fail(&mut self, error: &ApiError) {
        self.writer = None;
        self.ready.push_back(NamedEvent("error", error.body(Family::Anthropic)));
    }
}

fn write(writer: &mut EventWriter, piece: Piece, finish: &mut Option<(Finish, Option<StopMatch>)>) -> Vec<NamedEvent> {
    match piece.kind {
        PieceKind::Text(text) if !text.is_empty() => writer.text(&text),
        PieceKind::Reasoning(text) if !text.is_empty() => writer.thinking(&text),
        PieceKind::ToolCall { id, name, arguments, .. } => writer.tool_use(&id, &name, &arguments),
        PieceKind::Finished { reason, stop } => {
            *finish = Some((reason, stop));
            Vec::new()
        }
        PieceKind::Text(_) | PieceKind::Reasoning(_) | PieceKind::Prompt(_) => Vec::new(),
    }
}
