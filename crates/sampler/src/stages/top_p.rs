//! Top-p, nucleus sampling: a fixed share of the probability.

use super::{Stage, StageKind, Step};
use crate::candidates::Candidates;

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
    let softmax = candidates.softmax();
    candidates.keys.clear();
    candidates.keys.extend(candidates.logits.iter().map(|&l| softmax.max - l));
    candidates.keep_mass(f64::from(step.params.top_p) * softmax.total, step.min_keep());
}
