//! What `/api/chat` and `/api/generate` answer, as a whole or line by line.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Instant, SystemTime};

use axum::Json;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::stream::unfold;
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::time::rfc3339;
use crate::api::ask::Asked;
use crate::error::{ApiError, Family};
use crate::generation::{Finish, PieceKind, Usage};

/// Which of the two shapes an answer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `message` with a role.
    Chat,
    /// `response`.
    Generate,
}

/// What all lines of an answer have in common.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The shape.
    pub shape: Shape,
    /// The model that answers.
    pub model: String,
    /// When the request came.
    pub began: Instant,
}

/// A part of an answer.
#[derive(Debug, Default)]
struct Part {
    text: String,
    thinking: String,
    calls: Vec<Value>,
}

impl Part {
    fn call(id: &str, name: &str, arguments: &str) -> Value {
        let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
        json!({"id": id, "function": {"name": name, "arguments": arguments}})
    }

    /// A streamed piece; nothing where it says nothing.
    fn of(kind: PieceKind) -> Option<Self> {
        match kind {
            PieceKind::Text(text) if !text.is_empty() => Some(Self { text, ..Self::default() }),
            PieceKind::Reasoning(thinking) if !thinking.is_empty() => Some(Self { thinking, ..Self::default() }),
            PieceKind::ToolCall { id, name, arguments, .. } => {
                Some(Self { calls: vec![Self::call(&id, &name, &arguments)], ..Self::default() })
            }
            _ => None,
        }
    }
}

impl Frame {
    /// The answer as one object.
    ///
    /// # Errors
    /// Those of the answer.
    pub async fn whole(&self, asked: Asked) -> Result<Response, ApiError> {
        let collected = asked.collect().await?;
        let usage = collected.usage;
        let answer = collected.answers.into_iter().next();
        let answer = answer.ok_or_else(|| ApiError::internal("a job without an answer"))?;
        let call = |call: &rocmforge_chat::ToolCall| {
            Part::call(call.id.as_deref().unwrap_or_default(), &call.name, &call.arguments)
        };
        let calls = answer.calls.iter().map(call).collect();
        let part = Part { text: answer.text, thinking: answer.reasoning, calls };
        Ok(Json(self.last_line(part, answer.finish, &usage)).into_response())
    }

    /// The answer line by line, while it is written.
    pub fn lines(self, asked: Asked) -> Response {
        let lines = Lines { frame: self, asked, finish: Some(Finish::Stop), ready: VecDeque::new() };
        let lines = unfold(lines, async |mut lines| {
            let line = lines.next().await?;
            Some((Ok::<Bytes, Infallible>(format!("{line}\n").into()), lines))
        });
        ([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
    }

    /// The answer to a request that generates nothing.
    pub fn nothing(&self, reason: &str) -> Response {
        let mut line = self.line(Part::default(), true);
        line["done_reason"] = reason.into();
        Json(line).into_response()
    }

    fn line(&self, part: Part, is_done: bool) -> Value {
        let mut line = json!({"model": self.model, "created_at": rfc3339(SystemTime::now())});
        let thinking = Some(part.thinking).filter(|thinking| !thinking.is_empty());
        let calls = Some(part.calls).filter(|calls| !calls.is_empty());
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
        if let Some(thinking) = thinking {
            target["thinking"] = thinking.into();
        }
        if let Some(calls) = calls {
            target["tool_calls"] = calls.into();
        }
        line["done"] = is_done.into();
        line
    }

    fn last_line(&self, part: Part, finish: Finish, usage: &Usage) -> Value {
        let mut line = self.line(part, true);
        let nanoseconds = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        line["done_reason"] = if finish == Finish::Length { "length" } else { "stop" }.into();
        line["total_duration"] = nanoseconds(self.began.elapsed()).into();
        line["load_duration"] = 0.into();
        line["prompt_eval_count"] = usage.prompt_tokens.into();
        line["prompt_eval_duration"] = nanoseconds(usage.timings.prefill).into();
        line["eval_count"] = usage.completion_tokens.into();
        line["eval_duration"] = nanoseconds(usage.timings.decode).into();
        line
    }
}

/// An answer on its way.
struct Lines {
    frame: Frame,
    asked: Asked,
    /// Nothing after the last line.
    finish: Option<Finish>,
    ready: VecDeque<Value>,
}

impl Lines {
    async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            let finish = self.finish?;
            match self.asked.next().await {
                Some(Ok(piece)) => match piece.kind {
                    PieceKind::Finished { reason, .. } => self.finish = Some(reason),
                    kind => self.ready.extend(Part::of(kind).map(|part| self.frame.line(part, false))),
                },
                Some(Err(error)) => {
                    self.finish = None;
                    self.ready.push_back(error.body(Family::Ollama));
                }
                None => {
                    self.finish = None;
                    self.ready.push_back(self.frame.last_line(Part::default(), finish, self.asked.usage()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(shape: Shape) -> Frame {
        Frame { shape, model: "m".into(), began: Instant::now() }
    }

    #[test]
    fn both_shapes_carry_text_reasoning_and_calls() {
        let part = || Part { text: "a".into(), thinking: "b".into(), calls: vec![Part::call("c", "f", "{\"x\":1}")] };
        let chat = frame(Shape::Chat).line(part(), false);
        let calls = json!([{"id": "c", "function": {"name": "f", "arguments": {"x": 1}}}]);
        assert_eq!(chat["message"], json!({"role": "assistant", "content": "a", "thinking": "b", "tool_calls": calls}));
        let generate = frame(Shape::Generate).line(part(), false);
        assert_eq!(
            (&generate["response"], &generate["thinking"], &generate["done"]),
            (&json!("a"), &json!("b"), &json!(false))
        );
    }

    #[test]
    fn the_last_line_has_the_statistics() {
        let usage = Usage { prompt_tokens: 3, completion_tokens: 2, ..Usage::default() };
        let line = frame(Shape::Chat).last_line(Part::default(), Finish::Length, &usage);
        assert_eq!((&line["done"], &line["done_reason"]), (&json!(true), &json!("length")));
        assert_eq!((&line["prompt_eval_count"], &line["eval_count"]), (&json!(3), &json!(2)));
        assert!(line["total_duration"].is_u64() && line["eval_duration"].is_u64());
    }
}
