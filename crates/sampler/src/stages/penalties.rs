//! Repetition, frequency and presence penalty.
//!
//! The repetition penalty (CTRL, arXiv:1909.05858, section 4.1, in the form that also
//! lowers negative logits) counts the prompt as well: its point is not to copy. Presence
//! and frequency penalty count the output alone, as in the OpenAI API: a long prompt
//! would otherwise ban its own commonest words.

use super::{Stage, StageKind, Step, finite};
use crate::SamplingParams;
use crate::candidates::Candidates;
use crate::history::Count;

pub(super) const STAGE: Stage = Stage {
    name: "penalties",
    kind: StageKind::Adjust,
    params: &["repetition_penalty", "frequency_penalty", "presence_penalty", "penalty_last_n"],
    definition: "for each token of the window: l = l / r if l > 0 else l * r, when it is in prompt or output; \
                 then l -= frequency * count + presence, when it is in the output",
    source: "arXiv:1909.05858, section 4.1; OpenAI API, `frequency_penalty`",
    active: |step| is_active(step.params),
    apply,
};

/// Whether a penalty is on.
pub(crate) fn is_active(params: &SamplingParams) -> bool {
    let off = params.repetition_penalty == 1.0 && params.frequency_penalty == 0.0 && params.presence_penalty == 0.0;
    !off && params.penalty_last_n != Some(0)
}

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    for (token, count) in step.history.counts() {
        // A history may hold ids past the logits, for example placeholders of images.
        if let Some(logit) = candidates.logits.get_mut(token as usize) {
            *logit = penalized(*logit, count, step.params);
        }
    }
}

fn penalized(logit: f32, count: Count, params: &SamplingParams) -> f32 {
    if logit == f32::NEG_INFINITY {
        return logit;
    }
    let r = params.repetition_penalty;
    let mut result = if logit > 0.0 { logit / r } else { logit * r };
    if count.generated > 0 {
        result -= params.frequency_penalty * count.generated as f32 + params.presence_penalty;
    }
    finite(result)
}
