//! Attention over a paged cache of every type: decoding and prefill, mixed, in chunks, and behind shared blocks.

use rocmforge_attention::{AttentionSpec, RopePairing, RopeScaling, RopeSpec};
use rocmforge_program::backend::{BlockMove, CacheSpec, KvType, StepInput, StepSequence};
use rocmforge_program::{NormKind, ValueId};

use super::case::{Bench, Bound, Bounds, Case, Entry, Step, ids};
use super::random::{Rng, Size};
use super::rope::scalings;

/// (query heads, key/value heads): MHA, and each size of a group.
const HEADS: [(usize, usize); 8] = [(4, 4), (4, 2), (6, 2), (8, 2), (7, 1), (16, 2), (5, 1), (1, 1)];
const HEAD_DIMS: [usize; 7] = [64, 80, 96, 112, 128, 192, 256];
const BLOCK_SIZES: [usize; 6] = [1, 5, 7, 32, 64, 256];

/// One layer, and the cache behind it.
#[derive(Clone)]
struct Layer {
    heads: (usize, usize),
    head_dim: usize,
    value_dim: usize,
    kv_type: KvType,
    block_size: usize,
    window: Option<usize>,
    softcap: Option<f32>,
    has_sinks: bool,
    causal: bool,
    /// Factor of the usual scale: above 1 few positions decide.
    sharpness: f32,
    rotation: Option<(RopePairing, &'static str)>,
    has_norms: bool,
}

impl Layer {
    fn new(heads: (usize, usize), head_dim: usize, kv_type: KvType) -> Self {
        Self {
            heads,
            head_dim,
            value_dim: head_dim,
            kv_type,
            block_size: 16,
            window: None,
            softcap: None,
            has_sinks: false,
            causal: true,
            sharpness: 1.0,
            rotation: None,
            has_norms: false,
        }
    }

    fn name(&self) -> String {
        let Self { heads: (q, kv), head_dim, value_dim, kv_type, block_size, .. } = self;
        let mut name = format!("{kv_type} {q}/{kv} heads of {head_dim}/{value_dim} blocks of {block_size}");
        let mut add = |is: bool, text: String| name.push_str(if is { &text } else { "" });
        add(self.window.is_some(), format!(" window={}", self.window.unwrap_or_default()));
        add(self.softcap.is_some(), " softcap".into());
        add(self.has_sinks, " sinks".into());
        add(!self.causal, " bidirectional".into());
        add(self.sharpness != 1.0, " sharp".into());
        add(self.has_norms, " norms".into());
        if let Some((pairing, scaling)) = self.rotation {
            add(true, format!(" rope={pairing:?}/{scaling}"));
        }
        name
    }

    fn spec(&self) -> AttentionSpec {
        let mut spec = AttentionSpec::causal(self.heads.0, self.heads.1, self.head_dim);
        spec.value_dim = self.value_dim;
        spec.window = self.window;
        spec.softcap = self.softcap;
        spec.causal = self.causal;
        spec.scale *= self.sharpness;
        spec
    }

    /// A number on the edge between two codes of the cache's type may be rounded to either, and f16 products of
    /// prefill round queries and probabilities.
    fn bounds(&self) -> Bounds {
        let exact = match self.kv_type {
            KvType::F32 => Bound { nmse: 1e-10, worst: 1e-4 },
            _ => Bound { nmse: 1e-8, worst: 2e-2 },
        };
        let many = Bound { nmse: 2e-6, worst: 2e-2 };
        Bounds { few: exact, many, exact }
    }

    /// Queries or keys, through the transforms that the device merges with the attention.
    fn heads_of(&self, bench: &mut Bench<'_>, heads: usize) -> ValueId {
        let mut x = bench.input(heads * self.head_dim, Size::Even);
        if self.has_norms {
            let weight = bench.random_vector(self.head_dim, 1.0);
            x = bench.b.norm(NormKind::Rms, x, self.head_dim, 1e-6, Some(weight), None).expect("whole heads");
        }
        if let Some((pairing, name)) = self.rotation {
            let dims = if name == "partial" { self.head_dim / 4 * 2 } else { self.head_dim };
            let scaling = scalings(dims / 2).into_iter().find(|(of, _)| *of == name);
            let scaling = scaling.map_or(RopeScaling::None, |(_, scaling)| scaling);
            let spec = RopeSpec::new(pairing, self.head_dim, dims, 1e4, &scaling).expect("a rotation");
            x = bench.b.rope(x, self.head_dim, &spec).expect("whole heads");
        }
        x
    }

