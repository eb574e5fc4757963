//! `/v1/completions` in pieces.

use std::sync::Arc;

use rocmforge_tokenizer::Tokenizer;
use serde_json::{Value, json};

use super::common::{self, Chunks, StreamOptions};
use super::completions::Shape;
use super::logprobs::{TextLogprobs, Writer};
use crate::error::ApiError;
use crate::generation::{Answers, Encoded, Piece, PieceKind, Usage};
use crate::stream::{Encoder, Frames, Wire};

/// Writes pieces of completions.
pub(super) struct CompletionStream {
    shape: Shape,
    chunks: Chunks,
    tokenizer: Arc<Tokenizer>,
    prompts: Vec<Encoded>,
    /// Where each answer's next token begins in its text, in characters.
    at: Vec<usize>,
}

impl CompletionStream {
    pub fn new(shape: Shape, answers: &Answers, stream: StreamOptions) -> Self {
        Self {
            chunks: Chunks { head: shape.head.clone(), object: "text_completion", stream },
            shape,
            tokenizer: answers.model().tokenizer.clone(),
            prompts: answers.prompts().cloned().collect(),
            at: vec![0; answers.choices() as usize],
        }
    }
}

impl Encoder for CompletionStream {
    const WIRE: Wire = Wire::Events;

    fn open(&mut self, out: &mut Frames) {
        if !self.shape.echo {
            return;
        }
        let each = self.at.len() / self.prompts.len().max(1);
        for (index, at) in self.at.iter_mut().enumerate() {
            *at = self.prompts[index / each].shown(&self.tokenizer).chars().count();
        }
        let usage = Usage { prompt_tokens: self.prompts.iter().map(|p| p.tokens.len()).sum(), ..Usage::default() };
        for index in 0..self.at.len() {
            let text = self.prompts[index / each].shown(&self.tokenizer);
            let choice = json!({"index": index, "text": text, "logprobs": null, "finish_reason": null});
            self.chunks.write(choice, &usage, out);
        }
    }

    fn piece(&mut self, piece: Piece, usage: &Usage, out: &mut Frames) {
        let (text, finish, stop) = match piece.kind {
            PieceKind::Text(text) => (text, Value::Null, None),
            PieceKind::Finished { reason, stop } => (String::new(), common::finish_reason(reason).into(), stop),
            PieceKind::Prompt(_) | PieceKind::Reasoning(_) | PieceKind::ToolCall { .. } => return,
        };
        let mut choice = json!({"index": piece.choice, "text": text, "logprobs": null, "finish_reason": finish});
        if !finish.is_null() {
            choice["stop_reason"] = common::stop_reason(stop.as_ref());
        }
        if self.shape.has_logprobs
            && let Some(at) = self.at.get_mut(piece.choice as usize)
        {
            let writer = Writer { tokenizer: &self.tokenizer, as_ids: self.shape.report.tokens_as_ids };
            let mut logprobs = TextLogprobs::default();
            logprobs.add(writer, &piece.tokens, at);
            choice["logprobs"] = logprobs.take();
        }
        if self.shape.report.token_ids {
            choice["token_ids"] = piece.tokens.iter().map(|info| info.token).collect();
        }
        self.chunks.write(choice, usage, out);
    }

    fn close(&mut self, usage: &Usage, out: &mut Frames) {
        self.chunks.close(usage, out);
    }

    fn fail(&mut self, error: &ApiError, out: &mut Frames) {
        self.chunks.fail(error, out);
    }
}
