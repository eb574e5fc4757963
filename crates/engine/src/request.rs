//! What goes into the engine and what comes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rocmforge_sampler::{SamplingParams, TokenLogprob};
use rocmforge_tokenizer::TokenId;

/// Names a request of one engine; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// Stops a request from another thread or a signal handler.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// A token that is not set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the request to stop; it ends within one step.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether it was asked to stop.
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Makes the token usable again.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Which tokens of the model end an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EndTokens {
    /// All that are known to: right for conversations.
    #[default]
    Known,
    /// Those that the file names, and ends of turns: plain text may pass from one document to the next.
    Named,
    /// None: only limits and stop texts end it.
    Ignored,
}

/// A prompt and how to continue it.
#[derive(Debug, Clone)]
pub struct Request {
    /// Prompt tokens, at least one.
    pub prompt: Vec<TokenId>,
    /// How tokens are chosen.
    pub sampling: SamplingParams,
    /// Most tokens to generate; `None`: as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Texts that end the answer; they are not part of it.
    pub stop: Vec<String>,
    /// Which of the model's own tokens end the answer.
    pub end_tokens: EndTokens,
    /// Stops it early.
    pub cancel: CancelToken,
}

impl Request {
    /// Continues a prompt with the default sampling until the model ends.
    pub fn new(prompt: Vec<TokenId>) -> Self {
        Self {
            prompt,
            sampling: SamplingParams::default(),
            max_tokens: None,
            stop: Vec::new(),
            end_tokens: EndTokens::default(),
            cancel: CancelToken::new(),
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FinishReason {
    /// An end token of the model, or a stop text.
    Stop,
    /// The token limit or the end of the context.
    Length,
    /// It was asked to stop.
    Cancelled,
    /// It could not go on, for the reason given.
    Error(String),
}

impl FinishReason {
    /// The word that APIs use.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::Cancelled => "cancelled",
            Self::Error(_) => "error",
        }
    }
}

/// Token counts of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Of these, tokens whose keys and values were cached by an earlier request.
    pub cached_tokens: usize,
    /// Tokens generated, an end token included.
    pub completion_tokens: usize,
}

/// Where the time of a request went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// From submission to the first step.
    pub queued: Duration,
    /// From the first step to the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
}

impl Timings {
    /// Prompt tokens computed a second.
    pub fn prompt_tokens_per_second(&self, usage: &Usage) -> f64 {
        per_second(usage.prompt_tokens - usage.cached_tokens, self.prefill)
    }

    /// Tokens generated a second, after the first.
    pub fn generation_tokens_per_second(&self, usage: &Usage) -> f64 {
        per_second(usage.completion_tokens.saturating_sub(1), self.decode)
    }
}

fn per_second(count: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

/// What a step says about a request. Each request gets any number of `Token` and then exactly one `Finished`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// One more token.
    Token {
        /// Whose.
        request: RequestId,
        /// The token.
        token: TokenId,
        /// Text that became certain: whole characters, no part of a stop text. Often a word, sometimes empty.
        text: String,
        /// The token's log-probability and the likeliest alternatives, if asked for.
        logprobs: Option<(f32, Vec<TokenLogprob>)>,
    },
    /// The end of a request.
    Finished {
        /// Whose.
        request: RequestId,
        /// Text held back until now.
        text: String,
        /// Why it ended.
        reason: FinishReason,
        /// Token counts.
        usage: Usage,
        /// Where the time went.
        timings: Timings,
    },
}

impl Event {
    /// The request it is about.
    pub fn request(&self) -> RequestId {
        match self {
            Event::Token { request, .. } | Event::Finished { request, .. } => *request,
        }
    }

    /// The text it adds to the answer.
    pub fn text(&self) -> &str {
        match self {
            Event::Token { text, .. } | Event::Finished { text, .. } => text,
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The text, special tokens left out.
    pub text: String,
    /// Every token generated, an end token included.
    pub tokens: Vec<TokenId>,
    /// Log-probabilities of each token, if asked for.
    pub logprobs: Vec<(f32, Vec<TokenLogprob>)>,
    /// Why it ended.
    pub finish_reason: FinishReason,
    /// Token counts.
    pub usage: Usage,
    /// Where the time went.
    pub timings: Timings,
}
