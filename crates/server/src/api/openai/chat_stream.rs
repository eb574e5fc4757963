//! `/v1/chat/completions` in pieces.

use std::sync::Arc;

use rocmforge_tokenizer::Tokenizer;
use serde_json::{Value, json};

use super::chat::{Shape, tool_call};
use super::common::{self, Chunks, StreamOptions};
use crate::error::ApiError;
use crate::generation::{Answers, Piece, PieceKind, TokenInfo, Usage};
use crate::stream::{Encoder, Frames, Wire};

/// Writes pieces of answers.
pub(super) struct ChatStream {
    shape: Shape,
    chunks: Chunks,
    tokenizer: Arc<Tokenizer>,
    choices: u32,
    prompt_tokens: usize,
}

impl ChatStream {
    pub fn new(shape: Shape, answers: &Answers, stream: StreamOptions) -> Self {
        Self {
            chunks: Chunks { head: shape.head.clone(), object: "chat.completion.chunk", stream },
            shape,
            tokenizer: answers.model().tokenizer.clone(),
            choices: answers.choices(),
            prompt_tokens: answers.usage().prompt_tokens,
        }
    }

    fn choice(&self, index: u32, delta: Value, tokens: &[TokenInfo]) -> Value {
        let mut choice = json!({"index": index, "delta": delta, "logprobs": null, "finish_reason": null});
        if self.shape.has_logprobs && !tokens.is_empty() {
            choice["logprobs"] = self.shape.writer(&self.tokenizer).chat(tokens);
        }
        if self.shape.report.token_ids {
            choice["token_ids"] = tokens.iter().map(|info| info.token).collect();
        }
        choice
    }
}

impl Encoder for ChatStream {
    const WIRE: Wire = Wire::Events;

    fn open(&mut self, out: &mut Frames) {
        let usage = Usage { prompt_tokens: self.prompt_tokens, ..Usage::default() };
        for index in 0..self.choices {
            let choice = self.choice(index, json!({"role": "assistant", "content": ""}), &[]);
            self.chunks.write(choice, &usage, out);
        }
    }

    fn piece(&mut self, piece: Piece, usage: &Usage, out: &mut Frames) {
        let mut end = None;
        let delta = match piece.kind {
            PieceKind::Text(text) => json!({"content": text}),
            PieceKind::Reasoning(_) if !self.shape.include_reasoning => return,
            PieceKind::Reasoning(text) => json!({"reasoning": text, "reasoning_content": text}),
            PieceKind::ToolCall { index, id, name, arguments } => {
                let mut call = tool_call(Some(&id), &name, &arguments);
                call["index"] = index.into();
                json!({"tool_calls": [call]})
            }
            PieceKind::Finished { reason, stop } => {
                end = Some((reason, stop));
                json!({})
            }
            PieceKind::Prompt(_) => return,
        };
        let mut choice = self.choice(piece.choice, delta, &piece.tokens);
        if let Some((reason, stop)) = end {
            choice["finish_reason"] = common::finish_reason(reason).into();
            choice["stop_reason"] = common::stop_reason(stop.as_ref());
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
