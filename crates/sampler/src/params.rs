//! The parameters of a request, their limits and their documentation, in one table.

use std::ops::Bound::{self, Excluded, Included, Unbounded};
use std::ops::RangeBounds;

use crate::{SamplerError, TokenId};

/// How the next token is chosen; each field's neutral value, which is its default, means "off".
///
/// The order in which the stages act is the order of [`STAGES`](crate::STAGES); limits
/// and meaning of each field are rows of [`PARAMS`].
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct SamplingParams {
    /// Divides the logits. 0 is greedy: the largest logit wins and truncation is skipped.
    pub temperature: f32,
    /// Half the width of the range in which the entropy moves the temperature; 0 = fixed temperature.
    pub dynatemp_range: f32,
    /// How the normalized entropy is bent before it picks a temperature from the range.
    pub dynatemp_exponent: f32,
    /// Keep the k most probable tokens; 0 = off.
    pub top_k: u32,
    /// Keep the fewest most probable tokens that hold this much probability; 1 = off.
    pub top_p: f32,
    /// Keep the tokens at least this probable relative to the most probable one; 0 = off.
    pub min_p: f32,
    /// Keep the tokens of most typical surprise that hold this much probability; 1 = off.
    pub typical_p: f32,
    /// Keep the logits within this many standard deviations of the largest; <= 0 = off.
    pub top_n_sigma: f32,
    /// How often XTC acts; 0 = off.
    pub xtc_probability: f32,
    /// XTC removes all but the least probable of the tokens at least this probable.
    pub xtc_threshold: f32,
    /// Mirostat version 2. When set, the truncating stages are skipped.
    pub mirostat: Option<Mirostat>,
    /// Divides the positive and multiplies the negative logits of tokens in prompt or output; 1 = off.
    pub repetition_penalty: f32,
    /// Subtracted from the logit of each token in the output; 0 = off.
    pub presence_penalty: f32,
    /// Subtracted from a logit once for each time its token is in the output; 0 = off.
    pub frequency_penalty: f32,
    /// How many of the last tokens the three penalties look at; `None` = all.
    pub penalty_last_n: Option<usize>,
    /// Penalizes the tokens that would go on with a repetition.
    pub dry: Option<Dry>,
    /// Each truncating stage leaves at least this many tokens; 0 and 1 are the same.
    pub min_keep: usize,
    /// Added to the logits of these tokens; -inf bans.
    pub logit_bias: Vec<(TokenId, f32)>,
    /// Only these tokens may be chosen; `None` = all.
    pub allowed_tokens: Option<Vec<TokenId>>,
    /// The key of the random numbers; `None` = drawn from the system.
    pub seed: Option<u64>,
    /// How many of the most probable tokens to report with the chosen one; `None` = none of them.
    pub logprobs: Option<u32>,
}

/// Mirostat version 2 (arXiv:2007.14966): holds the surprise of the text near a target.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Mirostat {
    /// The target surprise, in bits per token.
    pub tau: f32,
    /// How far one token's deviation moves the limit.
    pub eta: f32,
}

impl Default for Mirostat {
    fn default() -> Self {
        Self { tau: 5.0, eta: 0.1 }
    }
}

/// DRY, "don't repeat yourself": a penalty that grows with the length of the repetition.
///
/// A token that would extend a run of n tokens seen before by one more, n >=
/// `allowed_length`, loses `multiplier * base^(n - allowed_length)` of its logit.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Dry {
    /// The penalty of the shortest penalized repetition; 0 = off.
    pub multiplier: f32,
    /// The growth of the penalty with each further token of the repetition.
    pub base: f32,
    /// The length of a repetition from which on its continuation is penalized.
    pub allowed_length: usize,
    /// How many of the last tokens are searched; `None` = all.
    pub last_n: Option<usize>,
    /// Token sequences across which no repetition reaches, for example the line break.
    pub sequence_breakers: Vec<Vec<TokenId>>,
}

impl Default for Dry {
    fn default() -> Self {
        Self { multiplier: 0.0, base: 1.75, allowed_length: 2, last_n: None, sequence_breakers: Vec::new() }
    }
}

