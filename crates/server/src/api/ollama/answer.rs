//! What `/api/chat` and `/api/generate` answer, as a whole or line by line.

use std::time::{Duration, Instant, SystemTime};

use axum::Json;
use axum::response::{IntoResponse, Response};
use rocmforge_chat::ToolCall;
use serde_json::{Value, json};

use super::time::rfc3339;
use crate::api::ask::Asked;
use crate::error::{ApiError, Family};
use crate::generation::{Finish, Piece, PieceKind, Usage};
use crate::stream::{Encoder, Frames, Wire};

/// Which of the two shapes an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `message` with a role.
    Chat,
    /// `response`.
    Generate,
}

/// Writes the lines of an answer.
#[derive(Debug, Clone)]
pub struct LineWriter {
    shape: Shape,
    model: String,
    /// When the request came.
    began: Instant,
    finish: Finish,
}

/// A part of an answer.
#[derive(Debug, Default)]
struct Part {
    text: String,
    thinking: String,
    calls: Vec<Value>,
}

impl Part {
    /// A streamed piece; nothing where it says nothing.
    fn of(kind: PieceKind) -> Option<Self> {
        match kind {
            PieceKind::Text(text) if !text.is_empty() => Some(Self { text, ..Self::default() }),
            PieceKind::Reasoning(thinking) if !thinking.is_empty() => Some(Self { thinking, ..Self::default() }),
            PieceKind::ToolCall { id, name, arguments, .. } => {
                Some(Self { calls: vec![call(&id, &name, &arguments)], ..Self::default() })
            }
            _ => None,
        }
    }
}

fn call(id: &str, name: &str, arguments: &str) -> Value {
    let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
    json!({"id": id, "function": {"name": name, "arguments": arguments}})
}

impl LineWriter {
    /// A writer for an answer of this model, to a request that came now.
    pub fn new(shape: Shape, model: String) -> Self {
        Self { shape, model, began: Instant::now(), finish: Finish::Stop }
    }

    /// The answer as one object.
    ///
    /// # Errors
    /// Those of the answer.
    pub async fn whole(mut self, asked: Asked) -> Result<Response, ApiError> {
        let collected = asked.collect().await?;
        let answer = collected.answers.into_iter().next();
        let answer = answer.ok_or_else(|| ApiError::internal("a job without an answer"))?;
        self.finish = answer.finish;
        let call = |made: &ToolCall| call(made.id.as_deref().unwrap_or_default(), &made.name, &made.arguments);
        let calls = answer.calls.iter().map(call).collect();
        let part = Part { text: answer.text, thinking: answer.reasoning, calls };
        Ok(Json(self.last_line(part, &collected.usage)).into_response())
    }

    /// The answer to a request that generates nothing.
    pub fn nothing(&self, reason: &str) -> Response {
        let mut line = self.line(Part::default(), true);
        line["done_reason"] = reason.into();
        Json(line).into_response()
    }

    fn line(&self, part: Part, is_done: bool) -> Value {
        let mut line = json!({"model": self.model, "created_at": rfc3339(SystemTime::now())});
        let target = match self.shape {
            Shape::Chat => {
                line["message"] = json!({"role": "assistant", "content": part.text});
                &mut line["message"]
            }
            Shape::Generate => {
                line["response"] = part.text.into();
                &mut line
            }
        };
        if !part.thinking.is_empty() {
            target["thinking"] = part.thinking.into();
        }
        if !part.calls.is_empty() {
            target["tool_calls"] = part.calls.into();
        }
        line["done"] = is_done.into();
        line
    }

    /// The line that ends an answer, with the statistics.
    fn last_line(&self, part: Part, usage: &Usage) -> Value {
        let mut line = self.line(part, true);
        line["done_reason"] = if self.finish == Finish::Length { "length" } else { "stop" }.into();
        line["total_duration"] = nanoseconds(self.began.elapsed()).into();
        line["load_duration"] = 0.into();
        line["prompt_eval_count"] = usage.prompt_tokens.into();
        line["prompt_eval_duration"] = nanoseconds(usage.timings.prefill).into();
        line["eval_count"] = usage.completion_tokens.into();
        line["eval_duration"] = nanoseconds(usage.timings.decode).into();
        line
    }
}

/// A time as Ollama writes it.
pub fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Encoder for LineWriter {
    const WIRE: Wire = Wire::Lines;

    fn open(&mut self, _: &mut Frames) {}

    fn piece(&mut self, piece: Piece, _: &Usage, out: &mut Frames) {
        if let PieceKind::Finished { reason, .. } = piece.kind {
            self.finish = reason;
        } else if let Some(part) = Part::of(piece.kind) {
            out.line(&self.line(part, false));
        }
    }

    fn close(&mut self, usage: &Usage, out: &mut Frames) {
        out.line(&self.last_line(Part::default(), usage));
    }

    fn fail(&mut self, error: &ApiError, out: &mut Frames) {
        out.line(&error.body(Family::Ollama));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes_carry_text_reasoning_and_calls() {
        let part = || Part { text: "a".into(), thinking: "b".into(), calls: vec![call("c", "f", "{\"x\":1}")] };
        let chat = LineWriter::new(Shape::Chat, "m".into()).line(part(), false);
        let calls = json!([{"id": "c", "function": {"name": "f", "arguments": {"x": 1}}}]);
        assert_eq!(chat["message"], json!({"role": "assistant", "content": "a", "thinking": "b", "tool_calls": calls}));
        let generate = LineWriter::new(Shape::Generate, "m".into()).line(part(), false);
        assert_eq!((&generate["response"], &generate["thinking"]), (&json!("a"), &json!("b")));
        assert_eq!(generate["done"], false);
    }

    #[test]
    fn the_last_line_has_the_statistics() {
        let usage = Usage { prompt_tokens: 3, completion_tokens: 2, ..Usage::default() };
        let (mut writer, mut out) = (LineWriter::new(Shape::Chat, "m".into()), Frames::default());
        let kind = PieceKind::Finished { reason: Finish::Length, stop: None };
        writer.piece(Piece { choice: 0, kind, tokens: Vec::new() }, &usage, &mut out);
        writer.close(&usage, &mut out);
        let line: Value = serde_json::from_str(out.as_str()).expect("one line of JSON");
        assert_eq!((&line["done"], &line["done_reason"]), (&json!(true), &json!("length")));
        assert_eq!((&line["prompt_eval_count"], &line["eval_count"]), (&json!(3), &json!(2)));
        assert!(line["total_duration"].is_u64() && line["eval_duration"].is_u64());
    }
}
