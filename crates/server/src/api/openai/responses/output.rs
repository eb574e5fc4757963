//! A response as it grows. Each change is an event too; who wants the whole response leaves the events be.

use std::sync::Arc;

use rocmforge_chat::Message;
use rocmforge_engine::ModelInfo;
use serde_json::{Map, Value, json};

use super::super::common::new_id;
use super::super::logprobs::Writer;
use super::request::usage;
use crate::error::ApiError;
use crate::generation::{Finish, Piece, PieceKind, TokenInfo, Usage};

/// A response that grows.
pub(super) struct Output {
    head: Map<String, Value>,
    has_logprobs: bool,
    model: Arc<ModelInfo>,
    /// Items that are whole.
    items: Vec<Value>,
    open: Option<Open>,
    finish: Finish,
    events: Vec<(&'static str, Value)>,
}

/// The item that is written.
struct Open {
    kind: Kind,
    id: String,
    text: String,
    logprobs: Vec<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Message,
    Reasoning,
}

impl Kind {
    fn delta(self) -> &'static str {
        match self {
            Self::Message => "response.output_text.delta",
            Self::Reasoning => "response.reasoning_text.delta",
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Message => "response.output_text.done",
            Self::Reasoning => "response.reasoning_text.done",
        }
    }

    fn part(self, text: &str, logprobs: &[Value]) -> Value {
        match self {
            Self::Message => json!({"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}),
            Self::Reasoning => json!({"type": "reasoning_text", "text": text}),
        }
    }

    fn item(self, id: &str, status: &str, content: &[Value]) -> Value {
        match self {
            Self::Message => {
                json!({"id": id, "type": "message", "status": status, "role": "assistant", "content": content})
            }
            Self::Reasoning => {
                json!({"id": id, "type": "reasoning", "status": status, "summary": [], "content": content})
            }
        }
    }
}

fn item_id(prefix: &str) -> String {
    new_id(prefix).replacen('-', "_", 1)
}

impl Output {
    /// A response with nothing in it.
    pub fn new(head: Map<String, Value>, has_logprobs: bool, model: &Arc<ModelInfo>) -> Self {
        Self {
            head,
            has_logprobs,
            model: model.clone(),
            items: Vec::new(),
            open: None,
            finish: Finish::Stop,
            events: Vec::new(),
        }
    }

    /// The response as it is.
    pub fn body(&self, status: &str) -> Value {
        let mut body = self.head.clone();
        body.insert("status".into(), status.into());
        body.insert("output".into(), self.items.clone().into());
        body.into()
    }

    /// What happened since this was asked last.
    pub fn take_events(&mut self) -> Vec<(&'static str, Value)> {
        std::mem::take(&mut self.events)
    }

    /// Adds a piece.
    pub fn piece(&mut self, piece: Piece) {
        match piece.kind {
            PieceKind::Text(text) => self.text(Kind::Message, &text, &piece.tokens),
            PieceKind::Reasoning(text) => self.text(Kind::Reasoning, &text, &piece.tokens),
            PieceKind::ToolCall { id, name, arguments, .. } => self.call(&id, &name, &arguments),
            PieceKind::Finished { reason, .. } => self.finish = reason,
            PieceKind::Prompt(_) => {}
        }
    }

    /// The whole response, at its end.
    pub fn finished(&mut self, counts: &Usage) -> Value {
        let is_whole = matches!(self.finish, Finish::Stop | Finish::ToolCalls);
        self.close(if is_whole { "completed" } else { "incomplete" });
        let mut body = self.body(match self.finish {
            Finish::Stop | Finish::ToolCalls => "completed",
            Finish::Length => "incomplete",
            Finish::Cancelled => "cancelled",
        });
        if self.finish == Finish::Length {
            body["incomplete_details"] = json!({"reason": "max_output_tokens"});
        }
        body["usage"] = usage(counts);
        let name = if is_whole { "response.completed" } else { "response.incomplete" };
        self.event(name, json!({"response": body}));
        body
    }

    /// The whole response, where it could not be made.
    pub fn failed(&mut self, error: &ApiError) -> Value {
        self.close("incomplete");
        let mut body = self.body("failed");
        body["error"] = json!({"code": error.code.unwrap_or("server_error"), "message": error.message});
        self.event("response.failed", json!({"response": body}));
        body
    }

    /// The answer as a message of the conversation; none where nothing was said.
    pub fn message(&self) -> Option<Message> {
        let of = |kind: &'static str| self.items.iter().filter(move |item| item["type"] == kind);
        let text: String = of("message").filter_map(|item| item["content"][0]["text"].as_str()).collect();
        let call = |item: &Value| {
            json!({
                "id": item["call_id"],
                "type": "function",
                "function": {"name": item["name"], "arguments": item["arguments"]},
            })
        };
        let calls: Vec<Value> = of("function_call").map(call).collect();
        match (text.is_empty(), calls.is_empty()) {
            (true, true) => None,
            (_, true) => Some(Message::assistant(text)),
            (_, false) => Some(Message::assistant(text).with("tool_calls", calls)),
        }
    }

    /// Notes an event.
    pub fn event(&mut self, name: &'static str, data: Value) {
        self.events.push((name, data));
    }

    fn text(&mut self, kind: Kind, text: &str, tokens: &[TokenInfo]) {
        if self.open.as_ref().is_none_or(|open| open.kind != kind) {
            self.close("completed");
            self.open(kind);
        }
        let index = self.items.len();
        let logprobs = match self.has_logprobs && kind == Kind::Message {
            true => Writer { tokenizer: &self.model.tokenizer, as_ids: false }.entries(tokens),
            false => Vec::new(),
        };
        let Some(open) = &mut self.open else { return };
        open.text += text;
        open.logprobs.extend_from_slice(&logprobs);
        let mut data = json!({"item_id": open.id, "output_index": index, "content_index": 0, "delta": text});
        if kind == Kind::Message {
            data["logprobs"] = logprobs.into();
        }
        self.event(kind.delta(), data);
    }

    fn open(&mut self, kind: Kind) {
        let id = item_id(if kind == Kind::Message { "msg" } else { "rs" });
        let index = self.items.len();
        let item = kind.item(&id, "in_progress", &[]);
        self.event("response.output_item.added", json!({"output_index": index, "item": item}));
        let part = json!({"item_id": id, "output_index": index, "content_index": 0, "part": kind.part("", &[])});
        self.event("response.content_part.added", part);
        self.open = Some(Open { kind, id, text: String::new(), logprobs: Vec::new() });
    }

    /// The item that is written is whole, or will never be.
    fn close(&mut self, status: &str) {
        let Some(Open { kind, id, text, logprobs }) = self.open.take() else { return };
        let index = self.items.len();
        let place = json!({"item_id": id, "output_index": index, "content_index": 0});
        let with = |name: &str, value: Value| {
            let mut data = place.clone();
            data[name] = value;
            data
        };
        let mut done = with("text", text.as_str().into());
        if kind == Kind::Message {
            done["logprobs"] = logprobs.clone().into();
        }
        self.event(kind.done(), done);
        let part = kind.part(&text, &logprobs);
        self.event("response.content_part.done", with("part", part.clone()));
        let item = kind.item(&id, status, &[part]);
        self.event("response.output_item.done", json!({"output_index": index, "item": item}));
        self.items.push(item);
    }

    fn call(&mut self, call_id: &str, name: &str, arguments: &str) {
        self.close("completed");
        let (id, index) = (item_id("fc"), self.items.len());
        let item = |status: &str, arguments: &str| {
            json!({
                "id": id,
                "type": "function_call",
                "status": status,
                "call_id": call_id,
                "name": name,
                "arguments": arguments,
            })
        };
        self.event("response.output_item.added", json!({"output_index": index, "item": item("in_progress", "")}));
        let delta = json!({"item_id": id, "output_index": index, "delta": arguments});
        self.event("response.function_call_arguments.delta", delta);
        let done = json!({"item_id": id, "output_index": index, "name": name, "arguments": arguments});
        self.event("response.function_call_arguments.done", done);
        let item = item("completed", arguments);
        self.event("response.output_item.done", json!({"output_index": index, "item": item}));
        self.items.push(item);
    }
}