    /// The attention of one layer.
    fn build(&self, bench: &mut Bench<'_>) -> ValueId {
        let (heads, kv_heads) = self.heads;
        let q = self.heads_of(bench, heads);
        let k = self.heads_of(bench, kv_heads);
        let v = bench.input(kv_heads * self.value_dim, Size::Even);
        let sinks = self.has_sinks.then(|| bench.random_vector(heads, 1.0));
        bench.b.attention(q, k, v, self.spec(), sinks).expect("widths fit")
    }

    fn case(&self, rng: &mut Rng, script: &[&[Part]]) -> Case {
        let mut bench = Bench::new(rng);
        let out = self.build(&mut bench);
        self.finish(bench, out, script)
    }

    /// Another layer behind this one, of another shape and without a window.
    fn beside_another(&self, rng: &mut Rng) -> Case {
        let mut bench = Bench::new(rng);
        let other = Layer { heads: (4, 4), head_dim: 128, value_dim: 128, window: None, ..self.clone() };
        let (a, b) = (self.build(&mut bench), other.build(&mut bench));
        let out = bench.b.add(a, b).expect("equal shapes");
        self.finish(bench, out, &SCRIPT)
    }

    /// More sequences than graphs are recorded for one by one.
    fn of_many_sequences(&self, rng: &mut Rng) -> Case {
        let mut bench = Bench::new(rng);
        let out = self.build(&mut bench);
        let parts = |n: usize, rng: &mut Rng| (0..n).map(|_| part(1 + rng.below(600), 1)).collect::<Vec<_>>();
        let script = [9, 40, 64, 100].map(|n| parts(n, bench.rng));
        let script: Vec<&[Part]> = script.iter().map(Vec::as_slice).collect();
        self.finish(bench, out, &script)
    }

    fn finish(&self, bench: Bench<'_>, out: ValueId, script: &[&[Part]]) -> Case {
        let longest = script.iter().flat_map(|parts| parts.iter()).map(|part| part.context).max().unwrap_or(1);
        let most = script.iter().map(|parts| parts.len()).max().unwrap_or(1);
        let mut blocks = Blocks::new(bench.rng, self.block_size, longest, most);
        let mut steps = vec![blocks.fill(bench.rng)];
        steps.extend(script.iter().map(|parts| blocks.step(bench.rng, parts)));
        let cache =
            CacheSpec { block_size: self.block_size, num_blocks: blocks.count(), kv_type: self.kv_type, host_slots: 0 };
        bench.finish(out, cache, longest.max(SHARED), steps, self.bounds())
    }
}

/// One sequence's part of a step.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Tokens after the step.
    context: usize,
    /// Tokens of the step.
    new: usize,
    /// Whether it goes on where the last such part ended. Others begin behind shared blocks.
    goes_on: bool,
}

const fn part(context: usize, new: usize) -> Part {
    Part { context, new, goes_on: false }
}

const fn chunk(context: usize, new: usize) -> Part {
    Part { context, new, goes_on: true }
}

/// Contexts around the sizes of blocks, splits and tiles; each query alone, in company, and in tiles.
const SCRIPT: [&[Part]; 22] = [
    &[part(1, 1)],
    &[part(15, 1)],
    &[part(16, 1), part(17, 1)],
    &[part(127, 1), part(128, 1), part(129, 1)],
    &[part(255, 1), part(256, 1), part(257, 1), part(1, 1), part(40, 1), part(511, 1), part(30, 1), part(5, 1)],
    &[part(1025, 1)],
    &[part(5000, 1), part(3, 1)],
    &[
        part(4097, 1),
        part(1, 1),
        part(20, 1),
        part(300, 1),
        part(16, 1),
        part(90, 1),
        part(128, 1),
        part(700, 1),
        part(64, 1),
        part(65, 1),
        part(2, 1),
        part(33, 1),
    ],
    &[part(5, 5)],
    &[part(8, 6), part(100, 2)],
    &[part(17, 9)],
    &[part(64, 64)],
    &[part(65, 65), part(3, 3), part(130, 1)],
    &[part(257, 130), part(129, 2)],
    &[part(1025, 70)],
    &[part(300, 300)],
    &[part(5000, 20), part(4000, 1)],
    &[chunk(7, 7)],
    &[chunk(23, 16)],
    &[chunk(24, 1), part(31, 1)],
    &[chunk(64, 40)],
    &[chunk(130, 66), part(50, 3)],
];

