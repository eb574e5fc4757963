//! A response in events.

use serde_json::json;

use super::Keeper;
use super::output::Output;
use crate::error::ApiError;
use crate::generation::{Piece, Usage};
use crate::stream::{Encoder, Frames, Wire};

/// Writes the events of a response.
pub(super) struct ResponseStream {
    output: Output,
    keeper: Keeper,
    number: u64,
}

impl ResponseStream {
    pub fn new(output: Output, keeper: Keeper) -> Self {
        Self { output, keeper, number: 0 }
    }

    fn flush(&mut self, out: &mut Frames) {
        for (name, mut data) in self.output.take_events() {
            data["type"] = name.into();
            data["sequence_number"] = self.number.into();
            self.number += 1;
            out.event(name, &data);
        }
    }
}

impl Encoder for ResponseStream {
    const WIRE: Wire = Wire::Events;

    fn open(&mut self, out: &mut Frames) {
        for name in ["response.created", "response.in_progress"] {
            let response = self.output.body("in_progress");
            self.output.event(name, json!({"response": response}));
        }
        self.flush(out);
    }

    fn piece(&mut self, piece: Piece, _: &Usage, out: &mut Frames) {
        self.output.piece(piece);
        self.flush(out);
    }

    fn close(&mut self, usage: &Usage, out: &mut Frames) {
        let body = self.output.finished(usage);
        self.keeper.keep(&self.output, &body);
        self.flush(out);
    }

    fn fail(&mut self, error: &ApiError, out: &mut Frames) {
        let body = self.output.failed(error);
        self.keeper.keep(&self.output, &body);
        self.flush(out);
    }
}
