//! Mixtures of experts: routers, products with chosen experts, and their sums.

use rocmforge_program::{Activation, RouteSpec, Scoring};
use rocmforge_quant::GgmlType;

use super::case::{Bench, Bounds, Case, Entry, IDS};
use super::linear::{TYPICAL, product_bounds, types};
use super::random::{Rng, Size};

const TOKENS: [usize; 7] = [1, 2, 7, 8, 9, 65, 200];
const FEW_TOKENS: [usize; 3] = [1, 4, 12];

/// Whom a router prefers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Anyone.
    Random,
    /// The same few for every token.
    Same,
    /// Expert i for tokens of id i.
    Turns,
}

impl Choice {
    fn scores(self, rng: &mut Rng, experts: usize) -> Vec<f32> {
        let mut scores = rng.normals(IDS * experts);
        for (id, row) in scores.chunks_exact_mut(experts).enumerate() {
            match self {
                Choice::Random => {}
                Choice::Same => row.iter_mut().zip([9.0, 8.0, 7.0, 6.0]).for_each(|(s, more)| *s += 3.0 * more),
                Choice::Turns => row[id % experts] += 20.0,
            }
        }
        scores
    }
}

/// A router that is like most.
fn usual(experts: usize, chosen: usize) -> RouteSpec {
    RouteSpec { experts, chosen, scoring: Scoring::Softmax, normalize: true, scale: 1.0, groups: 1, groups_chosen: 1 }
}

/// Products with experts, and the sum of what they say.
#[derive(Clone, Copy)]
struct Mixture {
    ty: GgmlType,
    experts: usize,
    chosen: usize,
    hidden: usize,
    inner: usize,
    choice: Choice,
    bias: bool,
}

impl Mixture {
    fn name(&self) -> String {
        let Self { ty, experts, chosen, hidden, inner, choice, bias } = self;
        let bias = if *bias { " bias" } else { "" };
        format!("{ty} {chosen} of {experts} {hidden}-{inner}-{hidden} {choice:?}{bias}")
    }

    fn case(&self, rng: &mut Rng, tokens: &[usize]) -> Case {
        let Self { ty, experts, chosen, hidden, inner, choice, bias } = *self;
        let mut bench = Bench::new(rng);
        let scores = choice.scores(bench.rng, experts);
        let scores = bench.input_of(&scores, experts);
        let x = bench.input(hidden, Size::Even);
        let selection = bench.b.route(scores, usual(experts, chosen), None).expect("a router");
        let weights = [(inner, hidden), (inner, hidden), (hidden, inner)].map(|(rows, cols)| {
            let weight = bench.weight(ty, experts, rows, cols, Size::Even);
            let values = bench.rng.normals(experts * rows);
            (weight, bias.then(|| bench.matrix(&values, experts, rows)))
        });
        // A row a token, then a row a chosen expert.
        let [gate, up, down] = weights;
        let mut linear = |x, (weight, bias)| bench.b.expert_linear(x, selection, weight, bias).expect("widths fit");
        let (gate, up) = (linear(x, gate), linear(x, up));
        let y = bench.b.gate(gate, Some(up), Activation::Silu).expect("equal shapes");
        let y = bench.b.expert_linear(y, selection, down.0, down.1).expect("widths fit");
        let out = bench.b.expert_sum(y, selection).expect("a row a chosen expert");
        bench.finish_rows(out, tokens, product_bounds(ty).times(6.0))
    }
}

pub fn mixtures() -> Vec<Entry> {
    let choices = [Choice::Random, Choice::Same, Choice::Turns];
    let counts = [(8, 2), (4, 1), (16, 4), (33, 8), (60, 4), (128, 8)];
    let mut cases = Vec::new();
    for (i, ty) in types().enumerate() {
        for j in 0..3 {
            let (experts, chosen) = counts[(i + j * 2) % counts.len()];
            let widths = if ty.block_elems() > 64 { [256, 512] } else { [64, 96].map(|w| w * (1 + j) / 32 * 32) };
            let (hidden, inner) = if ty.block_elems() == 64 { (64, 192) } else { (widths[i % 2], widths[(i + 1) % 2]) };
            let (hidden, inner) = if ty.block_elems() == 128 { (256, 128) } else { (hidden, inner) };
            let mixture = Mixture { ty, experts, chosen, hidden, inner, choice: choices[j], bias: (i + j) % 2 == 1 };
            cases.push(Entry::new(mixture.name(), move |rng| mixture.case(rng, &TOKENS)));
        }
        let small = Mixture { ty, experts: 6, chosen: 2, hidden: 256, inner: 256, choice: Choice::Random, bias: true };
        let quick = TYPICAL[..3].contains(&ty);
        cases.push(Entry::new(small.name(), move |rng| small.case(rng, &FEW_TOKENS)).quick(quick));
    }
    cases
}

