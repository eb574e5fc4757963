//! Mirostat version 2: feedback on the surprise of the text.
//!
//! The surprise of a token is -log2 p, p its probability before this stage truncates.
//! Candidates above the limit mu are removed; after the draw, mu moves against the
//! deviation of the chosen token's surprise from tau (algorithm 2 of the paper).

use super::{Stage, StageKind, Step};
use crate::candidates::Candidates;
use crate::params::Mirostat;

pub(super) const STAGE: Stage = Stage {
    name: "Mirostat 2",
    kind: StageKind::Mirostat,
    params: &["mirostat.tau", "mirostat.eta"],
    definition: "keep -log2 p <= mu, at least the best; after the draw mu -= eta * (-log2 p(drawn) - tau); mu starts at 2 tau",
    source: "arXiv:2007.14966",
    active: |step| step.params.mirostat.is_some(),
    apply,
};

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    let softmax = candidates.softmax();
    let log_z = f64::from(softmax.max) + softmax.total.ln();
    let floor = log_z - f64::from(step.mirostat_mu) * std::f64::consts::LN_2;
    candidates.mirostat_log_z = log_z;
    candidates.keep_from((floor as f32).max(f32::MIN), 1);
}

/// The limit before the first token, in bits.
pub(crate) fn start_limit(mirostat: Option<Mirostat>) -> f32 {
    mirostat.map_or(0.0, |m| 2.0 * m.tau)
}

/// The limit after a token of this logit was drawn, in bits.
pub(crate) fn next_limit(mirostat: Mirostat, mu: f32, logit: f32, log_z: f64) -> f32 {
    let surprise = (log_z - f64::from(logit)) / std::f64::consts::LN_2;
    (f64::from(mu) - f64::from(mirostat.eta) * (surprise - f64::from(mirostat.tau))) as f32
}
