//! Decoding takes no memory from the allocator.

use rocmforge_kv_cache::BlockPool;
use rocmforge_scheduler::{NewRequest, Next, Outcome, Scheduler, SchedulerConfig};

#[test]
fn a_decode_step_allocates_nothing() {
    let config = SchedulerConfig {
        max_batch_size: 64,
        max_rows_per_step: 64,
        max_tokens_per_step: 512,
        ..SchedulerConfig::default()
    };
    let mut pool = BlockPool::with_sizes(16, 4096, 64, 0).expect("valid");
    let mut scheduler = Scheduler::new(config, &pool).expect("valid");
    for i in 0..62 {
        scheduler.submit(NewRequest::new((0..50).map(|t| t + i * 100).collect(), 2000)).expect("taken");
    }
    scheduler.submit(NewRequest { sequences: 2, ..NewRequest::new(vec![1; 50], 2000) }).expect("taken");
    // More that waits, so that it is looked at in each step.
    for _ in 0..100 {
        scheduler.submit(NewRequest::new(vec![9; 1000], 100)).expect("taken");
    }
    let mut outcomes: Vec<Outcome> = Vec::with_capacity(64);
    let mut step = |scheduler: &mut Scheduler, pool: &mut BlockPool| {
        let plan = scheduler.plan(pool).expect("our pool");
        outcomes.clear();
        outcomes.extend(plan.wanted().map(|sequence| Outcome { sequence, next: Next::Token(sequence.index) }));
        scheduler.commit(pool, &outcomes).expect("they answer the plan");
        outcomes.len()
    };
    for _ in 0..20 {
        step(&mut scheduler, &mut pool);
    }
    let mut tokens = 0;
    let taken = allocation_counter::measure(|| {
        for _ in 0..500 {
            tokens += step(&mut scheduler, &mut pool);
        }
    });
    assert_eq!((tokens, taken.count_total), (500 * 64, 0));
}
