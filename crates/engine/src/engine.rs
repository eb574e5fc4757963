//! The step loop: requests in, one batched step at a time, events out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use rocmforge_kv_cache::{BlockPool, Move, Sequence, Space};
use rocmforge_program::Program;
use rocmforge_program::backend::{
    Backend, BadRow, BlockCopy, CacheId, DeviceInfo, ModelId, RowSampling, SampledToken, StepInput, StepLimits,
    StepOutput, StepSequence,
};
use rocmforge_sampler::{Sampled, Sampler, SamplingParams};
use rocmforge_tokenizer::{Detokenizer, TokenId, Tokenizer};

use crate::load::Context;
use crate::stop::StopMatcher;
use crate::{
    ChatFormat, Completion, EndTokens, EngineError, Event, FinishReason, ModelFile, Request, RequestId, Timings, Usage,
};

/// A loaded model and the requests that run on it.
///
/// [`submit`](Self::submit) queues a request; each [`step`](Self::step) computes one batch: a token for every
/// sequence that is decoding, and as much of the waiting prompts as fits. A request's blocks are reserved in full
/// before it starts, so that one that runs always ends.
pub struct Engine {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) model: ModelId,
    pub(crate) cache: CacheId,
    pub(crate) pool: BlockPool,
    pub(crate) limits: StepLimits,
    file: Arc<ModelFile>,
    program: Program,
    tokenizer: Arc<Tokenizer>,
    chat: ChatFormat,
    context: Context,
    waiting: VecDeque<Waiting>,
    running: Vec<Running>,
    next_id: u64,
}

struct Waiting {
    id: RequestId,
    request: Request,
    sampler: Sampler,
    submitted: Instant,
}

struct Running {
    id: RequestId,
    request: Request,
    sampler: Sampler,
    sequence: Sequence,
    /// The prompt and what was generated; those past `sequence.len()` are still to compute.
    tokens: Vec<TokenId>,
    max_tokens: usize,
    end_tokens: Vec<TokenId>,
    detokenizer: Detokenizer,
    stop: StopMatcher,
    usage: Usage,
    submitted: Instant,
    started: Instant,
    first_token: Option<Instant>,
    finished: Option<FinishReason>,
}

impl Running {
    fn timings(&self, now: Instant) -> Timings {
        let first = self.first_token.unwrap_or(now);
        Timings { queued: self.started - self.submitted, prefill: first - self.started, decode: now - first }
    }
}

impl Engine {
    #[allow(clippy::too_many_arguments, reason = "the one place where the parts come together")]
    pub(crate) fn assemble(
        backend: Box<dyn Backend>,
        model: ModelId,
        cache: CacheId,
        pool: BlockPool,
        file: Arc<ModelFile>,
        program: Program,
        tokenizer: Arc<Tokenizer>,
        chat: ChatFormat,
        limits: StepLimits,
        context: Context,
    ) -> Self {
        Self {
            backend,
            model,
            cache,
            pool,
            limits,
            file,
            program,
            tokenizer,
            chat,
            context,
            waiting: VecDeque::new(),
            running: Vec::new(),
            next_id: 0,
        }
    }