/// What a router is tried on.
#[derive(Debug, Clone, Copy)]
enum Scores {
    Random,
    /// Whole numbers between -2 and 2: many experts are equal, and the lower id wins.
    Ties,
    /// Of a size at which the exponentials of small ones vanish.
    Large,
}

impl Scores {
    fn table(self, rng: &mut Rng, experts: usize) -> Vec<f32> {
        let scores = rng.normals(IDS * experts).into_iter();
        match self {
            Scores::Random => scores.collect(),
            Scores::Ties => scores.map(|x| x.round().clamp(-2.0, 2.0)).collect(),
            Scores::Large => scores.map(|x| x * 30.0).collect(),
        }
    }
}

pub fn routers() -> Vec<Entry> {
    let mut cases = Vec::new();
    let counts: [(usize, usize); 11] =
        [(1, 1), (4, 2), (8, 2), (32, 4), (60, 4), (64, 6), (128, 8), (160, 6), (256, 8), (384, 8), (512, 10)];
    let scorings = [Scoring::Softmax, Scoring::Sigmoid, Scoring::SoftmaxChosen];
    for (i, (experts, chosen)) in counts.into_iter().enumerate() {
        for (j, scoring) in scorings.into_iter().enumerate() {
            for (k, scores) in [Scores::Random, Scores::Ties, Scores::Large].into_iter().enumerate() {
                let groups = if experts.is_multiple_of(32) && experts > 32 { [1, 4, 8][(i + k) % 3] } else { 1 };
                let spec = RouteSpec {
                    experts,
                    chosen,
                    scoring,
                    normalize: (i + j + k) % 2 == 0,
                    scale: [1.0, 2.5][(j + k) % 2],
                    groups,
                    groups_chosen: groups.div_ceil(2),
                };
                // Sigmoids of large scores are all 1, and which of two equal ones is larger depends on rounding.
                let is_clear = !(scoring == Scoring::Sigmoid && matches!(scores, Scores::Large));
                let has_bias = (i + k) % 2 == 1;
                let entry =
                    Entry::new(route_name(&spec, scores, has_bias), move |rng| route(rng, spec, scores, has_bias));
                cases.extend(is_clear.then(|| entry.quick(experts == 32)));
            }
        }
    }
    cases
}

fn route_name(spec: &RouteSpec, scores: Scores, has_bias: bool) -> String {
    let RouteSpec { experts, chosen, scoring, normalize, groups, groups_chosen, .. } = spec;
    let of = if *groups > 1 { format!(" in {groups_chosen} of {groups} groups") } else { String::new() };
    let normalize = if *normalize { " normalized" } else { "" };
    let bias = if has_bias { " bias" } else { "" };
    format!("{scoring:?} {chosen} of {experts}{of}{normalize}{bias} {scores:?}")
}

/// The ids, and the weights, which are far smaller in sum than the least difference of ids.
fn route(rng: &mut Rng, spec: RouteSpec, scores: Scores, has_bias: bool) -> Case {
    let mut bench = Bench::new(rng);
    let table = scores.table(bench.rng, spec.experts);
    let scores = bench.input_of(&table, spec.experts);
    let bias = has_bias.then(|| {
        let values: Vec<f32> = (0..spec.experts).map(|e| (e % 7) as f32 * 0.125).collect();
        bench.vector(&values)
    });
    let selection = bench.b.route(scores, spec, bias).expect("a router");
    let ids = bench.b.scale(selection.ids, 0.125);
    let out = bench.b.add(ids, selection.weights).expect("equal shapes");
    bench.finish_rows(out, &TOKENS, Bounds::all(1e-11, 1e-4))
}
