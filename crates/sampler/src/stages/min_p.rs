//! Min-p: a share of the best token's probability.

use super::{Stage, StageKind, Step};
use crate::candidates::Candidates;

pub(super) const STAGE: Stage = Stage {
    name: "min-p",
    kind: StageKind::Truncate,
    params: &["min_p"],
    definition: "keep p >= min_p * max p, that is l >= max + ln(min_p)",
    source: "arXiv:2407.01082",
    active: |step| step.params.min_p > 0.0,
    apply,
};

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    let floor = f64::from(candidates.max()) + f64::from(step.params.min_p).ln();
    candidates.keep_from((floor as f32).max(f32::MIN), step.min_keep());
}
