//! The step loop: requests in, one batched step at a time, events out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rocmforge_kv_cache::BlockPool;
use rocmforge_program::Program;
use rocmforge_program::backend::{Backend, CacheId, CacheSpec, DeviceInfo, ModelId, StepInput, StepLimits};
use rocmforge_sampler::TokenMask;
use rocmforge_scheduler::{Ended, Item, Outcome, RequestId, Scheduler, SchedulerConfig};
use rocmforge_tokenizer::{TokenId, Tokenizer};

use crate::answer::Answer;
use crate::intake::{Intake, Prepared};
use crate::load::Context;
use crate::pace::Pace;
use crate::{
    ChatFormat, Completion, EngineError, Event, FinishReason, Metrics, ModelFile, Pooling, Request, Timings, Usage,
};

/// A loaded model and the requests that run on it.
///
/// [`submit`](Self::submit) queues a request; each [`step`](Self::step) computes what the scheduler says: a token for
/// every sequence that is decoding, and chunks of prompts. Prompts that begin alike are computed once.
pub struct Engine {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) model: ModelId,
    pub(crate) cache: CacheId,
    pub(crate) cache_spec: CacheSpec,
    pub(crate) pool: BlockPool,
    pub(crate) scheduler: Scheduler,
    pub(crate) limits: StepLimits,
    pub(crate) intake: Intake,
    pub(crate) active: HashMap<RequestId, Active>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) pace: Pace,
    /// Buffers of the step, kept so that a step allocates nothing.
    pub(crate) input: StepInput,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) mask: TokenMask,
    file: Arc<ModelFile>,
    pub(crate) program: Program,
    chat: Arc<ChatFormat>,
    context: Context,
}

/// A request that has not ended.
pub(crate) struct Active {
    /// What was asked for; the scheduler has the prompt.
    pub request: Request,
    /// Its answers. Until the prompt is computed there is one, which the others part from.
    pub answers: Vec<Answer>,
    /// Which answers have ended.
    pub ended: Vec<bool>,
    /// The sum of hidden states so far, of a prompt that is to become a vector.
    pub pooled: Vec<f64>,
    pub prompt_tokens: usize,
    pub max_tokens: usize,
    pub submitted: Instant,
    pub started: Option<Instant>,
    place: Option<crate::admission::Place>,
}

impl Active {
    fn new(prepared: Prepared, prompt_tokens: usize) -> Self {
        let Prepared { request, answer, max_tokens, place } = prepared;
        Self {
            ended: vec![false; request.sequences as usize],
            answers: vec![answer],
            pooled: Vec::new(),
            prompt_tokens,
            max_tokens,
            submitted: Instant::now(),
            started: None,
            place,
            request,
        }
    }

    /// Notes that its first step is about to be computed.
    pub fn start(&mut self, now: Instant) {
        self.place = None;
        self.started.get_or_insert(now);
    }

    /// Lets answers begin where the prompt ends, so that there are `count`.
    pub fn part(&mut self, count: u32) {
        for index in self.answers.len() as u32..count {
            self.answers.push(self.answers[0].parted(index));
        }
    }

    /// How many of an item's tokens, the last ones, have hidden states that are wanted.
    pub fn hidden_rows(&self, item: &Item) -> usize {
        match self.request.pooling {
            Some(Pooling::Mean) => item.rows,
            Some(Pooling::Last) => usize::from(item.start + item.count == self.prompt_tokens),
            None => 0,
        }
    }

    fn timings(&self, answer: &Answer, now: Instant) -> Timings {
        let started = self.started.unwrap_or(now);
        let first = answer.first_token.unwrap_or(now);
        Timings { queued: started - self.submitted, prefill: first - started, decode: now - first }
    }
}

/// What an engine is put together from.
pub(crate) struct Parts {
    pub backend: Box<dyn Backend>,
    pub model: ModelId,
    pub cache: CacheId,
    pub cache_spec: CacheSpec,
    pub pool: BlockPool,
    pub scheduler: SchedulerConfig,
    pub file: Arc<ModelFile>,
    pub program: Program,
    pub tokenizer: Arc<Tokenizer>,
    pub chat: ChatFormat,
    pub limits: StepLimits,
    pub context: Context,
    pub mixed_step_time: Duration,
}

impl Engine {
    pub(crate) fn assemble(parts: Parts) -> Result<Self, EngineError> {
        let Parts { backend, model, cache, cache_spec, pool, scheduler, file, program, tokenizer, .. } = parts;
        let intake = Intake {
            tokenizer,
            vocab_size: program.vocab_size,
            context_length: parts.context.length,
            max_sequences: parts.limits.max_sequences,
            embeddings: parts.limits.max_hidden > 0,
        };
        Ok(Self {
            scheduler: Scheduler::new(scheduler, &pool)?,
            mask: TokenMask::none(program.vocab_size),
            backend,
            model,
            cache,
            cache_spec,
            pool,
            limits: parts.limits,
            intake,
            active: HashMap::new(),
            metrics: Arc::default(),
            pace: Pace::new(parts.mixed_step_time),
            input: StepInput::default(),
            outcomes: Vec::new(),
            file,
            program,
            chat: Arc::new(parts.chat),
            context: parts.context,
        })
    }

