//! One step: plan, move, compute, choose, commit.

use std::time::Instant;

use rocmforge_kv_cache::Move;
use rocmforge_program::backend::{BackendError, BadRow, BlockMove, StepOutput, StepSequence};
use rocmforge_sampler::{TokenMask, log_softmax_top, token_logprob};
use rocmforge_scheduler::{Item, Next, Outcome, Scheduler, SequenceId, StepFailure};
use rocmforge_tokenizer::TokenId;

use crate::answer::{Appended, Row};
use crate::engine::Active;
use crate::{Engine, EngineError, Event, Failure, Metrics, PromptLogprob};

impl Engine {
    /// Computes one batch and tells what came of it. Does nothing when the engine is idle.
    ///
    /// # Errors
    /// A failure of the backend, after events that end every running request with it; those that wait stay. Everything
    /// that concerns one request alone ends that request with an event instead.
    pub fn step(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<(), EngineError> {
        let result = self.try_step(on_event);
        if let Err(error) = &result {
            self.fail_running(&error.into(), on_event)?;
        }
        result
    }

    /// As [`step`](Self::step), but after a failure everything runs still: either
    /// [`fail_running`](Self::fail_running) or [`replace_device`](Self::replace_device) has to follow.
    pub(crate) fn try_step(&mut self, on_event: &mut dyn FnMut(Event)) -> Result<(), EngineError> {
        self.drop_cancelled();
        self.scheduler.plan(&mut self.pool)?;
        self.note_started();
        self.retire(on_event);
        self.move_blocks()?;
        if self.scheduler.step_plan().is_empty() {
            return Ok(());
        }
        self.build_input();
        let begun = Instant::now();
        let output = match self.compute() {
            Err(BackendError::OutOfMemory { .. }) => {
                self.scheduler.step_failed(StepFailure::OutOfMemory);
                return Ok(());
            }
            output => output?,
        };
        let tokens = self.pace.after(self.input.tokens.len(), begun.elapsed());
        self.scheduler.bound_mixed_steps(tokens);
        self.take_output(&output, on_event);
        self.scheduler.commit(&mut self.pool, &self.outcomes)?;
        self.metrics.step(self.scheduler.step_plan(), &self.scheduler.usage(), &self.pool);
        self.retire(on_event);
        Ok(())
    }

    fn compute(&mut self) -> Result<StepOutput, BackendError> {
        let ticket = self.backend.submit(self.model, self.cache, &self.input)?;
        self.backend.wait(ticket)
    }

    fn drop_cancelled(&mut self) {
        for (&id, active) in &self.active {
            if active.request.cancel.is_cancelled() {
                self.scheduler.cancel(id);
            }
        }
    }

    fn note_started(&mut self) {
        let now = Instant::now();
        for sequence in &self.scheduler.step_plan().started {
            if let Some(active) = self.active.get_mut(&sequence.request) {
                active.start(now);
            }
        }
    }

    /// Ends what runs after a step that came to nothing. What the cache held counts as lost.
    pub(crate) fn fail_running(&mut self, why: &Failure, on_event: &mut dyn FnMut(Event)) -> Result<(), EngineError> {
        for (&id, active) in &mut self.active {
            if active.started.is_some() && self.scheduler.fail(id) {
                active.answers.iter_mut().for_each(|answer| answer.error = Some(why.clone()));
            }
        }
        self.scheduler.step_failed(StepFailure::Transient);
        self.scheduler.device_lost(&mut self.pool)?;
        self.retire(on_event);
        Ok(())
    }

    /// Ends every request with an error.
    pub(crate) fn end_all(&mut self, why: &Failure, on_event: &mut dyn FnMut(Event)) {
        for (&id, active) in &mut self.active {
            if self.scheduler.fail(id) {
                active.answers.iter_mut().for_each(|answer| answer.error = Some(why.clone()));
            }
        }
        // Those that waited have ended; those that run do in the next step.
        self.retire(on_event);
    }

    /// Moves blocks as the plan says.
    fn move_blocks(&mut self) -> Result<(), BackendError> {
        let moves = self.scheduler.step_plan().moves.iter().map(|moved| match *moved {
            Move::Copy { from, to } => BlockMove::Copy { from, to },
            Move::Save { block, slot } => BlockMove::Save { block, slot },
            Move::Load { slot, block } => BlockMove::Load { slot, block },
        });
        let moves: Vec<BlockMove> = moves.collect();
        if moves.is_empty() { Ok(()) } else { self.backend.move_blocks(self.cache, &moves) }
    }

    /// Writes the plan down as a backend wants it.
    fn build_input(&mut self) {
        let Self { scheduler, active, input, backend, .. } = self;
        input.tokens.clear();
        input.wanted.clear();
        input.hidden.clear();
        input.sampling.clear();
        let plan = scheduler.step_plan();
        input.sequences.resize_with(plan.items.len(), || StepSequence {
            num_tokens: 0,
            context_len: 0,
            block_table: Vec::new(),
        });
        for (item, sequence) in plan.items.iter().zip(&mut input.sequences) {
            input.tokens.extend_from_slice(scheduler.tokens_of(item));
            let end = input.tokens.len() as u32;
            let active = active.get(&item.sequence.request);
            let hidden = active.map_or(0, |active| active.hidden_rows(item));
            input.wanted.extend(end - hidden.max(item.rows) as u32..end);
            input.hidden.resize(input.wanted.len(), hidden > 0);
            sequence.num_tokens = item.count;
            sequence.context_len = item.start + item.count;
            sequence.block_table.clear();
            sequence.block_table.extend(scheduler.blocks_of(item).iter().map(|block| block.index()));
            input.sampling.resize(input.wanted.len(), None);
            // Several answers choose from one row, and a device chooses one token a row.
            if item.samples == 1
                && let Some(how) = input.sampling.last_mut()
            {
                let answer = active.map(|active| &active.answers[item.sequence.index as usize]);
                *how = answer.and_then(|answer| answer.row_sampling()).filter(|how| backend.can_sample(how));
            }
        }
    }

    /// Chooses tokens from the rows of a step.
    fn take_output(&mut self, output: &StepOutput, on_event: &mut dyn FnMut(Event)) {
        let Self { scheduler, active, outcomes, mask, metrics, intake, program, .. } = self;
        outcomes.clear();
        let mut rows = Rows::of(output, intake.vocab_size, program.hidden_size());
        for item in &scheduler.step_plan().items {
            let samples = item.samples;
            // The answers' tokens come from the last row, all of them.
            let of_prompt = item.rows - usize::from(samples > 0);
            let Some(active) = active.get_mut(&item.sequence.request) else {
                rows.skip(item.rows);
                continue;
            };
            if active.request.pooling.is_some() {
                rows.pool(item, active, on_event);
                continue;
            }
            tell_prompt_logprobs(scheduler, item, active, &mut rows, of_prompt, on_event);
            if samples == 0 {
                continue;
            }
            let row = rows.next();
            active.part(item.sequence.index + samples);
            for more in 0..samples {
                let sequence = SequenceId { index: item.sequence.index + more, ..item.sequence };
                let next = choose(active, sequence, row, mask, metrics, on_event);
                outcomes.push(Outcome { sequence, next });
            }
        }
    }
}

/// How an answer goes on, which its reader is told.
fn choose(
    active: &mut Active,
    sequence: SequenceId,
    row: Result<Row<'_>, BadRow>,
    mask: &mut TokenMask,
    metrics: &Metrics,
    on_event: &mut dyn FnMut(Event),
) -> Next {
    let SequenceId { request, index } = sequence;
    let answer = &mut active.answers[index as usize];
    let before = answer.last_token;
    let row = match row {
        Ok(row) => row,
        Err(bad) => {
            answer.error = Some(bad.into());
            return Next::Failed;
        }
    };
    let Ok(Appended { sampled, text, next }) = answer.advance(row, mask) else { return Next::Failed };
    metrics.token(active.submitted, before);
    let is_asked = active.request.sampling.logprobs.is_some();
    let logprobs = sampled.logprob.filter(|_| is_asked).map(|logprob| (logprob, sampled.top));
    on_event(Event::Token { request, index, token: sampled.token, text, logprobs });
    next
}

/// Tells the log-probabilities of the prompt's tokens that rows of this step predict.
fn tell_prompt_logprobs(
    scheduler: &Scheduler,
    item: &Item,
    active: &mut Active,
    rows: &mut Rows<'_>,
    count: usize,
    on_event: &mut dyn FnMut(Event),
) {
    let Some(top) = active.request.prompt_logprobs else { return };
    let log = scheduler.log(item.sequence).unwrap_or_default();
    let prompt = &log[..active.prompt_tokens.min(log.len())];
    let mut logprobs = Vec::with_capacity(count + 1);
    let first = item.start + item.count - item.rows;
    if first == 0 {
        logprobs.push(None);
    }
    for position in first..first + count {
        let row = rows.next();
        // The last row of the prompt says what follows it.
        let Some(&token) = prompt.get(position + 1) else { continue };
        // A row that holds what is no number tells nothing of its token.
        let logits = if let Ok(Row::Logits(logits)) = row { logits } else { &[] };
        logprobs.push(prompt_logprob(logits, token, top as usize));
    }
    if !logprobs.is_empty() {
        on_event(Event::PromptLogprobs { request: item.sequence.request, logprobs });
    }
}

fn prompt_logprob(logits: &[f32], token: TokenId, top: usize) -> Option<PromptLogprob> {
    let logit = *logits.get(token as usize)?;
    let rank = 1 + logits.iter().filter(|&&other| other > logit).count() as u32;
    let logprob = token_logprob(logits, token).ok()?;
    Some(PromptLogprob { token, logprob, rank, top: log_softmax_top(logits, top).ok()? })
}

/// What came of a step, one wanted row after the other.
struct Rows<'a> {
    output: &'a StepOutput,
    logits: std::slice::ChunksExact<'a, f32>,
    hidden: std::slice::ChunksExact<'a, f32>,
    next: usize,
}

