//! Random use: whatever happens, requests end once, with the tokens they would have alone.

use std::collections::BTreeMap;

use proptest::prelude::*;
use rocmforge_kv_cache::{BlockPool, Space};
use rocmforge_scheduler::{
    ClientId, EndReason, NewRequest, Preemption, Refused, RequestId, SchedulerConfig, SequenceId, StepFailure,
};

use crate::common::{BLOCK, World, alone};

#[derive(Debug, Clone)]
enum Op {
    Submit { client: u64, priority: i32, shape: u32, len: usize, max_tokens: usize, sequences: u32, adapter: u64 },
    Step(usize),
    Fail(StepFailure),
    Lose,
    Cancel { which: usize, within_step: bool },
    Pause { which: usize, is_paused: bool },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0u64..3, -2i32..3, 0u32..3, 1usize..40, 0usize..24, 1u32..4, 0u64..2).prop_map(
            |(client, priority, shape, len, max_tokens, sequences, adapter)| {
                Op::Submit { client, priority, shape, len, max_tokens, sequences, adapter }
            }
        ),
        8 => (1usize..6).prop_map(Op::Step),
        1 => prop_oneof![Just(StepFailure::OutOfMemory), Just(StepFailure::Transient)].prop_map(Op::Fail),
        1 => Just(Op::Lose),
        2 => (0usize..8, any::<bool>()).prop_map(|(which, within_step)| Op::Cancel { which, within_step }),
        2 => (0usize..8, any::<bool>()).prop_map(|(which, is_paused)| Op::Pause { which, is_paused }),
    ]
}

struct Submitted {
    prompt: Vec<u32>,
    max_tokens: usize,
    sequences: u32,
    is_cancelled: bool,
}

struct Run {
    world: World,
    requests: BTreeMap<RequestId, Submitted>,
}

impl Run {
    fn pick(&self, which: usize) -> Option<RequestId> {
        let live: Vec<_> = self.requests.keys().copied().filter(|id| self.world.state(*id).is_some()).collect();
        (!live.is_empty()).then(|| live[which % live.len()])
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Submit { client, priority, shape, len, max_tokens, sequences, adapter } => {
                let prompt: Vec<u32> = (0..len as u32).map(|i| if i < 9 { i } else { i * shape }).collect();
                let space = Space { adapter, ..Space::default() };
                let request = NewRequest {
                    client: ClientId(client),
                    priority,
                    sequences,
                    space,
                    ..NewRequest::new(prompt.clone(), max_tokens)
                };
                let blocks = (len + max_tokens.saturating_sub(1)).div_ceil(BLOCK);
                match self.world.try_submit(request) {
                    Ok(id) => {
                        assert!(blocks <= self.world.pool.num_blocks(), "taken only if it can ever fit");
                        self.requests.insert(id, Submitted { prompt, max_tokens, sequences, is_cancelled: false });
                    }
                    Err(Refused::NeverFits { .. }) => assert!(blocks > self.world.pool.num_blocks()),
                    Err(refused) => assert!(matches!(refused, Refused::QueueFull { .. }), "{refused}"),
                }
            }
            Op::Step(steps) => (0..steps).for_each(|_| drop(self.world.step())),
            Op::Fail(why) => {
                // A single token that does not fit would end its request.
                let is_small = self.world.plan().tokens() <= 1;
                self.world.scheduler.step_failed(if is_small { StepFailure::Transient } else { why });
            }
            Op::Lose => self.world.scheduler.device_lost(&mut self.world.pool).expect("our pool"),
            Op::Cancel { which, within_step } => {
                let Some(id) = self.pick(which) else { return };
                let plan = within_step.then(|| self.world.plan());
                self.world.scheduler.cancel(id);
                self.requests.get_mut(&id).expect("ours").is_cancelled = true;
                match plan {
                    Some(plan) => {
                        let outcomes = self.world.outcomes(&plan);
                        // What came in the step of the cancellation does not count.
                        let texts = self.world.texts.clone();
                        self.world.commit(&plan, &outcomes);
                        self.world.texts.retain(|s, _| s.request != id);
                        self.world.texts.extend(texts.into_iter().filter(|(s, _)| s.request == id));
                    }
                    None => drop(self.world.step()),
                }
                assert_eq!(self.world.state(id), None, "gone within a step");
            }
            Op::Pause { which, is_paused } => {
                if let Some(id) = self.pick(which) {
                    self.world.scheduler.pause(id, is_paused);
                }
            }
        }
    }

    fn finish(mut self) {
        let ids: Vec<_> = self.requests.keys().copied().collect();
        for id in &ids {
            self.world.scheduler.pause(*id, false);
        }
        self.world.finish(5000);
        let usage = self.world.pool.usage();
        assert_eq!(usage.used, 0, "all blocks are back");
        let mut ends: BTreeMap<SequenceId, usize> = BTreeMap::new();
        for ended in &self.world.ended {
            *ends.entry(ended.sequence).or_default() += 1;
            let request = &self.requests[&ended.sequence.request];
            let text = self.world.texts.get(&ended.sequence).cloned().unwrap_or_default();
            assert_eq!(text.len(), ended.generated);
            assert_eq!(text, alone(&request.prompt, ended.sequence.index, ended.generated), "{}", ended.sequence);
            match ended.reason {
                EndReason::Length => assert_eq!(ended.generated, request.max_tokens),
                EndReason::Cancelled => assert!(request.is_cancelled),
                reason => panic!("{reason:?}"),
            }
        }
        assert!(ends.values().all(|count| *count == 1), "each sequence ends once");
        for (id, request) in &self.requests {
            let count = ends.keys().filter(|s| s.request == *id).count() as u32;
            let asked = if request.max_tokens == 0 { 1 } else { request.sequences };
            assert!(count == asked || (request.is_cancelled && count >= 1), "{count} ends of {asked}");
            let last = self.world.ended.iter().filter(|e| e.sequence.request == *id && e.is_last).count();
            assert_eq!(last, 1, "each request ends once");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_end_once_with_the_tokens_they_have_alone(
        ops in prop::collection::vec(op(), 1..40),
        blocks in 12usize..30,
        slots in prop_oneof![Just(0usize), Just(5), Just(60)],
        batch in 3usize..6,
        tokens in 6usize..40,
    ) {
        let config = SchedulerConfig {
            max_batch_size: batch,
            max_rows_per_step: batch,
            max_tokens_per_step: tokens,
            max_queue_size: 12,
            ageing: 5,
            preemption: if slots > 0 { Preemption::Swap } else { Preemption::Recompute },
            // Losses and failures are many here, and nobody is to blame.
            max_lost_steps: u32::MAX,
            ..SchedulerConfig::default()
        };
        let pool = BlockPool::with_sizes(BLOCK, blocks, slots, 0).expect("valid");
        let mut run = Run { world: World::with_pool(pool, config), requests: BTreeMap::new() };
        for op in ops {
            run.apply(op);
            run.world.pool.check_integrity(run.world.scheduler.sequences()).expect("consistent");
        }
        run.finish();
    }
}
