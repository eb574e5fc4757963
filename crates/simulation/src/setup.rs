//! Sizes and prompts of a run.

use rocmforge_kv_cache::{Space, TokenId};
use rocmforge_scheduler::{ClientId, NewRequest, Preemption, Rows, SchedulerConfig};

use crate::random::Random;

/// Sizes of the cache of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sizes {
    pub block: usize,
    pub blocks: usize,
    pub slots: usize,
}

pub(crate) fn sizes(random: &mut Random) -> Sizes {
    Sizes {
        block: random.pick(&[1, 2, 4, 4, 8, 16]),
        blocks: random.between(12, 60),
        slots: random.pick(&[0, 0, 3, 20, 100]),
    }
}

pub(crate) fn config(random: &mut Random) -> SchedulerConfig {
    let batch = random.between(1, 9);
    SchedulerConfig {
        max_batch_size: batch,
        max_queue_size: random.between(2, 20),
        max_queue_tokens: random.between(50, 2000),
        max_sequence_length: random.between(60, 250),
        max_tokens_per_step: batch + random.between(0, 60),
        max_rows_per_step: batch + random.between(0, 5),
        ageing: random.between(1, 40) as u32,
        preemption: random.pick(&[Preemption::Recompute, Preemption::Swap]),
        max_lost_steps: random.pick(&[1, 2, u32::MAX]),
        ..SchedulerConfig::default()
    }
}

/// A request of any kind, also such that must be refused.
pub(crate) fn request(random: &mut Random, adapter: u64, config: &SchedulerConfig) -> NewRequest {
    let len = match random.below(20) {
        0 => random.below(2),
        1 => config.max_sequence_length + random.below(20),
        2..=5 => random.between(30, 120),
        _ => random.between(1, 30),
    };
    let max_tokens = match random.below(12) {
        0 => random.below(2),
        1 => config.max_sequence_length,
        _ => random.between(1, 40),
    };
    NewRequest {
        client: ClientId(random.below(4) as u64),
        priority: if random.one_in(3) { random.between(0, 8) as i32 - 4 } else { 0 },
        prompt: prompt(random, len),
        max_tokens,
        sequences: if random.one_in(5) { random.between(0, 4) as u32 } else { 1 },
        space: space(random, adapter),
        rows: if random.one_in(15) { Rows::All } else { Rows::Last },
    }
}

/// Prompts begin like others now and then, and part from them anywhere.
fn prompt(random: &mut Random, len: usize) -> Vec<TokenId> {
    let family = random.below(4) as TokenId;
    let common = if random.one_in(4) { 0 } else { random.below(len + 1) };
    let mut token = |i: usize| if i < common { family * 100 + i as TokenId } else { random.below(1000) as TokenId };
    (0..len).map(&mut token).collect()
}

fn space(random: &mut Random, adapter: u64) -> Space {
    Space {
        model: 1,
        adapter: if random.one_in(3) { adapter } else { 0 },
        salt: random.one_in(4).then(|| [random.below(2) as u8; 16]),
    }
}
