//! The stages of the chain: one file each, one table for their order.

mod allowed;
mod dry;
mod logit_bias;
mod min_p;
mod mirostat;
mod penalties;
mod temperature;
mod top_k;
mod top_n_sigma;
mod top_p;
mod typical;
mod xtc;

pub(crate) use mirostat::{next_limit, start_limit};
pub(crate) use penalties::is_active as penalties_active;

use crate::candidates::Candidates;
use crate::history::History;
use crate::{SamplingParams, TokenMask};

/// What a stage may look at besides the candidates.
pub(crate) struct Step<'a> {
    pub params: &'a SamplingParams,
    pub history: &'a History,
    /// The grammar's mask of this step.
    pub mask: Option<&'a TokenMask>,
    /// `allowed_tokens` as a mask.
    pub allowed: Option<&'a TokenMask>,
    pub seed: u64,
    pub position: u64,
    /// Mirostat's limit on the surprise, in bits.
    pub mirostat_mu: f32,
}

impl Step<'_> {
    fn min_keep(&self) -> usize {
        self.params.min_keep.max(1)
    }
}

/// What a stage does to the candidates, which decides when it is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageKind {
    /// Changes or bans the logits of single tokens; always acts.
    Adjust,
    /// Removes candidates; skipped when greedy and under Mirostat.
    Truncate,
    /// Changes the shape of the whole distribution; skipped when greedy.
    Shape,
    /// Removes candidates in place of the truncating stages; skipped when greedy.
    Mirostat,
}

/// One stage of the chain.
#[derive(Debug)]
pub struct Stage {
    /// Its name.
    pub name: &'static str,
    /// What kind of change it makes.
    pub kind: StageKind,
    /// The parameters that it reads, as they are called in [`PARAMS`](crate::PARAMS).
    pub params: &'static [&'static str],
    /// Its definition in one line.
    pub definition: &'static str,
    /// Where it was first described; empty for what is older than the literature on it.
    pub source: &'static str,
    active: fn(&Step<'_>) -> bool,
    apply: fn(&Step<'_>, &mut Candidates),
}

/// The chain: the stages act in this order, each on what the ones before it left.
///
/// Truncation comes before the temperature, so that what is cut off does not depend on
/// how bold the draw among the rest is.
pub static STAGES: &[Stage] = &[
    logit_bias::STAGE,
    allowed::STAGE,
    penalties::STAGE,
    dry::STAGE,
    top_n_sigma::STAGE,
    top_k::STAGE,
    typical::STAGE,
    top_p::STAGE,
    min_p::STAGE,
    xtc::STAGE,
    temperature::STAGE,
    mirostat::STAGE,
];

/// Whether a stage of this kind is on that would change this step.
pub(crate) fn any_adjusts(step: &Step<'_>) -> bool {
    STAGES.iter().any(|stage| stage.kind == StageKind::Adjust && (stage.active)(step))
}

/// Runs the adjusting stages, on candidates that are still the whole vocabulary.
pub(crate) fn adjust(step: &Step<'_>, candidates: &mut Candidates) {
    run(step, candidates, |kind| kind == StageKind::Adjust);
}

/// Runs the stages after the adjusting ones, on candidates with finite logits.
pub(crate) fn narrow(step: &Step<'_>, candidates: &mut Candidates) {
    let skipped = if step.params.mirostat.is_some() { StageKind::Truncate } else { StageKind::Mirostat };
    run(step, candidates, |kind| kind != StageKind::Adjust && kind != skipped);
}

fn run(step: &Step<'_>, candidates: &mut Candidates, wanted: impl Fn(StageKind) -> bool) {
    for stage in STAGES.iter().filter(|stage| wanted(stage.kind)) {
        if (stage.active)(step) {
            (stage.apply)(step, candidates);
        }
    }
}

/// The result of adjusting a finite logit stays finite, so that only a ban bans.
fn finite(logit: f32) -> f32 {
    logit.clamp(f32::MIN, f32::MAX)
}
