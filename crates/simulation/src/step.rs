//! A step: plan, move, compute, commit, and what may go wrong on the way.

use std::time::Duration;

use rocmforge_kv_cache::Move;
use rocmforge_scheduler::{Item, Next, Outcome, RequestId, Rows, SequenceId, StepFailure, StepPlan};

use crate::model::{is_end, sample};
use crate::random::mix;
use crate::request::{Micros, Request};
use crate::world::{Check, Fault, World};

/// Steps between two recounts of everything.
const RECOUNT: u64 = 1024;

impl World {
    pub(crate) fn step(&mut self, fault: Fault) -> Check {
        self.report.steps += 1;
        self.end_foreign(self.report.steps)?;
        self.serve_readers()?;
        let plan = self.scheduler.plan(&mut self.pool).map_err(|e| e.to_string())?.clone();
        self.take_ended()?;
        self.check_cancelled()?;
        self.note(format_args!("{fault:?} {plan}"));
        self.record(&plan);
        self.backend.do_moves(&plan.moves);
        self.backend.poison(self.pool.free_blocks());
        self.check_plan(&plan)?;
        match fault {
            Fault::OutOfMemory => self.fail(&plan, StepFailure::OutOfMemory)?,
            Fault::Transient => self.fail(&plan, StepFailure::Transient)?,
            Fault::Lost => {
                self.compute(&plan)?;
                self.lose_step(&plan)?;
            }
            Fault::None | Fault::Cancel => {
                let outcomes = self.compute(&plan)?;
                self.finish(&plan, outcomes, fault)?;
            }
        }
        self.now += 500 + 20 * plan.tokens() as Micros;
        self.pool.set_time(Duration::from_micros(self.now));
        if self.report.steps.is_multiple_of(RECOUNT) { self.recount() } else { Ok(()) }
    }

    /// Clients take their tokens; who takes none is held back, and in the end given up.
    fn serve_readers(&mut self) -> Check {
        let mut late = None;
        for (at, request) in self.requests.iter_mut().enumerate() {
            let (is_held, is_late) = request.read(self.now);
            self.scheduler.pause(request.id, is_held);
            if is_held {
                request.streams.iter_mut().for_each(|stream| stream.restarts = 0);
            }
            if is_late && request.cancelled.is_none() {
                late = Some(at);
            }
        }
        late.map_or(Ok(()), |at| self.cancel_at(at))
    }

    /// Adds a plan to the trace.
    fn record(&mut self, plan: &StepPlan) {
        let report = &mut self.report;
        report.computed += plan.tokens() as u64;
        report.moves += plan.moves.len() as u64;
        report.preemptions += plan.preempted.len() as u64;
        let mut add = |part: u64| report.trace = mix(report.trace.wrapping_mul(31) ^ part);
        for Item { sequence, start, count, samples, .. } in &plan.items {
            add(sequence.request.0 << 20 | u64::from(sequence.index));
            add((*start as u64) << 40 | (*count as u64) << 20 | u64::from(*samples));
        }
        for moved in &plan.moves {
            let (kind, from, to) = match *moved {
                Move::Copy { from, to } => (1, from, to),
                Move::Save { block, slot } => (2, block, slot),
                Move::Load { slot, block } => (3, slot, block),
            };
            add(kind << 60 | u64::from(from) << 30 | u64::from(to));
        }
        plan.preempted.iter().for_each(|sequence| add(!sequence.request.0));
    }

