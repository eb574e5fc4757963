//! Preemption, steps that fail, devices that are lost.

use rocmforge_kv_cache::BlockPool;
use rocmforge_scheduler::{
    EndReason, NewRequest, Preemption, RequestId, SchedulerConfig, SequenceId, State, StepFailure,
};

use crate::common::{BLOCK, World, alone, config, first, prompt, request};

/// Requests that together need more blocks than there are.
fn crowd(world: &mut World) -> Vec<RequestId> {
    (0..4).map(|i| world.submit(request(i, 10, 30))).collect()
}

fn check_crowd(world: &World, ids: &[RequestId]) {
    for (i, &id) in ids.iter().enumerate() {
        assert_eq!(world.text(id), alone(&prompt(i as u32, 10), 0, 30), "request {i}");
    }
}

#[test]
fn what_made_room_goes_on_with_the_same_tokens() {
    let mut world = World::new(24, config());
    let ids = crowd(&mut world);
    world.finish(500);
    assert!(world.scheduler.usage().preemptions > 0);
    check_crowd(&world, &ids);
}

#[test]
fn what_made_room_comes_back_from_the_second_tier() {
    let pool = BlockPool::with_sizes(BLOCK, 24, 64, 0).expect("valid");
    let mut world = World::with_pool(pool, SchedulerConfig { preemption: Preemption::Swap, ..config() });
    let ids = crowd(&mut world);
    world.finish(500);
    check_crowd(&world, &ids);
    let preemptions = world.scheduler.usage().preemptions;
    assert!(preemptions > 0);
    // Prompts, answers but for their last tokens, and for each preemption at most a block computed again.
    let needed = 4 * (10 + 29);
    assert!(world.computed <= needed + preemptions as usize * BLOCK, "{} tokens computed", world.computed);
}

#[test]
fn the_youngest_of_the_least_important_makes_room() {
    let mut world = World::new(12, config());
    let high = world.submit(NewRequest { priority: -1, ..request(1, 10, 30) });
    let old = world.submit(request(2, 10, 30));
    let young = world.submit(request(3, 10, 30));
    let mut order = Vec::new();
    while order.len() < 2 {
        order.extend(world.step().preempted);
    }
    assert_eq!(order, [first(young), first(old)]);
    assert_eq!(world.state(high), Some(State::Decode));
    world.finish(300);
}

#[test]
fn a_preempted_sequence_goes_on_before_anything_new_begins() {
    let mut world = World::new(12, config());
    let ids = [1, 2].map(|i| world.submit(request(i, 10, 30)));
    while world.scheduler.usage().preempted == 0 {
        world.step();
    }
    let new = world.submit(request(3, 3, 3));
    while world.scheduler.usage().preempted > 0 {
        assert_eq!(world.state(new), Some(State::Waiting), "it is small enough to fit, but must not");
        world.step();
    }
    world.finish(300);
    assert_eq!(world.text(ids[1]), alone(&prompt(2, 10), 0, 30));
}

/// No two sequences make room for each other for ever, and each preemption is paid for with progress.
#[test]
fn preemption_does_not_thrash() {
    let mut world = World::new(12, config());
    for i in 0..4 {
        world.submit(request(i, 12, 30));
    }
    world.finish(1000);
    let (tokens, preemptions) = (4 * 30, world.scheduler.usage().preemptions as usize);
    assert!(preemptions <= tokens / 8, "{preemptions} preemptions for {tokens} tokens");
}

#[test]
fn a_sequence_alone_can_use_every_block() {
    let mut world = World::new(8, config());
    let id = world.submit(request(1, 4, 29));
    world.finish(100);
    assert_eq!(world.text(id), alone(&prompt(1, 4), 0, 29));
    assert_eq!(world.scheduler.usage().preemptions, 0);
}

#[test]
fn a_sequence_that_has_computed_nothing_can_make_room() {
    let mut world = World::new(8, SchedulerConfig { max_tokens_per_step: 4, ..config() });
    let a = world.submit(request(1, 3, 26));
    world.step();
    let b = world.submit(request(2, 16, 2));
    world.scheduler.pause(a, false);
    world.plan();
    world.scheduler.pause(b, true);
    world.finish_one(a, 100);
    world.scheduler.pause(b, false);
    world.finish(100);
    assert_eq!(world.text(b), alone(&prompt(2, 16), 0, 2));
}