    /// The tokenizer of the model.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.tokenizer
    }

    /// How conversations become prompts.
    pub fn chat(&self) -> &ChatFormat {
        &self.chat
    }

    /// The model as a Program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The file the model came from.
    pub fn file(&self) -> &ModelFile {
        &self.file
    }

    /// The device the model runs on.
    pub fn device(&self) -> &DeviceInfo {
        self.backend.device()
    }

    /// Tokens a sequence may have, prompt and answer together.
    pub fn context_length(&self) -> usize {
        self.context.length
    }

    /// What [`context_length`](Self::context_length) would be if the device had room for all of it. Longer only where
    /// no length was asked for.
    pub fn wanted_context_length(&self) -> usize {
        self.context.wanted
    }

    /// Blocks of the KV cache by state.
    pub fn cache_usage(&self) -> rocmforge_kv_cache::PoolUsage {
        self.pool.usage()
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    /// Queues a request.
    ///
    /// # Errors
    /// An empty prompt, one that leaves no room for an answer, a token outside the vocabulary, bad sampling
    /// parameters.
    pub fn submit(&mut self, request: Request) -> Result<RequestId, EngineError> {
        self.check_prompt(&request.prompt)?;
        if request.prompt.len() >= self.context.length {
            return Err(EngineError::PromptTooLong { tokens: request.prompt.len(), context: self.context.length });
        }
        let mut sampler = Sampler::new(request.sampling.clone(), self.program.vocab_size)?;
        sampler.accept_prompt(&request.prompt);
        let id = RequestId(self.next_id);
        self.next_id += 1;
        self.waiting.push_back(Waiting { id, request, sampler, submitted: Instant::now() });
        Ok(id)
    }

    pub(crate) fn check_prompt(&self, prompt: &[TokenId]) -> Result<(), EngineError> {
        let vocab_size = self.program.vocab_size;
        if prompt.is_empty() {
            return Err(EngineError::EmptyPrompt);
        }
        match prompt.iter().find(|&&t| t as usize >= vocab_size) {
            Some(&token) => Err(EngineError::TokenOutOfRange { token, vocab_size }),
            None => Ok(()),
        }
    }

    /// Computes one batch and tells what came of it. Does nothing when the engine is idle.
    ///
    /// # Errors
    /// A failure of the backend, after events that end every running request with it; those that wait stay. Everything
    /// that concerns one request alone ends that request with an event instead.
    pub fn step(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<(), EngineError> {
        self.drop_cancelled(on_event)?;
        self.admit();
        let (step, planned) = self.plan();
        if step.tokens.is_empty() {
            return Ok(());
        }
        let output = match self.compute(&step) {
            Ok(output) => output,
            Err(error) => {
                self.fail_running(&error, on_event)?;
                return Err(error);
            }
        };
        let mut rows = Rows::of(&output, self.program.vocab_size);
        for (running, count) in self.running.iter_mut().zip(planned) {
            let from = running.sequence.len();
            self.pool.commit(&mut running.sequence, &running.tokens[from..from + count])?;
            if count > 0 && running.sequence.len() == running.tokens.len() {
                let sampled = match rows.next() {
                    Err(bad) => Err(bad.to_string()),
                    Ok(Row::Sampled(token)) => accept(&mut running.sampler, token),
                    Ok(Row::Logits(logits)) => running.sampler.sample(logits).map_err(|e| e.to_string()),
                };
                advance(running, sampled, on_event);
            }
        }
        self.retire(on_event)
    }

    fn compute(&mut self, step: &StepInput) -> Result<StepOutput, EngineError> {
        self.move_blocks()?;
        let ticket = self.backend.submit(self.model, self.cache, step)?;
        Ok(self.backend.wait(ticket)?)
    }

    /// Ends what runs after a step that came to nothing.
    fn fail_running(&mut self, error: &EngineError, on_event: &mut dyn FnMut(Event)) -> Result<(), EngineError> {
        for running in &mut self.running {
            running.finished.get_or_insert_with(|| FinishReason::Error(error.to_string()));
        }
        self.retire(on_event)
    }

    /// Copies what sequences share and are about to write. The pool has no second tier to save to or load from.
    fn move_blocks(&mut self) -> Result<(), EngineError> {
        let copies: Vec<BlockCopy> = self
            .pool
            .drain_moves()
            .filter_map(|moved| match moved {
                Move::Copy { from, to } => Some(BlockCopy { from, to }),
                Move::Save { .. } | Move::Load { .. } => None,
            })
            .collect();
        if !copies.is_empty() {
            self.backend.copy_blocks(self.cache, &copies)?;
        }
        Ok(())
    }

    /// Runs one request to its end, telling `on_event` everything on the way. Other requests advance beside it.
    ///
    /// # Errors
    /// As [`submit`](Self::submit) and [`step`](Self::step).
    pub fn generate(&mut self, request: Request, mut on_event: impl FnMut(&Event)) -> Result<Completion, EngineError> {
        let id = self.submit(request)?;
        let mut text = String::new();
        let (mut tokens, mut all_logprobs) = (Vec::new(), Vec::new());
        let mut end = None;
        while end.is_none() {
            self.step(&mut |event| {
                if event.request() != id {
                    return;
                }
                on_event(&event);
                text.push_str(event.text());
                match event {
                    Event::Token { token, logprobs, .. } => {
                        tokens.push(token);
                        all_logprobs.extend(logprobs);
                    }
                    Event::Finished { reason, usage, timings, .. } => end = Some((reason, usage, timings)),
                }
            })?;
        }
        let (finish_reason, usage, timings) =
            end.unwrap_or((FinishReason::Cancelled, Usage::default(), Timings::default()));
        Ok(Completion { text, tokens, logprobs: all_logprobs, finish_reason, usage, timings })
    }

    fn drop_cancelled(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<(), EngineError> {
        self.waiting.retain(|w| {
            let keep = !w.request.cancel.is_cancelled();
            if !keep {
                let timings = Timings { queued: w.submitted.elapsed(), ..Timings::default() };
                let usage = Usage { prompt_tokens: w.request.prompt.len(), ..Usage::default() };
                let reason = FinishReason::Cancelled;
                on_event(Event::Finished { request: w.id, text: String::new(), reason, usage, timings });
            }
            keep
        });
        for running in &mut self.running {
            if running.request.cancel.is_cancelled() {
                running.finished = Some(FinishReason::Cancelled);
            }
        }
        self.retire(on_event)
    }

    /// Starts waiting requests, in order, while there is a place and room for the whole of each.
    fn admit(&mut self) {
        while self.running.len() < self.limits.max_sequences
            && let Some(next) = self.waiting.front()
        {
            let room = self.context.length - next.request.prompt.len();
            let max_tokens = next.request.max_tokens.map_or(room, |m| m.min(room));
            let mut sequence = self.pool.begin(&Space::default(), &next.request.prompt);
            // The last token generated is never computed, so it needs no place.
            if !self.pool.reserve(&mut sequence, next.request.prompt.len() + max_tokens.saturating_sub(1)) {
                // Its blocks go back as they came; a sequence that has just begun cannot be foreign.
                let _ = self.pool.end(sequence);
                return;
            }
            let Some(Waiting { id, request, sampler, submitted }) = self.waiting.pop_front() else { return };
            let usage =
                Usage { prompt_tokens: request.prompt.len(), cached_tokens: sequence.len(), completion_tokens: 0 };
            self.running.push(Running {
                id,
                tokens: request.prompt.clone(),
                detokenizer: Detokenizer::new(self.tokenizer.clone(), true).continuing(),
                stop: StopMatcher::new(&request.stop),
                end_tokens: end_tokens(&self.tokenizer, request.end_tokens),
                request,
                sampler,
                sequence,
                max_tokens,
                usage,
                submitted,
                started: Instant::now(),
                first_token: None,
                finished: (max_tokens == 0).then_some(FinishReason::Length),
            });
        }
    }

    /// Shares the step's tokens: first those that decode, one each, then prompts in order of arrival.
    fn plan(&self) -> (StepInput, Vec<usize>) {
        let remaining = |r: &Running| if r.finished.is_some() { 0 } else { r.tokens.len() - r.sequence.len() };
        let decoding = self.running.iter().filter(|r| remaining(r) == 1).count();
        let mut budget = self.limits.max_tokens.saturating_sub(decoding);
        let mut step = StepInput::default();
        let mut planned = Vec::with_capacity(self.running.len());
        for running in &self.running {
            let count = match remaining(running) {
                n @ (0 | 1) => n,
                n => n.min(budget),
            };
            if count > 1 {
                budget -= count;
            }
            planned.push(count);
            if count == 0 {
                continue;
            }
            let from = running.sequence.len();
            step.tokens.extend_from_slice(&running.tokens[from..from + count]);
            if from + count == running.tokens.len() {
                step.wanted.push(step.tokens.len() as u32 - 1);
                step.sampling.push(row_sampling(&running.sampler).filter(|how| self.backend.can_sample(how)));
            }
            step.sequences.push(StepSequence {
                num_tokens: count,
                context_len: from + count,
                block_table: running.sequence.block_table(),
            });
        }
        (step, planned)
    }

    fn retire(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<(), EngineError> {
        let now = Instant::now();
        let mut at = 0;
        while at < self.running.len() {
            let Some(reason) = self.running[at].finished.clone() else {
                at += 1;
                continue;
            };
            let mut running = self.running.remove(at);
            let text = match reason {
                // What follows a stop text is not part of the answer.
                FinishReason::Stop if running.stop.has_stopped() => String::new(),
                _ => {
                    let rest = running.detokenizer.flush();
                    running.stop.push(rest).text + &running.stop.finish()
                }
            };
            let timings = running.timings(now);
            self.pool.end(running.sequence)?;
            on_event(Event::Finished { request: running.id, text, reason, usage: running.usage, timings });
        }
        Ok(())
    }
}

fn end_tokens(tokenizer: &Tokenizer, which: EndTokens) -> Vec<TokenId> {
    match which {
        EndTokens::Known => tokenizer.stop_tokens().to_vec(),
        EndTokens::Named => tokenizer.named_stop_tokens(),
        EndTokens::Ignored => Vec::new(),
    }
}

/// How a device chooses the sampler's next token; `None` when that takes more than a [`RowSampling`] can say.
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

/// What came of a step, one wanted row after the other.
struct Rows<'a> {
    output: &'a StepOutput,
    logits: std::slice::ChunksExact<'a, f32>,
    next: usize,
}

/// A wanted row: a token that the device chose, or the logits to choose from.
enum Row<'a> {
    Sampled(SampledToken),
    Logits(&'a [f32]),
}

impl<'a> Rows<'a> {
    fn of(output: &'a StepOutput, vocab_size: usize) -> Self {
        Self { output, logits: output.logits.chunks_exact(vocab_size), next: 0 }
    }

    /// The next row.
    fn next(&mut self) -> Result<Row<'a>, BadRow> {
        let row = match self.output.sampled.get(self.next) {
            Some(Some(token)) => Row::Sampled(*token),
            _ => Row::Logits(self.logits.next().unwrap_or_default()),
        };
        let bad = self.output.bad_rows.iter().find(|bad| bad.row == self.next);
        self.next += 1;
        bad.map_or(Ok(row), |bad| Err(*bad))
    }
}

/// Takes note of a token that the device chose.
fn accept(sampler: &mut Sampler, chosen: SampledToken) -> Result<Sampled, String> {
    let token = chosen.token.ok_or("no token can be chosen: each one is banned, by the model or by the request")?;
    sampler.accept_generated(&[token]);
    Ok(Sampled { token, logprob: chosen.logprob, top: Vec::new() })
}

/// Appends the next token of a sequence and decides whether it goes on.
fn advance(running: &mut Running, sampled: Result<Sampled, String>, on_event: &mut dyn FnMut(Event)) {
    let Sampled { token, logprob, top } = match sampled {
        Ok(sampled) => sampled,
        Err(error) => {
            running.finished = Some(FinishReason::Error(error));
            return;
        }
    };
    running.first_token.get_or_insert_with(Instant::now);
    running.tokens.push(token);
    running.usage.completion_tokens += 1;
    let ends = running.end_tokens.contains(&token);
    let mut text = String::new();
    if ends {
        running.finished = Some(FinishReason::Stop);
    } else {
        let matched = running.stop.push(running.detokenizer.push(token));
        text = matched.text;
        if matched.stopped {
            running.finished = Some(FinishReason::Stop);
        } else if running.usage.completion_tokens >= running.max_tokens {
            running.finished = Some(FinishReason::Length);
        }
    }
    let logprobs = running.request.sampling.logprobs.is_some().then_some((logprob, top));
    on_event(Event::Token { request: running.id, token, text, logprobs });
}
