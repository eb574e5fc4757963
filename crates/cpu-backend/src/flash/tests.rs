//! Against the f64 definition, and against itself cut into other steps, batches and threads.

use rocmforge_attention::{AttentionSpec, reference};
use rocmforge_program::CacheLayer;
use rocmforge_program::backend::{CacheSpec, KvType, StepSequence};

use super::{Attention, FlashScratch, SPLIT, attend};
use crate::elementwise::Isa;
use crate::kv::KvCache;
use crate::pool::Pool;

/// Numbers within ±1 that do not repeat soon.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    }

    fn row(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }

    fn below(&mut self, end: usize) -> usize {
        self.next();
        (self.0 >> 33) as usize % end
    }
}

/// One sequence: everything that was ever put in.
struct Text {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    len: usize,
    blocks: Vec<u32>,
}

/// A layer, its cache, and sequences whose blocks lie scattered in it.
struct World {
    spec: AttentionSpec,
    sinks: Option<Vec<f32>>,
    cache: KvCache,
    texts: Vec<Text>,
    /// Tokens of each text that are cached before the first step.
    cached: Vec<usize>,
}

impl World {
    fn new(spec: AttentionSpec, kv_type: KvType, block_size: usize, lens: &[usize], sinks: bool) -> Self {
        let mut noise = Noise(lens.iter().sum::<usize>() as u64 + spec.head_dim as u64);
        let needed: Vec<usize> = lens.iter().map(|len| len.div_ceil(block_size)).collect();
        let num_blocks = needed.iter().sum::<usize>() + 2;
        let mut free: Vec<u32> = (0..num_blocks as u32).collect();
        let layer = CacheLayer {
            num_kv_heads: spec.num_kv_heads,
            head_dim: spec.head_dim,
            value_dim: spec.value_dim,
            window: spec.window,
        };
        let mut cache = KvCache::new(&[layer], CacheSpec { block_size, num_blocks, kv_type, host_slots: 0 }).unwrap();
        cache.poison();
        let text = |(&len, &blocks): (&usize, &usize)| Text {
            q: noise.row(len * spec.query_width()).iter().map(|x| x * 3.0).collect(),
            k: noise.row(len * spec.key_width()),
            v: noise.row(len * spec.value_width()),
            len,
            blocks: (0..blocks).map(|_| free.swap_remove(noise.below(free.len()))).collect(),
        };
        let texts = lens.iter().zip(&needed).map(text).collect();
        let sinks = sinks.then(|| Noise(7).row(spec.num_heads));
        Self { spec, sinks, cache, texts, cached: vec![0; lens.len()] }
    }

    /// Runs steps, each a list of (text, tokens), and returns the outputs of each text. Every step must go on where the
    /// text's last one ended.
    fn run(&mut self, isa: Isa, threads: usize, steps: &[Vec<(usize, usize)>]) -> Vec<Vec<f32>> {
        let pool = Pool::new(threads).unwrap();
        let mut scratch = FlashScratch::new(threads, [&self.spec]).unwrap();
        let mut done = self.cached.clone();
        let mut outputs = vec![Vec::new(); self.texts.len()];
        for step in steps {
            let (mut q, mut k, mut v) = (Vec::new(), Vec::new(), Vec::new());
            let mut sequences = Vec::new();
            for &(t, count) in step {
                let text = &self.texts[t];
                let now = done[t]..done[t] + count;
                let rows = |x: &[f32], width: usize| x[now.start * width..now.end * width].to_vec();
                q.extend(rows(&text.q, self.spec.query_width()));
                k.extend(rows(&text.k, self.spec.key_width()));
                v.extend(rows(&text.v, self.spec.value_width()));
                let block_table = text.blocks.clone();
                sequences.push(StepSequence { num_tokens: count, context_len: now.end, block_table });
                done[t] = now.end;
            }
            self.cache.write_step(isa, &pool, 0, &sequences, &k, &v);
            let mut out = vec![f32::NAN; q.len() / self.spec.query_width() * self.spec.output_width()];
            let attention = Attention {
                spec: &self.spec,
                cache: &self.cache,
                layer: 0,
                sinks: self.sinks.as_deref(),
                sequences: &sequences,
            };
            attend(isa, &pool, &mut scratch, &attention, &q, &mut out);
            let mut at = 0;
            for &(t, count) in step {
                let width = count * self.spec.output_width();
                outputs[t].extend_from_slice(&out[at..at + width]);
                at += width;
            }
        }
        outputs
    }