impl Default for SamplingParams {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            dynatemp_range: 0.0,
            dynatemp_exponent: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            typical_p: 1.0,
            top_n_sigma: 0.0,
            xtc_probability: 0.0,
            xtc_threshold: 0.1,
            mirostat: None,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_last_n: None,
            dry: None,
            min_keep: 1,
            logit_bias: Vec::new(),
            allowed_tokens: None,
            seed: None,
            logprobs: None,
        }
    }
}

/// One row of the table of parameters.
#[derive(Debug)]
pub struct ParamSpec {
    /// The name, with its group before a dot for the parts of `mirostat` and `dry`.
    pub name: &'static str,
    /// What it does, in one line.
    pub meaning: &'static str,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Float(fn(&SamplingParams) -> Option<f32>, Bound<f32>, Bound<f32>),
    Count(fn(&SamplingParams) -> Option<u64>, Bound<u64>, Bound<u64>),
    /// Checked by a function of its own; here only the text of the table.
    List {
        default: &'static str,
        allowed: &'static str,
    },
}

/// Most entries of `logit_bias`; a longer list is better given as a token mask.
const MAX_LOGIT_BIAS: usize = 4096;
const MAX_BREAKERS: usize = 65_536;
const MAX_BREAKER_LEN: usize = 64;
const MAX_LOGPROBS: u64 = 20;

const fn float(
    name: &'static str,
    get: fn(&SamplingParams) -> Option<f32>,
    low: Bound<f32>,
    high: Bound<f32>,
    meaning: &'static str,
) -> ParamSpec {
    ParamSpec { name, meaning, kind: Kind::Float(get, low, high) }
}

const fn count(
    name: &'static str,
    get: fn(&SamplingParams) -> Option<u64>,
    low: Bound<u64>,
    high: Bound<u64>,
    meaning: &'static str,
) -> ParamSpec {
    ParamSpec { name, meaning, kind: Kind::Count(get, low, high) }
}

const fn list(name: &'static str, default: &'static str, allowed: &'static str, meaning: &'static str) -> ParamSpec {
    ParamSpec { name, meaning, kind: Kind::List { default, allowed } }
}

