//! Temperature, fixed or moved by the entropy.

use super::{Stage, StageKind, Step};
use crate::candidates::{Candidates, Softmax};

pub(super) const STAGE: Stage = Stage {
    name: "temperature",
    kind: StageKind::Shape,
    params: &["temperature", "dynatemp_range", "dynatemp_exponent"],
    definition: "l = (l - max) / T; with a range r, T = low + (high - low) * (H / ln n)^exponent, \
                 low = max(0, temperature - r), high = temperature + r, H the entropy of the n candidates",
    source: "Ackley, Hinton, Sejnowski 1985; dynamic: https://github.com/ggml-org/llama.cpp/pull/4972",
    active: |step| step.params.temperature != 1.0 || step.params.dynatemp_range > 0.0,
    apply,
};

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    let params = step.params;
    let temperature = if params.dynatemp_range > 0.0 {
        let (low, high) =
            ((params.temperature - params.dynatemp_range).max(0.0), params.temperature + params.dynatemp_range);
        low + (high - low) * normalized_entropy(candidates).powf(params.dynatemp_exponent)
    } else {
        params.temperature
    };
    if temperature <= 0.0 {
        return candidates.keep_largest(1);
    }
    // The maximum is taken off first, so that a tiny temperature pushes the others down
    // to -inf and never anything up to +inf.
    let max = candidates.max();
    for logit in &mut candidates.logits {
        *logit = ((*logit - max) / temperature).max(f32::MIN);
    }
}

/// The entropy over its largest possible value, in 0..=1; 1 for a single candidate.
fn normalized_entropy(candidates: &mut Candidates) -> f32 {
    if candidates.len() < 2 {
        return 1.0;
    }
    let Softmax { max, total } = candidates.softmax();
    let pairs = candidates.weights.iter().zip(&candidates.logits);
    let depths = pairs.filter(|(w, _)| **w > 0.0).map(|(&w, &l)| f64::from(w) * f64::from(max - l));
    let entropy = total.ln() + depths.sum::<f64>() / total;
    (entropy / (candidates.len() as f64).ln()).clamp(0.0, 1.0) as f32
}
