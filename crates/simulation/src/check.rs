//! The invariants.

use rocmforge_scheduler::{EndReason, Ended, Item, Rows, StepPlan};

use crate::model::is_end;
use crate::world::{Check, World};

/// Steps that a request may wait for its first one.
const MAX_WAIT: u64 = 3000;
/// Starts of a sequence without a token in between, unless the device was lost or its reader held it back.
const MAX_RESTARTS: u64 = 12;

macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}

impl World {
    /// What a plan must keep to, before it is computed.
    pub(crate) fn check_plan(&mut self, plan: &StepPlan) -> Check {
        let config = &self.config;
        let limits = [
            (plan.tokens(), config.max_tokens_per_step, "tokens"),
            (plan.rows(), config.max_rows_per_step, "rows"),
            (plan.items.len(), config.max_batch_size, "sequences"),
            (self.scheduler.usage().running, config.max_batch_size, "running sequences"),
        ];
        for (found, most, what) in limits {
            ensure!(found <= most, "I13: {found} {what} in a step of {most}: {plan}");
        }
        let may_be_idle = self.foreign.is_some() || !self.scheduler.has_work();
        ensure!(!plan.is_empty() || may_be_idle, "I9: nothing runs: {:?}", self.scheduler.usage());
        self.check_blocks()?;
        for (at, item) in plan.items.iter().enumerate() {
            let again = plan.items[..at].iter().any(|other| other.sequence == item.sequence);
            ensure!(!again, "sequence {} has two items: {plan}", item.sequence);
            self.check_item(item)?;
        }
        self.check_starts(plan)
    }

    fn check_item(&self, item: &Item) -> Check {
        let (id, size) = (item.sequence, self.sizes.block);
        let request = self.find(id.request)?;
        ensure!(request.cancelled.is_none(), "I12: {id} was cancelled and is computed");
        let known = self.scheduler.log(id).map_or(0, <[_]>::len);
        let blocks = self.scheduler.blocks_of(item);
        ensure!(blocks.len() == known.div_ceil(size), "I5: {id} has {} blocks for {known} tokens", blocks.len());
        ensure!(item.count > 0 && item.start + item.count <= known, "{item:?} of {known} tokens");
        let written = item.start / size..(item.start + item.count).div_ceil(size);
        for block in &blocks[written] {
            let owners = self.owners[block.index() as usize];
            ensure!(owners == 1, "I3: {id} writes block {}, which has {owners} owners", block.index());
        }
        let is_end = item.start + item.count == known;
        let wanted = if request.rows == Rows::All && request.rows_done < request.prompt.len() {
            (item.start + item.count).saturating_sub(item.start.max(request.rows_done))
        } else {
            usize::from(is_end && request.max_tokens > 0)
        };
        ensure!(item.rows == wanted, "{id}: {} rows, expected {wanted}", item.rows);
        Ok(())
    }

    fn check_starts(&mut self, plan: &StepPlan) -> Check {
        for &id in &plan.started {
            let step = self.report.steps;
            let request = self.find_mut(id.request)?;
            let wait = step - request.submitted;
            let is_first = !std::mem::replace(&mut request.has_started, true);
            let Some(stream) = request.streams.get_mut(id.index as usize) else {
                return Err(format!("{id} starts and never began"));
            };
            stream.restarts += 1;
            let restarts = stream.restarts;
            ensure!(restarts <= MAX_RESTARTS, "I9: {id} started {restarts} times without a token");
            self.report.most_restarts = self.report.most_restarts.max(restarts);
            if is_first {
                self.report.longest_wait = self.report.longest_wait.max(wait);
            }
        }
        Ok(())
    }

    /// Blocks add up, and those in use are those of the sequences.
    fn check_blocks(&mut self) -> Check {
        let usage = self.pool.usage();
        ensure!(usage.total() == self.sizes.blocks, "I1: {usage:?} of {} blocks", self.sizes.blocks);
        self.owners.fill(0);
        let foreign = self.foreign.iter().map(|(sequence, _)| sequence);
        for block in self.scheduler.sequences().chain(foreign).flat_map(|sequence| sequence.blocks()) {
            self.owners[block.index() as usize] += 1;
        }
        let used = self.owners.iter().filter(|owners| **owners > 0).count();
        ensure!(used == usage.used, "I2: sequences have {used} blocks: {usage:?}");
        let freed = self.pool.free_blocks().iter().find(|block| self.owners[**block as usize] > 0);
        ensure!(freed.is_none(), "I4: block {freed:?} is free and in use");
        Ok(())
    }

