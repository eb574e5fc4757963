//! The scheduler: what it holds, and how requests come and go.

use std::collections::HashMap;

use rocmforge_kv_cache::{BlockId, BlockPool, Sequence, TokenId};

use crate::entry::{Entry, Rank};
use crate::planning::Blocked;
use crate::queue::Queue;
use crate::{
    ClientId, EndReason, Ended, Item, NewRequest, Refused, RequestId, SchedulerConfig, SchedulerError, SequenceId,
    State, StepPlan,
};

/// A request that has not ended.
#[derive(Debug)]
pub(crate) struct Live {
    pub client: ClientId,
    pub rank: Rank,
    pub is_waiting: bool,
    pub is_paused: bool,
    /// Sequences that have not ended; those that have not parted yet are not counted.
    pub sequences: usize,
    pub cached_tokens: usize,
    /// Steps with it that the device did not survive.
    pub lost_steps: u32,
}

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SchedulerUsage {
    /// Requests that wait.
    pub waiting: usize,
    /// Prompt tokens of those.
    pub waiting_tokens: usize,
    /// Sequences that run.
    pub running: usize,
    /// Of these, sequences that are paused.
    pub paused: usize,
    /// Sequences that made room and wait to go on.
    pub preempted: usize,
    /// Preemptions so far.
    pub preemptions: u64,
    /// Steps planned so far.
    pub steps: u64,
}

/// Owns requests, and decides what each step computes.
///
/// [`submit`](Self::submit) queues a request. Then, again and again: [`plan`](Self::plan) a step, move the blocks it
/// says, compute it, and [`commit`](Self::commit) what came of it. [`drain_ended`](Self::drain_ended) tells which
/// sequences ended, each exactly once. All calls use the one pool that the scheduler was made for.
#[derive(Debug)]
pub struct Scheduler {
    pub(crate) config: SchedulerConfig,
    block_size: usize,
    num_blocks: usize,
    next_id: u64,
    pub(crate) step: u64,
    pub(crate) live: HashMap<RequestId, Live>,
    pub(crate) queue: Queue,
    /// Sequences with blocks, by rank.
    pub(crate) running: Vec<Entry>,
    /// Sequences that made room, by rank.
    pub(crate) preempted: Vec<Entry>,
    /// Sequences that parted in this step.
    pub(crate) born: Vec<Entry>,
    /// Places that the running sequences take.
    pub(crate) places: usize,
    pub(crate) plan: StepPlan,
    /// Whether the plan waits for its outcomes.
    pub(crate) is_planned: bool,
    pub(crate) has_doomed: bool,
    ended: Vec<Ended>,
    /// Tokens of a step now: fewer than configured after a step that did not fit in the device's memory.
    pub(crate) budget: usize,
    /// Tokens of a step in which something decodes.
    mixed: usize,
    /// Tokens of the step that is being planned.
    pub(crate) room: usize,
    /// Which sequence comes first when a step is too small for all that decode.
    pub(crate) turn: usize,
    pub(crate) blocked: Option<Blocked>,
    pub(crate) scratch: Vec<usize>,
    pub(crate) preemptions: u64,
}

impl Scheduler {
    /// A scheduler for sequences of this pool.
    ///
    /// # Errors
    /// As [`SchedulerConfig::check`].
    pub fn new(config: SchedulerConfig, pool: &BlockPool) -> Result<Self, SchedulerError> {
        config.check()?;
        Ok(Self {
            block_size: pool.block_size(),
            num_blocks: pool.num_blocks(),
            next_id: 0,
            step: 0,
            live: HashMap::new(),
            queue: Queue::new(config.ageing, config.max_queue_size + config.max_batch_size),
            running: Vec::with_capacity(config.max_batch_size),
            preempted: Vec::new(),
            born: Vec::new(),
            places: 0,
            plan: StepPlan::default(),
            is_planned: false,
            has_doomed: false,
            ended: Vec::new(),
            budget: config.max_tokens_per_step,
            mixed: config.max_tokens_per_step,
            room: 0,
            turn: 0,
            blocked: None,
            scratch: Vec::with_capacity(config.max_batch_size),
            preemptions: 0,
            config,
        })
    }

    /// The limits.
    pub fn config(&self) -> &SchedulerConfig {
        &self.config
    }

