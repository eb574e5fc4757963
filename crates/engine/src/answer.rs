//! One answer under way: from rows of logits to tokens, text, and its end.

use std::sync::Arc;
use std::time::Instant;

use rocmforge_grammar::Matcher;
use rocmforge_program::backend::{RowSampling, SampledToken};
use rocmforge_sampler::{Sampled, Sampler, SamplingParams, TokenMask};
use rocmforge_scheduler::{EndReason, Next};
use rocmforge_tokenizer::{Detokenizer, TokenId, Tokenizer};

use crate::stop::StopMatcher;
use crate::{EndTokens, Failure, FailureKind, FinishReason, Request, StopMatch};

/// What a row of a step yields: a token that the device chose, or the logits `[vocab]` to choose from.
#[derive(Clone, Copy)]
pub(crate) enum Row<'a> {
    Sampled(SampledToken),
    Logits(&'a [f32]),
}

/// A token that was appended to an answer.
pub(crate) struct Appended {
    pub sampled: Sampled,
    pub text: String,
    pub next: Next,
}

/// One answer of a request.
#[derive(Clone)]
pub(crate) struct Answer {
    sampler: Sampler,
    matcher: Option<Matcher>,
    detokenizer: Detokenizer,
    stops: StopMatcher,
    end_tokens: Arc<[TokenId]>,
    stop_tokens: Arc<[TokenId]>,
    include_stop: bool,
    min_tokens: usize,
    generated: usize,
    pub first_token: Option<Instant>,
    pub last_token: Option<Instant>,
    pub stop: Option<StopMatch>,
    /// Why it cannot go on.
    pub error: Option<Failure>,
}

impl Answer {
    /// The first answer of a request; `sampler` knows the prompt.
    pub fn new(request: &Request, sampler: Sampler, tokenizer: &Arc<Tokenizer>) -> Self {
        Self {
            sampler,
            matcher: request.grammar.as_ref().map(|grammar| grammar.start()),
            detokenizer: Detokenizer::new(tokenizer.clone(), !request.keep_special).continuing(),
            stops: StopMatcher::new(&request.stop, request.include_stop),
            end_tokens: end_tokens(tokenizer, request.end_tokens).into(),
            stop_tokens: request.stop_tokens.clone().into(),
            include_stop: request.include_stop,
            min_tokens: request.min_tokens,
            generated: 0,
            first_token: None,
            last_token: None,
            stop: None,
            error: None,
        }
    }

    /// Answer `index` to the same prompt: the same but for the random numbers.
    pub fn parted(&self, index: u32) -> Self {
        let mut answer = self.clone();
        let mut snapshot = answer.sampler.snapshot();
        snapshot.seed = snapshot.seed.wrapping_add(u64::from(index));
        answer.sampler.restore(&snapshot);
        answer
    }

    /// How a device chooses the next token; `None` when that takes more than a [`RowSampling`] can say.
    pub fn row_sampling(&self) -> Option<RowSampling> {
        if self.matcher.is_some() || self.must_go_on() { None } else { row_sampling(&self.sampler) }
    }

    /// Chooses the next token. After an error the answer has ended.
    pub fn advance(&mut self, row: Row<'_>, mask: &mut TokenMask) -> Result<Appended, Failure> {
        let sampled = self.choose(row, mask).inspect_err(|error| self.error = Some(error.clone()))?;
        let now = Instant::now();
        self.first_token.get_or_insert(now);
        self.last_token = Some(now);
        self.generated += 1;
        let (text, is_end) = self.take(sampled.token);
        let next = if is_end { Next::Last(sampled.token) } else { Next::Token(sampled.token) };
        Ok(Appended { sampled, text, next })
    }

    fn choose(&mut self, row: Row<'_>, mask: &mut TokenMask) -> Result<Sampled, Failure> {
        match row {
            Row::Sampled(SampledToken { token: Some(token), logprob }) => {
                self.sampler.accept_generated(&[token]);
                Ok(Sampled { token, logprob: Some(logprob), top: Vec::new() })
            }
            Row::Sampled(_) => Err(self.nothing_to_choose()),
            Row::Logits(logits) => {
                let is_masked = self.mask(mask)?;
                Ok(self.sampler.sample_masked(logits, is_masked.then_some(&*mask))?)
            }
        }
    }

    /// Why a device found no token. Without bans of the request it was the model that left none.
    fn nothing_to_choose(&self) -> Failure {
        let is_banned = !self.sampler.params().logit_bias.is_empty();
        let kind = if is_banned { FailureKind::Request } else { FailureKind::Model };
        Failure::new(kind, "no token is left: each one is banned, by the model or by `logit_bias`")
    }

