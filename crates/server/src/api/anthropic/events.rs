//! An answer as Anthropic's sequence of events.

use rocmforge_engine::StopMatch;
use serde_json::{Value, json};

use super::answer::{stop_of, usage_of};
use crate::error::{ApiError, Family};
use crate::generation::{Finish, Piece, PieceKind, Usage};
use crate::stream::{Encoder, Frames, Wire};

/// We do not check what we are given back, so that any text would do.
pub const SIGNATURE: &str = "unsigned";

/// Writes one answer as events: `message_start`, for each block of content its start, deltas and stop,
/// `message_delta` with why it ended, `message_stop`.
#[derive(Debug)]
pub struct EventWriter {
    /// The message without content.
    message: Value,
    max_tokens: usize,
    /// The block that is open.
    open: Option<Block>,
    /// Blocks that were started.
    blocks: usize,
    finish: Finish,
    stop: Option<StopMatch>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Block {
    Text,
    Thinking,
}

impl EventWriter {
    /// A writer of this message, which has no content yet.
    pub fn new(message: Value, max_tokens: usize) -> Self {
        Self { message, max_tokens, open: None, blocks: 0, finish: Finish::Stop, stop: None }
    }

    fn text(&mut self, text: &str, out: &mut Frames) {
        self.enter(Block::Text, json!({"type": "text", "text": ""}), out);
        self.delta(json!({"type": "text_delta", "text": text}), out);
    }

    fn thinking(&mut self, text: &str, out: &mut Frames) {
        self.enter(Block::Thinking, json!({"type": "thinking", "thinking": "", "signature": ""}), out);
        self.delta(json!({"type": "thinking_delta", "thinking": text}), out);
    }

    /// A whole call; `arguments` are the text of a JSON object.
    fn tool_use(&mut self, id: &str, name: &str, arguments: &str, out: &mut Frames) {
        self.leave(out);
        self.start_block(json!({"type": "tool_use", "id": id, "name": name, "input": {}}), out);
        self.delta(json!({"type": "input_json_delta", "partial_json": arguments}), out);
        self.stop_block(out);
    }

    /// Opens a block of this kind, unless one is open.
    fn enter(&mut self, block: Block, start: Value, out: &mut Frames) {
        if self.open != Some(block) {
            self.leave(out);
            self.start_block(start, out);
            self.open = Some(block);
        }
    }

    /// Closes the block that is open.
    fn leave(&mut self, out: &mut Frames) {
        match self.open.take() {
            None => return,
            Some(Block::Text) => {}
            Some(Block::Thinking) => self.delta(json!({"type": "signature_delta", "signature": SIGNATURE}), out),
        }
        self.stop_block(out);
    }

    fn start_block(&mut self, block: Value, out: &mut Frames) {
        self.blocks += 1;
        event("content_block_start", json!({"index": self.index(), "content_block": block}), out);
    }

    fn delta(&self, delta: Value, out: &mut Frames) {
        event("content_block_delta", json!({"index": self.index(), "delta": delta}), out);
    }

    fn stop_block(&self, out: &mut Frames) {
        event("content_block_stop", json!({"index": self.index()}), out);
    }

    fn index(&self) -> usize {
        self.blocks.saturating_sub(1)
    }
}

/// An event, whose data repeats its name.
fn event(name: &str, mut data: Value, out: &mut Frames) {
    data["type"] = name.into();
    out.event(name, &data);
}

impl Encoder for EventWriter {
    const WIRE: Wire = Wire::Events;

    fn open(&mut self, out: &mut Frames) {
        event("message_start", json!({"message": self.message}), out);
        event("ping", json!({}), out);
    }

    fn piece(&mut self, piece: Piece, _: &Usage, out: &mut Frames) {
        match piece.kind {
            PieceKind::Text(text) if !text.is_empty() => self.text(&text, out),
            PieceKind::Reasoning(text) if !text.is_empty() => self.thinking(&text, out),
            PieceKind::ToolCall { id, name, arguments, .. } => self.tool_use(&id, &name, &arguments, out),
            PieceKind::Finished { reason, stop } => (self.finish, self.stop) = (reason, stop),
            PieceKind::Text(_) | PieceKind::Reasoning(_) | PieceKind::Prompt(_) => {}
        }
    }

    fn close(&mut self, usage: &Usage, out: &mut Frames) {
        self.leave(out);
        let (reason, sequence) = stop_of(self.finish, self.stop.as_ref(), usage, self.max_tokens);
        let delta = json!({"stop_reason": reason, "stop_sequence": sequence});
        event("message_delta", json!({"delta": delta, "usage": usage_of(usage)}), out);
        event("message_stop", json!({}), out);
    }

    fn fail(&mut self, error: &ApiError, out: &mut Frames) {
        out.event("error", &error.body(Family::Anthropic));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(kind: PieceKind) -> Piece {
        Piece { choice: 0, kind, tokens: Vec::new() }
    }

    /// The events of these pieces: their data, whose type was checked against their name.
    fn events(pieces: Vec<PieceKind>) -> Vec<Value> {
        let (mut writer, mut out) = (EventWriter::new(json!({"id": "m"}), 9), Frames::default());
        writer.open(&mut out);
        for kind in pieces {
            writer.piece(piece(kind), &Usage::default(), &mut out);
        }
        writer.close(&Usage::default(), &mut out);
        let event = |text: &str| {
            let (name, data) = text.split_once("\ndata: ").expect("a name and data");
            let data: Value = serde_json::from_str(data).expect("data are JSON");
            assert_eq!(name.strip_prefix("event: "), data["type"].as_str());
            data
        };
        out.as_str().trim_end().split("\n\n").map(event).collect()
    }

    fn shapes(events: &[Value]) -> Vec<(&str, Option<u64>)> {
        events.iter().map(|data| (data["type"].as_str().unwrap_or_default(), data["index"].as_u64())).collect()
    }

    #[test]
    fn blocks_follow_each_other_and_never_overlap() {
        let call = PieceKind::ToolCall { index: 0, id: "t".into(), name: "f".into(), arguments: "{}".into() };
        let text = |text: &str| PieceKind::Text(text.into());
        let thought = |text: &str| PieceKind::Reasoning(text.into());
        let end = PieceKind::Finished { reason: Finish::ToolCalls, stop: None };
        let events = events(vec![thought("a"), thought("b"), text("c"), text(""), call, text("d"), end]);
        let expected = [
            ("message_start", None),
            ("ping", None),
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
        assert_eq!(events[5]["delta"]["type"], "signature_delta");
        assert_eq!(events[16]["delta"]["stop_reason"], "tool_use");
    }

    #[test]
    fn an_empty_answer_has_no_blocks() {
        let events = events(Vec::new());
        let names: Vec<&str> = shapes(&events).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["message_start", "ping", "message_delta", "message_stop"]);
    }
}