impl<'a> Rows<'a> {
    fn of(output: &'a StepOutput, vocab_size: usize, hidden_size: usize) -> Self {
        let (logits, hidden) = (output.logits.chunks_exact(vocab_size), output.hidden.chunks_exact(hidden_size));
        Self { output, logits, hidden, next: 0 }
    }

    /// Adds the hidden states of a prompt up; with the last, tells its vector.
    fn pool(&mut self, item: &Item, active: &mut Active, on_event: &mut dyn FnMut(Event)) {
        for _ in 0..active.hidden_rows(item) {
            let state = self.hidden.next().unwrap_or_default();
            active.pooled.resize(state.len(), 0.0);
            active.pooled.iter_mut().zip(state).for_each(|(sum, &x)| *sum += f64::from(x));
            if let Err(bad) = self.check() {
                active.answers[0].error = Some(bad.into());
            }
        }
        if item.start + item.count == active.prompt_tokens && active.answers[0].error.is_none() {
            let embedding = unit_vector(&active.pooled);
            active.pooled.clear();
            on_event(Event::Embedding { request: item.sequence.request, embedding });
        }
    }

    /// The next row.
    fn next(&mut self) -> Result<Row<'a>, BadRow> {
        let row = match self.output.sampled.get(self.next) {
            Some(Some(token)) => Row::Sampled(*token),
            _ => Row::Logits(self.logits.next().unwrap_or_default()),
        };
        self.check().map(|()| row)
    }

    /// Goes past rows of logits that nobody wants any more.
    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            // Whatever they hold.
            let _ = self.next();
        }
    }

    /// Goes past a row, and says whether its numbers are none.
    fn check(&mut self) -> Result<(), BadRow> {
        let bad = self.output.bad_rows.iter().find(|bad| bad.row == self.next);
        self.next += 1;
        bad.map_or(Ok(()), |bad| Err(*bad))
    }
}

/// The vector of length 1 in that direction. A zero vector has none and stays.
fn unit_vector(sum: &[f64]) -> Vec<f32> {
    let length = sum.iter().map(|x| x * x).sum::<f64>().sqrt();
    let scale = if length > 0.0 { 1.0 / length } else { 0.0 };
    sum.iter().map(|x| (x * scale) as f32).collect()
}