    /// Queues a request.
    ///
    /// # Errors
    /// Too much waits already, or the request can never run.
    pub fn submit(&mut self, request: NewRequest) -> Result<RequestId, Refused> {
        self.check(&request)?;
        let id = RequestId(self.next_id);
        self.next_id += 1;
        let entry = Entry::new(request, id, self.step, self.config.ageing);
        let live = Live {
            client: entry.client,
            rank: entry.rank,
            is_waiting: true,
            is_paused: false,
            sequences: 1,
            cached_tokens: 0,
            lost_steps: 0,
        };
        self.live.insert(id, live);
        self.queue.push(entry);
        Ok(id)
    }

    fn check(&self, request: &NewRequest) -> Result<(), Refused> {
        if request.prompt.is_empty() {
            return Err(Refused::EmptyPrompt);
        }
        let max = self.config.max_batch_size;
        if request.sequences == 0 || request.sequences as usize > max {
            return Err(Refused::BadSequences { found: request.sequences, max });
        }
        let (tokens, limit) =
            (request.prompt.len().saturating_add(request.max_tokens), self.config.max_sequence_length);
        if tokens > limit {
            return Err(Refused::TooLong { tokens, limit });
        }
        // The last token generated is never computed, so it needs no place.
        let stored = tokens - usize::from(request.max_tokens > 0);
        let (blocks, total) = (stored.div_ceil(self.block_size), self.num_blocks);
        if blocks > total {
            return Err(Refused::NeverFits { blocks, total });
        }
        let (waiting, tokens) = (self.queue.len(), self.queue.tokens());
        let is_full = waiting >= self.config.max_queue_size
            || tokens.saturating_add(request.prompt.len()) > self.config.max_queue_tokens;
        // A prompt longer than the whole queue may wait alone.
        if is_full && waiting > 0 {
            return Err(Refused::QueueFull { waiting, tokens });
        }
        Ok(())
    }

