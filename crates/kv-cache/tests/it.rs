//! What the pool promises, one promise a test.

use std::sync::Mutex;
use std::time::Duration;

use rocmforge_kv_cache::{
    BlockHash, BlockPool, CacheConfig, CacheEvent, CacheShape, ElementSize, KvCacheError, Move, PrefixHit, Sequence,
    Space, Tier, TokenId,
};

const SPACE: Space = Space { model: 0, adapter: 0, salt: None };

fn pool(blocks: usize) -> BlockPool {
    BlockPool::new(4, blocks).expect("sizes are valid")
}

fn run(pool: &mut BlockPool, tokens: &[TokenId]) -> Sequence {
    run_in(pool, &SPACE, tokens)
}

fn run_in(pool: &mut BlockPool, space: &Space, tokens: &[TokenId]) -> Sequence {
    let mut s = pool.begin(space, tokens);
    assert!(pool.reserve(&mut s, tokens.len()), "room for {}", tokens.len());
    let rest = &tokens[s.len()..];
    pool.commit(&mut s, rest).expect("reserved");
    s
}

fn end(pool: &mut BlockPool, sequence: Sequence) {
    pool.end(sequence).expect("ours");
}

fn shared(pool: &mut BlockPool, prompt: &[TokenId]) -> usize {
    let s = pool.begin(&SPACE, prompt);
    let len = s.len();
    end(pool, s);
    len
}

#[test]
fn a_prefix_is_shared_while_its_owner_runs_and_after() {
    let mut pool = pool(8);
    let a = run(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let b = pool.begin(&SPACE, &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((b.len(), b.shared_tokens()), (4, 4), "one token is always left to compute");
    assert_eq!(b.blocks()[0], a.blocks()[0]);
    pool.check_integrity([&a, &b]).expect("consistent");
    end(&mut pool, a);
    end(&mut pool, b);
    assert_eq!(shared(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8, 10]), 8);
    assert_eq!((pool.counters().queries, pool.counters().hits), (26, 12));
}

#[test]
fn other_tokens_are_not_a_hit() {
    let mut pool = pool(8);
    let a = run(&mut pool, &[1, 2, 3, 4, 5]);
    end(&mut pool, a);
    assert_eq!(shared(&mut pool, &[1, 2, 3, 9, 5]), 0);
    assert_eq!(shared(&mut pool, &[1, 2, 3, 4 + 256, 5]), 0, "all bits of a token count");
    assert_eq!(shared(&mut pool, &[9, 1, 2, 3, 4, 5]), 0, "a block counts only behind its own prefix");
}

#[test]
fn equal_tokens_of_different_spaces_never_meet() {
    let mut pool = pool(16);
    let spaces = [
        SPACE,
        Space { model: 1, ..SPACE },
        Space { adapter: 1, ..SPACE },
        Space { salt: Some([0; 16]), ..SPACE },
        Space { salt: Some([1; 16]), ..SPACE },
    ];
    for space in &spaces {
        let s = run_in(&mut pool, space, &[1, 2, 3, 4, 5]);
        assert_eq!(s.shared_tokens(), 0, "{space:?}");
        end(&mut pool, s);
    }
    for space in &spaces {
        assert_eq!(pool.lookup(space, &[1, 2, 3, 4, 5]), PrefixHit { device_tokens: 4, host_tokens: 0 });
    }
    pool.clear_cached();
    pool.check_integrity([]).expect("no space is left");
}

#[test]
fn reservation_is_all_or_nothing() {
    let mut pool = pool(3);
    let held = run(&mut pool, &[1, 2, 3, 4, 5]);
    let mut more = pool.begin(&SPACE, &[7; 9]);
    let before = pool.usage();
    assert!(!pool.reserve(&mut more, 9));
    assert_eq!(pool.usage(), before);
    assert_eq!(pool.missing_blocks(&SPACE, &[7; 9], 9), 2);
    assert_eq!(pool.try_begin(&SPACE, &[7; 9], 9), None);
    assert_eq!(pool.usage(), before);
    assert!(pool.reserve(&mut more, 4));
    end(&mut pool, held);
    end(&mut pool, more);
}

#[test]
fn the_tail_of_a_prefix_is_evicted_before_its_head() {
    let mut pool = pool(3);
    let a = run(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8]);
    end(&mut pool, a);
    let b = run(&mut pool, &[9; 6]);
    end(&mut pool, b);
    assert_eq!(shared(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8, 9]), 4);
}

