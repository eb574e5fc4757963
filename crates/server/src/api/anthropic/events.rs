//! An answer as Anthropic's sequence of events.

use axum::response::sse::Event;
use serde_json::{Value, json};

/// One event: its name, which its data repeats, and its data.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedEvent(pub &'static str, pub Value);

impl NamedEvent {
    fn new(name: &'static str, mut data: Value) -> Self {
        data["type"] = name.into();
        NamedEvent(name, data)
    }

    /// Nothing new; the connection is alive.
    pub fn ping() -> Self {
        Self::new("ping", json!({}))
    }
}

impl From<NamedEvent> for Event {
    fn from(NamedEvent(name, data): NamedEvent) -> Self {
        Event::default().event(name).data(data.to_string())
    }
}

/// Writes one answer as events: `message_start`, for each block of content its start,
/// deltas and stop, `message_delta` with why it ended, `message_stop`.
#[derive(Debug, Default)]
pub struct EventWriter {
    /// The block that is open.
    open: Option<Open>,
    /// Blocks that were started.
    blocks: usize,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Open {
    Text,
    Thinking,
}

/// We do not check what we are given back, so that any text would do.
pub const SIGNATURE: &str = "unsigned";

impl EventWriter {
    /// The first event; `message` has no content yet.
    pub fn start(message: Value) -> NamedEvent {
        NamedEvent::new("message_start", json!({"message": message}))
    }

    /// More text of the answer.
    pub fn text(&mut self, text: &str) -> Vec<NamedEvent> {
        let mut events = self.enter(Open::Text, json!({"type": "text", "text": ""}));
        events.push(self.delta(json!({"type": "text_delta", "text": text})));
        events
    }

    /// More of the reasoning before it.
    pub fn thinking(&mut self, text: &str) -> Vec<NamedEvent> {
        let mut events = self.enter(Open::Thinking, json!({"type": "thinking", "thinking": "", "signature": ""}));
        events.push(self.delta(json!({"type": "thinking_delta", "thinking": text})));
        events
    }

    /// A whole call of a tool; `arguments` are the text of a JSON object.
    pub fn tool_use(&mut self, id: &str, name: &str, arguments: &str) -> Vec<NamedEvent> {
        let mut events = self.close();
        events.push(self.open_block(json!({"type": "tool_use", "id": id, "name": name, "input": {}})));
        events.push(self.delta(json!({"type": "input_json_delta", "partial_json": arguments})));
        events.push(self.stop_block());
        events
    }

    /// The last events.
    pub fn finish(mut self, stop_reason: &str, stop_sequence: Option<&str>, usage: Value) -> Vec<NamedEvent> {
        let mut events = self.close();
        let delta = json!({"stop_reason": stop_reason, "stop_sequence": stop_sequence});
        events.push(NamedEvent::new("message_delta", json!({"delta": delta, "usage": usage})));
        events.push(NamedEvent::new("message_stop", json!({})));
        events
    }

    /// Opens a block of this kind, unless one is open.
    fn enter(&mut self, kind: Open, block: Value) -> Vec<NamedEvent> {
        if self.open == Some(kind) {
            return Vec::new();
        }
        let mut events = self.close();
        events.push(self.open_block(block));
        self.open = Some(kind);
        events
    }

    fn close(&mut self) -> Vec<NamedEvent> {
        let signature = || json!({"type": "signature_delta", "signature": SIGNATURE});
        match self.open.take() {
            None => Vec::new(),
            Some(Open::Text) => vec![self.stop_block()],
            Some(Open::Thinking) => vec![self.delta(signature()), self.stop_block()],
        }
    }

    fn open_block(&mut self, block: Value) -> NamedEvent {
        self.blocks += 1;
        NamedEvent::new("content_block_start", json!({"index": self.index(), "content_block": block}))
    }

    fn delta(&self, delta: Value) -> NamedEvent {
        NamedEvent::new("content_block_delta", json!({"index": self.index(), "delta": delta}))
    }

    fn stop_block(&self) -> NamedEvent {
        NamedEvent::new("content_block_stop", json!({"index": self.index()}))
    }

    fn index(&self) -> usize {
        self.blocks.saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(events: &[NamedEvent]) -> Vec<(&str, Option<u64>)> {
        events.iter().map(|NamedEvent(name, data)| (*name, data["index"].as_u64())).collect()
    }

    #[test]
    fn blocks_follow_each_other_and_never_overlap() {
        let mut writer = EventWriter::default();
        let mut events = vec![EventWriter::start(json!({"id": "m"}))];
        events.extend(writer.thinking("a"));
        events.extend(writer.thinking("b"));
        events.extend(writer.text("c"));
        events.extend(writer.tool_use("t", "f", "{}"));
        events.extend(writer.text("d"));
        events.extend(writer.finish("tool_use", None, json!({"output_tokens": 9})));
        let expected = [
            ("message_start", None),
            ("content_block_start", Some(0)),
            ("content_block_delta", Some(0)),
            ("content_block_delta", Some(0)),
            ("content_block_delta", Some(0)),
            ("content_block_stop", Some(0)),
            ("content_block_start", Some(1)),
            ("content_block_delta", Some(1)),
            ("content_block_stop", Some(1)),
            ("content_block_start", Some(2)),
            ("content_block_delta", Some(2)),
            ("content_block_stop", Some(2)),
            ("content_block_start", Some(3)),
            ("content_block_delta", Some(3)),
            ("content_block_stop", Some(3)),
            ("message_delta", None),
            ("message_stop", None),
        ];
        assert_eq!(shapes(&events), expected);
        assert_eq!(events[4].1["delta"]["type"], "signature_delta");
        assert!(events.iter().all(|NamedEvent(name, data)| data["type"] == *name));
    }

    #[test]
    fn an_empty_answer_has_no_blocks() {
        let events = EventWriter::default().finish("end_turn", None, json!({}));
        assert_eq!(shapes(&events), [("message_delta", None), ("message_stop", None)]);
    }
}
