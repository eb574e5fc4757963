//! Locally typical sampling: keep the tokens that surprise as much as the model expects.

use super::{Stage, StageKind, Step};
use crate::candidates::Candidates;

pub(super) const STAGE: Stage = Stage {
    name: "typical",
    kind: StageKind::Truncate,
    params: &["typical_p"],
    definition: "by rising |-ln p - H|, H the entropy, keep the fewest tokens that hold probability typical_p",
    source: "arXiv:2202.00666",
    active: |step| step.params.typical_p < 1.0,
    apply,
};

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    let softmax = candidates.softmax();
    let expected = mean_depth(candidates, softmax.max, softmax.total);
    candidates.keys.clear();
    // -ln p - H is (max - l) minus its mean: the logarithm of the total cancels.
    let keys = candidates.logits.iter().map(|&l| ((softmax.max - l) - expected).abs());
    candidates.keys.extend(keys);
    candidates.keep_mass(f64::from(step.params.typical_p) * softmax.total, step.min_keep());
}

/// The expectation of max - l under the softmax.
fn mean_depth(candidates: &Candidates, max: f32, total: f64) -> f32 {
    let pairs = candidates.weights.iter().zip(&candidates.logits);
    // A logit so far away that the difference overflows has weight 0 and counts nothing.
    let terms = pairs.filter(|(w, _)| **w > 0.0).map(|(&w, &l)| f64::from(w) * f64::from(max - l));
    (terms.sum::<f64>() / total) as f32
}
