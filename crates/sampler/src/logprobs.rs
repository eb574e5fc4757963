//! Log-probabilities of the model's own distribution, and the greedy choice.

use crate::math::{self, Scan};
use crate::select::Selector;
use crate::{SamplerError, TokenId};

/// A token with the natural logarithm of its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct TokenLogprob {
    /// The token.
    pub token: TokenId,
    /// ln p, p from the softmax of the raw logits.
    pub logprob: f32,
}

/// The n most probable tokens of a row, `logits` `[vocab]`, most probable first; equal
/// ones by rising id. Fewer when the vocabulary is smaller.
///
/// # Errors
/// [`SamplerError::BadLogit`] for a NaN or +inf, [`SamplerError::NoFiniteLogit`] when all
/// logits are -inf or there are none.
pub fn log_softmax_top(logits: &[f32], n: usize) -> Result<Vec<TokenLogprob>, SamplerError> {
    let scan = checked_scan(logits)?;
    Ok(top_logprobs(logits, n, log_z(logits, scan.max), &mut Selector::default()))
}

/// ln p of one token of a row, `logits` `[vocab]`, for scoring given text.
///
/// # Errors
/// As [`log_softmax_top`], and [`SamplerError::TokenOutOfVocab`] when the row has no such token.
pub fn token_logprob(logits: &[f32], token: TokenId) -> Result<f32, SamplerError> {
    let scan = checked_scan(logits)?;
    let &logit = logits.get(token as usize).ok_or(SamplerError::TokenOutOfVocab {
        param: "token",
        token,
        vocab_size: logits.len(),
    })?;
    Ok(logprob(logit, log_z(logits, scan.max)))
}

/// The token of the largest logit; of equal ones the lowest id. One pass over `[vocab]`.
///
/// # Errors
/// As [`log_softmax_top`].
pub fn greedy(logits: &[f32]) -> Result<TokenId, SamplerError> {
    Ok(checked_scan(logits)?.argmax as TokenId)
}

pub(crate) fn checked_scan(logits: &[f32]) -> Result<Scan, SamplerError> {
    let scan = math::scan(logits);
    if scan.broken {
        let bad = |v: &f32| v.is_nan() || *v == f32::INFINITY;
        let index = logits.iter().position(bad).unwrap_or(0);
        return Err(SamplerError::BadLogit { token: index as TokenId, value: logits[index] });
    }
    if scan.max == f32::NEG_INFINITY {
        return Err(SamplerError::NoFiniteLogit { vocab_size: logits.len() });
    }
    Ok(scan)
}

/// The logarithm of the sum of e^logit.
pub(crate) fn log_z(logits: &[f32], max: f32) -> f64 {
    f64::from(max) + math::exp_sum(logits, max).ln()
}

pub(crate) fn logprob(logit: f32, log_z: f64) -> f32 {
    (f64::from(logit) - log_z) as f32
}

pub(crate) fn top_logprobs(logits: &[f32], n: usize, log_z: f64, selector: &mut Selector) -> Vec<TokenLogprob> {
    let top = selector.top(logits, n).iter();
    top.map(|&(logit, token)| TokenLogprob { token, logprob: logprob(logit, log_z) }).collect()
}
