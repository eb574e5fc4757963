//! What is taken, what is refused, and what must never wait for ever.

use rocmforge_kv_cache::BlockPool;
use rocmforge_scheduler::{
    EndReason, NewRequest, Outcome, Refused, Scheduler, SchedulerConfig, SchedulerError, SequenceId,
};

use crate::common::{World, config, first, request};

#[test]
fn defaults_are_those_that_are_documented() {
    let config = SchedulerConfig::default();
    assert_eq!((config.max_batch_size, config.max_queue_size, config.max_sequence_length), (32, 1000, 4096));
    assert_eq!(config.batch_timeout.as_millis(), 50);
}

#[test]
fn bad_limits_are_errors() {
    let pool = BlockPool::new(4, 4).expect("valid");
    let with = |change: fn(&mut SchedulerConfig)| {
        let mut config = SchedulerConfig::default();
        change(&mut config);
        match Scheduler::new(config, &pool) {
            Err(SchedulerError::BadConfig { option, .. }) => option,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(with(|c| c.max_batch_size = 0), "max_batch_size");
    assert_eq!(with(|c| c.max_tokens_per_step = 31), "max_tokens_per_step");
    assert_eq!(with(|c| c.max_rows_per_step = 31), "max_rows_per_step");
    assert_eq!(with(|c| c.ageing = 0), "ageing");
}

#[test]
fn requests_that_can_never_run_are_refused_at_once() {
    let mut world = World::new(8, SchedulerConfig { max_sequence_length: 100, ..config() });
    let refused = |world: &mut World, request| world.try_submit(request).expect_err("refused");
    assert_eq!(refused(&mut world, request(1, 0, 5)), Refused::EmptyPrompt);
    assert_eq!(refused(&mut world, request(1, 90, 11)), Refused::TooLong { tokens: 101, limit: 100 });
    assert_eq!(
        refused(&mut world, request(1, 5, usize::MAX)),
        Refused::TooLong { tokens: usize::MAX, limit: 100 },
        "sums do not wrap"
    );
    assert_eq!(refused(&mut world, request(1, 30, 4)), Refused::NeverFits { blocks: 9, total: 8 });
    let none = NewRequest { sequences: 0, ..request(1, 5, 5) };
    assert_eq!(refused(&mut world, none), Refused::BadSequences { found: 0, max: 4 });
    let many = NewRequest { sequences: 5, ..request(1, 5, 5) };
    assert_eq!(refused(&mut world, many), Refused::BadSequences { found: 5, max: 4 });
    assert!(world.scheduler.is_idle());
}

/// A prompt that fills the cache to the last block runs, whatever ran before.
#[test]
fn what_just_fits_does_not_wait_for_ever() {
    let mut world = World::new(8, config());
    world.submit(request(1, 5, 3));
    world.submit(request(2, 30, 3));
    world.submit(NewRequest { sequences: 4, ..request(3, 30, 3) });
    world.finish(100);
    assert!(world.ended.iter().all(|e| e.reason == EndReason::Length));
    assert_eq!(world.ended.len(), 6);
}

/// If only the cached part of a prompt were reserved, two requests could hold what the other one needs.
#[test]
fn a_begun_request_has_room_for_its_whole_prompt() {
    let mut world = World::new(10, config());
    let common: Vec<u32> = (0..17).collect();
    world.submit(NewRequest::new(common.clone(), 1));
    world.finish(10);
    for i in 0..2 {
        let long = [&common[..], &[100 + i; 10]].concat();
        world.submit(NewRequest::new(long, 8));
    }
    while !world.scheduler.is_idle() {
        let plan = world.step();
        assert_eq!(plan.preempted, [], "one waits until the other has ended");
        assert!(!plan.is_empty());
    }
}

#[test]
fn the_queue_has_limits_in_requests_and_tokens() {
    let mut world = World::new(64, SchedulerConfig { max_queue_size: 3, max_queue_tokens: 40, ..config() });
    let a = world.submit(request(1, 20, 1));
    world.submit(request(2, 20, 1));
    assert_eq!(world.try_submit(request(3, 1, 1)), Err(Refused::QueueFull { waiting: 2, tokens: 40 }));
    assert!(world.scheduler.cancel(a));
    world.submit(request(3, 1, 1));
    world.submit(request(4, 1, 1));
    assert_eq!(world.try_submit(request(5, 1, 1)), Err(Refused::QueueFull { waiting: 3, tokens: 22 }));
    world.step();
    assert_eq!((world.scheduler.usage().waiting, world.scheduler.usage().waiting_tokens), (0, 0));
    world.submit(request(6, 60, 1));
    assert_eq!(world.scheduler.usage().waiting_tokens, 60, "one too long for the queue may wait alone");
}

#[test]
fn outcomes_must_answer_the_plan() {
    let mut world = World::new(16, config());
    assert_eq!(world.scheduler.commit(&mut world.pool, &[]), Err(SchedulerError::NoStep));
    let (a, b) = (world.submit(request(1, 3, 3)), world.submit(request(2, 3, 3)));
    let plan = world.plan();
    let good = world.outcomes(&plan);
    let mut commit = |outcomes: &[Outcome]| world.scheduler.commit(&mut world.pool, outcomes);
    let wrong = |at, found: Option<SequenceId>, expected| Err(SchedulerError::WrongOutcome { at, found, expected });
    assert_eq!(commit(&good[..1]), wrong(1, None, Some(first(b))));
    assert_eq!(commit(&[good[1], good[0]]), wrong(0, Some(first(b)), Some(first(a))));
    assert_eq!(commit(&[good[0], good[1], good[1]]), wrong(2, Some(first(b)), None));
    assert_eq!(commit(&good), Ok(()), "nothing had changed");
    assert_eq!(commit(&good), Err(SchedulerError::NoStep));
    let text = wrong(1, None, Some(first(b))).expect_err("an error").to_string();
    assert_eq!(text, "outcome 1 is missing, expected of 1.0");
}

#[test]
fn a_cancelled_request_gives_its_blocks_back_wherever_it_is() {
    let mut world = World::new(12, config());
    // In prefill, in decode with two answers, preempted, and waiting.
    let decoding = world.submit(NewRequest { sequences: 2, ..request(1, 6, 20) });
    world.step();
    let prefilling = world.submit(request(2, 30, 1));
    world.step();
    let waiting = world.submit(request(3, 30, 1));
    for (id, ends) in [(waiting, 1), (prefilling, 1), (decoding, 2)] {
        assert!(world.scheduler.cancel(id));
        assert!(world.state(id).is_none() || id != waiting, "what waits ends at once");
        world.step();
        let ended: Vec<_> = world.ended.drain(..).collect();
        assert_eq!(ended.len(), ends);
        assert!(ended.iter().all(|e| e.reason == EndReason::Cancelled && e.sequence.request == id));
        assert!(!world.scheduler.cancel(id), "it has ended");
    }
    assert_eq!((world.pool.usage().used, world.scheduler.is_idle()), (0, true));
}

#[test]
fn outcomes_of_a_request_cancelled_during_the_step_have_no_effect() {
    for with_outcome in [true, false] {
        let mut world = World::new(16, config());
        let (a, b) = (world.submit(NewRequest { sequences: 2, ..request(1, 3, 3) }), world.submit(request(2, 3, 3)));
        let plan = world.plan();
        let mut outcomes = world.outcomes(&plan);
        world.scheduler.cancel(a);
        if !with_outcome {
            outcomes.retain(|outcome| outcome.sequence.request == b);
        }
        world.commit(&plan, &outcomes);
        let [ended] = world.ended[..] else { panic!("{:?}", world.ended) };
        assert_eq!((ended.sequence, ended.generated, ended.is_last), (first(a), 0, true));
        assert_eq!(world.pool.usage().used, 1);
        world.finish(10);
        assert_eq!(world.text(b).len(), 3);
    }
}
