//! The pool against a model of it: a map from every computed prefix to nothing but its tokens.

use proptest::prelude::*;
use rocmforge_kv_cache::{BlockPool, KvCacheError, Sequence, TokenId};

fn pool(blocks: usize) -> BlockPool {
    BlockPool::new(4, blocks).expect("sizes are valid")
}

fn run(pool: &mut BlockPool, tokens: &[TokenId]) -> Sequence {
    let mut s = pool.begin(tokens);
    assert!(pool.reserve(&mut s, tokens.len()), "room for {}", tokens.len());
    let rest = tokens[s.len()..].to_vec();
    pool.commit(&mut s, &rest).expect("reserved");
    s
}

#[test]
fn a_prefix_is_shared_while_its_owner_runs_and_after() {
    let mut pool = pool(8);
    let a = run(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let b = pool.begin(&[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(b.len(), 4, "one token is always left to compute");
    assert_eq!(b.blocks()[0], a.blocks()[0]);
    pool.check_integrity([&a, &b]).expect("consistent");
    pool.end(a).expect("ours");
    pool.end(b).expect("ours");
    assert_eq!(pool.begin(&[1, 2, 3, 4, 5, 6, 7, 8, 10]).len(), 8);
}

#[test]
fn other_tokens_are_not_a_hit() {
    let mut pool = pool(8);
    let a = run(&mut pool, &[1, 2, 3, 4, 5]);
    pool.end(a).expect("ours");
    assert_eq!(pool.begin(&[1, 2, 3, 9, 5]).len(), 0);
    assert_eq!(pool.begin(&[9, 1, 2, 3, 4, 5]).len(), 0, "a block counts only behind its own prefix");
}

#[test]
fn reservation_is_all_or_nothing() {
    let mut pool = pool(3);
    let held = run(&mut pool, &[1, 2, 3, 4, 5]);
    let mut more = pool.begin(&[7; 9]);
    let before = pool.usage();
    assert!(!pool.reserve(&mut more, 9));
    assert_eq!(pool.usage(), before);
    assert!(pool.reserve(&mut more, 4));
    pool.end(held).expect("ours");
    pool.end(more).expect("ours");
}

#[test]
fn the_tail_of_a_prefix_is_evicted_before_its_head() {
    let mut pool = pool(3);
    let a = run(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8]);
    pool.end(a).expect("ours");
    let b = run(&mut pool, &[9; 6]);
    pool.end(b).expect("ours");
    assert_eq!(pool.begin(&[1, 2, 3, 4, 5, 6, 7, 8, 9]).len(), 4);
}

#[test]
fn foreign_and_stale_blocks_are_refused() {
    let (mut one, mut other) = (pool(4), pool(4));
    let a = run(&mut one, &[1, 2]);
    assert!(matches!(other.end(a), Err(KvCacheError::StaleBlock { .. })));
    assert!(matches!(BlockPool::new(0, 4), Err(KvCacheError::BadSize { what: "block size", .. })));
    let mut s = one.begin(&[5]);
    assert!(matches!(one.commit(&mut s, &[5]), Err(KvCacheError::PastReservation { tokens: 1, .. })));
}

#[test]
fn ten_thousand_cycles_leave_nothing_behind() {
    let mut pool = pool(16);
    for i in 0..10_000u32 {
        let tokens: Vec<_> = (0..20).map(|t| t * (i % 7)).collect();
        let s = run(&mut pool, &tokens);
        pool.end(s).expect("ours");
    }
    assert_eq!(pool.usage().used, 0);
    pool.clear_cached();
    assert_eq!(pool.usage().free, 16);
    pool.check_integrity([]).expect("consistent");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// Random sequences that begin, grow and end: the counts always add up, and a hit is a real prefix.
    #[test]
    fn random_use_keeps_every_invariant(ops in prop::collection::vec((0u8..4, 0usize..6, 0u32..3, 1usize..14), 1..80)) {
        let mut pool = BlockPool::new(4, 12).expect("sizes are valid");
        let mut running: Vec<Sequence> = Vec::new();
        for (kind, which, seed, len) in ops {
            match kind {
                0 | 1 if running.len() < 5 => {
                    let prompt: Vec<u32> = (0..len as u32).map(|i| if i < 4 { i } else { i * seed }).collect();
                    let mut s = pool.begin(&prompt);
                    prop_assert!(s.len() < prompt.len());
                    prop_assert_eq!(s.tokens(), &prompt[..s.len()]);
                    if pool.reserve(&mut s, prompt.len()) {
                        let rest = prompt[s.len()..].to_vec();
                        pool.commit(&mut s, &rest).expect("reserved");
                    }
                    running.push(s);
                }
                2 if !running.is_empty() => {
                    let at = which % running.len();
                    let s = &mut running[at];
                    let want = s.len() + 1;
                    if pool.reserve(s, want) {
                        pool.commit(s, &[seed]).expect("reserved");
                    }
                }
                _ if !running.is_empty() => {
                    let s = running.swap_remove(which % running.len());
                    pool.end(s).expect("ours");
                }
                _ => {}
            }
            pool.check_integrity(&running).expect("consistent");
            let usage = pool.usage();
            prop_assert_eq!(usage.free + usage.cached + usage.used, 12);
        }
    }
}
