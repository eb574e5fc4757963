//! Top-k: a fixed number of candidates.

use super::{Stage, StageKind, Step};
use crate::candidates::Candidates;

pub(super) const STAGE: Stage = Stage {
    name: "top-k",
    kind: StageKind::Truncate,
    params: &["top_k"],
    definition: "keep the k largest logits; of equal ones those of the lowest ids",
    source: "arXiv:1805.04833",
    active: |step| step.params.top_k > 0,
    apply,
};

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    candidates.keep_largest((step.params.top_k as usize).max(step.min_keep()));
}
