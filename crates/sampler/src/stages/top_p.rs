//! Top-p, nucleus sampling: a fixed share of the probability.

use super::{Stage, StageKind, Step};
use crate::candidates::{Candidates, Softmax};

pub(super) const STAGE: Stage = Stage {
    name: "top-p",
    kind: StageKind::Truncate,
    params: &["top_p"],
    definition: "by falling p, keep the fewest tokens that hold probability top_p",
    source: "arXiv:1904.09751",
    active: |step| step.params.top_p < 1.0,
    apply,
};

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    let top_p = f64::from(step.params.top_p);
    let softmax = candidates.softmax();
    drop_negligible(step, candidates, softmax);
    candidates.keys.clear();
    candidates.keys.extend(candidates.logits.iter().map(|&l| softmax.max - l));
    candidates.keep_mass(top_p * softmax.total, step.min_keep());
}

/// Drops the tail that is sure to lie below the cut: if each of n candidates holds less than
/// an n-th of what the nucleus may leave out, all of them may be left out. Most of a large
/// vocabulary goes this way, in one cheap comparison each.
fn drop_negligible(step: &Step<'_>, candidates: &mut Candidates, softmax: Softmax) {
    let spare = softmax.total * (1.0 - f64::from(step.params.top_p));
    // Half of the spare mass, so that no rounding of the sums matters.
    let depth = (2.0 * candidates.len() as f64 / spare).ln();
    let floor = f64::from(softmax.max) - depth;
    let before = candidates.len();
    candidates.keep_from((floor as f32).max(f32::MIN), step.min_keep());
    if candidates.len() < before {
        candidates.softmax();
    }
}