/// Contexts of more parts than are added in one go.
const FAR_SCRIPT: [&[Part]; 3] = [&[part(40_000, 1), part(3, 1)], &[part(70_000, 1)], &[part(33_000, 12), part(20, 1)]];

/// The same kinds of steps, few.
const SHORT_SCRIPT: [&[Part]; 6] = [
    &[part(1, 1)],
    &[part(17, 1), part(140, 1)],
    &[part(270, 1)],
    &[chunk(9, 9), part(3, 3)],
    &[chunk(30, 21), part(33, 1)],
    &[part(200, 2)],
];

/// Tokens that the first step writes to the blocks which others share.
const SHARED: usize = 130;
/// The most tokens that a step writes beside those, over all of its sequences, and what goes on.
const OWN: usize = 700;

/// The blocks of a cache in random order: shared ones, those of the sequence that goes on, and those that each step
/// takes anew.
struct Blocks {
    size: usize,
    shared: Vec<u32>,
    going_on: Vec<u32>,
    free: Vec<u32>,
}

impl Blocks {
    fn new(rng: &mut Rng, size: usize, longest: usize, sequences: usize) -> Self {
        let (shared, own) = (SHARED.div_ceil(size), OWN.div_ceil(size) + 2 * sequences);
        // As many blocks as the longest sequence names, although most of them are shared ones over and over.
        let count = (2 * shared + own).max(longest.div_ceil(size));
        let mut all: Vec<u32> = (0..count as u32).collect();
        rng.shuffle(&mut all);
        let going_on = all.split_off(count - shared);
        let free = all.split_off(shared);
        Self { size, shared: all, going_on, free }
    }

    fn count(&self) -> usize {
        self.shared.len() + self.going_on.len() + self.free.len()
    }

    /// Writes the shared blocks.
    fn fill(&self, rng: &mut Rng) -> Step {
        let tokens = self.shared.len() * self.size;
        let tokens = tokens.min(SHARED.next_multiple_of(self.size));
        let sequence = StepSequence { num_tokens: tokens, context_len: tokens, block_table: self.shared.clone() };
        // More than a few rows, so that it counts among the large steps.
        let wanted = (0..tokens as u32).step_by(9).collect();
        let input = StepInput { tokens: ids(rng, tokens), sequences: vec![sequence], wanted, ..StepInput::default() };
        Step { copies: vec![], label: "filling shared blocks".into(), input }
    }

    fn step(&mut self, rng: &mut Rng, parts: &[Part]) -> Step {
        let mut input = StepInput::default();
        let (mut free, mut copies) = (self.free.iter(), Vec::new());
        for part in parts {
            input.tokens.extend(ids(rng, part.new));
            let first_own = (part.context - part.new) / self.size;
            let block = |i: usize| match i < first_own {
                true => rng.pick(&self.shared),
                false => *free.next().expect("enough blocks of its own"),
            };
            let table: Vec<u32> = match part.goes_on {
                true => self.going_on.clone(),
                false => (0..part.context.div_ceil(self.size)).map(block).collect(),
            };
            let (num_tokens, context_len) = (part.new, part.context);
            // A sequence that begins within a block continues a copy of a shared one.
            if !part.goes_on && !(context_len - num_tokens).is_multiple_of(self.size) {
                copies.push(BlockMove::Copy { from: rng.pick(&self.shared), to: table[first_own] });
            }
            input.sequences.push(StepSequence { num_tokens, context_len, block_table: table });
        }
        // The first tokens of what goes on matter by what they leave in the cache alone.
        let is_wanted = parts.iter().any(|part| !part.goes_on || part.context > part.new);
        input.wanted = if is_wanted { (0..input.tokens.len() as u32).collect() } else { vec![] };
        let names = parts.iter().map(|p| format!("{}{}/{}", if p.goes_on { "+" } else { "" }, p.new, p.context));
        Step { copies, label: format!("new/context {}", names.collect::<Vec<_>>().join(" ")), input }
    }
}

