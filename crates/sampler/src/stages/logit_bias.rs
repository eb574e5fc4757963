//! Logit bias: the caller's own correction of single tokens.

use super::{Stage, StageKind, Step, finite};
use crate::candidates::Candidates;

pub(super) const STAGE: Stage = Stage {
    name: "logit bias",
    kind: StageKind::Adjust,
    params: &["logit_bias"],
    definition: "logit[t] += bias[t]; a bias of -inf bans t",
    source: "OpenAI API, `logit_bias`",
    active: |step| !step.params.logit_bias.is_empty(),
    apply,
};

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    for &(token, bias) in &step.params.logit_bias {
        // Before truncation candidate i is token i; ids were checked against the vocabulary.
        if let Some(logit) = candidates.logits.get_mut(token as usize) {
            *logit = biased(*logit, bias);
        }
    }
}

/// A token that the model itself bans is not brought back by a bias.
fn biased(logit: f32, bias: f32) -> f32 {
    if logit == f32::NEG_INFINITY || bias == f32::NEG_INFINITY { f32::NEG_INFINITY } else { finite(logit + bias) }
}
