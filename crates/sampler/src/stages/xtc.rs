//! XTC, "exclude top choices": now and then take the road less travelled.

use super::{Stage, StageKind, Step};
use crate::candidates::Candidates;
use crate::philox::{Stream, uniform};

pub(super) const STAGE: Stage = Stage {
    name: "XTC",
    kind: StageKind::Truncate,
    params: &["xtc_probability", "xtc_threshold"],
    definition: "with probability xtc_probability, remove all tokens of p >= xtc_threshold but the least probable of them \
                 (of equal ones the highest id stays)",
    source: "https://github.com/oobabooga/text-generation-webui/pull/6335",
    // Two tokens cannot both have more than half of the probability.
    active: |step| step.params.xtc_probability > 0.0 && step.params.xtc_threshold <= 0.5,
    apply,
};

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    let coin = uniform(step.seed, step.position, Stream::XtcCoin);
    if coin >= f64::from(step.params.xtc_probability) {
        return;
    }
    let softmax = candidates.softmax();
    let threshold = f64::from(step.params.xtc_threshold) * softmax.total;
    let is_top = |weight: f32| f64::from(weight) >= threshold;
    let tops = candidates.weights.iter().filter(|weight| is_top(**weight)).count();
    if tops < 2 || candidates.len() - (tops - 1) < step.min_keep() {
        return;
    }
    let indexed = candidates.weights.iter().zip(&candidates.logits).enumerate();
    let mut spared = (0, f32::INFINITY);
    for (index, (_, &logit)) in indexed.filter(|(_, (w, _))| is_top(**w)) {
        if logit <= spared.1 {
            spared = (index, logit);
        }
    }
    let weights = std::mem::take(&mut candidates.weights);
    candidates.retain(f32::NEG_INFINITY, |index, _| index == spared.0 || !is_top(weights[index]));
    candidates.weights = weights;
}
