//! Bookkeeping of a step, scheduler and cache together, with 64 running sequences. The goal is 50 µs.
#![allow(missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use rocmforge_kv_cache::BlockPool;
use rocmforge_scheduler::{NewRequest, Next, Outcome, Scheduler, SchedulerConfig};

const RUNNING: usize = 64;

struct World {
    pool: BlockPool,
    scheduler: Scheduler,
    outcomes: Vec<Outcome>,
    seed: u32,
}

impl World {
    /// 64 sequences that decode, or begin in the first step, and `waiting` requests that wait.
    fn new(waiting: usize, config: SchedulerConfig) -> Self {
        // Few enough that the pool is full soon, so that what grows evicts.
        let pool = BlockPool::with_sizes(16, 16_384, 0, 0).expect("valid");
        let scheduler = Scheduler::new(config, &pool).expect("valid");
        let mut world = Self { pool, scheduler, outcomes: Vec::with_capacity(RUNNING), seed: 0 };
        (0..RUNNING + waiting).for_each(|_| world.submit(500, 3000));
        while world.scheduler.usage().running < RUNNING || world.outcomes.len() < RUNNING {
            world.step();
        }
        world
    }

    fn submit(&mut self, len: u32, max_tokens: usize) {
        self.seed += 1;
        let prompt = (0..len).map(|t| t.wrapping_mul(self.seed) % 50_000).collect();
        self.scheduler.submit(NewRequest::new(prompt, max_tokens)).expect("taken");
    }

    fn step(&mut self) {
        let plan = self.scheduler.plan(&mut self.pool).expect("our pool");
        self.outcomes.clear();
        let next = Next::Token(plan.step as u32);
        self.outcomes.extend(plan.wanted().map(|sequence| Outcome { sequence, next }));
        self.scheduler.commit(&mut self.pool, &self.outcomes).expect("they answer the plan");
        if self.scheduler.drain_ended().count() > 0 {
            (0..RUNNING - self.scheduler.usage().running).for_each(|_| self.submit(500, 3000));
        }
    }
}

fn config() -> SchedulerConfig {
    SchedulerConfig {
        max_batch_size: RUNNING,
        max_rows_per_step: RUNNING,
        max_tokens_per_step: 2048,
        ..SchedulerConfig::default()
    }
}

fn steps(c: &mut Criterion) {
    let mut group = c.benchmark_group("step");
    let mut world = World::new(0, config());
    group.bench_function("64 decode", |b| b.iter(|| world.step()));
    let mut world = World::new(900, config());
    group.bench_function("64 decode, 900 wait", |b| b.iter(|| world.step()));
    // One answer ends and one prompt begins in every step.
    let mut world = World::new(0, SchedulerConfig { max_batch_size: RUNNING + 1, max_rows_per_step: 65, ..config() });
    group.bench_function("64 decode, 1 prompt of 500 begins and ends", |b| {
        b.iter(|| {
            // Those that ended come back first.
            if world.scheduler.usage().waiting == 0 {
                world.submit(500, 1);
            }
            world.step();
        })
    });
    group.finish();
}

criterion_group!(benches, steps);
criterion_main!(benches);