    /// The tokenizer of the model.
    pub fn tokenizer(&self) -> &Arc<Tokenizer> {
        &self.intake.tokenizer
    }

    /// How conversations become prompts.
    pub fn chat(&self) -> &Arc<ChatFormat> {
        &self.chat
    }

    /// The model as a Program.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// The file the model came from.
    pub fn file(&self) -> &Arc<ModelFile> {
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

    /// Sequences that run at once, at most.
    pub fn max_sequences(&self) -> usize {
        self.limits.max_sequences
    }

    /// The KV cache on the device.
    pub fn cache_spec(&self) -> CacheSpec {
        self.cache_spec
    }

    /// Blocks of the KV cache by state.
    pub fn cache_usage(&self) -> rocmforge_kv_cache::PoolUsage {
        self.pool.usage()
    }

    /// How much waits and runs.
    pub fn usage(&self) -> rocmforge_scheduler::SchedulerUsage {
        self.scheduler.usage()
    }

    /// Whether nothing waits and nothing runs.
    pub fn is_idle(&self) -> bool {
        self.scheduler.is_idle() && self.active.is_empty()
    }

    /// Queues a request.
    ///
    /// # Errors
    /// An empty prompt, one that leaves no room for an answer, a token outside the vocabulary, bad sampling
    /// parameters, more answers than may run at once, a full queue.
    pub fn submit(&mut self, request: Request) -> Result<RequestId, EngineError> {
        let prepared = self.intake.prepare(request)?;
        self.enqueue(prepared)
    }

    pub(crate) fn enqueue(&mut self, mut prepared: Prepared) -> Result<RequestId, EngineError> {
        let request = prepared.take_new_request();
        let prompt_tokens = request.prompt.len();
        let id = self.scheduler.submit(request)?;
        self.active.insert(id, Active::new(prepared, prompt_tokens));
        Ok(id)
    }

    pub(crate) fn check_prompt(&self, prompt: &[TokenId]) -> Result<(), EngineError> {
        self.intake.check_prompt(prompt)
    }

    /// Runs one request to its end, telling `on_event` everything on the way. Other requests advance beside it. Of
    /// several answers the first is returned.
    ///
    /// # Errors
    /// As [`submit`](Self::submit) and [`step`](Self::step).
    pub fn generate(&mut self, request: Request, mut on_event: impl FnMut(&Event)) -> Result<Completion, EngineError> {
        let id = self.submit(request)?;
        let mut completion = Completion::default();
        while self.active.contains_key(&id) {
            self.step(&mut |event| {
                if event.request() == id {
                    on_event(&event);
                    completion.add(event);
                }
            })?;
        }
        Ok(completion)
    }

    /// Tells the end of a sequence, and with its last one that of its request.
    pub(crate) fn retire(&mut self, on_event: &mut dyn FnMut(Event)) {
        let now = Instant::now();
        let mut finished = Vec::new();
        for ended in self.scheduler.drain_ended() {
            let Some(active) = self.active.get_mut(&ended.sequence.request) else { continue };
            finish(active, &ended, now, &self.metrics, on_event);
            if ended.is_last {
                finished.push(ended.sequence.request);
            }
        }
        for id in finished {
            self.active.remove(&id);
        }
    }
}

/// Tells the end of an answer; with the last one, also of those that never began.
fn finish(active: &mut Active, ended: &Ended, now: Instant, metrics: &Metrics, on_event: &mut dyn FnMut(Event)) {
    let first = ended.sequence.index;
    let unborn = if ended.is_last { 0..active.request.sequences } else { 0..0 };
    let indices: Vec<u32> = std::iter::once(first).chain(unborn.filter(|&index| index != first)).collect();
    let open: Vec<u32> = indices.into_iter().filter(|&index| !active.ended[index as usize]).collect();
    for &index in &open {
        active.ended[index as usize] = true;
        let own = active.answers.get_mut(index as usize);
        let text = own.map_or_else(String::new, Answer::finish);
        let answer = active.answers.get(index as usize).unwrap_or(&active.answers[0]);
        let reason = answer.finish_reason(ended.reason);
        let usage = Usage {
            prompt_tokens: active.prompt_tokens,
            cached_tokens: ended.cached_tokens,
            completion_tokens: if index == first { ended.generated } else { 0 },
        };
        let timings = active.timings(answer, now);
        let stop = if reason == FinishReason::Stop { answer.stop.clone() } else { None };
        let is_last = ended.is_last && open.last() == Some(&index);
        metrics.finish(index, &active.request, &reason, &usage, &timings, active.max_tokens);
        let request = ended.sequence.request;
        on_event(Event::Finished { request, index, text, reason, stop, usage, timings, is_last });
    }
}
