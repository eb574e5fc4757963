//! A set of allowed tokens, one bit each.

use crate::{SamplerError, TokenId};

/// Which tokens a step may choose from: a grammar sets it, the sampler obeys it.
///
/// Token `t` is bit `t % 32` of word `t / 32`, as grammar engines lay it out; bits past
/// the vocabulary are ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenMask {
    words: Vec<u32>,
    vocab_size: usize,
}

impl TokenMask {
    /// A mask that allows nothing.
    #[must_use]
    pub fn none(vocab_size: usize) -> Self {
        Self { words: vec![0; vocab_size.div_ceil(32)], vocab_size }
    }

    /// A mask that allows everything.
    #[must_use]
    pub fn all(vocab_size: usize) -> Self {
        Self { words: vec![u32::MAX; vocab_size.div_ceil(32)], vocab_size }
    }

    /// A mask from its words, `[ceil(vocab_size / 32)]`.
    ///
    /// # Errors
    /// [`SamplerError::MaskLength`] when the number of words does not fit the vocabulary.
    pub fn from_words(words: Vec<u32>, vocab_size: usize) -> Result<Self, SamplerError> {
        if words.len() != vocab_size.div_ceil(32) {
            return Err(SamplerError::MaskLength { expected: vocab_size, found: words.len() * 32 });
        }
        Ok(Self { words, vocab_size })
    }

    /// The number of tokens that the mask speaks about.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// The words, `[ceil(vocab_size / 32)]`.
    #[must_use]
    pub fn words(&self) -> &[u32] {
        &self.words
    }

    /// The words for writing in place, so that one mask serves all steps.
    pub fn words_mut(&mut self) -> &mut [u32] {
        &mut self.words
    }

    /// Allows a token; an id outside of the vocabulary is ignored.
    pub fn allow(&mut self, token: TokenId) {
        self.set(token, true);
    }

    /// Bans a token; an id outside of the vocabulary is ignored.
    pub fn ban(&mut self, token: TokenId) {
        self.set(token, false);
    }

    /// Whether the token is allowed; false outside of the vocabulary.
    #[must_use]
    pub fn is_allowed(&self, token: TokenId) -> bool {
        (token as usize) < self.vocab_size
            && self.words.get(token as usize / 32).is_some_and(|word| word >> (token % 32) & 1 == 1)
    }

    fn set(&mut self, token: TokenId, allowed: bool) {
        if token as usize >= self.vocab_size {
            return;
        }
        if let Some(word) = self.words.get_mut(token as usize / 32) {
            let bit = 1 << (token % 32);
            *word = if allowed { *word | bit } else { *word & !bit };
        }
    }

    /// Sets the logit of every banned token to -inf.
    pub(crate) fn apply(&self, logits: &mut [f32]) {
        for (chunk, &word) in logits.chunks_mut(32).zip(&self.words) {
            match word {
                u32::MAX => {}
                0 => chunk.fill(f32::NEG_INFINITY),
                _ => {
                    for (bit, logit) in chunk.iter_mut().enumerate() {
                        if word >> bit & 1 == 0 {
                            *logit = f32::NEG_INFINITY;
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_and_application_agree() {
        let mut mask = TokenMask::none(70);
        for token in [0, 31, 32, 69] {
            mask.allow(token);
        }
        mask.ban(31);
        mask.allow(70);
        assert_eq!(mask.words(), [1, 1, 1 << 5]);
        let mut logits = vec![1.0; 70];
        mask.apply(&mut logits);
        for token in 0..72 {
            let kept = logits.get(token as usize).is_some_and(|l| *l == 1.0);
            assert_eq!(kept, mask.is_allowed(token), "token {token}");
        }
        assert!(TokenMask::all(70).is_allowed(69) && !TokenMask::all(70).is_allowed(70));
    }

    #[test]
    fn words_must_fit_the_vocabulary() {
        assert!(TokenMask::from_words(vec![0; 3], 70).is_ok());
        assert!(TokenMask::from_words(vec![0; 2], 70).is_err());
        assert!(TokenMask::from_words(vec![0; 4], 70).is_err());
    }
}