    /// Caches the first tokens of a text without attending.
    fn fill(&mut self, t: usize, tokens: usize) {
        let (spec, text) = (&self.spec, &self.texts[t]);
        let whole = StepSequence { num_tokens: tokens, context_len: tokens, block_table: text.blocks.clone() };
        let (k, v) = (&text.k[..tokens * spec.key_width()], &text.v[..tokens * spec.value_width()]);
        self.cache.write_step(Isa::best(), &Pool::new(1).unwrap(), 0, &[whole], k, v);
        self.cached[t] = tokens;
    }

    /// Everything in one step.
    fn at_once(&self) -> Vec<Vec<(usize, usize)>> {
        vec![self.texts.iter().enumerate().map(|(t, text)| (t, text.len)).collect()]
    }

    /// The definition in f64, over what the cache keeps of the keys and values.
    fn exact(&self, text: usize) -> Vec<f32> {
        let Text { q, len, blocks, .. } = &self.texts[text];
        let spec = &self.spec;
        let (mut k, mut v) = (vec![0.0; len * spec.key_width()], vec![0.0; len * spec.value_width()]);
        let block_size = self.cache.spec().block_size;
        for p in 0..*len {
            for head in 0..spec.num_kv_heads {
                let (block, offset) = (blocks[p / block_size], p % block_size);
                let key = &mut k[p * spec.key_width() + head * spec.head_dim..][..spec.head_dim];
                self.cache.read_key(0, block, offset, head, key);
                let value = &mut v[p * spec.value_width() + head * spec.value_dim..][..spec.value_dim];
                self.cache.read_value(0, block, offset, head, value);
            }
        }
        reference::attention(spec, q, &k, &v, self.sinks.as_deref())
    }

    fn check(&mut self, isa: Isa, what: &str) {
        let outputs = self.run(isa, 2, &self.at_once());
        for (t, output) in outputs.iter().enumerate() {
            let exact = self.exact(t);
            assert_eq!(output.len(), exact.len());
            let worst = output
                .iter()
                .zip(&exact)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, |m, e| if e > m || e.is_nan() { e } else { m });
            // Values are within ±1. A dot product of up to 576 terms that sum to at most about 100 before scaling is off
            // by 1e-5 at the worst, and so then is a weight, relatively; the weighted sum adds its own rounding.
            assert!(worst < 1e-5, "{isa} {what}, text {t}: off by {worst:e}");
        }
    }
}

fn spec(num_kv_heads: usize, group: usize, head_dim: usize) -> AttentionSpec {
    AttentionSpec::causal(num_kv_heads * group, num_kv_heads, head_dim)
}

const TYPES: [KvType; 5] = KvType::ALL;

#[test]
fn every_head_size_and_group_matches_the_definition() {
    for isa in Isa::available() {
        for (i, head_dim) in [16, 32, 64, 80, 96, 112, 128, 192, 256, 576].into_iter().enumerate() {
            for group in [1, 2, 3, 4, 5, 6, 7, 8] {
                let kv_type = TYPES[(i + group) % 5];
                let kv_type = if head_dim % 32 != 0 && kv_type == KvType::Q8_0 { KvType::F16 } else { kv_type };
                let block_size = if group % 2 == 0 { 16 } else { 32 };
                let mut world = World::new(spec(2, group, head_dim), kv_type, block_size, &[1, 67, 15], false);
                world.check(isa, &format!("head_dim {head_dim}, group {group}, {kv_type}"));
            }
        }
    }
}

