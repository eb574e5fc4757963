//! Mixture of experts: the choice, and the weighted sum.

use rocmforge_program::{RouteSpec, Scoring};

use super::lanes::{Isa, Kernel, LANES, Lanes};

/// Room for the choice of one token, made once for each thread.
#[derive(Debug, Clone)]
pub struct RouteScratch {
    probabilities: Vec<f64>,
    /// What the choice goes by; NaN-free order by `total_cmp`.
    ranks: Vec<f64>,
    /// Experts or groups that can still be chosen.
    open: Vec<bool>,
    group_open: Vec<bool>,
    group_ranks: Vec<f64>,
    chosen: Vec<f64>,
}

impl RouteScratch {
    /// Room for routers up to these sizes.
    pub fn new(experts: usize, groups: usize, chosen: usize) -> Self {
        Self {
            probabilities: vec![0.0; experts],
            ranks: vec![0.0; experts],
            open: vec![false; experts],
            group_open: vec![false; groups],
            group_ranks: vec![0.0; groups],
            chosen: vec![0.0; chosen],
        }
    }
}

/// Chooses experts for rows of scores `[rows, experts]`: ids and weights, both `[rows, chosen]`, the best first.
///
/// Computed in f64: an expert more or less is a jump in the output, and the scores are few. Ties go to the lower id. A
/// token for which fewer than `chosen` experts take part fills up with expert 0 of weight 0.
///
/// # Panics
/// If the slices or the scratch do not fit the specification.
pub fn route(
    spec: &RouteSpec,
    scores: &[f32],
    bias: Option<&[f32]>,
    scratch: &mut RouteScratch,
    ids: &mut [f32],
    weights: &mut [f32],
) {
    assert!(spec.experts > 0 && spec.groups > 0 && spec.experts.is_multiple_of(spec.groups), "groups of equal size");
    assert!(scores.len().is_multiple_of(spec.experts), "rows of scores");
    let rows = scores.len() / spec.experts;
    assert!(ids.len() == rows * spec.chosen && weights.len() == ids.len(), "a row of ids and weights a token");
    assert!(bias.is_none_or(|b| b.len() == spec.experts), "a bias an expert");
    let k = spec.chosen.max(1);
    for ((scores, ids), weights) in
        scores.chunks_exact(spec.experts).zip(ids.chunks_exact_mut(k)).zip(weights.chunks_exact_mut(k))
    {
        route_one(spec, scores, bias, scratch, ids, weights);
    }
}

fn route_one(
    spec: &RouteSpec,
    scores: &[f32],
    bias: Option<&[f32]>,
    scratch: &mut RouteScratch,
    ids: &mut [f32],
    weights: &mut [f32],
) {
    let probabilities = &mut scratch.probabilities[..spec.experts];
    let ranks = &mut scratch.ranks[..spec.experts];
    let open = &mut scratch.open[..spec.experts];
    probabilities.iter_mut().zip(scores).for_each(|(p, &s)| *p = f64::from(s));
    match spec.scoring {
        Scoring::Softmax => softmax(probabilities),
        Scoring::Sigmoid => probabilities.iter_mut().for_each(|p| *p = 1.0 / (1.0 + (-*p).exp())),
        Scoring::SoftmaxChosen => {}
    }
    for (e, (rank, p)) in ranks.iter_mut().zip(&*probabilities).enumerate() {
        *rank = p + bias.map_or(0.0, |b| f64::from(b[e]));
    }
    open.fill(true);
    if spec.groups_chosen < spec.groups {
        let groups = (&mut scratch.group_ranks[..spec.groups], &mut scratch.group_open[..spec.groups]);
        close_groups(spec.groups_chosen, ranks, open, groups);
    }
    let chosen = &mut scratch.chosen[..spec.chosen];
    let mut found = 0;
    while found < spec.chosen {
        let Some(expert) = take_best(ranks, open) else { break };
        ids[found] = expert as f32;
        chosen[found] = probabilities[expert];
        found += 1;
    }
    ids[found..].fill(0.0);
    weights[found..].fill(0.0);
    let chosen = &mut chosen[..found];
    if spec.scoring == Scoring::SoftmaxChosen {
        softmax(chosen);
    }
    let total = if spec.normalize { chosen.iter().sum::<f64>() } else { 1.0 };
    for (weight, p) in weights.iter_mut().zip(&*chosen) {
        *weight = (p / total * f64::from(spec.scale)) as f32;
    }
}