#[test]
fn what_was_used_last_is_evicted_last() {
    let mut pool = pool(3);
    for token in 0..3 {
        let s = run(&mut pool, &[token; 4]);
        end(&mut pool, s);
    }
    assert_eq!(shared(&mut pool, &[0; 5]), 4);
    let s = run(&mut pool, &[9; 3]);
    end(&mut pool, s);
    let hits = [0, 1, 2].map(|token| shared(&mut pool, &[token; 5]));
    assert_eq!(hits, [4, 0, 4]);
}

#[test]
fn foreign_and_stale_blocks_are_refused() {
    let (mut one, mut other) = (pool(4), pool(4));
    let (a, b) = (run(&mut one, &[1, 2]), run(&mut other, &[1, 2]));
    assert_eq!(a.blocks(), b.blocks(), "the ids alone do not tell");
    assert_eq!(other.fork(&a).err(), Some(KvCacheError::ForeignSequence));
    assert_eq!(other.end(a), Err(KvCacheError::ForeignSequence));
    assert!(matches!(BlockPool::new(0, 4), Err(KvCacheError::BadSize { what: "block size", .. })));
    assert!(matches!(BlockPool::new(4, usize::MAX), Err(KvCacheError::BadSize { what: "number of blocks", .. })));
    let mut s = one.begin(&SPACE, &[5]);
    assert!(matches!(one.commit(&mut s, &[5]), Err(KvCacheError::PastReservation { tokens: 1, .. })));
    let id = b.blocks()[0];
    end(&mut other, b);
    let again = run(&mut other, &[3]);
    let new = again.blocks()[0];
    assert_eq!((new.index(), new.generation()), (id.index(), id.generation() + 1), "the block has a new id");
}

#[test]
fn a_shared_block_is_not_written_without_a_copy() {
    let mut pool = pool(8);
    let mut a = run(&mut pool, &[1, 2, 3, 4, 5, 6]);
    let mut b = pool.fork(&a).expect("ours");
    assert_eq!(a.blocks(), b.blocks());
    assert!(matches!(pool.commit(&mut b, &[7]), Err(KvCacheError::SharedBlock { owners: 2, .. })));
    assert!(pool.reserve(&mut b, 7));
    let (from, to) = (a.blocks()[1].index(), b.blocks()[1].index());
    assert_eq!(pool.take_moves(), [Move::Copy { from, to }]);
    assert!(pool.reserve(&mut a, 7));
    assert_eq!(pool.take_moves(), [], "the last reader writes in place");
    pool.commit(&mut a, &[8]).expect("reserved");
    pool.commit(&mut b, &[7]).expect("reserved");
    assert_eq!((a.blocks()[0], pool.usage().used), (b.blocks()[0], 3));
    pool.check_integrity([&a, &b]).expect("consistent");
}

#[test]
fn a_copy_needs_room_too() {
    let mut pool = pool(1);
    let a = run(&mut pool, &[1, 2]);
    let mut b = pool.fork(&a).expect("ours");
    assert!(!pool.reserve(&mut b, 3));
    end(&mut pool, a);
    assert!(pool.reserve(&mut b, 3), "alone it needs no copy");
    assert_eq!(pool.take_moves(), []);
    end(&mut pool, b);
}

#[test]
fn the_same_tokens_computed_twice_are_kept_once() {
    let mut pool = pool(8);
    let (mut a, mut b) = (pool.begin(&SPACE, &[1; 9]), pool.begin(&SPACE, &[1; 9]));
    for s in [&mut a, &mut b] {
        assert!(pool.reserve(s, 9));
        pool.commit(s, &[1; 9]).expect("reserved");
    }
    assert_eq!(a.blocks()[..2], b.blocks()[..2]);
    assert_eq!((pool.usage().used, pool.counters().duplicates), (4, 2));
    pool.check_integrity([&a, &b]).expect("consistent");
}

#[test]
fn a_sequence_takes_over_what_another_computed_meanwhile() {
    let mut pool = pool(8);
    let mut late = pool.begin(&SPACE, &[1; 10]);
    assert!(pool.reserve(&mut late, 10));
    let mut early = pool.begin(&SPACE, &[1; 10]);
    assert!(pool.are_level(&early, &late));
    assert!(pool.reserve(&mut early, 10));
    pool.commit(&mut early, &[1; 9]).expect("reserved");
    assert!(!pool.are_level(&early, &late));
    assert_eq!(pool.share_computed(&mut late, &[1; 10]), 8);
    assert_eq!((late.len(), late.blocks().len()), (8, 3));
    assert_eq!(late.blocks()[..2], early.blocks()[..2]);
    assert_eq!(pool.usage().used, 4);
    pool.check_integrity([&early, &late]).expect("consistent");
}