pub fn cases() -> Vec<Entry> {
    let mut layers = of_every_size();
    layers.extend(features());
    layers.extend(BLOCK_SIZES.into_iter().zip(KvType::ALL.into_iter().cycle()).map(|(block_size, kv_type)| Layer {
        block_size,
        rotation: Some((RopePairing::Halves, "none")),
        ..Layer::new((8, 2), 64, kv_type)
    }));
    let long = layers.into_iter().map(|layer| Entry::new(layer.name(), move |rng| layer.case(rng, &SCRIPT)));
    let two = KvType::ALL.into_iter().map(|kv_type| {
        let layer = Layer { window: Some(100), ..Layer::new((8, 2), 64, kv_type) };
        Entry::new(format!("two layers in {kv_type}"), move |rng| layer.beside_another(rng))
    });
    let far = [KvType::F16, KvType::Q8_0].into_iter().map(|kv_type| {
        let layer = Layer { rotation: Some((RopePairing::Halves, "none")), ..Layer::new((8, 1), 64, kv_type) };
        Entry::new(format!("far {}", layer.name()), move |rng| layer.case(rng, &FAR_SCRIPT))
    });
    let many = [(KvType::F16, (8, 2)), (KvType::F8E4M3, (4, 4))].into_iter().map(|(kv_type, heads)| {
        let layer = Layer::new(heads, 128, kv_type);
        Entry::new(format!("many sequences {}", layer.name()), move |rng| layer.of_many_sequences(rng))
    });
    let short = quick_layers().into_iter().map(|layer| {
        Entry::new(format!("short {}", layer.name()), move |rng| layer.case(rng, &SHORT_SCRIPT)).quick(true)
    });
    long.chain(two).chain(far).chain(many).chain(short).collect()
}

/// Every head size in every type of cache, with the groups taking turns.
fn of_every_size() -> Vec<Layer> {
    let mut layers = Vec::new();
    for (i, head_dim) in HEAD_DIMS.into_iter().enumerate() {
        for (j, kv_type) in KvType::ALL.into_iter().enumerate() {
            let value_dim = if (i + j) % 3 == 2 { [64, 128][i % 2] } else { head_dim };
            let rotation = [None, Some((RopePairing::Adjacent, "none")), Some((RopePairing::Halves, "partial"))];
            let layer = Layer {
                value_dim,
                rotation: rotation[(i + j) % 3],
                sharpness: [1.0, 4.0][(i + j) % 2],
                ..Layer::new(HEADS[(3 * i + j) % HEADS.len()], head_dim, kv_type)
            };
            if kv_type != KvType::Q8_0 || (head_dim.is_multiple_of(32) && value_dim.is_multiple_of(32)) {
                layers.push(layer);
            }
        }
    }
    layers
}

/// Each group with each thing that attention can do beside.
fn features() -> Vec<Layer> {
    let mut layers = Vec::new();
    for (i, heads) in HEADS.into_iter().enumerate() {
        let kv_type = KvType::ALL[i % 4];
        let base = Layer::new(heads, [64, 128, 96, 256][i % 4], kv_type);
        let pairing = [RopePairing::Halves, RopePairing::Adjacent][i % 2];
        let scaling = ["none", "linear", "factors", "yarn", "yarn_magnitude"][i % 5];
        layers.push(Layer { window: Some([1, 16, 100, 1000][i % 4]), ..base.clone() });
        layers.push(Layer { has_sinks: true, window: Some([128, 20][i % 2]), ..base.clone() });
        layers.push(Layer { softcap: Some(1.5), sharpness: 4.0, ..base.clone() });
        layers.push(Layer { has_norms: true, rotation: Some((pairing, scaling)), ..base.clone() });
        layers.push(Layer { has_norms: true, has_sinks: true, ..base });
    }
    for heads in [(4, 2), (7, 1)] {
        layers.push(Layer { causal: false, ..Layer::new(heads, 64, KvType::F16) });
    }
    layers
}

fn quick_layers() -> Vec<Layer> {
    let rotation = Some((RopePairing::Halves, "yarn"));
    vec![
        Layer { rotation, has_norms: true, ..Layer::new((8, 2), 64, KvType::F16) },
        Layer { window: Some(20), has_sinks: true, ..Layer::new((6, 2), 80, KvType::F16) },
        Layer { softcap: Some(1.5), value_dim: 64, ..Layer::new((3, 1), 96, KvType::Q8_0) },
    ]
}
