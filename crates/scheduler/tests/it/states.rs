//! Every state under every event.

use rocmforge_scheduler::{EndReason, NewRequest, Next, Outcome, RequestId, SequenceId, State, StepFailure};

use crate::common::{World, config, first, request};

/// What can happen to a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Plan,
    CommitToken,
    CommitLast,
    CommitFailed,
    CancelAndPlan,
    CancelAndCommit,
    FailAndPlan,
    StarveAndPlan,
    DeviceLost,
    OutOfMemory,
    Pause,
}

use Event::*;

const EVENTS: [Event; 11] = [
    Plan,
    CommitToken,
    CommitLast,
    CommitFailed,
    CancelAndPlan,
    CancelAndCommit,
    FailAndPlan,
    StarveAndPlan,
    DeviceLost,
    OutOfMemory,
    Pause,
];

/// The state that follows, from a step's beginning.
fn expected(state: State, event: Event) -> State {
    use State::*;
    match (state, event) {
        (state, _) if state.is_terminal() => state,
        (_, CancelAndPlan | CancelAndCommit) => Cancelled,
        (_, FailAndPlan) => Failed,
        (state, Pause) => state,
        // What waits and what made room begins when a step is planned; the others stay as they are until its commit.
        (Waiting, Plan | StarveAndPlan) => {
            if event == Plan {
                Prefill
            } else {
                Waiting
            }
        }
        (Waiting, DeviceLost) => Waiting,
        (Preempted, Plan) => Prefill,
        (Preempted, StarveAndPlan | DeviceLost) => Preempted,
        (Prefill, Plan | StarveAndPlan) => Prefill,
        (Decode, Plan) => Decode,
        (Decode, StarveAndPlan) => Preempted,
        (Prefill | Decode, DeviceLost) => Preempted,
        // A plan that fails was a plan.
        (Waiting | Preempted, OutOfMemory) => Prefill,
        (state, OutOfMemory) => state,
        // A short prompt is computed in one step.
        (_, CommitToken) => Decode,
        (_, CommitLast) => Finished,
        (_, CommitFailed) => Failed,
        (state, _) => state,
    }
}

/// A world with a sequence in a state, at the beginning of a step, and another one that is older and decodes.
fn world_in(state: State) -> (World, RequestId) {
    let mut world = World::new(12, config());
    world.submit(NewRequest { priority: -1, ..request(8, 4, 40) });
    world.step();
    let id = world.submit(request(1, 8, 20));
    match state {
        State::Waiting => {}
        State::Prefill => {
            world.plan();
            world.scheduler.step_failed(StepFailure::Transient);
        }
        State::Decode => drop(world.step()),
        State::Preempted => {
            world.step();
            world.scheduler.device_lost(&mut world.pool).expect("our pool");
        }
        State::Finished => end(&mut world, Next::Last(1)),
        State::Failed => end(&mut world, Next::Failed),
        State::Cancelled => {
            world.scheduler.cancel(id);
            world.take_ended();
        }
    }
    assert_eq!(state_of(&world, id), state);
    (world, id)
}

fn end(world: &mut World, next: Next) {
    let plan = world.plan();
    commit(world, &plan, next);
}

/// Commits with `next` for the younger sequence.
fn commit(world: &mut World, plan: &rocmforge_scheduler::StepPlan, next: Next) {
    let mut outcomes = world.outcomes(plan);
    outcomes.iter_mut().filter(|o| o.sequence.request.0 == 1).for_each(|o: &mut Outcome| o.next = next);
    world.commit(plan, &outcomes);
}

fn state_of(world: &World, id: RequestId) -> State {
    let ended = world.ended.iter().find(|e| e.sequence == first(id));
    ended.map(|e| e.reason.state()).or(world.state(id)).expect("it is somewhere")
}

/// Takes all blocks that are available, so that the next plan has none.
fn starve(world: &mut World) -> rocmforge_kv_cache::Sequence {
    let mut hog = rocmforge_kv_cache::Sequence::default();
    let blocks = world.pool.usage().available();
    assert!(world.pool.reserve(&mut hog, blocks * world.pool.block_size()));
    hog
}

fn apply(world: &mut World, id: RequestId, event: Event) {
    match event {
        Plan => drop(world.plan()),
        CommitToken => end(world, Next::Token(7)),
        CommitLast => end(world, Next::Last(7)),
        CommitFailed => end(world, Next::Failed),
        CancelAndPlan => {
            world.scheduler.cancel(id);
            world.plan();
        }
        CancelAndCommit => {
            let plan = world.plan();
            world.scheduler.cancel(id);
            commit(world, &plan, Next::Token(7));
        }
        FailAndPlan => {
            world.scheduler.fail(id);
            world.plan();
        }
        StarveAndPlan => {
            let hog = starve(world);
            world.plan();
            world.pool.end(hog).expect("ours");
        }
        DeviceLost => world.scheduler.device_lost(&mut world.pool).expect("our pool"),
        OutOfMemory => {
            world.plan();
            world.scheduler.step_failed(StepFailure::OutOfMemory);
        }
        Pause => assert_eq!(world.scheduler.pause(id, true), world.state(id).is_some()),
    }
    world.take_ended();
}

#[test]
fn every_state_under_every_event() {
    for state in State::ALL {
        for event in EVENTS {
            let (mut world, id) = world_in(state);
            let ends = world.ended.len();
            apply(&mut world, id, event);
            let (found, wanted) = (state_of(&world, id), expected(state, event));
            assert_eq!(found, wanted, "{state:?} under {event:?}");
            // A commit may pass through states that are not seen.
            let is_direct = found == state || state.next().contains(&found);
            let by_one = state.next().iter().any(|s| s.next().contains(&found) || *s == found);
            let by_two = state.next().iter().flat_map(|s| s.next()).any(|s| s.next().contains(&found));
            assert!(is_direct || by_one || by_two, "{state:?} to {found:?}");
            let reported = world.ended[ends..].iter().filter(|e| e.sequence == first(id)).count();
            assert_eq!(reported, usize::from(!state.is_terminal() && found.is_terminal()), "{state:?} {event:?}");
            world.pool.check_integrity(world.scheduler.sequences()).expect("consistent");
            let holds = world.scheduler.usage().running;
            assert!(found.is_running() || holds <= 1, "{found:?} holds nothing");
        }
    }
}

#[test]
fn ends_are_final_and_reasons_have_states() {
    for state in State::ALL {
        assert_eq!(state.is_terminal(), state.next().is_empty());
        assert!(!state.next().contains(&State::Waiting), "nothing becomes new again");
        assert!(!state.next().contains(&state));
    }
    for reason in [EndReason::Stop, EndReason::Length, EndReason::Cancelled, EndReason::Failed, EndReason::Suspect] {
        assert!(reason.state().is_terminal());
    }
}

#[test]
fn what_parts_begins_in_decode() {
    let mut world = World::new(16, config());
    let id = world.submit(NewRequest { sequences: 2, ..request(1, 5, 5) });
    let second = SequenceId { request: id, index: 1 };
    assert_eq!(world.scheduler.state(second), None);
    world.step();
    assert_eq!(world.scheduler.state(second), Some(State::Decode));
}