/// Every parameter with its limits; validation walks this table and the README prints it.
#[rustfmt::skip]
pub static PARAMS: &[ParamSpec] = &[
    float("temperature", |p| Some(p.temperature), Included(0.0), Included(2.0), "divides the logits; 0 is greedy"),
    float("dynatemp_range", |p| Some(p.dynatemp_range), Included(0.0), Included(2.0), "the entropy moves the temperature by up to this much; 0 = off"),
    float("dynatemp_exponent", |p| Some(p.dynatemp_exponent), Included(0.0), Included(10.0), "bends the normalized entropy that moves the temperature"),
    count("top_k", |p| Some(p.top_k.into()), Included(0), Included(u32::MAX as u64), "keep the k most probable tokens; 0 = off"),
    float("top_p", |p| Some(p.top_p), Excluded(0.0), Included(1.0), "keep the most probable tokens that hold this much probability; 1 = off"),
    float("min_p", |p| Some(p.min_p), Included(0.0), Included(1.0), "keep tokens at least this probable relative to the best; 0 = off"),
    float("typical_p", |p| Some(p.typical_p), Excluded(0.0), Included(1.0), "keep the tokens of most typical surprise that hold this much probability; 1 = off"),
    float("top_n_sigma", |p| Some(p.top_n_sigma), Included(-100.0), Included(100.0), "keep logits within this many standard deviations of the largest; 0 or less = off"),
    float("xtc_probability", |p| Some(p.xtc_probability), Included(0.0), Included(1.0), "how often XTC acts; 0 = off"),
    float("xtc_threshold", |p| Some(p.xtc_threshold), Included(0.0), Included(1.0), "XTC removes all but the least probable of the tokens at least this probable"),
    float("mirostat.tau", |p| p.mirostat.map(|m| m.tau), Excluded(0.0), Included(100.0), "target surprise in bits per token; replaces the truncating stages"),
    float("mirostat.eta", |p| p.mirostat.map(|m| m.eta), Excluded(0.0), Included(1.0), "how fast Mirostat follows"),
    float("repetition_penalty", |p| Some(p.repetition_penalty), Excluded(0.0), Included(10.0), "divides positive, multiplies negative logits of tokens in prompt or output; 1 = off"),
    float("presence_penalty", |p| Some(p.presence_penalty), Included(-2.0), Included(2.0), "subtracted once for a token in the output; 0 = off"),
    float("frequency_penalty", |p| Some(p.frequency_penalty), Included(-2.0), Included(2.0), "subtracted for each time a token is in the output; 0 = off"),
    count("penalty_last_n", |p| p.penalty_last_n.map(|n| n as u64), Included(0), Unbounded, "how many of the last tokens the penalties look at; none = all"),
    float("dry.multiplier", |p| p.dry.as_ref().map(|d| d.multiplier), Included(0.0), Included(100.0), "penalty of the shortest penalized repetition; 0 = off"),
    float("dry.base", |p| p.dry.as_ref().map(|d| d.base), Included(1.0), Included(100.0), "growth of the penalty with each further token"),
    count("dry.allowed_length", |p| p.dry.as_ref().map(|d| d.allowed_length as u64), Included(1), Unbounded, "length from which on a repetition is penalized"),
    count("dry.last_n", |p| p.dry.as_ref().and_then(|d| d.last_n).map(|n| n as u64), Included(0), Unbounded, "how many of the last tokens are searched; none = all"),
    list("dry.sequence_breakers", "empty", "up to 65536 sequences of 1 to 64 token ids", "sequences across which no repetition reaches"),
    count("min_keep", |p| Some(p.min_keep as u64), Included(0), Unbounded, "each truncating stage leaves at least this many tokens; up to the vocabulary size"),
    list("logit_bias", "empty", "up to 4096 tokens, each -100 to 100 or -inf", "added to the logits of these tokens; -inf bans"),
    list("allowed_tokens", "none", "1 token id up to the whole vocabulary", "only these tokens may be chosen; none = all"),
    list("seed", "none", "any 64-bit value", "key of the random numbers; none = drawn from the system"),
    count("logprobs", |p| p.logprobs.map(u64::from), Included(0), Included(MAX_LOGPROBS), "how many of the most probable tokens to report with the chosen one"),
];

impl SamplingParams {
    /// Checks every parameter against its limits and every token id against the vocabulary.
    ///
    /// # Errors
    /// The first violation, naming the parameter, what is allowed and what was found.
    pub fn validate(&self, vocab_size: usize) -> Result<(), SamplerError> {
        check_vocab(vocab_size)?;
        for spec in PARAMS {
            spec.check(self)?;
        }
        if self.min_keep > vocab_size {
            let allowed = format!("from 0 to the vocabulary size {vocab_size}");
            return Err(out_of_range("min_keep", allowed, self.min_keep));
        }
        self.check_logit_bias(vocab_size)?;
        self.check_allowed_tokens(vocab_size)?;
        self.check_breakers(vocab_size)
    }

    fn check_logit_bias(&self, vocab_size: usize) -> Result<(), SamplerError> {
        const PARAM: &str = "logit_bias";
        check_len(PARAM, self.logit_bias.len(), 0, MAX_LOGIT_BIAS)?;
        for &(token, bias) in &self.logit_bias {
            check_token(PARAM, token, vocab_size)?;
            if !(-100.0..=100.0).contains(&bias) && bias != f32::NEG_INFINITY {
                let found = format!("{bias} for token {token}");
                return Err(out_of_range(PARAM, "from -100 to 100, or -inf to ban", found));
            }
        }
        let mut tokens: Vec<TokenId> = self.logit_bias.iter().map(|(token, _)| *token).collect();
        tokens.sort_unstable();
        match tokens.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(SamplerError::DuplicateToken { param: PARAM, token: pair[0] }),
            None => Ok(()),
        }
    }

    fn check_allowed_tokens(&self, vocab_size: usize) -> Result<(), SamplerError> {
        const PARAM: &str = "allowed_tokens";
        let Some(tokens) = &self.allowed_tokens else { return Ok(()) };
        check_len(PARAM, tokens.len(), 1, vocab_size)?;
        tokens.iter().try_for_each(|&token| check_token(PARAM, token, vocab_size))
    }

    fn check_breakers(&self, vocab_size: usize) -> Result<(), SamplerError> {
        const PARAM: &str = "dry.sequence_breakers";
        let Some(dry) = &self.dry else { return Ok(()) };
        check_len(PARAM, dry.sequence_breakers.len(), 0, MAX_BREAKERS)?;
        for breaker in &dry.sequence_breakers {
            check_len(PARAM, breaker.len(), 1, MAX_BREAKER_LEN)?;
            breaker.iter().try_for_each(|&token| check_token(PARAM, token, vocab_size))?;
        }
        Ok(())
    }
}