#[test]
fn masks_caps_sinks_and_value_widths_match_the_definition() {
    for isa in Isa::available() {
        let mut turn = 0;
        for (n, block_size) in [16, 32, 5, 24].into_iter().enumerate() {
            for window in [None, Some(1), Some(17), Some(64), Some(100)] {
                for (softcap, sinks, causal) in
                    [(None, false, true), (Some(5.0), true, true), (None, true, false), (Some(20.0), false, false)]
                {
                    // Types take turns; block sizes and masks meet all of them.
                    turn += 1;
                    let kv_type = TYPES[turn % 5];
                    let mut s = spec(2, 3, 64);
                    s.value_dim = [64, 32, 96, 64][n];
                    (s.window, s.softcap, s.causal) = (window, softcap, causal);
                    let what = format!("{s}, {kv_type}, blocks of {block_size}, sinks {sinks}");
                    World::new(s, kv_type, block_size, &[63, 64, 65, 130, 2], sinks).check(isa, &what);
                }
            }
        }
    }
}

#[test]
fn odd_widths_and_one_head_of_many_queries() {
    for isa in Isa::available() {
        let mut odd = spec(1, 2, 7);
        odd.value_dim = 21;
        World::new(odd, KvType::F16, 16, &[40], true).check(isa, "widths 7 and 21");
        let mut latent = spec(1, 70, 576);
        latent.value_dim = 512;
        World::new(latent, KvType::F16, 16, &[5], false).check(isa, "70 heads over one");
    }
}

#[test]
fn contexts_beyond_a_split_match_the_definition() {
    for kv_type in TYPES {
        for window in [None, Some(1500)] {
            let mut s = spec(1, 2, 32);
            s.window = window;
            let mut world = World::new(s, kv_type, 32, &[2 * SPLIT + 77], true);
            world.check(Isa::best(), &format!("long, {kv_type}, {window:?}"));
        }
    }
}

/// Cuts the texts into random steps in which each text may be absent or bring up to `most` tokens.
fn random_steps(world: &World, noise: &mut Noise, most: usize) -> Vec<Vec<(usize, usize)>> {
    let mut left: Vec<usize> = world.texts.iter().map(|t| t.len).collect();
    let mut steps = Vec::new();
    while left.iter().any(|&l| l > 0) {
        let mut step = Vec::new();
        for (t, left) in left.iter_mut().enumerate() {
            let count = (*left).min(noise.below(most + 1));
            if count > 0 {
                step.push((t, count));
                *left -= count;
            }
        }
        if !step.is_empty() {
            steps.push(step);
        }
    }
    steps
}

#[test]
fn results_are_the_same_bits_however_the_work_is_cut() {
    let mut noise = Noise(99);
    for isa in Isa::available() {
        for kv_type in TYPES {
            for (group, head_dim, window, softcap, block_size) in [
                (4, 64, None, None, 16),
                (1, 128, Some(40), None, 32),
                (7, 64, None, Some(10.0), 16),
                (2, 96, Some(100), Some(30.0), 24),
                (80, 32, None, None, 32),
            ] {
                let mut s = spec(2, group, head_dim);
                (s.window, s.softcap) = (window, softcap);
                let lens = if group == 80 { vec![20, 3] } else { vec![150, 1, 70, 129] };
                let mut world = World::new(s, kv_type, block_size, &lens, group % 2 == 1);
                let expected = world.run(isa, 1, &world.at_once());
                for (threads, most) in [(1, 1), (2, 3), (3, 40), (2, 140)] {
                    let steps = random_steps(&world, &mut noise, most);
                    assert!(world.run(isa, threads, &steps) == expected, "{isa} {kv_type} group {group}: {steps:?}");
                }
                for t in 0..world.texts.len() {
                    let alone = world.run(isa, 2, &[vec![(t, world.texts[t].len)]]);
                    assert!(alone[t] == expected[t], "{isa} {kv_type} group {group}: text {t} alone");
                }
            }
        }
    }
}

