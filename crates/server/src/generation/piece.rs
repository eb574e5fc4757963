//! What comes out.

use rocmforge_engine::{FinishReason, PromptLogprob, StopMatch, Timings};
use rocmforge_sampler::{TokenId, TokenLogprob};

/// A piece of one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// Which answer, counted over all prompts.
    pub choice: u32,
    /// What it is.
    pub kind: PieceKind,
    /// The tokens that were generated since the answer's last piece.
    pub tokens: Vec<TokenInfo>,
}

/// What a piece is.
#[derive(Debug, Clone, PartialEq)]
pub enum PieceKind {
    /// Log-probabilities of the next tokens of the prompt; `None` for its first token.
    Prompt(Vec<Option<PromptLogprob>>),
    /// Text of the answer. May be empty where only tokens are to be reported.
    Text(String),
    /// Text of the reasoning before it.
    Reasoning(String),
    /// A complete call of a tool.
    ToolCall {
        /// Its number within the answer.
        index: u32,
        /// Its id.
        id: String,
        /// The function's name.
        name: String,
        /// The arguments, as the text of a JSON object.
        arguments: String,
    },
    /// The end of this answer.
    Finished {
        /// Why.
        reason: Finish,
        /// What ended it, where that was not the model's own end.
        stop: Option<StopMatch>,
    },
}

/// A token of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenInfo {
    /// The token.
    pub token: TokenId,
    /// Its log-probability, if asked for.
    pub logprob: Option<f32>,
    /// The likeliest tokens in its place.
    pub top: Vec<TokenLogprob>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// The model ended, or a stop text or token came.
    Stop,
    /// The limit of tokens, or the end of the context.
    Length,
    /// The model waits for the results of the tools that it called.
    ToolCalls,
    /// It was cancelled.
    Cancelled,
}

impl Finish {
    /// `None` for a failure, which is no end of an answer.
    pub(super) fn of(reason: &FinishReason, has_calls: bool) -> Option<Self> {
        match reason {
            FinishReason::Stop if has_calls => Some(Self::ToolCalls),
            FinishReason::Stop => Some(Self::Stop),
            FinishReason::Length => Some(Self::Length),
            FinishReason::Cancelled => Some(Self::Cancelled),
            FinishReason::Error(_) => None,
        }
    }
}

/// Counts over all prompts and answers of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompts.
    pub prompt_tokens: usize,
    /// Of these, tokens that were cached.
    pub cached_tokens: usize,
    /// Tokens generated.
    pub completion_tokens: usize,
    /// Of these, tokens of reasoning.
    pub reasoning_tokens: usize,
    /// Where the time of the last answer went.
    pub timings: Timings,
}