    /// Everything, from the beginning.
    pub(crate) fn recount(&mut self) -> Check {
        let foreign = self.foreign.iter().map(|(sequence, _)| sequence);
        self.pool.check_integrity(self.scheduler.sequences().chain(foreign)).map_err(|e| e.to_string())?;
        let step = self.report.steps;
        let late = self.requests.iter().find(|r| !r.has_started && step - r.submitted > MAX_WAIT);
        ensure!(late.is_none(), "I9: request {:?} waits for more than {MAX_WAIT} steps", late.map(|r| r.id));
        let usage = self.scheduler.usage();
        let waiting = self.requests.iter().filter(|r| !r.has_started && r.cancelled.is_none()).count();
        ensure!(waiting == usage.waiting, "{waiting} requests have not started: {usage:?}");
        let alive = self.requests.iter().flat_map(|r| &r.streams).filter(|s| s.end.is_none()).count();
        let known = usage.waiting + usage.running + usage.preempted;
        ensure!(alive == known, "I7: {alive} sequences have not ended: {usage:?}");
        Ok(())
    }

    /// Notes the ends that the scheduler reports.
    pub(crate) fn take_ended(&mut self) -> Check {
        let ended: Vec<Ended> = self.scheduler.drain_ended().collect();
        ended.into_iter().try_for_each(|end| self.end(end))
    }

    fn end(&mut self, ended: Ended) -> Check {
        let (id, reason) = (ended.sequence, ended.reason);
        let max_lost = self.config.max_lost_steps;
        let request = self.find_mut(id.request)?;
        let (is_cancelled, is_suspect) = (request.cancelled.is_some(), request.losses > max_lost);
        let (is_failed, max_tokens) = (request.is_failed, request.max_tokens);
        let Some(stream) = request.streams.get_mut(id.index as usize) else {
            return Err(format!("I7: {id} ends and never began"));
        };
        ensure!(stream.end.is_none(), "I7: {id} ends as {reason:?} after {:?}", stream.end);
        ensure!(
            stream.received == ended.generated,
            "I8: {id}: {} tokens, received {}",
            ended.generated,
            stream.received
        );
        let is_right = match reason {
            EndReason::Stop => stream.last.is_some_and(is_end),
            EndReason::Length => stream.received == max_tokens,
            EndReason::Cancelled => is_cancelled,
            EndReason::Failed => is_failed,
            EndReason::Suspect => is_suspect,
        };
        ensure!(is_right, "I7: {id} ends as {reason:?} after {} of {max_tokens} tokens", stream.received);
        stream.end = Some(reason);
        let is_over = request.is_over();
        ensure!(ended.is_last == is_over, "I7: {id} ends, last: {}, of {:?}", ended.is_last, request.streams);
        match reason {
            EndReason::Stop | EndReason::Length => self.report.finished += 1,
            EndReason::Cancelled => self.report.cancelled += 1,
            EndReason::Failed | EndReason::Suspect => self.report.failed += 1,
        }
        if is_over {
            let request = self.find(id.request)?;
            let asked = if max_tokens == 0 { 1 } else { request.sequences as usize };
            let begun = request.streams.len();
            let is_cut = is_cancelled || is_suspect || is_failed;
            ensure!(begun == asked || is_cut, "I7: {begun} of {asked} answers of request {}", id.request.0);
            self.report.shared += ended.cached_tokens as u64;
            self.requests.retain(|r| r.id != id.request);
        }
        Ok(())
    }

    /// Nobody who was cancelled is left.
    pub(crate) fn check_cancelled(&self) -> Check {
        let late = self.requests.iter().find(|request| request.cancelled.is_some());
        ensure!(late.is_none(), "I12: request {:?} was cancelled and is still there", late.map(|r| r.id));
        Ok(())
    }

    /// Nothing is left.
    pub(crate) fn check_drained(&mut self) -> Check {
        self.recount()?;
        ensure!(self.requests.is_empty(), "I14: {} requests are left", self.requests.len());
        let usage = self.pool.usage();
        ensure!(usage.used == 0, "I14: blocks are in use: {usage:?}");
        self.pool.clear_cached();
        let usage = self.pool.usage();
        ensure!(usage.free == self.sizes.blocks && usage.host_used == 0, "I14: {usage:?}");
        self.pool.check_integrity([]).map_err(|e| format!("I14: {e}"))
    }
}