#[test]
fn answers_of_one_request_make_room_one_by_one() {
    let mut world = World::new(11, config());
    let id = world.submit(NewRequest { sequences: 4, ..request(1, 10, 20) });
    world.finish(400);
    assert!(world.scheduler.usage().preemptions > 0);
    for index in 0..4 {
        assert_eq!(world.texts[&SequenceId { request: id, index }], alone(&prompt(1, 10), index, 20));
    }
}

#[test]
fn a_step_that_was_too_large_is_tried_again_smaller() {
    let mut world = World::new(64, config());
    let ids = [1, 2, 3].map(|i| world.submit(request(i, 20, 8)));
    let mut largest = Vec::new();
    for _ in 0..4 {
        largest.push(world.plan().tokens());
        world.scheduler.step_failed(StepFailure::OutOfMemory);
    }
    assert_eq!(largest, [16, 8, 4, 2]);
    for _ in 0..3 {
        assert!(world.step().tokens() <= 4);
    }
    world.finish(200);
    for (i, id) in (1..).zip(ids) {
        assert_eq!(world.text(id), alone(&prompt(i, 20), 0, 8));
    }
}

#[test]
fn with_small_steps_all_that_decode_get_their_turn() {
    let mut world = World::new(64, config());
    for i in 0..4 {
        world.submit(request(i, 2, 8));
    }
    world.step();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..4 {
        // Down to one token a step.
        while world.plan().tokens() > 1 {
            world.scheduler.step_failed(StepFailure::OutOfMemory);
        }
        let plan = world.scheduler.step_plan().clone();
        seen.extend(plan.items.iter().map(|item| item.sequence));
        let outcomes = world.outcomes(&plan);
        world.commit(&plan, &outcomes);
    }
    assert!(seen.len() >= 3, "{seen:?}");
}

#[test]
fn a_token_that_does_not_fit_alone_ends_its_request() {
    let mut world = World::new(64, config());
    let id = world.submit(request(1, 20, 8));
    let mut tries = 0;
    while !world.scheduler.is_idle() {
        world.plan();
        world.scheduler.step_failed(StepFailure::OutOfMemory);
        tries += 1;
        assert!(tries < 10);
    }
    assert_eq!((world.ended[0].sequence, world.ended[0].reason), (first(id), EndReason::Failed));
    assert_eq!(world.pool.usage().used, 0);
}

#[test]
fn a_transient_failure_changes_nothing() {
    let mut world = World::new(64, config());
    let id = world.submit(request(1, 20, 8));
    let plan = world.plan();
    world.scheduler.step_failed(StepFailure::Transient);
    let again = world.plan();
    assert_eq!(again.items, plan.items);
    let outcomes = world.outcomes(&again);
    world.commit(&again, &outcomes);
    world.finish(100);
    assert_eq!(world.text(id), alone(&prompt(1, 20), 0, 8));
}

#[test]
fn everything_goes_on_after_the_device_is_lost() {
    let mut world = World::new(64, config());
    let ids = [1, 2, 3, 4, 5].map(|i| world.submit(request(i, 9, 12)));
    for _ in 0..6 {
        world.step();
    }
    world.plan();
    world.scheduler.device_lost(&mut world.pool).expect("our pool");
    let usage = world.pool.usage();
    assert_eq!((usage.used, usage.cached), (0, 0), "nothing of the old contents can be shared");
    world.finish(200);
    for (i, id) in (1..).zip(ids) {
        assert_eq!(world.text(id), alone(&prompt(i, 9), 0, 12));
    }
}

#[test]
fn a_request_under_way_at_two_losses_is_given_up() {
    let mut world = World::new(64, config());
    let bad = world.submit(request(1, 9, 12));
    for _ in 0..2 {
        assert_eq!(world.ended, []);
        world.plan();
        world.scheduler.device_lost(&mut world.pool).expect("our pool");
        world.take_ended();
    }
    assert_eq!((world.ended[0].sequence, world.ended[0].reason), (first(bad), EndReason::Suspect));
    let good = world.submit(request(2, 9, 12));
    world.finish(50);
    assert_eq!(world.text(good), alone(&prompt(2, 9), 0, 12));
}

impl World {
    fn finish_one(&mut self, id: RequestId, most: usize) {
        for _ in 0..most {
            if self.state(id).is_none() {
                return;
            }
            self.step();
        }
        panic!("{most} steps were not enough");
    }
}
