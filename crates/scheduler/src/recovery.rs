//! Steps that fail.

use rocmforge_kv_cache::BlockPool;

use crate::{EndReason, RequestId, Scheduler, SchedulerError};

/// Why a planned step was not computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepFailure {
    /// It did not fit in the device's memory. Steps are smaller for a while; a single token that does not fit ends its
    /// request.
    OutOfMemory,
    /// Something that may go well the next time.
    Transient,
}

impl Scheduler {
    /// Says that the planned step was not computed, though its moves were done. The next plan has the same work.
    pub fn step_failed(&mut self, why: StepFailure) {
        if !std::mem::take(&mut self.is_planned) || why == StepFailure::Transient {
            return;
        }
        match (self.plan.tokens(), self.plan.items.first()) {
            (0 | 1, Some(item)) => {
                let id = item.sequence.request;
                self.doom(id, EndReason::Failed);
            }
            (tokens, _) => self.budget = (tokens / 2).max(1),
        }
    }

    /// Says that the device is lost with all that the cache held, and that an empty one takes its place. Whatever ran
    /// goes on from its token log; a request that was under way more often than
    /// [`max_lost_steps`](crate::SchedulerConfig::max_lost_steps) ends.
    ///
    /// # Errors
    /// A pool that is not this scheduler's.
    pub fn device_lost(&mut self, pool: &mut BlockPool) -> Result<(), SchedulerError> {
        if std::mem::take(&mut self.is_planned) {
            self.suspect_all();
        }
        self.sweep(pool)?;
        while let Some(last) = self.running.len().checked_sub(1) {
            self.preempt(last, pool)?;
        }
        pool.clear_cached();
        pool.drain_moves().for_each(drop);
        self.blocked = None;
        Ok(())
    }

    /// Counts the loss against each request of the step.
    fn suspect_all(&mut self) {
        let mut requests: Vec<RequestId> = self.plan.items.iter().map(|item| item.sequence.request).collect();
        requests.sort_unstable();
        requests.dedup();
        for id in requests {
            let Some(live) = self.live.get_mut(&id) else { continue };
            live.lost_steps += 1;
            if live.lost_steps > self.config.max_lost_steps {
                self.doom(id, EndReason::Suspect);
            }
        }
    }
}
