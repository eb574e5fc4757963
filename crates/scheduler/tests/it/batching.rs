//! What goes into a step.

use rocmforge_kv_cache::Space;
use rocmforge_scheduler::{EndReason, NewRequest, Next, Outcome, Rows, SequenceId, State};

use crate::common::{World, alone, config, first, prompt, request};

#[test]
fn a_plan_prints_and_compares() {
    let mut worlds = [World::new(32, config()), World::new(32, config())];
    let plans = worlds.each_mut().map(|world| {
        world.submit(request(1, 3, 5));
        world.submit(NewRequest { sequences: 2, ..request(2, 4, 5) });
        world.plan()
    });
    assert_eq!(plans[0], plans[1]);
    let text = "step 1: 7 tokens, 2 rows\n  0.0: 0..3 -> a token\n  1.0: 0..4 -> 2 tokens";
    assert_eq!(plans[0].to_string(), text);
}

#[test]
fn what_decodes_goes_on_beside_a_long_prompt() {
    let mut world = World::new(64, config());
    let a = world.submit(request(1, 3, 20));
    world.step();
    world.submit(request(2, 60, 3));
    for step in 1..5 {
        let plan = world.step();
        assert!(plan.items.iter().any(|item| item.sequence == first(a) && item.count == 1), "{plan}");
        assert_eq!(plan.tokens(), 16, "the rest of the step is filled");
        assert_eq!(world.text(a).len(), step + 1);
    }
}

#[test]
fn a_bound_keeps_steps_short_while_something_decodes() {
    let mut world = World::new(64, config());
    let a = world.submit(request(1, 3, 3));
    world.step();
    world.scheduler.bound_mixed_steps(6);
    world.submit(request(2, 60, 3));
    let tokens: Vec<usize> = (0..4).map(|_| world.step().tokens()).collect();
    assert_eq!(world.text(a).len(), 3);
    assert_eq!(tokens, [6, 6, 16, 16], "two steps beside what decodes, then whole ones");
}

#[test]
fn a_short_prompt_does_not_wait_for_a_long_one() {
    let mut world = World::new(64, config());
    let long = world.submit(request(1, 100, 1));
    world.step();
    let short = world.submit(request(2, 5, 1));
    let plan = world.step();
    let count = |id| plan.items.iter().find(|item| item.sequence == first(id)).map(|item| item.count);
    assert_eq!((count(long), count(short)), (Some(11), Some(5)));
}

#[test]
fn what_short_prompts_leave_goes_to_the_first() {
    let mut world = World::new(64, config());
    world.submit(request(1, 100, 1));
    assert_eq!(world.step().items[0].count, 16);
}

#[test]
fn batched_equals_alone() {
    let mut world = World::new(64, config());
    let ids: Vec<_> = (0..9).map(|i| world.submit(request(i, 3 + 5 * i as usize, 12))).collect();
    world.finish(500);
    for (i, id) in ids.into_iter().enumerate() {
        assert_eq!(world.text(id), alone(&prompt(i as u32, 3 + 5 * i), 0, 12));
    }
}

#[test]
fn several_answers_share_one_prefill() {
    let mut world = World::new(64, config());
    let id = world.submit(NewRequest { sequences: 3, ..request(1, 10, 6) });
    let plan = world.step();
    assert_eq!((plan.tokens(), plan.items.len(), plan.items[0].samples), (10, 1, 3));
    let plan = world.step();
    assert_eq!((plan.tokens(), plan.items.len()), (3, 3));
    assert_eq!(plan.moves.len(), 2, "all but one get a copy of the half-filled block");
    assert_eq!(world.pool.usage().used, 5);
    world.finish(20);
    for index in 0..3 {
        let text = &world.texts[&SequenceId { request: id, index }];
        assert_eq!(text, &alone(&prompt(1, 10), index, 6));
    }
    assert_eq!(world.ended.iter().filter(|e| e.is_last).count(), 1);
    assert_eq!(world.ended.len(), 3);
}

