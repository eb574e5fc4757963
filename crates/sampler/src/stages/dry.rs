//! DRY: the next token may not go on with a repetition.
//!
//! Let W be the last `last_n` tokens of the history, and let s be the length of its
//! longest suffix that no sequence breaker ends in. For each earlier place in W, let n be
//! the length of the longest run, at most s, that both ends there and ends W. The token
//! that followed there is a continuation of length n. A token whose longest continuation
//! has n >= `allowed_length` loses `multiplier * base^(n - allowed_length)`. A token that
//! is a breaker by itself loses nothing.

use super::{Stage, StageKind, Step, finite};
use crate::TokenId;
use crate::candidates::Candidates;
use crate::params::Dry;

pub(super) const STAGE: Stage = Stage {
    name: "DRY",
    kind: StageKind::Adjust,
    params: &["dry.multiplier", "dry.base", "dry.allowed_length", "dry.last_n", "dry.sequence_breakers"],
    definition: "l -= multiplier * base^(n - allowed_length) for a token that would extend \
                 a repetition of n >= allowed_length tokens",
    source: "https://github.com/oobabooga/text-generation-webui/pull/5677",
    active: |step| step.params.dry.as_ref().is_some_and(|dry| dry.multiplier > 0.0),
    apply,
};

fn apply(step: &Step<'_>, candidates: &mut Candidates) {
    let Some(dry) = &step.params.dry else { return };
    let tokens = step.history.tokens();
    let window = &tokens[tokens.len() - dry.last_n.unwrap_or(tokens.len()).min(tokens.len())..];
    let longest = step.history.run_len().min(window.len());
    if longest < dry.allowed_length {
        return;
    }
    suffix_overlaps(window, &mut candidates.overlaps);
    let found = &mut candidates.continuations;
    found.clear();
    // overlaps[i]: the run that ends i tokens before the end, followed by the token after it.
    for (i, &overlap) in candidates.overlaps.iter().enumerate().skip(1) {
        let length = overlap.min(longest as u32);
        let token = window[window.len() - i];
        if length as usize >= dry.allowed_length && !step.history.is_breaker(token) {
            found.push((token, length));
        }
    }
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    found.dedup_by_key(|(token, _)| *token);
    for &(token, length) in found.iter() {
        if let Some(logit) = candidates.logits.get_mut(token as usize)
            && *logit != f32::NEG_INFINITY
        {
            *logit = finite(*logit - penalty(dry, length));
        }
    }
}

fn penalty(dry: &Dry, length: u32) -> f32 {
    let exponent = f64::from(length) - dry.allowed_length as f64;
    (f64::from(dry.multiplier) * f64::from(dry.base).powf(exponent)).min(f64::from(f32::MAX)) as f32
}

/// Sets `overlaps[i]` to the length of the longest run that ends i tokens before the end
/// of `tokens` and also ends `tokens`: the Z function of the reversed tokens (Gusfield,
/// "Algorithms on Strings, Trees, and Sequences", section 1.3). Linear also for a
/// history of one token repeated.
fn suffix_overlaps(tokens: &[TokenId], overlaps: &mut Vec<u32>) {
    let n = tokens.len();
    let reversed = |i: usize| tokens[n - 1 - i];
    overlaps.clear();
    overlaps.resize(n, 0);
    // The known match that reaches furthest is reversed[left..right].
    let (mut left, mut right) = (0, 0);
    for i in 1..n {
        let known = if i < right { (overlaps[i - left] as usize).min(right - i) } else { 0 };
        let mut length = known;
        while i + length < n && reversed(length) == reversed(i + length) {
            length += 1;
        }
        if i + length > right {
            (left, right) = (i, i + length);
        }
        overlaps[i] = length as u32;
    }
}
