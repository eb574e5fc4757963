//! Planning a step: room for what decodes, then what made room before, then what is new.

use rocmforge_kv_cache::{BlockPool, Sequence};

use crate::entry::Entry;
use crate::queue::PROMPT_WORK;
use crate::scheduler::insert;
use crate::{Preemption, RequestId, Scheduler, SchedulerError, State, StepPlan};

/// A request that found no room, and when to look again: looking costs time in proportion to its prompt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocked {
    id: RequestId,
    /// Blocks that must be available, and how many of them were to be left then.
    available: usize,
    spare: usize,
    /// Step from which on to look again anyway: others may have computed what it shares.
    until: u64,
}

/// Steps between two looks.
const PATIENCE: u64 = 8;

impl Scheduler {
    /// Plans the next step. If the plan before was not committed, nothing of it counts as computed, but its moves do
    /// as done.
    ///
    /// # Errors
    /// A pool that is not this scheduler's.
    pub fn plan(&mut self, pool: &mut BlockPool) -> Result<&StepPlan, SchedulerError> {
        self.step += 1;
        self.plan.begin(self.step);
        self.sweep(pool)?;
        self.grow(pool)?;
        self.room = self.step_room();
        if self.resume(pool)? {
            self.admit(pool)?;
        }
        self.fill(pool);
        self.plan.moves.extend(pool.drain_moves());
        self.is_planned = true;
        Ok(&self.plan)
    }

    /// Makes room for the next token of what decodes, the most important first; the least important make room if
    /// there is none.
    fn grow(&mut self, pool: &mut BlockPool) -> Result<(), SchedulerError> {
        let mut at = 0;
        while at < self.running.len() {
            let entry = &mut self.running[at];
            if entry.is_paused || entry.remaining() > 1 || pool.reserve(&mut entry.cache, entry.log.len()) {
                at += 1;
                continue;
            }
            let victim = self.running.iter().rposition(|e| e.is_paused).unwrap_or(self.running.len() - 1);
            self.preempt(victim, pool)?;
            // What comes after the victim has moved up by one.
            at -= usize::from(victim < at);
        }
        Ok(())
    }

    /// Takes the blocks of a running sequence; its token log stays.
    pub(crate) fn preempt(&mut self, at: usize, pool: &mut BlockPool) -> Result<(), SchedulerError> {
        let mut entry = self.running.remove(at);
        self.places -= entry.places();
        self.preemptions += 1;
        self.plan.preempted.push(entry.id);
        entry.become_state(State::Preempted);
        let cache = std::mem::take(&mut entry.cache);
        insert(&mut self.preempted, entry);
        match self.config.preemption {
            Preemption::Recompute => pool.end(cache)?,
            Preemption::Swap => pool.swap_out(cache)?,
        }
        Ok(())
    }

    /// Lets sequences that made room go on, in order. Returns whether none is left, so that nothing new takes the room
    /// that they need.
    fn resume(&mut self, pool: &mut BlockPool) -> Result<bool, SchedulerError> {
        while let Some(at) = self.preempted.iter().position(|e| !e.is_paused) {
            let entry = &self.preempted[at];
            let is_place = self.places + entry.places() <= self.config.max_batch_size;
            let spare = self.running.len();
            let cache = if is_place { start(pool, entry, spare, self.step, &mut self.blocked) } else { None };
            match cache {
                Some(cache) => {
                    let entry = self.preempted.remove(at);
                    self.begin(entry, cache, pool);
                }
                None if self.preempt_paused(pool)? => {}
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Begins requests that wait, as long as this step has tokens for them and there is room for their prompts.
    fn admit(&mut self, pool: &mut BlockPool) -> Result<(), SchedulerError> {
        let mut left = self.unplanned_tokens();
        while left > 0 {
            let Some(next) = self.queue.best(self.step) else { return Ok(()) };
            let (client, rank) = (next.client, next.rank);
            let is_place = self.places + next.places() <= self.config.max_batch_size;
            // Each running sequence may soon need a block, and each that parts from this one needs one at once. One
            // that would run alone must not wait for more than it needs.
            let spare = if self.running.is_empty() { 0 } else { self.running.len() + next.forks as usize };
            let cache = if is_place { start(pool, next, spare, self.step, &mut self.blocked) } else { None };
            let Some(cache) = cache else {
                if self.preempt_paused(pool)? {
                    continue;
                }
                return Ok(());
            };
            let Some(mut entry) = self.queue.begin(client, rank, self.step) else {
                // It was there a moment ago.
                return Ok(pool.end(cache)?);
            };
            entry.log.reserve_exact(entry.max_tokens);
            self.queue.charge(client, PROMPT_WORK * (entry.prompt_len - cache.len()) as u64);
            if let Some(live) = self.live.get_mut(&entry.id.request) {
                live.is_waiting = false;
                entry.is_paused = live.is_paused;
            }
            left = left.saturating_sub(self.share_of(entry.log.len() - cache.len()));
            self.begin(entry, cache, pool);
        }
        Ok(())
    }

    fn begin(&mut self, mut entry: Entry, mut cache: Sequence, pool: &mut BlockPool) {
        pool.expect(&mut cache, entry.prompt_len + entry.max_tokens);
        entry.become_state(State::Prefill);
        entry.cache = cache;
        self.plan.started.push(entry.id);
        self.add_running(entry);
    }

    /// Makes room by taking the blocks of a sequence that computes nothing anyway.
    fn preempt_paused(&mut self, pool: &mut BlockPool) -> Result<bool, SchedulerError> {
        match self.running.iter().rposition(|e| e.is_paused) {
            Some(at) => self.preempt(at, pool).map(|()| true),
            None => Ok(false),
        }
    }

    /// Tokens of this step that nothing claims so far.
    fn unplanned_tokens(&self) -> usize {
        let running = self.running.iter().filter(|e| !e.is_paused);
        let claimed: usize = running.map(|e| self.share_of(e.remaining())).sum();
        self.room.saturating_sub(claimed)
    }

    /// What a sequence claims of a step: a long prompt not all of it, so that shorter ones begin beside it.
    fn share_of(&self, remaining: usize) -> usize {
        remaining.min(self.room.div_ceil(4))
    }
}

/// The blocks for everything that is known of a sequence, if `spare` blocks are left then.
fn start(
    pool: &mut BlockPool,
    entry: &Entry,
    spare: usize,
    step: u64,
    blocked: &mut Option<Blocked>,
) -> Option<Sequence> {
    let (id, available) = (entry.id.request, pool.usage().available());
    let is_same = |b: Blocked| b.id == id && spare >= b.spare && available < b.available && step < b.until;
    if blocked.is_some_and(is_same) {
        return None;
    }
    let tokens = entry.log.len();
    let missing = pool.missing_blocks(&entry.space, entry.shareable(), tokens + spare * pool.block_size());
    if missing > 0 {
        *blocked = Some(Blocked { id, available: available + missing, spare, until: step + PATIENCE });
        return None;
    }
    *blocked = None;
    pool.try_begin(&entry.space, entry.shareable(), tokens)
}