/// The open entry of the highest rank, which is then closed.
fn take_best(ranks: &[f64], open: &mut [bool]) -> Option<usize> {
    let mut best: Option<usize> = None;
    for (i, rank) in ranks.iter().enumerate() {
        if open[i] && best.is_none_or(|b| rank.total_cmp(&ranks[b]).is_gt()) {
            best = Some(i);
        }
    }
    if let Some(best) = best {
        open[best] = false;
    }
    best
}

/// Leaves open only the experts of the best groups, by the sum of the two best ranks of each.
fn close_groups(keep: usize, ranks: &[f64], open: &mut [bool], groups: (&mut [f64], &mut [bool])) {
    let (sums, group_open) = groups;
    let size = ranks.len() / sums.len();
    for (sum, group) in sums.iter_mut().zip(ranks.chunks_exact(size)) {
        let (mut first, mut second) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
        for &rank in group {
            if rank.total_cmp(&first).is_gt() {
                (first, second) = (rank, first);
            } else if rank.total_cmp(&second).is_gt() {
                second = rank;
            }
        }
        *sum = if group.len() > 1 { first + second } else { first };
    }
    group_open.fill(true);
    open.fill(false);
    for _ in 0..keep {
        if let Some(group) = take_best(sums, group_open) {
            open[group * size..][..size].fill(true);
        }
    }
}

fn softmax(x: &mut [f64]) {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    x.iter_mut().for_each(|x| *x = (*x - max).exp());
    let total: f64 = x.iter().sum();
    x.iter_mut().for_each(|x| *x /= total);
}

/// `out[t] = Σ_i weights[t, i] x[t * k + i]`: `weights` is `[rows, k]`, `x` `[rows * k, cols]`, `out` `[rows, cols]`.
///
/// # Panics
/// If the sizes do not fit together.
pub fn expert_sum(isa: Isa, k: usize, cols: usize, weights: &[f32], x: &[f32], out: &mut [f32]) {
    assert!(k > 0 && cols > 0 && weights.len().is_multiple_of(k), "whole rows");
    let rows = weights.len() / k;
    assert!(out.len() == rows * cols && x.len() == rows * k * cols, "rows of every expert and token");
    isa.run(ExpertSum { k, cols, weights, x, out });
}

