//! The sampler of one sequence: parameters, history, position, and the step.

use std::cell::RefCell;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::candidates::Candidates;
use crate::history::History;
use crate::logprobs::{self, TokenLogprob};
use crate::math::{self, Scan};
use crate::philox::{Stream, uniform};
use crate::stages::{self, Step};
use crate::{SamplerError, SamplingParams, TokenId, TokenMask};

thread_local! {
    // A vocabulary-sized workspace per thread and not per sequence: a step leaves nothing
    // in it, and hundreds of sequences would otherwise hold megabytes each.
    static WORKSPACE: RefCell<Candidates> = RefCell::default();
}

/// Chooses the tokens of one sequence.
///
/// A step is a function of parameters, seed, history and logits alone: the same input
/// gives the same token on every machine and beside any neighbours.
#[derive(Debug, Clone)]
pub struct Sampler {
    params: SamplingParams,
    vocab_size: usize,
    allowed: Option<TokenMask>,
    history: History,
    seed: u64,
    position: u64,
    mirostat_mu: f32,
}

/// A chosen token.
#[derive(Debug, Clone, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Sampled {
    /// The token.
    pub token: TokenId,
    /// ln p of the token in the model's own distribution, the softmax of the raw logits
    /// before any stage; `None` unless `logprobs` asks for it.
    pub logprob: Option<f32>,
    /// The most probable tokens of the model's own distribution, as many as `logprobs` asks for.
    pub top: Vec<TokenLogprob>,
}

/// A token with the probability that the next draw gives it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenProb {
    /// The token.
    pub token: TokenId,
    /// Its probability after all stages.
    pub prob: f32,
}

/// What a sampler knows besides its parameters and history.
#[derive(Debug, Clone, Copy, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Snapshot {
    /// The key of the random numbers.
    pub seed: u64,
    /// How many tokens were generated.
    pub position: u64,
    /// Mirostat's limit in bits; 0 without Mirostat.
    pub mirostat_mu: f32,
}

impl Sampler {
    /// A sampler with an empty history, for rows of `vocab_size` logits.
    ///
    /// Without a seed one is drawn from the system's entropy; [`Self::seed`] tells which.
    ///
    /// # Errors
    /// What [`SamplingParams::validate`] finds.
    pub fn new(params: SamplingParams, vocab_size: usize) -> Result<Self, SamplerError> {
        params.validate(vocab_size)?;
        let allowed = params.allowed_tokens.as_ref().map(|tokens| {
            let mut mask = TokenMask::none(vocab_size);
            tokens.iter().for_each(|&token| mask.allow(token));
            mask
        });
        Ok(Self {
            history: History::new(&params),
            seed: params.seed.unwrap_or_else(entropy),
            position: 0,
            mirostat_mu: stages::start_limit(params.mirostat),
            params,
            vocab_size,
            allowed,
        })
    }

    /// Appends prompt tokens to the history. Ids past the vocabulary are allowed: they are
    /// never candidates, but count as what they are for DRY.
    pub fn accept_prompt(&mut self, tokens: &[TokenId]) {
        self.history.reserve(tokens.len());
        tokens.iter().for_each(|&token| self.history.push(token, false));
    }

    /// Appends tokens that count as output although this sampler did not choose them: a
    /// sequence that is resumed, or text that a grammar forces. Moves the position along.
    pub fn accept_generated(&mut self, tokens: &[TokenId]) {
        self.history.reserve(tokens.len());
        tokens.iter().for_each(|&token| self.history.push(token, true));
        self.position += tokens.len() as u64;
    }

    /// Chooses the next token from the logits of all tokens, `[vocab_size]`, and appends
    /// it to the history.
    ///
    /// # Errors
    /// See [`Self::sample_masked`].
    pub fn sample(&mut self, logits: &[f32]) -> Result<Sampled, SamplerError> {
        self.sample_masked(logits, None)
    }

    /// [`Self::sample`] among the tokens that the mask allows.
    ///
    /// # Errors
    /// [`SamplerError::LogitsLength`] and [`SamplerError::MaskLength`] for input of another
    /// vocabulary; [`SamplerError::BadLogit`] for a NaN or +inf; [`SamplerError::NoFiniteLogit`]
    /// when the model allows no token; [`SamplerError::NoCandidate`] when bans leave none.
    /// After an error the sampler is as it was before the call.
    pub fn sample_masked(&mut self, logits: &[f32], mask: Option<&TokenMask>) -> Result<Sampled, SamplerError> {
        WORKSPACE.with_borrow_mut(|work| {
            let (token, logit) = self.choose(logits, mask, work)?;
            if let Some(mirostat) = self.params.mirostat.filter(|_| !self.is_greedy()) {
                let z = work.mirostat_log_z;
                self.mirostat_mu = stages::next_limit(mirostat, self.mirostat_mu, logit, z);
            }
            self.history.push(token, true);
            self.position += 1;
            let Some(wanted) = self.params.logprobs else {
                return Ok(Sampled { token, logprob: None, top: Vec::new() });
            };
            // A pass over the vocabulary that takes longer than a greedy choice.
            let log_z = logprobs::log_z(logits, math::scan(logits).max);
            Ok(Sampled {
                token,
                logprob: Some(logprobs::logprob(logits[token as usize], log_z)),
                top: logprobs::top_logprobs(logits, wanted as usize, log_z, &mut work.selector),
            })
        })
    }

