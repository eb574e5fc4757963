//! Top-n-sigma: the informative logits stand out from a bell of noise.

use super::{Stage, StageKind, Step};
use crate::candidates::Candidates;

pub(super) const STAGE: Stage = Stage {
    name: "top-n-sigma",
    kind: StageKind::Truncate,
    params: &["top_n_sigma"],
    definition: "keep l >= max - n * sigma, sigma the standard deviation (over the number of candidates) of the logits",
    source: "arXiv:2411.07641",
    active: |step| step.params.top_n_sigma > 0.0,
    apply,
};

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    let max = candidates.max();
    let sigma = deviation(&candidates.logits);
    let floor = f64::from(max) - f64::from(step.params.top_n_sigma) * sigma;
    candidates.keep_from((floor as f32).max(f32::MIN), step.min_keep());
}

/// Two passes, because the difference of two large sums of squares loses what matters.
fn deviation(logits: &[f32]) -> f64 {
    let mean = mean(logits, |l| l);
    mean_of_squares(logits, mean).sqrt()
}

fn mean_of_squares(logits: &[f32], center: f64) -> f64 {
    mean(logits, |l| (l - center) * (l - center))
}

/// Eight sums side by side, so that an addition does not wait for the one before.
fn mean(logits: &[f32], value: impl Fn(f64) -> f64) -> f64 {
    let mut lanes = [0.0f64; 8];
    let mut chunks = logits.chunks_exact(lanes.len());
    for chunk in &mut chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane += value(f64::from(logit));
        }
    }
    let tail: f64 = chunks.remainder().iter().map(|&logit| value(f64::from(logit))).sum();
    (lanes.iter().sum::<f64>() + tail) / logits.len() as f64
}