    /// Stops a request; `false`: it has ended. Its blocks are back after the next [`plan`](Self::plan) or
    /// [`commit`](Self::commit), which also reports its end. An outcome for it is not needed any more, and has no
    /// effect.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        self.doom(id, EndReason::Cancelled)
    }

    /// As [`cancel`](Self::cancel), for a request that cannot go on.
    pub fn fail(&mut self, id: RequestId) -> bool {
        self.doom(id, EndReason::Failed)
    }

    pub(crate) fn doom(&mut self, id: RequestId, reason: EndReason) -> bool {
        let Some(live) = self.live.get(&id) else { return false };
        if live.is_waiting {
            if let Some(entry) = self.queue.remove(live.client, live.rank) {
                self.report(entry, reason);
            }
            return true;
        }
        for entry in self.running.iter_mut().chain(&mut self.preempted).filter(|e| e.id.request == id) {
            entry.doomed.get_or_insert(reason);
        }
        self.has_doomed = true;
        true
    }

    /// Holds a request back, or lets it go on: when nobody takes its tokens, it computes none. It keeps its place and
    /// its blocks until others need them. `false`: it has ended.
    pub fn pause(&mut self, id: RequestId, is_paused: bool) -> bool {
        let Some(live) = self.live.get_mut(&id) else { return false };
        live.is_paused = is_paused;
        for entry in self.running.iter_mut().chain(&mut self.preempted).filter(|e| e.id.request == id) {
            entry.is_paused = is_paused;
        }
        true
    }

    /// Bounds the tokens of later steps in which a sequence decodes, so that the step of a long prompt does not keep
    /// its next token for too long. Every sequence that decodes gets its token all the same, and prompts get at least
    /// as many tokens as a block has. Steps without such sequences have no other bound than the configured one.
    pub fn bound_mixed_steps(&mut self, tokens: usize) {
        self.mixed = tokens;
    }

    /// Tokens of the next step.
    pub(crate) fn step_room(&self) -> usize {
        let decoding = self.running.iter().filter(|e| e.decodes()).count();
        match decoding {
            0 => self.budget,
            _ => self.mixed.max(decoding + self.block_size).min(self.budget),
        }
    }

    /// The sequences that ended since the last call, in order.
    pub fn drain_ended(&mut self) -> impl Iterator<Item = Ended> {
        self.ended.drain(..)
    }

    /// Whether there is no request.
    pub fn is_idle(&self) -> bool {
        self.live.is_empty()
    }

    /// Whether a step may have something to do: `false` when all requests are paused or there are none.
    pub fn has_work(&self) -> bool {
        let may_run = |entry: &Entry| !entry.is_paused;
        self.has_doomed
            || self.queue.len() > 0
            || self.running.iter().any(may_run)
            || self.preempted.iter().any(may_run)
    }

    /// How much there is of everything.
    pub fn usage(&self) -> SchedulerUsage {
        SchedulerUsage {
            waiting: self.queue.len(),
            waiting_tokens: self.queue.tokens(),
            running: self.running.len(),
            paused: self.running.iter().filter(|e| e.is_paused).count(),
            preempted: self.preempted.len(),
            preemptions: self.preemptions,
            steps: self.step,
        }
    }

    /// The step planned last.
    pub fn step_plan(&self) -> &StepPlan {
        &self.plan
    }

    /// The tokens that an item of the planned step computes. Nothing for an item of an earlier step.
    pub fn tokens_of(&self, item: &Item) -> &[TokenId] {
        self.planned(item).and_then(|e| e.log.get(item.start..item.start + item.count)).unwrap_or_default()
    }

    /// The blocks of an item's sequence, in order of position. Nothing for an item of an earlier step.
    pub fn blocks_of(&self, item: &Item) -> &[BlockId] {
        self.planned(item).map_or(&[], |entry| entry.cache.blocks())
    }

    fn planned(&self, item: &Item) -> Option<&Entry> {
        self.running.get(item.at).filter(|entry| self.is_planned && entry.id == item.sequence)
    }

    /// The token log of a sequence that has not ended: the prompt, and all that was generated.
    pub fn log(&self, id: SequenceId) -> Option<&[TokenId]> {
        self.entry(id).map(|entry| &entry.log[..])
    }

    /// Where a sequence that has not ended is in its life.
    pub fn state(&self, id: SequenceId) -> Option<State> {
        self.entry(id).map(Entry::state)
    }

    /// Prompt tokens of a request that were cached when it needed them, known once its prompt is computed.
    pub fn cached_tokens(&self, id: RequestId) -> Option<usize> {
        self.live.get(&id).map(|live| live.cached_tokens)
    }

    /// The cache's side of everything that runs, for [`BlockPool::check_integrity`].
    pub fn sequences(&self) -> impl Iterator<Item = &Sequence> {
        self.running.iter().map(|entry| &entry.cache)
    }

    fn entry(&self, id: SequenceId) -> Option<&Entry> {
        if self.live.get(&id.request)?.is_waiting {
            return self.queue.iter().find(|e| e.id == id);
        }
        self.running.iter().chain(&self.preempted).find(|e| e.id == id)
    }

    /// Puts a sequence among those that run.
    pub(crate) fn add_running(&mut self, entry: Entry) {
        self.places += entry.places();
        insert(&mut self.running, entry);
    }

    /// Ends what is doomed: blocks go back.
    pub(crate) fn sweep(&mut self, pool: &mut BlockPool) -> Result<(), SchedulerError> {
        if !std::mem::take(&mut self.has_doomed) {
            return Ok(());
        }
        let mut at = 0;
        while at < self.running.len() {
            let Some(reason) = self.running[at].doomed else {
                at += 1;
                continue;
            };
            let mut entry = self.running.remove(at);
            self.places -= entry.places();
            pool.end(std::mem::take(&mut entry.cache))?;
            self.report(entry, reason);
        }
        at = 0;
        while at < self.preempted.len() {
            match self.preempted[at].doomed {
                Some(reason) => {
                    let entry = self.preempted.remove(at);
                    self.report(entry, reason);
                }
                None => at += 1,
            }
        }
        Ok(())
    }

    /// The one way for a sequence to end.
    fn report(&mut self, mut entry: Entry, reason: EndReason) {
        let (sequence, generated) = (entry.id, entry.generated());
        entry.become_state(reason.state());
        let Some(live) = self.live.get_mut(&sequence.request) else { return };
        live.sequences -= 1;
        let (is_last, has_begun, cached_tokens) = (live.sequences == 0, !live.is_waiting, live.cached_tokens);
        self.ended.push(Ended { sequence, reason, generated, cached_tokens, is_last });
        if is_last {
            self.live.remove(&sequence.request);
            if has_begun {
                self.queue.end(entry.client);
            }
        }
    }
}

/// Inserts by rank.
pub(crate) fn insert(entries: &mut Vec<Entry>, entry: Entry) {
    let at = entries.partition_point(|e| e.rank < entry.rank);
    entries.insert(at, entry);
}
