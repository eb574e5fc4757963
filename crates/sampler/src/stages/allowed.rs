//! Allowed tokens: the request's own list and the mask of a grammar.

use super::{Stage, StageKind, Step};
use crate::candidates::Candidates;

pub(super) const STAGE: Stage = Stage {
    name: "allowed tokens",
    kind: StageKind::Adjust,
    params: &["allowed_tokens"],
    definition: "logit[t] = -inf unless t is in the list and in the token mask of the step",
    source: "",
    active: |step| step.allowed.is_some() || step.mask.is_some(),
    apply,
};

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    for mask in [step.allowed, step.mask].into_iter().flatten() {
        mask.apply(&mut candidates.logits);
    }
}
