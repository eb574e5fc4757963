//! What came of a step.

use rocmforge_kv_cache::BlockPool;

use crate::entry::Entry;
use crate::queue::GENERATED_WORK;
use crate::{EndReason, Item, Next, Outcome, Scheduler, SchedulerError, SequenceId, State};

impl Scheduler {
    /// Takes note of what the planned step yielded: one outcome for each of [`StepPlan::wanted`], in that order; those
    /// of requests that were cancelled meanwhile may be left out.
    ///
    /// # Errors
    /// Outcomes that do not answer the plan, in which case nothing changes, or a pool that is not this scheduler's.
    ///
    /// [`StepPlan::wanted`]: crate::StepPlan::wanted
    pub fn commit(&mut self, pool: &mut BlockPool, outcomes: &[Outcome]) -> Result<(), SchedulerError> {
        if !self.is_planned {
            return Err(SchedulerError::NoStep);
        }
        self.check_outcomes(outcomes)?;
        self.is_planned = false;
        let items = std::mem::take(&mut self.plan.items);
        let mut rest = outcomes;
        let result = items.iter().try_for_each(|item| {
            let is_his = |outcome: &Outcome| outcome.sequence.request == item.sequence.request;
            let count = rest.iter().take(item.samples as usize).take_while(|o| is_his(o)).count();
            let (own, later) = rest.split_at(count);
            rest = later;
            self.commit_item(item, own, pool)
        });
        self.plan.items = items;
        result?;
        while let Some(entry) = self.born.pop() {
            self.add_running(entry);
        }
        self.sweep(pool)?;
        let max = self.config.max_tokens_per_step;
        self.budget = max.min(self.budget + max.div_ceil(16));
        Ok(())
    }

    fn check_outcomes(&self, outcomes: &[Outcome]) -> Result<(), SchedulerError> {
        let mut at = 0;
        let found = |at: usize| outcomes.get(at).map(|outcome: &Outcome| outcome.sequence);
        for item in &self.plan.items {
            let may_lack = self.running[item.at].doomed.is_some();
            for more in 0..item.samples {
                let expected = Some(SequenceId { index: item.sequence.index + more, ..item.sequence });
                if found(at) == expected {
                    at += 1;
                } else if !may_lack {
                    return Err(SchedulerError::WrongOutcome { at, found: found(at), expected });
                }
            }
        }
        match found(at) {
            None => Ok(()),
            found => Err(SchedulerError::WrongOutcome { at, found, expected: None }),
        }
    }

    fn commit_item(&mut self, item: &Item, outcomes: &[Outcome], pool: &mut BlockPool) -> Result<(), SchedulerError> {
        let entry = &mut self.running[item.at];
        let end = item.start + item.count;
        pool.commit(&mut entry.cache, &entry.log[item.start..end])?;
        entry.rows_done = entry.rows_done.max(end);
        if entry.remaining() > 0 {
            return Ok(());
        }
        if entry.generated() == 0
            && let Some(live) = self.live.get_mut(&item.sequence.request)
        {
            live.cached_tokens = entry.cache.shared_tokens().min(entry.prompt_len);
        }
        if entry.state() == State::Prefill {
            entry.become_state(State::Decode);
        }
        if entry.doomed.is_some() {
            return Ok(());
        }
        let Some((own, parting)) = outcomes.split_first() else {
            // Nothing was asked for: the prompt alone was wanted.
            entry.doomed = Some(EndReason::Length);
            self.has_doomed = true;
            return Ok(());
        };
        // They part before the first one goes on or ends.
        for outcome in parting {
            self.part(item.at, outcome, pool)?;
        }
        let entry = &mut self.running[item.at];
        // Their places are counted when they are added.
        self.places -= entry.forks as usize;
        entry.forks = 0;
        apply(entry, own.next);
        self.has_doomed |= entry.doomed.is_some();
        self.queue.charge(entry.client, GENERATED_WORK * outcomes.len() as u64);
        Ok(())
    }

    /// A further sequence begins where the prompt ends.
    fn part(&mut self, at: usize, outcome: &Outcome, pool: &mut BlockPool) -> Result<(), SchedulerError> {
        let entry = &self.running[at];
        let mut new = entry.part(outcome.sequence.index, pool.fork(&entry.cache)?);
        apply(&mut new, outcome.next);
        self.has_doomed |= new.doomed.is_some();
        if let Some(live) = self.live.get_mut(&outcome.sequence.request) {
            live.sequences += 1;
        }
        self.born.push(new);
        Ok(())
    }
}

/// Appends the next token, and decides whether the sequence goes on.
fn apply(entry: &mut Entry, next: Next) {
    match next {
        Next::Token(token) => {
            entry.log.push(token);
            if entry.generated() >= entry.max_tokens {
                entry.doomed = Some(EndReason::Length);
            }
        }
        Next::Last(token) => {
            entry.log.push(token);
            entry.doomed = Some(EndReason::Stop);
        }
        Next::Failed => entry.doomed = Some(EndReason::Failed),
    }
}