#[test]
fn a_cut_sequence_writes_in_a_block_of_its_own() {
    let mut pool = pool(8);
    let mut a = run(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let b = pool.begin(&SPACE, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    pool.truncate(&mut a, 6).expect("it has more");
    assert!(matches!(pool.truncate(&mut a, 7), Err(KvCacheError::TruncatePastEnd { tokens: 7, len: 6 })));
    assert!(pool.reserve(&mut a, 8));
    assert_eq!(pool.take_moves().len(), 1);
    pool.commit(&mut a, &[70, 80]).expect("reserved");
    assert_ne!(a.blocks()[1], b.blocks()[1]);
    pool.check_integrity([&a, &b]).expect("consistent");
    end(&mut pool, a);
    assert_eq!(shared(&mut pool, &[1, 2, 3, 4, 5, 6, 70, 80, 9]), 8);
    end(&mut pool, b);
}

#[test]
fn a_cut_sequence_alone_needs_no_room() {
    let mut pool = pool(2);
    let mut a = run(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8]);
    pool.truncate(&mut a, 6).expect("it has more");
    assert!(pool.reserve(&mut a, 8));
    assert_eq!(pool.take_moves(), []);
    pool.commit(&mut a, &[70, 80]).expect("reserved");
    end(&mut pool, a);
    assert_eq!(shared(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8, 9]), 4);
}

#[test]
fn evicted_blocks_come_back_from_the_second_tier() {
    let mut pool = BlockPool::with_sizes(4, 3, 4, 0).expect("valid");
    let a = run(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8]);
    let blocks = a.block_table();
    end(&mut pool, a);
    let b = run(&mut pool, &[9; 12]);
    let moves = pool.take_moves();
    let saves = [Move::Save { block: blocks[1], slot: 0 }, Move::Save { block: blocks[0], slot: 1 }];
    assert_eq!(moves, saves, "the end is saved first");
    let prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9];
    assert_eq!(pool.lookup(&SPACE, &prompt), PrefixHit { device_tokens: 0, host_tokens: 8 });
    assert_eq!(pool.try_begin(&SPACE, &prompt, 9), None, "no room to bring them back");
    end(&mut pool, b);
    let c = pool.try_begin(&SPACE, &prompt, 9).expect("room");
    assert_eq!((c.len(), pool.counters().host_hits), (8, 8));
    let loads: Vec<_> = pool.take_moves().into_iter().filter(|m| matches!(m, Move::Load { .. })).collect();
    let table = c.block_table();
    assert_eq!(loads, [Move::Load { slot: 1, block: table[0] }, Move::Load { slot: 0, block: table[1] }]);
    pool.check_integrity([&c]).expect("consistent");
    end(&mut pool, c);
}