impl ParamSpec {
    /// The allowed values in words, for example `more than 0, up to 1`.
    #[must_use]
    pub fn allowed(&self) -> String {
        match &self.kind {
            Kind::Float(_, low, high) => range_text(low, high),
            Kind::Count(_, low, high) => range_text(low, high),
            Kind::List { allowed, .. } => (*allowed).to_owned(),
        }
    }

    /// The default as text; the parts of `mirostat` and `dry` show the default of their group.
    #[must_use]
    pub fn default_text(&self) -> String {
        let defaults = SamplingParams {
            mirostat: Some(Mirostat::default()),
            dry: Some(Dry::default()),
            ..SamplingParams::default()
        };
        let none = || "none".to_owned();
        match &self.kind {
            Kind::Float(get, ..) => get(&defaults).map_or_else(none, |v| v.to_string()),
            Kind::Count(get, ..) => get(&defaults).map_or_else(none, |v| v.to_string()),
            Kind::List { default, .. } => (*default).to_owned(),
        }
    }

    fn check(&self, params: &SamplingParams) -> Result<(), SamplerError> {
        match &self.kind {
            Kind::Float(get, low, high) => match get(params) {
                Some(v) if !in_range(v, low, high) => Err(out_of_range(self.name, self.allowed(), v)),
                _ => Ok(()),
            },
            Kind::Count(get, low, high) => match get(params) {
                Some(v) if !(*low, *high).contains(&v) => Err(out_of_range(self.name, self.allowed(), v)),
                _ => Ok(()),
            },
            Kind::List { .. } => Ok(()),
        }
    }
}

/// Where a range starts at 0, a negative zero is outside too: nobody means it, and
/// admitting it would give two spellings of "off".
fn in_range(value: f32, low: &Bound<f32>, high: &Bound<f32>) -> bool {
    let negative_zero = value == 0.0 && value.is_sign_negative();
    (*low, *high).contains(&value) && !(negative_zero && *low == Included(0.0))
}

fn range_text<T: ToString>(low: &Bound<T>, high: &Bound<T>) -> String {
    match (low, high) {
        (Included(low), Included(high)) => format!("{} to {}", low.to_string(), high.to_string()),
        (Excluded(low), Included(high)) => {
            format!("more than {}, up to {}", low.to_string(), high.to_string())
        }
        (Included(low) | Excluded(low), _) => format!("{} or more", low.to_string()),
        (Unbounded, _) => "any number".to_owned(),
    }
}

fn out_of_range(param: &'static str, allowed: impl Into<String>, found: impl ToString) -> SamplerError {
    SamplerError::OutOfRange { param, allowed: allowed.into(), found: found.to_string() }
}

fn check_vocab(vocab_size: usize) -> Result<(), SamplerError> {
    if vocab_size == 0 || vocab_size > u32::MAX as usize {
        return Err(out_of_range("vocab_size", "1 to 4294967295", vocab_size));
    }
    Ok(())
}

fn check_token(param: &'static str, token: TokenId, vocab_size: usize) -> Result<(), SamplerError> {
    if token as usize >= vocab_size {
        return Err(SamplerError::TokenOutOfVocab { param, token, vocab_size });
    }
    Ok(())
}

fn check_len(param: &'static str, found: usize, min: usize, max: usize) -> Result<(), SamplerError> {
    if found < min || found > max {
        return Err(SamplerError::ListLength { param, min, max, found });
    }
    Ok(())
}
