//! Rotations by themselves, in both pairings and under every scaling.

use rocmforge_attention::{RopePairing, RopeScaling, RopeSpec};
use rocmforge_program::backend::{CacheSpec, KvType, StepInput, StepSequence};

use super::case::{Bench, Bounds, Case, Entry, Step, ids};
use super::random::{Rng, Size};

/// Sine and cosine of an angle that is right to about 1e-7 of a turn at any position.
const BOUNDS: Bounds = Bounds::all(1e-12, 1e-5);
/// The largest context tested.
const CONTEXT: usize = 131_072;
/// (head_dim, rotary_dims)
const DIMS: [(usize, usize); 8] =
    [(64, 64), (80, 32), (96, 96), (112, 112), (128, 64), (128, 128), (192, 192), (256, 64)];

/// Every kind of scaling.
pub fn scalings(pairs: usize) -> [(&'static str, RopeScaling); 5] {
    let factors = (0..pairs).map(|i| 1.0 + i as f32 / 3.0).collect();
    let yarn = |magnitude| RopeScaling::Yarn {
        factor: 8.0,
        original_context: 4096,
        beta_fast: 32.0,
        beta_slow: 1.0,
        magnitude,
    };
    [
        ("none", RopeScaling::None),
        ("linear", RopeScaling::Linear { factor: 4.0 }),
        ("factors", RopeScaling::Factors { factors, magnitude: 1.19 }),
        ("yarn", yarn(None)),
        ("yarn_magnitude", yarn(Some(0.9))),
    ]
}

pub fn cases() -> Vec<Entry> {
    let mut cases = Vec::new();
    for (i, (head_dim, dims)) in DIMS.into_iter().enumerate() {
        for (j, pairing) in [RopePairing::Adjacent, RopePairing::Halves].into_iter().enumerate() {
            for (k, (name, scaling)) in scalings(dims / 2).into_iter().enumerate() {
                let heads = [1, 3, 8][(i + j + k) % 3];
                let base = [1e4, 5e5][(i + k) % 2];
                let make = move |rng: &mut Rng| rope(rng, pairing, (heads, head_dim, dims), base, &scaling);
                let entry = Entry::new(format!("{pairing:?} {name} {heads}x{head_dim}/{dims} base={base}"), make);
                cases.push(entry.quick(i + k == 3));
            }
        }
    }
    cases
}

fn rope(
    rng: &mut Rng,
    pairing: RopePairing,
    (heads, head_dim, dims): (usize, usize, usize),
    base: f32,
    scaling: &RopeScaling,
) -> Case {
    let spec = RopeSpec::new(pairing, head_dim, dims, base, scaling).expect("a rotation");
    let mut bench = Bench::new(rng);
    let x = bench.input(heads * head_dim, Size::Even);
    let out = bench.b.rope(x, head_dim, &spec).expect("whole heads");
    let parts: [&[(usize, usize)]; 5] =
        [&[(1, 1)], &[(40, 40)], &[(CONTEXT, 1), (1000, 1), (70_000, 1)], &[(CONTEXT, 17)], &[(33_000, 5), (20, 20)]];
    let steps = parts.into_iter().map(|parts| step(bench.rng, parts)).collect();
    // Blocks are only named: nothing is cached.
    let cache = CacheSpec { block_size: 1024, num_blocks: CONTEXT / 1024, kv_type: KvType::F16, host_slots: 0 };
    bench.finish(out, cache, CONTEXT, steps, BOUNDS)
}

fn step(rng: &mut Rng, parts: &[(usize, usize)]) -> Step {
    let mut input = StepInput::default();
    for &(context_len, num_tokens) in parts {
        input.tokens.extend(ids(rng, num_tokens));
        let block_table = (0..context_len.div_ceil(1024) as u32).collect();
        input.sequences.push(StepSequence { num_tokens, context_len, block_table });
    }
    input.wanted = (0..input.tokens.len() as u32).collect();
    Step { copies: vec![], label: format!("(context, tokens) {parts:?}"), input }
}
