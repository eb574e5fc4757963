//! The pool against a naive backend that really keeps what is in each block, and against a naive model of what must
//! be shared.

use proptest::prelude::*;
use rocmforge_kv_cache::{BlockPool, Move, Sequence, Space, TokenId};

const BLOCK: usize = 4;

/// What a position's keys and values stand for: they depend on the space and on all tokens up to there.
fn entry(space: &Space, tokens: &[TokenId]) -> u64 {
    let start = space.adapter * 31 + u64::from(space.salt.map_or(0, |s| s[0])) + 7;
    tokens.iter().fold(start, |h, &t| (h ^ u64::from(t)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(23))
}

type Contents = Vec<[Option<u64>; BLOCK]>;

struct Running {
    space: Space,
    tokens: Vec<TokenId>,
    /// Whether other sequences may share it, and it theirs.
    is_private: bool,
    sequence: Sequence,
}

struct World {
    pool: BlockPool,
    device: Contents,
    host: Contents,
    running: Vec<Running>,
}

#[derive(Debug, Clone)]
enum Op {
    Begin { space: u8, shape: u8, len: usize },
    TryBegin { space: u8, shape: u8, len: usize, more: usize },
    Private,
    Compute { which: usize, token: u32, count: usize },
    ShareComputed { which: usize },
    Fork { which: usize },
    Truncate { which: usize, to: usize },
    End { which: usize },
    SwapOut { which: usize },
    Clear,
}

fn op() -> impl Strategy<Value = Op> {
    let which = 0usize..8;
    prop_oneof![
        4 => (0u8..3, 0u8..3, 1usize..20).prop_map(|(space, shape, len)| Op::Begin { space, shape, len }),
        3 => (0u8..3, 0u8..3, 1usize..20, 0usize..6)
            .prop_map(|(space, shape, len, more)| Op::TryBegin { space, shape, len, more }),
        1 => Just(Op::Private),
        10 => (which.clone(), 0u32..3, 1usize..9).prop_map(|(which, token, count)| Op::Compute { which, token, count }),
        2 => which.clone().prop_map(|which| Op::ShareComputed { which }),
        3 => which.clone().prop_map(|which| Op::Fork { which }),
        2 => (which.clone(), 0usize..24).prop_map(|(which, to)| Op::Truncate { which, to }),
        4 => which.clone().prop_map(|which| Op::End { which }),
        2 => which.prop_map(|which| Op::SwapOut { which }),
        1 => Just(Op::Clear),
    ]
}

fn space(number: u8) -> Space {
    [Space::default(), Space { adapter: 1, ..Space::default() }, Space { salt: Some([9; 16]), ..Space::default() }]
        [number as usize]
}

/// Prompts that often begin alike.
fn prompt(shape: u8, len: usize) -> Vec<TokenId> {
    (0..len).map(|i| if i < 6 { 1 } else { u32::from(shape) * (i as u32 % 3) }).collect()
}

impl World {
    fn new(blocks: usize, slots: usize) -> Self {
        let pool = BlockPool::with_sizes(BLOCK, blocks, slots, 0).expect("sizes are valid");
        Self { pool, device: vec![[None; BLOCK]; blocks], host: vec![[None; BLOCK]; slots], running: Vec::new() }
    }

    fn do_moves(&mut self) {
        for moved in self.pool.take_moves() {
            match moved {
                Move::Copy { from, to } => self.device[to as usize] = self.device[from as usize],
                Move::Save { block, slot } => self.host[slot as usize] = self.device[block as usize],
                Move::Load { slot, block } => self.device[block as usize] = self.host[slot as usize],
            }
        }
    }

    /// The most that is certainly cached: whole blocks of what runs in the same space.
    fn certain_hit(&self, space: &Space, prompt: &[TokenId]) -> usize {
        let peers = self.running.iter().filter(|r| !r.is_private && r.space == *space);
        let common = |r: &Running| r.tokens.iter().zip(prompt).take_while(|(a, b)| a == b).count() / BLOCK;
        peers.map(common).max().unwrap_or(0).min((prompt.len() - 1) / BLOCK) * BLOCK
    }

    fn started(&mut self, space: Space, prompt: &[TokenId], sequence: Sequence, certain: usize) {
        assert!(sequence.len() < prompt.len(), "one token is left to compute");
        assert!(sequence.len() >= certain, "{} of {certain} shared", sequence.len());
        let tokens = prompt[..sequence.len()].to_vec();
        self.running.push(Running { space, tokens, is_private: false, sequence });
    }

    fn compute(&mut self, at: usize, token: u32, count: usize) {
        let tokens = vec![token; count];
        let running = &mut self.running[at];
        let (before, table) = (self.pool.usage(), running.sequence.block_table());
        let len = running.sequence.len();
        if !self.pool.reserve(&mut running.sequence, len + count) {
            assert_eq!((self.pool.usage(), running.sequence.block_table()), (before, table), "all or nothing");
            return;
        }
        self.do_moves();
        let running = &mut self.running[at];
        for &token in &tokens {
            running.tokens.push(token);
            let position = running.tokens.len() - 1;
            let block = running.sequence.blocks()[position / BLOCK].index() as usize;
            self.device[block][position % BLOCK] = Some(entry(&running.space, &running.tokens));
        }
        self.pool.commit(&mut running.sequence, &tokens).expect("reserved");
    }

    fn apply(&mut self, op: Op) {
        let count = self.running.len();
        let pick = |which: usize| (count > 0).then(|| which % count);
        match op {
            Op::Begin { space: s, shape, len } if count < 8 => {
                let (space, prompt) = (space(s), prompt(shape, len));
                let certain = self.certain_hit(&space, &prompt);
                let sequence = self.pool.begin(&space, &prompt);
                self.started(space, &prompt, sequence, certain);
            }
            Op::TryBegin { space: s, shape, len, more } if count < 8 => {
                let (space, prompt) = (space(s), prompt(shape, len));
                let (certain, before) = (self.certain_hit(&space, &prompt), self.pool.usage());
                let missing = self.pool.missing_blocks(&space, &prompt, len + more);
                match self.pool.try_begin(&space, &prompt, len + more) {
                    Some(sequence) => {
                        assert_eq!(missing, 0);
                        assert!(sequence.blocks().len() * BLOCK >= len + more, "room is reserved");
                        self.started(space, &prompt, sequence, certain);
                    }
                    None => {
                        assert!(missing > 0);
                        assert_eq!(self.pool.usage(), before, "all or nothing");
                    }
                }
            }
            Op::Private if count < 8 => {
                let sequence = Sequence::default();
                let space = Space { adapter: 77, ..Space::default() };
                self.running.push(Running { space, tokens: vec![], is_private: true, sequence });
            }
            Op::Compute { which, token, count } => {
                if let Some(at) = pick(which) {
                    self.compute(at, token, count);
                }
            }
            Op::ShareComputed { which } => {
                if let Some(at) = pick(which) {
                    let running = &mut self.running[at];
                    let more = [running.tokens.clone(), vec![1; 9]].concat();
                    let gained = self.pool.share_computed(&mut running.sequence, &more);
                    let len = running.tokens.len() + gained;
                    running.tokens.extend_from_slice(&more[running.tokens.len()..len]);
                }
            }
            Op::Fork { which } if count < 8 => {
                if let Some(at) = pick(which) {
                    let Running { space, tokens, is_private, sequence } = &self.running[at];
                    let sequence = self.pool.fork(sequence).expect("ours");
                    let (space, tokens, is_private) = (*space, tokens.clone(), *is_private);
                    self.running.push(Running { space, tokens, is_private, sequence });
                }
            }
            Op::Truncate { which, to } => {
                if let Some(at) = pick(which) {
                    let running = &mut self.running[at];
                    let to = to.min(running.tokens.len());
                    self.pool.truncate(&mut running.sequence, to).expect("not past the end");
                    running.tokens.truncate(to);
                    assert_eq!(running.sequence.blocks().len(), to.div_ceil(BLOCK));
                }
            }
            Op::End { which } => {
                if let Some(at) = pick(which) {
                    let Running { sequence, .. } = self.running.swap_remove(at);
                    self.pool.end(sequence).expect("ours");
                }
            }
            Op::SwapOut { which } => {
                if let Some(at) = pick(which) {
                    let Running { sequence, .. } = self.running.swap_remove(at);
                    self.pool.swap_out(sequence).expect("ours");
                }
            }
            Op::Clear => self.pool.clear_cached(),
            _ => {}
        }
    }

    fn check(&mut self) {
        self.do_moves();
        self.pool.check_integrity(self.running.iter().map(|r| &r.sequence)).expect("consistent");
        let mut used: Vec<u32> = self.running.iter().flat_map(|r| r.sequence.block_table()).collect();
        used.sort_unstable();
        used.dedup();
        assert_eq!(self.pool.usage().used, used.len());
        assert_eq!(self.pool.usage().total(), self.device.len());
        for Running { space, tokens, sequence, .. } in &self.running {
            assert_eq!(sequence.len(), tokens.len());
            for position in 0..tokens.len() {
                let block = sequence.blocks()[position / BLOCK].index() as usize;
                let found = self.device[block][position % BLOCK];
                assert_eq!(found, Some(entry(space, &tokens[..=position])), "position {position} of {tokens:?}");
            }
        }
    }
}

fn run(blocks: usize, slots: usize, ops: Vec<Op>) {
    let mut world = World::new(blocks, slots);
    for op in ops {
        world.apply(op);
        world.check();
    }
    for Running { sequence, .. } in std::mem::take(&mut world.running) {
        world.pool.end(sequence).expect("ours");
    }
    world.pool.clear_cached();
    let usage = world.pool.usage();
    assert_eq!((usage.free, usage.host_used), (blocks, 0), "everything comes back");
    world.pool.check_integrity([]).expect("consistent");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn contents_are_right_without_a_second_tier(ops in prop::collection::vec(op(), 1..120)) {
        run(14, 0, ops);
    }

    #[test]
    fn contents_are_right_with_a_small_second_tier(ops in prop::collection::vec(op(), 1..120)) {
        run(10, 3, ops);
    }

    #[test]
    fn contents_are_right_with_a_large_second_tier(ops in prop::collection::vec(op(), 1..120)) {
        run(7, 40, ops);
    }
}