#[test]
fn swapping_out_frees_blocks_at_once() {
    let mut pool = BlockPool::with_sizes(4, 4, 8, 0).expect("valid");
    let a = run(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let b = pool.begin(&SPACE, &[1, 2, 3, 4, 5]);
    pool.swap_out(a).expect("ours");
    assert_eq!((pool.usage().free, pool.usage().used, pool.usage().host_used), (3, 1, 1), "what b uses stays");
    end(&mut pool, b);
    let a = pool.begin(&SPACE, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(a.len(), 8);
    pool.check_integrity([&a]).expect("consistent");
    end(&mut pool, a);
}

#[test]
fn a_full_second_tier_forgets_ends_before_beginnings() {
    let mut pool = BlockPool::with_sizes(4, 3, 2, 0).expect("valid");
    let a = run(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    pool.swap_out(a).expect("ours");
    assert_eq!(pool.lookup(&SPACE, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]).host_tokens, 8);
    pool.check_integrity([]).expect("consistent");
}

#[test]
fn what_is_about_to_come_back_is_not_pushed_out_by_what_leaves() {
    let mut pool = BlockPool::with_sizes(4, 4, 4, 0).expect("valid");
    let a = run(&mut pool, &[1; 8]);
    pool.swap_out(a).expect("ours");
    let b = run(&mut pool, &[2; 8]);
    pool.swap_out(b).expect("ours");
    for token in 3..7 {
        let s = run(&mut pool, &[token; 4]);
        end(&mut pool, s);
    }
    // Both tiers are full, and the prefix wanted is the oldest thing on the host.
    let a = pool.begin(&SPACE, &[1; 9]);
    assert_eq!(a.len(), 8);
    pool.check_integrity([&a]).expect("consistent");
    end(&mut pool, a);
}

#[test]
fn events_tell_what_is_stored_where() {
    let shape = CacheShape { num_heads: 1, head_dim: 8, num_layers: 1, element: ElementSize::F16 };
    let config = CacheConfig { page_size: 4, max_pages: 2, host_pages: 1, max_events: 100, ..CacheConfig::new(shape) };
    let mut pool = BlockPool::with_config(&config).expect("valid");
    let a = run(&mut pool, &[1, 2, 3, 4, 5, 6, 7, 8]);
    end(&mut pool, a);
    let events = pool.take_events();
    let [CacheEvent::BlockStored { hash: first, parent: None, tokens, block_size: 4, tier: Tier::Device, .. }, second] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(tokens[..], [1, 2, 3, 4]);
    let CacheEvent::BlockStored { hash: second, parent: Some(parent), space, .. } = second else {
        panic!("{events:?}")
    };
    assert_eq!((parent, *space), (first, SPACE));
    let b = run(&mut pool, &[9; 3]);
    let removed = |hash: &BlockHash, tier| CacheEvent::BlockRemoved { hash: *hash, tier };
    let events = pool.take_events();
    assert_eq!(events[0], removed(second, Tier::Device));
    assert!(matches!(&events[1], CacheEvent::BlockStored { hash, tier: Tier::Host, .. } if hash == second));
    assert_eq!(events.len(), 2);
    end(&mut pool, b);
    pool.clear_cached();
    let cleared = [removed(second, Tier::Host), removed(first, Tier::Device), CacheEvent::AllBlocksCleared];
    assert_eq!(pool.take_events(), cleared);
}

#[test]
fn times_of_blocks_are_counted() {
    let mut pool = pool(1);
    let a = run(&mut pool, &[1; 4]);
    pool.set_time(Duration::from_millis(10));
    end(&mut pool, a);
    pool.set_time(Duration::from_millis(14));
    assert_eq!(shared(&mut pool, &[1; 5]), 4);
    pool.set_time(Duration::from_millis(20));
    let b = run(&mut pool, &[2; 3]);
    end(&mut pool, b);
    let times = pool.times();
    let sums = [times.lifetime.sum(), times.idle_before_evict.sum(), times.reuse_gap.sum()].map(|d| d.as_millis());
    assert_eq!(sums, [20, 6, 4]);
}

#[test]
fn ten_thousand_cycles_leave_nothing_behind() {
    let mut pool = pool(16);
    for i in 0..10_000u32 {
        let tokens: Vec<_> = (0..20).map(|t| t * (i % 7)).collect();
        let s = run(&mut pool, &tokens);
        end(&mut pool, s);
    }
    assert_eq!(pool.usage().used, 0);
    pool.clear_cached();
    assert_eq!(pool.usage().free, 16);
    pool.check_integrity([]).expect("consistent");
}

#[test]
fn ten_threads_share_one_lock() {
    let pool = Mutex::new(pool(64));
    std::thread::scope(|scope| {
        for thread in 0..10 {
            let pool = &pool;
            scope.spawn(move || {
                for i in 0..1000 {
                    let tokens: Vec<_> = (0..12).map(|t| t * (i % 3) + thread % 2).collect();
                    let s = run(&mut pool.lock().expect("nobody panicked"), &tokens);
                    end(&mut pool.lock().expect("nobody panicked"), s);
                }
            });
        }
    });
    let pool = pool.into_inner().expect("nobody panicked");
    assert_eq!(pool.usage().used, 0);
    pool.check_integrity([]).expect("consistent");
}

#[test]
fn growing_takes_no_memory() {
    let mut pool = BlockPool::with_sizes(4, 64, 8, 0).expect("valid");
    // Fill the pool and the tier with what will be evicted.
    for token in 0..80 {
        let s = run(&mut pool, &[token; 4]);
        end(&mut pool, s);
        pool.drain_moves().for_each(drop);
    }
    let mut s = run(&mut pool, &[100, 101]);
    pool.expect(&mut s, 200);
    let grow = |pool: &mut BlockPool, s: &mut Sequence| {
        for token in 0..100 {
            assert!(pool.reserve(s, s.len() + 1));
            pool.drain_moves().for_each(drop);
            pool.commit(s, &[token]).expect("reserved");
        }
    };
    let taken = allocation_counter::measure(|| grow(&mut pool, &mut s));
    assert_eq!(taken.count_total, 0);
    assert!(pool.counters().evictions > 30);
    end(&mut pool, s);
}

#[test]
fn eviction_does_not_slow_down_with_the_size_of_the_pool() {
    let mut pool = BlockPool::new(16, 65_536).expect("valid");
    let prompt = |i: u32| -> Vec<u32> { (0..1024).map(|t| t + i * 2048).collect() };
    let start = std::time::Instant::now();
    // Each prompt takes 64 blocks: the second half of them evicts all of the first.
    for i in 0..2048 {
        let s = run(&mut pool, &prompt(i));
        end(&mut pool, s);
    }
    assert_eq!(pool.counters().evictions, 65_536);
    // A linear search would look at 4 billion blocks.
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}
