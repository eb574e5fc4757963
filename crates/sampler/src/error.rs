//! What can go wrong: bad parameters, bad logits, nothing left to choose from.

use crate::TokenId;

/// Why parameters were refused or a step produced no token.
///
/// The first four are mistakes of whoever wrote the parameters, the next two of
/// whoever calls the sampler, and the last three say that this sequence cannot go on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SamplerError {
    /// A parameter lies outside its allowed range (a NaN lies outside of every range).
    #[error("`{param}` must be {allowed}, found {found}")]
    OutOfRange {
        /// The parameter as users write it, for example `top_p` or `dry.base`.
        param: &'static str,
        /// The allowed values in words.
        allowed: String,
        /// The value that was given.
        found: String,
    },
    /// A parameter names a token that the vocabulary does not have.
    #[error("`{param}` names token {token}, but the vocabulary has ids 0 to {max}", max = vocab_size.saturating_sub(1))]
    TokenOutOfVocab {
        /// The parameter.
        param: &'static str,
        /// The id that was given.
        token: TokenId,
        /// The number of tokens in the vocabulary.
        vocab_size: usize,
    },
    /// A list gives the same token twice, so that its meaning is not clear.
    #[error("`{param}` gives token {token} more than once, expected each token once")]
    DuplicateToken {
        /// The parameter.
        param: &'static str,
        /// The repeated id.
        token: TokenId,
    },
    /// A list has more or fewer entries than it may have.
    #[error("`{param}` must have {min} to {max} entries, found {found}")]
    ListLength {
        /// The parameter.
        param: &'static str,
        /// The fewest entries allowed.
        min: usize,
        /// The most entries allowed.
        max: usize,
        /// The number of entries given.
        found: usize,
    },
    /// The row of logits does not have one value per token of the vocabulary.
    #[error("logits: expected {expected} values, one per token of the vocabulary, found {found}")]
    LogitsLength {
        /// The vocabulary size.
        expected: usize,
        /// The length of the row.
        found: usize,
    },
    /// The token mask is for another vocabulary.
    #[error("token mask: expected one for {expected} tokens, found one for {found}")]
    MaskLength {
        /// The vocabulary size of the sampler.
        expected: usize,
        /// The vocabulary size of the mask.
        found: usize,
    },
    /// A logit is NaN or positive infinity: the model's arithmetic broke down.
    #[error("logits: the value of token {token} is {value}, expected a finite number or -inf")]
    BadLogit {
        /// The first token with such a value.
        token: TokenId,
        /// The value.
        value: f32,
    },
    /// Every logit is negative infinity: the model allows no token.
    #[error("logits: all {vocab_size} values are -inf, expected at least one finite value")]
    NoFiniteLogit {
        /// The vocabulary size.
        vocab_size: usize,
    },
    /// Logit bias, allowed tokens and token mask together ban every token that the model allows.
    #[error(
        "no token is left: `logit_bias`, `allowed_tokens` and the token mask together ban all {possible} tokens that the model allows"
    )]
    NoCandidate {
        /// How many tokens had a finite logit before the bans.
        possible: usize,
    },
}