    /// The distribution that [`Self::sample_masked`] would draw from now, by rising id;
    /// nothing is drawn or recorded. XTC acts as it will in that step.
    ///
    /// # Errors
    /// As [`Self::sample_masked`].
    pub fn distribution(&self, logits: &[f32], mask: Option<&TokenMask>) -> Result<Vec<TokenProb>, SamplerError> {
        WORKSPACE.with_borrow_mut(|work| {
            let scan = self.check(logits, mask)?;
            if let Some((token, _)) = self.prepare(logits, mask, scan, work)? {
                return Ok(vec![TokenProb { token, prob: 1.0 }]);
            }
            let total = work.softmax().total;
            let prob = |i: usize| (f64::from(work.weights[i]) / total) as f32;
            Ok((0..work.len()).map(|i| TokenProb { token: work.id(i), prob: prob(i) }).collect())
        })
    }

    /// Prompt and output so far, in order.
    #[must_use]
    pub fn history(&self) -> &[TokenId] {
        self.history.tokens()
    }

    /// What the penalties look at: each token inside their window once, and how often the output has it there, in no
    /// order. Empty when no penalty is on. For samplers elsewhere, such as on a device.
    pub fn penalized_tokens(&self) -> impl Iterator<Item = (TokenId, u32)> + '_ {
        self.history.counted()
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> &SamplingParams {
        &self.params
    }

    /// The key of the random numbers: the seed of the parameters or the one that was drawn.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many tokens were generated; the counter of the random numbers.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What must be kept, beside parameters and tokens, to go on elsewhere: see [`Self::restore`].
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { seed: self.seed, position: self.position, mirostat_mu: self.mirostat_mu }
    }

    /// Goes on where the snapshot was taken. The history is not part of it: a new sampler
    /// is given the tokens by [`Self::accept_prompt`] and [`Self::accept_generated`] first.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        self.seed = snapshot.seed;
        self.position = snapshot.position;
        self.mirostat_mu = snapshot.mirostat_mu;
    }

    fn is_greedy(&self) -> bool {
        self.params.temperature == 0.0
    }

    /// The token, and its logit after all stages.
    fn choose(
        &self,
        logits: &[f32],
        mask: Option<&TokenMask>,
        work: &mut Candidates,
    ) -> Result<(TokenId, f32), SamplerError> {
        let scan = self.check(logits, mask)?;
        if let Some(greedy) = self.prepare(logits, mask, scan, work)? {
            return Ok(greedy);
        }
        let index = work.draw(uniform(self.seed, self.position, Stream::Token));
        Ok((work.id(index), work.logits[index]))
    }

    fn check(&self, logits: &[f32], mask: Option<&TokenMask>) -> Result<Scan, SamplerError> {
        let expected = self.vocab_size;
        if logits.len() != expected {
            return Err(SamplerError::LogitsLength { expected, found: logits.len() });
        }
        if let Some(mask) = mask.filter(|mask| mask.vocab_size() != expected) {
            return Err(SamplerError::MaskLength { expected, found: mask.vocab_size() });
        }
        logprobs::checked_scan(logits)
    }

    /// Runs the stages and leaves the candidates in `work`, or names the greedy choice.
    /// `scan` is that of the raw logits.
    fn prepare(
        &self,
        logits: &[f32],
        mask: Option<&TokenMask>,
        mut scan: Scan,
        work: &mut Candidates,
    ) -> Result<Option<(TokenId, f32)>, SamplerError> {
        let step = Step {
            params: &self.params,
            history: &self.history,
            mask,
            allowed: self.allowed.as_ref(),
            seed: self.seed,
            position: self.position,
            mirostat_mu: self.mirostat_mu,
        };
        let adjusts = stages::any_adjusts(&step);
        if adjusts || !self.is_greedy() {
            work.load(logits);
        }
        if adjusts {
            stages::adjust(&step, work);
            scan = math::scan(&work.logits);
        }
        if scan.max == f32::NEG_INFINITY {
            let possible = logits.iter().filter(|logit| logit.is_finite()).count();
            return Err(SamplerError::NoCandidate { possible });
        }
        if self.is_greedy() {
            return Ok(Some((scan.argmax as TokenId, scan.max)));
        }
        if scan.has_neg_inf {
            work.drop_banned();
        }
        stages::narrow(&step, work);
        Ok(None)
    }
}

/// 64 bits of the system's entropy: the standard library keys its hash maps with them.
fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}
