//! The definitions, computed in `f64`: the truth that every faster implementation is tested against.

use crate::{AttentionSpec, RopeSpec};

/// Attention of one sequence, as [`AttentionSpec`] defines it.
///
/// `q` is `[queries, num_heads * head_dim]`; query `i` stands at position `keys - queries + i`. `k` is
/// `[keys, num_kv_heads * head_dim]`, `v` is `[keys, num_kv_heads * value_dim]`, `sinks` has one logit a head.
/// Returns `[queries, num_heads * value_dim]`. A query that sees nothing yields zeros.
///
/// # Panics
/// If the slices are not whole rows, or there are more queries than keys.
pub fn attention(spec: &AttentionSpec, q: &[f32], k: &[f32], v: &[f32], sinks: Option<&[f32]>) -> Vec<f32> {
    let queries = q.len() / spec.query_width();
    let keys = k.len() / spec.key_width();
    assert_eq!(q.len(), queries * spec.query_width(), "q is whole rows");
    assert_eq!(v.len(), keys * spec.value_width(), "v has a row for each key");
    assert!(queries <= keys, "every query has its key");
    let mut out = vec![0.0; queries * spec.output_width()];
    for query in 0..queries {
        let position = keys - queries + query;
        let visible = spec.first_visible(position)..if spec.causal { position + 1 } else { keys };
        for head in 0..spec.num_heads {
            let kv_head = head / spec.group_size();
            let q_row = &q[query * spec.query_width() + head * spec.head_dim..][..spec.head_dim];
            let scores: Vec<f64> = visible
                .clone()
                .map(|j| score(spec, q_row, &k[j * spec.key_width() + kv_head * spec.head_dim..][..spec.head_dim]))
                .collect();
            let sink = sinks.map(|s| f64::from(s[head]));
            let weights = softmax_with_sink(&scores, sink);
            let out_row = &mut out[query * spec.output_width() + head * spec.value_dim..][..spec.value_dim];
            for (d, o) in out_row.iter_mut().enumerate() {
                let value = |j: usize| f64::from(v[j * spec.value_width() + kv_head * spec.value_dim + d]);
                *o = visible.clone().zip(&weights).map(|(j, w)| w * value(j)).sum::<f64>() as f32;
            }
        }
    }
    out
}

fn score(spec: &AttentionSpec, q: &[f32], k: &[f32]) -> f64 {
    let dot: f64 = q.iter().zip(k).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    let scaled = dot * f64::from(spec.scale);
    match spec.softcap {
        Some(cap) => f64::from(cap) * (scaled / f64::from(cap)).tanh(),
        None => scaled,
    }
}

fn softmax_with_sink(scores: &[f64], sink: Option<f64>) -> Vec<f64> {
    let max = scores.iter().copied().chain(sink).fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
    let total = exps.iter().sum::<f64>() + sink.map_or(0.0, |s| (s - max).exp());
    exps.iter().map(|e| e / total).collect()
}

/// Rotates the heads of `x`, `[positions.len(), heads * head_dim]`, in place.
///
/// # Panics
/// If `x` is not one row a position or a row is not whole heads.
pub fn rope(spec: &RopeSpec, head_dim: usize, positions: &[usize], x: &mut [f32]) {
    let width = x.len() / positions.len().max(1);
    assert_eq!(x.len(), width * positions.len(), "one row a position");
    assert_eq!(width % head_dim, 0, "rows are whole heads");
    for (row, &position) in x.chunks_exact_mut(width).zip(positions) {
        for head in row.chunks_exact_mut(head_dim) {
            for (i, &frequency) in spec.frequencies.iter().enumerate() {
                let (sin, cos) = (position as f64 * f64::from(frequency)).sin_cos();
                let (a, b) = spec.pair(i);
                let (x0, x1) = (f64::from(head[a]), f64::from(head[b]));
                let magnitude = f64::from(spec.magnitude);
                head[a] = ((x0 * cos - x1 * sin) * magnitude) as f32;
                head[b] = ((x0 * sin + x1 * cos) * magnitude) as f32;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{RopePairing, RopeScaling};

    #[test]
    fn one_key_returns_its_value() {
        let spec = AttentionSpec::causal(2, 1, 2);
        let out = attention(&spec, &[1.0, 2.0, -3.0, 4.0], &[5.0, 6.0], &[7.0, 8.0], None);
        assert_eq!(out, [7.0, 8.0, 7.0, 8.0]);
    }

    #[test]
    fn equal_scores_average_and_a_sink_takes_its_share() {
        let spec = AttentionSpec::causal(1, 1, 1);
        let (k, v) = ([0.0, 0.0], [2.0, 4.0]);
        assert_eq!(attention(&spec, &[1.0], &k, &v, None), [3.0]);
        let out = attention(&spec, &[1.0], &k, &v, Some(&[0.0]));
        assert!((out[0] - 2.0).abs() < 1e-6, "a third each: {out:?}");
    }

    #[test]
    fn window_hides_old_keys_and_large_scores_stay_finite() {
        let mut spec = AttentionSpec::causal(1, 1, 1);
        spec.window = Some(1);
        assert_eq!(attention(&spec, &[1.0], &[1e4, -1e4], &[1.0, 5.0], None), [5.0]);
        spec.window = None;
        assert_eq!(attention(&spec, &[1e4], &[1e4, -1e4], &[1.0, 5.0], None), [1.0]);
    }

    #[test]
    fn rotation_depends_on_distance_only() {
        let spec = RopeSpec::new(RopePairing::Adjacent, 4, 4, 1e4, &RopeScaling::None).unwrap();
        let dot_at = |p: usize, q: usize| {
            let (mut a, mut b) = (vec![1.0, 2.0, 3.0, 4.0], vec![0.5, -1.0, 2.0, 1.0]);
            rope(&spec, 4, &[p], &mut a);
            rope(&spec, 4, &[q], &mut b);
            a.iter().zip(&b).map(|(x, y)| x * y).sum::<f32>()
        };
        assert!((dot_at(3, 10) - dot_at(50, 57)).abs() < 1e-4);
        assert!((dot_at(3, 10) - dot_at(3, 11)).abs() > 1e-3);
    }

    #[test]
    fn partial_rotary_leaves_the_rest() {
        let spec = RopeSpec::new(RopePairing::Halves, 4, 2, 1e4, &RopeScaling::None).unwrap();
        let mut x = vec![1.0, 0.0, 9.0, 8.0];
        rope(&spec, 4, &[1], &mut x);
        assert!((x[0] - 1f32.cos()).abs() < 1e-6 && (x[1] - 1f32.sin()).abs() < 1e-6);
        assert_eq!(&x[2..], &[9.0, 8.0]);
    }
}