#[test]
fn answers_end_each_by_itself() {
    let mut world = World::new(64, config());
    let id = world.submit(NewRequest { sequences: 3, ..request(1, 6, 4) });
    let plan = world.plan();
    let nexts = [Next::Last(1), Next::Token(2), Next::Failed];
    let outcomes: Vec<_> = plan.wanted().zip(nexts).map(|(sequence, next)| Outcome { sequence, next }).collect();
    world.commit(&plan, &outcomes);
    let ended: Vec<_> = world.ended.iter().map(|e| (e.sequence.index, e.reason, e.generated, e.is_last)).collect();
    assert_eq!(ended, [(0, EndReason::Stop, 1, false), (2, EndReason::Failed, 0, false)]);
    assert_eq!(
        world.scheduler.log(SequenceId { request: id, index: 1 }),
        Some(&[1000, 1001, 1002, 1003, 1004, 1005, 2][..])
    );
    world.finish(10);
    assert_eq!(world.ended[2].reason, EndReason::Length);
    assert!(world.ended[2].is_last);
}

#[test]
fn a_common_prefix_is_computed_once_even_if_all_come_together() {
    let mut world = World::new(200, config());
    let common = prompt(9, 40);
    for i in 0..4 {
        world.submit(NewRequest::new([&common[..], &[i]].concat(), 2));
    }
    world.finish(100);
    // The prefix once, one token each for what differs, and one for the second token of each answer.
    assert_eq!(world.computed, 40 + 4 + 4);
    let cached: Vec<_> = world.ended.iter().map(|e| e.cached_tokens).collect();
    assert_eq!(cached.iter().sum::<usize>(), 3 * 40);
}

#[test]
fn other_spaces_do_not_wait_for_each_other() {
    let mut world = World::new(200, config());
    for adapter in 0..4 {
        world.submit(NewRequest { space: Space { adapter, ..Space::default() }, ..request(1, 4, 1) });
    }
    assert_eq!(world.step().tokens(), 16);
}

#[test]
fn the_prompt_alone_can_be_computed() {
    let mut world = World::new(16, config());
    world.submit(request(1, 20, 0));
    world.finish(5);
    assert_eq!((world.computed, world.ended[0].reason, world.ended[0].generated), (20, EndReason::Length, 0));
    assert_eq!(world.pool.usage().cached, 5, "the prompt is cached for others");
}

#[test]
fn rows_of_the_whole_prompt_are_delivered_once_within_the_limit() {
    let mut world = World::new(64, config());
    let plain = world.submit(request(1, 30, 4));
    world.finish(10);
    // The same prompt is cached, and yet each of its rows is wanted.
    let id = world.submit(NewRequest { rows: Rows::All, ..request(1, 30, 4) });
    let mut rows = Vec::new();
    while world.state(id) != Some(State::Decode) {
        let plan = world.step();
        for item in &plan.items {
            rows.extend(item.start + item.count - item.rows..item.start + item.count);
        }
    }
    assert_eq!(rows, (0..30).collect::<Vec<_>>());
    world.finish(10);
    assert_eq!(world.text(id), world.text(plain));
}

#[test]
fn rows_already_delivered_are_not_asked_for_again() {
    let mut world = World::new(64, config());
    let id = world.submit(NewRequest { rows: Rows::All, ..request(1, 30, 4) });
    for _ in 0..3 {
        world.step();
    }
    world.scheduler.device_lost(&mut world.pool).expect("our pool");
    let mut rows = 0;
    while world.state(id) != Some(State::Decode) {
        rows += world.step().rows();
    }
    assert_eq!(rows, 30 - 12);
}

#[test]
fn a_paused_request_computes_nothing_and_makes_room_first() {
    let mut world = World::new(8, config());
    let (a, b) = (world.submit(request(1, 8, 20)), world.submit(request(2, 8, 20)));
    world.step();
    assert!(world.scheduler.pause(a, true));
    assert_eq!(world.scheduler.usage().paused, 1);
    for _ in 0..18 {
        assert!(world.step().items.iter().all(|item| item.sequence == first(b)));
    }
    assert_eq!(world.state(a), Some(State::Preempted), "b needed its room, though a is older");
    assert!(world.scheduler.has_work());
    world.scheduler.pause(b, true);
    assert!(!world.scheduler.has_work());
    world.scheduler.pause(a, false);
    world.scheduler.pause(b, false);
    world.finish(200);
    assert_eq!(world.text(a), alone(&prompt(1, 8), 0, 20));
    assert_eq!(world.text(b), alone(&prompt(2, 8), 0, 20));
}