#[test]
fn long_contexts_are_the_same_bits_on_any_number_of_threads() {
    for window in [None, Some(SPLIT + 300)] {
        for (kv_type, group) in [(KvType::F16, 3), (KvType::Q8_0, 1)] {
            let mut s = spec(1, group, 32);
            s.window = window;
            let len = 3 * SPLIT + 200;
            let mut world = World::new(s, kv_type, 16, &[len, 2 * SPLIT], true);
            let expected = world.run(Isa::best(), 1, &world.at_once());
            // Decode, and a short piece that straddles the border of a split.
            let mut steps = vec![vec![(0, SPLIT - 3), (1, 2 * SPLIT - 1)], vec![(0, 7)], vec![(0, 2 * SPLIT + 190)]];
            steps.extend([vec![(0, 1)], vec![(0, 1), (1, 1)], vec![(0, 4)]]);
            for threads in [1, 2, 5] {
                assert!(world.run(Isa::best(), threads, &steps) == expected, "{kv_type} {threads} threads {window:?}");
            }
        }
    }
}

#[test]
fn splits_that_do_not_fit_at_once_are_merged_in_waves() {
    // One key/value head of 64 queries makes large states: with two threads there is room for eight at once.
    let s = spec(1, 64, 32);
    let len = 12 * SPLIT + 5;
    let mut world = World::new(s, KvType::F16, 32, &[len], false);
    world.fill(0, len - 2);
    let one = world.run(Isa::best(), 1, &[vec![(0, 2)]]);
    let two = world.run(Isa::best(), 2, &[vec![(0, 2)]]);
    assert!(one == two);
}

#[test]
fn large_scores_stay_finite_and_hidden_tokens_do_not_show() {
    for isa in Isa::available() {
        for kv_type in TYPES {
            let mut world = World::new(spec(1, 2, 32), kv_type, 16, &[90], false);
            world.texts[0].q.iter_mut().for_each(|x| *x *= 1e4);
            let large = world.run(isa, 2, &world.at_once());
            assert!(large[0].iter().all(|x| x.is_finite()));

            // NaN and infinity in token 70 reach no token before it, though they share tiles and steps.
            let clean = World::new(spec(1, 2, 32), kv_type, 16, &[90], false).run(isa, 2, &world.at_once());
            let mut dirty = World::new(spec(1, 2, 32), kv_type, 16, &[90], false);
            dirty.texts[0].v[70 * 32..71 * 32].fill(f32::NAN);
            dirty.texts[0].k[70 * 32] = f32::NAN;
            let found = dirty.run(isa, 2, &dirty.at_once());
            assert!(found[0][..70 * 64] == clean[0][..70 * 64], "{isa} {kv_type}");
            assert!(found[0][70 * 64..].iter().all(|x| x.is_nan()));
        }
    }
}

#[test]
fn nan_queries_end() {
    let mut world = World::new(spec(1, 2, 32), KvType::F16, 16, &[90], true);
    world.texts[0].q[40 * 64..41 * 64].fill(f32::NAN);
    let found = world.run(Isa::best(), 2, &world.at_once());
    assert!(found[0][40 * 64..41 * 64].iter().all(|x| x.is_nan()));
    assert!(found[0][..40 * 64].iter().chain(&found[0][41 * 64..]).all(|x| x.is_finite()));
}

#[test]
#[should_panic(expected = "of another shape")]
fn a_layer_of_another_shape_is_refused() {
    let world = World::new(spec(1, 2, 32), KvType::F16, 16, &[3], false);
    let (pool, other) = (Pool::new(1).unwrap(), spec(1, 2, 64));
    let mut scratch = FlashScratch::new(1, [&other]).unwrap();
    let attention = Attention { spec: &other, cache: &world.cache, layer: 0, sinks: None, sequences: &[] };
    attend(Isa::best(), &pool, &mut scratch, &attention, &[], &mut []);
}
