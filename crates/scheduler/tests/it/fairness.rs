//! Who goes first.

use rocmforge_scheduler::{NewRequest, RequestId, SchedulerConfig};

use crate::common::{World, config, of_client, request};

/// One sequence at a time, so that the order of turns shows.
fn one_at_a_time(ageing: u32) -> World {
    World::new(64, SchedulerConfig { max_batch_size: 1, ageing, ..config() })
}

fn order(world: &mut World, most: usize) -> Vec<RequestId> {
    world.finish(most);
    world.ended.iter().map(|e| e.sequence.request).collect()
}

#[test]
fn lower_priorities_go_first_and_equals_in_order_of_arrival() {
    let mut world = one_at_a_time(1_000_000);
    let ids = [0, 5, -3, 5, 0].map(|priority| world.submit(NewRequest { priority, ..request(1, 3, 2) }));
    assert_eq!(order(&mut world, 100), [2, 0, 4, 1, 3].map(|i: usize| ids[i]));
}

#[test]
fn a_low_priority_is_not_starved_by_a_stream_of_higher_ones() {
    for same_client in [true, false] {
        let mut world = one_at_a_time(10);
        let low = world.submit(of_client(1, NewRequest { priority: 3, ..request(1, 3, 2) }));
        let mut steps = 0;
        while world.state(low).is_some() {
            if world.scheduler.usage().waiting < 3 {
                let client = if same_client { 1 } else { 2 + steps % 3 };
                world.submit(of_client(client, request(2, 3, 2)));
            }
            world.step();
            steps += 1;
            // Three levels of ten steps, and what was before it then.
            assert!(steps < 60, "starved");
        }
        assert!(steps > 20, "the priority counts: {steps} steps");
    }
}

#[test]
fn extreme_priorities_do_not_wrap() {
    let mut world = one_at_a_time(u32::MAX);
    let ids = [i32::MAX, i32::MIN, 0].map(|priority| world.submit(NewRequest { priority, ..request(1, 3, 2) }));
    assert_eq!(order(&mut world, 100), [1, 2, 0].map(|i: usize| ids[i]));
}

#[test]
fn a_client_with_many_requests_does_not_keep_others_waiting() {
    let mut world = one_at_a_time(1000);
    for _ in 0..50 {
        world.submit(of_client(1, request(1, 3, 4)));
    }
    for _ in 0..20 {
        world.step();
    }
    let late = world.submit(of_client(2, request(2, 3, 4)));
    let mut steps = 0;
    while world.state(late).is_some() {
        world.step();
        steps += 1;
    }
    assert!(steps <= 8, "{steps} steps: after the one that ran");
}

#[test]
fn two_busy_clients_get_the_same_work_done() {
    let mut world = one_at_a_time(1000);
    let mut served = [0usize; 2];
    // One asks in large pieces, the other in small ones.
    let sizes = [20, 2];
    let mut waiting = [0; 2];
    for _ in 0..2000 {
        for client in 0..2 {
            while waiting[client] < 2 {
                world.submit(of_client(client as u64, request(7, 2, sizes[client])));
                waiting[client] += 1;
            }
        }
        world.step();
        for ended in world.ended.drain(..) {
            let client = usize::from(ended.generated == sizes[1]);
            served[client] += 2 * ended.generated + 2;
            waiting[client] -= 1;
        }
    }
    let difference = served[0].abs_diff(served[1]);
    // Never further apart than two of the largest requests.
    assert!(difference <= 2 * (2 * 20 + 2), "{served:?}");
}

#[test]
fn who_was_away_has_no_claim_on_what_others_got() {
    let mut world = one_at_a_time(1000);
    for _ in 0..20 {
        world.submit(of_client(1, request(1, 2, 4)));
    }
    for _ in 0..80 {
        world.step();
    }
    for _ in 0..20 {
        world.submit(of_client(1, request(1, 2, 4)));
        world.submit(of_client(2, request(2, 2, 4)));
    }
    world.ended.clear();
    let turns: Vec<_> = order(&mut world, 500);
    let of_two = turns[..20].iter().filter(|id| id.0 >= 20 && id.0 % 2 == 1).count();
    assert!((8..=12).contains(&of_two), "{of_two} of the first 20 turns");
}
