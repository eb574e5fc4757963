//! What goes into the engine and what comes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rocmforge_grammar::Grammar;
use rocmforge_kv_cache::Space;
use rocmforge_sampler::{SamplingParams, TokenLogprob};
use rocmforge_scheduler::{ClientId, RequestId};
use rocmforge_tokenizer::TokenId;

use crate::Failure;

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

/// How the final hidden states of a prompt's tokens become one vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// The mean of all.
    Mean,
    /// That of the last token, which has seen all others.
    Last,
}

/// A prompt and how to continue it, once or several times.
#[derive(Debug, Clone)]
pub struct Request {
    /// Prompt tokens, at least one.
    pub prompt: Vec<TokenId>,
    /// How tokens are chosen. Of several answers, each counts its own number onto the seed.
    pub sampling: SamplingParams,
    /// Most tokens to generate; `None`: as many as the context holds.
    pub max_tokens: Option<usize>,
    /// Tokens before which neither the model's end tokens nor `stop_tokens` may come.
    pub min_tokens: usize,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Further tokens that end the answer.
    pub stop_tokens: Vec<TokenId>,
    /// Whether the stop text that ended the answer is part of it.
    pub include_stop: bool,
    /// Which of the model's own tokens end the answer.
    pub end_tokens: EndTokens,
    /// Whether special tokens appear in the text. End tokens never do.
    pub keep_special: bool,
    /// How many answers, at least one. The prompt is computed once.
    pub sequences: u32,
    /// Tells the log-probabilities of the prompt's tokens, and this many likeliest alternatives of each.
    pub prompt_logprobs: Option<u32>,
    /// Asks for the prompt as one vector, in [`Event::Embedding`], instead of an answer.
    pub pooling: Option<Pooling>,
    /// What the answer must be like.
    pub grammar: Option<Grammar>,
    /// Who asks, for fairness.
    pub client: ClientId,
    /// Lower goes first.
    pub priority: i32,
    /// Whose cached prefixes it shares.
    pub space: Space,
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
            min_tokens: 0,
            stop: Vec::new(),
            stop_tokens: Vec::new(),
            include_stop: false,
            end_tokens: EndTokens::default(),
            keep_special: false,
            sequences: 1,
            prompt_logprobs: None,
            pooling: None,
            grammar: None,
            client: ClientId::default(),
            priority: 0,
            space: Space::default(),
            cancel: CancelToken::new(),
        }
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FinishReason {
    /// An end token of the model, or a stop text.
    #[default]
    Stop,
    /// The token limit or the end of the context.
    Length,
    /// It was asked to stop.
    Cancelled,
    /// It could not go on, for the reason given.
    Error(Failure),
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

/// What of a request ended an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopMatch {
    /// One of its stop tokens.
    Token(TokenId),
    /// One of its stop texts.
    Text(String),
}

/// A token of a prompt, as the model saw it coming.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptLogprob {
    /// The token.
    pub token: TokenId,
    /// Its log-probability after the tokens before it.
    pub logprob: f32,
    /// Its place among all tokens by probability, from 1.
    pub rank: u32,
    /// The likeliest tokens there.
    pub top: Vec<TokenLogprob>,
}

/// What a step says about a request. Each of its answers gets any number of `Token` and then exactly one `Finished`.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Log-probabilities of the next tokens of the prompt; all of it comes before the first `Token`.
    PromptLogprobs {
        /// Whose.
        request: RequestId,
        /// One a token, in order. There is none for the first token of a prompt, which nothing comes before.
        logprobs: Vec<Option<PromptLogprob>>,
    },
    /// The vector of a prompt.
    Embedding {
        /// Whose.
        request: RequestId,
        /// Of length 1, `[hidden]`.
        embedding: Vec<f32>,
    },
    /// One more token.
    Token {
        /// Whose.
        request: RequestId,
        /// Which of its answers, from 0.
        index: u32,
        /// The token.
        token: TokenId,
        /// Text that became certain: whole characters, no part of a stop text. Often a word, sometimes empty.
        text: String,
        /// The token's log-probability and the likeliest alternatives, if asked for.
        logprobs: Option<(f32, Vec<TokenLogprob>)>,
    },
    /// The end of an answer.
    Finished {
        /// Whose.
        request: RequestId,
        /// Which of its answers, from 0.
        index: u32,
        /// Text held back until now.
        text: String,
        /// Why it ended.
        reason: FinishReason,
        /// What of the request ended it. `None` for the model's own end tokens, and all other reasons.
        stop: Option<StopMatch>,
        /// Token counts of this answer.
        usage: Usage,
        /// Where the time went.
        timings: Timings,
        /// Whether it is the request's last event.
        is_last: bool,
    },
}

impl Event {
    /// The request it is about.
    pub fn request(&self) -> RequestId {
        match self {
            Event::PromptLogprobs { request, .. }
            | Event::Embedding { request, .. }
            | Event::Token { request, .. }
            | Event::Finished { request, .. } => *request,
        }
    }

    /// Whether nothing of its request comes after it.
    pub fn is_last(&self) -> bool {
        matches!(self, Event::Finished { is_last: true, .. })
    }

    fn is_of(&self, answer: u32) -> bool {
        matches!(self, Event::Token { index, .. } | Event::Finished { index, .. } if *index == answer)
    }

    /// The text it adds to the answer.
    pub fn text(&self) -> &str {
        match self {
            Event::PromptLogprobs { .. } | Event::Embedding { .. } => "",
            Event::Token { text, .. } | Event::Finished { text, .. } => text,
        }
    }
}

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Default)]
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

impl Completion {
    /// Takes what a step says about its request, as far as it concerns the first answer.
    pub(crate) fn add(&mut self, event: Event) {
        self.text.push_str(if event.is_of(0) { event.text() } else { "" });
        match event {
            Event::Token { index: 0, token, logprobs, .. } => {
                self.tokens.push(token);
                self.logprobs.extend(logprobs);
            }
            Event::Finished { index: 0, reason, usage, timings, .. } => {
                (self.finish_reason, self.usage, self.timings) = (reason, usage, timings);
            }
            _ => {}
        }
    }
}