    /// Writes what may come next; `false`: anything may.
    fn mask(&mut self, mask: &mut TokenMask) -> Result<bool, Failure> {
        let must_go_on = self.must_go_on();
        match &mut self.matcher {
            Some(matcher) => matcher.mask(mask.words_mut())?,
            None if must_go_on => mask.words_mut().fill(u32::MAX),
            None => return Ok(false),
        }
        if must_go_on {
            // Where the grammar allows nothing but the end, the end it is.
            let ends = self.end_tokens.iter().chain(self.stop_tokens.iter());
            let banned: Vec<TokenId> = ends.copied().filter(|&end| mask.is_allowed(end)).collect();
            banned.iter().for_each(|&end| mask.ban(end));
            if self.matcher.is_some() && mask.words().iter().all(|&word| word == 0) {
                banned.iter().for_each(|&end| mask.allow(end));
            }
        }
        Ok(true)
    }

    fn must_go_on(&self) -> bool {
        self.generated < self.min_tokens
    }

    /// Takes a token into the text, and tells whether it is the last.
    fn take(&mut self, token: TokenId) -> (String, bool) {
        if self.end_tokens.contains(&token) {
            return (String::new(), true);
        }
        let is_stop = self.stop_tokens.contains(&token);
        if is_stop {
            self.stop = Some(StopMatch::Token(token));
        }
        if is_stop && !self.include_stop {
            return (String::new(), true);
        }
        let matched = self.stops.push(self.detokenizer.push(token));
        let mut is_end = is_stop;
        if let Some(stop) = matched.stop {
            self.stop = Some(StopMatch::Text(stop));
            is_end = true;
        }
        (matched.text, is_end || self.completes_grammar(token))
    }

    /// Tells the grammar of a token, and whether nothing may follow it.
    fn completes_grammar(&mut self, token: TokenId) -> bool {
        let Some(matcher) = &mut self.matcher else { return false };
        if let Err(error) = matcher.accept(token) {
            self.error = Some(error.into());
            return true;
        }
        matcher.is_finished()
    }

    /// The text held back until now, of an answer that has ended.
    pub fn finish(&mut self) -> String {
        // What follows a stop text is not part of the answer.
        if self.stops.has_stopped() {
            return String::new();
        }
        let rest = self.detokenizer.flush();
        self.stops.push(rest).text + &self.stops.finish()
    }

    /// Why it ended, given what the scheduler says.
    pub fn finish_reason(&self, reason: EndReason) -> FinishReason {
        if let Some(error) = &self.error {
            return FinishReason::Error(error.clone());
        }
        let device = |why| FinishReason::Error(Failure::new(FailureKind::Device, why));
        match reason {
            EndReason::Stop => FinishReason::Stop,
            EndReason::Length => FinishReason::Length,
            EndReason::Cancelled => FinishReason::Cancelled,
            EndReason::Failed => device("the step did not fit in the device's memory"),
            EndReason::Suspect => device("the device failed each time this request was under way"),
        }
    }
}

fn end_tokens(tokenizer: &Tokenizer, which: EndTokens) -> Vec<TokenId> {
    match which {
        EndTokens::Known => tokenizer.stop_tokens().to_vec(),
        EndTokens::Named => tokenizer.named_stop_tokens(),
        EndTokens::Ignored => Vec::new(),
    }
}

fn row_sampling(sampler: &Sampler) -> Option<RowSampling> {
    let params = sampler.params();
    let neutral = SamplingParams::default();
    let is_plain = params.mirostat.is_none()
        && params.dry.is_none()
        && params.allowed_tokens.is_none()
        && params.dynatemp_range == neutral.dynatemp_range
        && params.typical_p == neutral.typical_p
        && params.top_n_sigma <= neutral.top_n_sigma
        && params.xtc_probability == neutral.xtc_probability
        && params.min_keep <= neutral.min_keep
        && params.logprobs.unwrap_or(0) == 0;
    is_plain.then(|| RowSampling {
        temperature: params.temperature,
        top_k: params.top_k,
        top_p: params.top_p,
        min_p: params.min_p,
        repetition_penalty: params.repetition_penalty,
        presence_penalty: params.presence_penalty,
        frequency_penalty: params.frequency_penalty,
        seen: sampler.penalized_tokens().collect(),
        logit_bias: params.logit_bias.clone(),
        seed: sampler.seed(),
        position: sampler.position(),
    })
}