struct ExpertSum<'a> {
    k: usize,
    cols: usize,
    weights: &'a [f32],
    x: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for ExpertSum<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { k, cols, weights, x, out } = self;
        for ((weights, x), out) in weights.chunks_exact(k).zip(x.chunks_exact(k * cols)).zip(out.chunks_exact_mut(cols))
        {
            let mut col = 0;
            while col < cols {
                let here = (cols - col).min(LANES);
                // SAFETY: each of the `k` rows of `x`, and `out`, has `here` numbers from `col`.
                unsafe {
                    let mut sum = L::splat(0.0);
                    for (i, &weight) in weights.iter().enumerate() {
                        let at = x.as_ptr().add(i * cols + col);
                        let x = if here == LANES { L::load(at) } else { L::load_part(at, here) };
                        sum = L::fma(x, L::splat(weight), sum);
                    }
                    let at = out.as_mut_ptr().add(col);
                    if here == LANES { L::store(at, sum) } else { L::store_part(at, here, sum) }
                }
                col += LANES;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(experts: usize, chosen: usize, scoring: Scoring) -> RouteSpec {
        RouteSpec { experts, chosen, scoring, normalize: false, scale: 1.0, groups: 1, groups_chosen: 1 }
    }

    fn choose(spec: &RouteSpec, scores: &[f32], bias: Option<&[f32]>) -> (Vec<f32>, Vec<f32>) {
        let rows = scores.len() / spec.experts;
        let (mut ids, mut weights) = (vec![9.0; rows * spec.chosen], vec![9.0; rows * spec.chosen]);
        let mut scratch = RouteScratch::new(spec.experts, spec.groups, spec.chosen);
        route(spec, scores, bias, &mut scratch, &mut ids, &mut weights);
        (ids, weights)
    }

    fn near(found: &[f32], expected: &[f32]) {
        assert_eq!(found.len(), expected.len());
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} expected {expected:?}");
    }

    #[test]
    fn the_three_scorings() {
        let scores = [0.0, 1f32.ln(), 3f32.ln(), 2f32.ln()];
        let (ids, weights) = choose(&spec(4, 2, Scoring::Softmax), &scores, None);
        assert_eq!(ids, [2.0, 3.0]);
        near(&weights, &[3.0 / 7.0, 2.0 / 7.0]);
        let (ids, weights) = choose(&spec(4, 2, Scoring::SoftmaxChosen), &scores, None);
        assert_eq!(ids, [2.0, 3.0]);
        near(&weights, &[0.6, 0.4]);
        let (_, weights) = choose(&spec(4, 2, Scoring::Sigmoid), &scores, None);
        near(&weights, &[0.75, 2.0 / 3.0]);
        let mut scaled = spec(4, 2, Scoring::Softmax);
        (scaled.normalize, scaled.scale) = (true, 2.5);
        near(&choose(&scaled, &scores, None).1, &[1.5, 1.0]);
    }

    #[test]
    fn ties_go_to_the_lower_id_and_the_bias_only_chooses() {
        let (ids, _) = choose(&spec(5, 3, Scoring::Softmax), &[1.0; 5], None);
        assert_eq!(ids, [0.0, 1.0, 2.0]);
        let (ids, weights) = choose(&spec(3, 1, Scoring::Sigmoid), &[0.0, 1.0, 2.0], Some(&[5.0, 0.0, 0.0]));
        assert_eq!((ids[0], weights[0]), (0.0, 0.5));
    }

    #[test]
    fn groups_are_ranked_by_their_two_best() {
        let mut s = spec(6, 2, Scoring::SoftmaxChosen);
        (s.groups, s.groups_chosen) = (3, 1);
        // Group 0 has the single best expert, group 1 the best pair.
        let (ids, _) = choose(&s, &[9.0, 0.0, 6.0, 5.0, 4.0, 6.0], None);
        assert_eq!(ids, [2.0, 3.0]);
        s.groups_chosen = 2;
        let (ids, _) = choose(&s, &[9.0, 0.0, 6.0, 5.0, 4.0, 6.0], None);
        assert_eq!(ids, [2.0, 5.0], "groups 1 and 2 (11 and 10) beat group 0 (9)");
    }

    #[test]
    fn too_few_experts_fill_up_and_nan_does_not_hang() {
        let mut s = spec(4, 3, Scoring::Softmax);
        (s.groups, s.groups_chosen) = (2, 1);
        let (ids, weights) = choose(&s, &[0.0, 0.0, 5.0, 5.0], None);
        assert_eq!(ids, [2.0, 3.0, 0.0]);
        assert_eq!(weights[2], 0.0);
        let (ids, _) = choose(&spec(4, 2, Scoring::Softmax), &[f32::NAN; 4], None);
        assert_eq!(ids, [0.0, 1.0]);
    }

    #[test]
    fn a_row_does_not_depend_on_its_neighbours() {
        let scores: Vec<f32> = (0..40 * 16).map(|i| ((i * 7919) % 1009) as f32 / 100.0).collect();
        let mut s = spec(16, 4, Scoring::Softmax);
        (s.groups, s.groups_chosen, s.normalize) = (4, 2, true);
        let all = choose(&s, &scores, None);
        for row in [0, 7, 39] {
            let one = choose(&s, &scores[row * 16..][..16], None);
            assert_eq!((&one.0[..], &one.1[..]), (&all.0[row * 4..][..4], &all.1[row * 4..][..4]));
        }
    }

    #[test]
    fn expert_sum_matches_f64() {
        for isa in Isa::available() {
            for (k, cols) in [(1, 16), (3, 50), (8, 7)] {
                let x: Vec<f32> = (0..2 * k * cols).map(|i| (i % 23) as f32 - 11.0).collect();
                let w: Vec<f32> = (0..2 * k).map(|i| i as f32 / 7.0 + 0.1).collect();
                let mut out = vec![0.0; 2 * cols];
                expert_sum(isa, k, cols, &w, &x, &mut out);
                for (i, y) in out.iter().enumerate() {
                    let (t, c) = (i / cols, i % cols);
                    let exact: f64 =
                        (0..k).map(|e| f64::from(w[t * k + e]) * f64::from(x[(t * k + e) * cols + c])).sum();
                    assert!((f64::from(*y) - exact).abs() < 3e-6 * exact.abs().max(10.0), "{y} {exact}");
                }
            }
        }
    }
}