    /// Computes a plan and compares each token with what it must be.
    fn compute(&mut self, plan: &StepPlan) -> Check<Vec<Outcome>> {
        let mut outcomes = Vec::with_capacity(plan.items.len());
        for item in &plan.items {
            let (tokens, blocks) = (self.scheduler.tokens_of(item), self.scheduler.blocks_of(item));
            let Some(request) = self.requests.iter().find(|r| r.id == item.sequence.request) else {
                return Err(format!("{} is computed and does not exist", item.sequence));
            };
            self.backend.compute(&request.space, item.start, tokens, blocks);
            if item.samples == 0 {
                continue;
            }
            let seen = self.backend.attend(item.start + item.count, blocks);
            let oracle = &request.streams[item.sequence.index as usize].oracle;
            for more in 0..item.samples {
                let sequence = SequenceId { index: item.sequence.index + more, ..item.sequence };
                let (token, expected) =
                    (sample(seen, request.seed, sequence.index), oracle.next(request.seed, sequence.index));
                if token != expected {
                    return Err(format!("I11: {sequence} goes on with {token}, expected {expected}; {item:?}"));
                }
                let next = if is_end(token) { Next::Last(token) } else { Next::Token(token) };
                outcomes.push(Outcome { sequence, next });
            }
        }
        self.spoil(&mut outcomes);
        Ok(outcomes)
    }

    /// Now and then a sequence cannot go on.
    fn spoil(&mut self, outcomes: &mut [Outcome]) {
        if !outcomes.is_empty() && self.random.one_in(500) {
            let at = self.random.below(outcomes.len());
            let Outcome { sequence, next } = &mut outcomes[at];
            *next = Next::Failed;
            if let Some(request) = self.requests.iter_mut().find(|r| r.id == sequence.request) {
                request.is_failed = true;
            }
        }
    }

    /// Commits a computed plan and hands the tokens out.
    fn finish(&mut self, plan: &StepPlan, mut outcomes: Vec<Outcome>, fault: Fault) -> Check {
        if fault == Fault::Cancel {
            self.cancel()?;
            if self.random.one_in(2) {
                // Nobody sampled for those that were cancelled.
                let gone =
                    |o: &Outcome| self.requests.iter().any(|r| r.id == o.sequence.request && r.cancelled.is_some());
                outcomes.retain(|outcome| !gone(outcome));
            }
        }
        self.scheduler.commit(&mut self.pool, &outcomes).map_err(|e| e.to_string())?;
        for item in &plan.items {
            let request = self.find_mut(item.sequence.request)?;
            if request.rows == Rows::All {
                request.rows_done = request.rows_done.max(item.start + item.count).min(request.prompt.len());
            }
        }
        for outcome in &outcomes {
            self.deliver(outcome)?;
        }
        self.take_ended()?;
        self.check_cancelled()
    }

    fn deliver(&mut self, outcome: &Outcome) -> Check {
        let SequenceId { request, index } = outcome.sequence;
        let request = self.find_mut(request)?;
        if request.cancelled.is_some() {
            return Ok(());
        }
        if request.streams.len() == index as usize {
            request.part();
        }
        let Some(stream) = request.streams.get_mut(index as usize) else {
            return Err(format!("{} has a token and never began", outcome.sequence));
        };
        let (Next::Token(token) | Next::Last(token)) = outcome.next else { return Ok(()) };
        stream.oracle.push(token);
        stream.received += 1;
        stream.last = Some(token);
        stream.restarts = 0;
        request.deliver();
        self.report.tokens += 1;
        self.report.trace = mix(self.report.trace ^ u64::from(token));
        Ok(())
    }

    /// The step was not computed.
    fn fail(&mut self, plan: &StepPlan, why: StepFailure) -> Check {
        if let ([item], StepFailure::OutOfMemory, 1) = (&plan.items[..], why, plan.tokens()) {
            self.find_mut(item.sequence.request)?.is_failed = true;
        }
        self.scheduler.step_failed(why);
        self.take_ended()
    }

    fn lose_step(&mut self, plan: &StepPlan) -> Check {
        for request in &mut self.requests {
            let is_in = |item: &Item| item.sequence.request == request.id;
            request.losses += u32::from(plan.items.iter().any(is_in));
        }
        self.lose()
    }

    pub(crate) fn find(&self, id: RequestId) -> Check<&Request> {
        self.requests.iter().find(|r| r.id == id).ok_or_else(|| format!("request {} does not exist", id.0))
    }

    pub(crate) fn find_mut(&mut self, id: RequestId) -> Check<&mut Request> {
        self.requests.iter_mut().find(|r| r.id == id).ok_or_else(|| format!("request {} does not exist", id.0))
    }
}
