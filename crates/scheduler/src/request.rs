//! What goes in: requests, and the tokens that steps yield. What comes out at the end.

use rocmforge_kv_cache::{Space, TokenId};

use crate::{SequenceId, State};

/// Names a request of one scheduler; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Who asks, for fairness. What it stands for (a key, an address) is the caller's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ClientId(pub u64);

/// Which rows of logits a request wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rows {
    /// Of the last token of the prompt, and of each generated one.
    #[default]
    Last,
    /// Of every token of the prompt too (for log-probabilities of the prompt). Such a request shares no cached
    /// prefix, since nobody computes rows of shared tokens.
    All,
    /// As [`All`](Self::All), but of hidden states instead of logits, which [`max_rows_per_step`] does not bound.
    ///
    /// [`max_rows_per_step`]: crate::SchedulerConfig::max_rows_per_step
    Hidden,
}

/// A prompt, and how far to continue it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRequest {
    /// Who asks.
    pub client: ClientId,
    /// Lower goes first.
    pub priority: i32,
    /// Tokens to continue, at least one.
    pub prompt: Vec<TokenId>,
    /// Most tokens of each answer; 0 computes the prompt alone.
    pub max_tokens: usize,
    /// Answers to this prompt, at least one.
    pub sequences: u32,
    /// Whose cached prefixes it shares.
    pub space: Space,
    /// Rows of logits it wants.
    pub rows: Rows,
}

impl NewRequest {
    /// One answer of at most `max_tokens` tokens, of middle priority, for nobody in particular.
    pub fn new(prompt: Vec<TokenId>, max_tokens: usize) -> Self {
        Self {
            client: ClientId::default(),
            priority: 0,
            prompt,
            max_tokens,
            sequences: 1,
            space: Space::default(),
            rows: Rows::Last,
        }
    }
}

/// How a sequence goes on after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// With this token.
    Token(TokenId),
    /// It ends with this token: an end token, or the last of a stop text.
    Last(TokenId),
    /// It cannot go on: its logits are no numbers, or no token is allowed.
    Failed,
}

/// What a step yielded for a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Whose.
    pub sequence: SequenceId,
    /// How it goes on.
    pub next: Next,
}

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum EndReason {
    /// Its owner said so with [`Next::Last`].
    Stop,
    /// It has as many tokens as it may have.
    Length,
    /// It was asked to stop.
    Cancelled,
    /// Its owner said so with [`Next::Failed`], or a step of this token alone did not fit in the device's memory.
    Failed,
    /// It was under way each time the device failed.
    Suspect,
}

impl EndReason {
    /// The state that a sequence is in after it.
    pub fn state(self) -> State {
        match self {
            EndReason::Stop | EndReason::Length => State::Finished,
            EndReason::Cancelled => State::Cancelled,
            EndReason::Failed | EndReason::Suspect => State::Failed,
        }
    }
}

/// The end of a sequence. Every sequence has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Whose.
    pub sequence: SequenceId,
    /// Why.
    pub reason: EndReason,
    /// Tokens generated.
    pub generated: usize,
    /// Prompt tokens that were cached when the request needed them.
    pub cached_tokens: usize,
    /// Whether the request has no other sequence left: its end.
    pub is_last: bool,
}
