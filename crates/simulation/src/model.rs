//! A model that is a hash: what lies in the cache for a token depends on all tokens before it, and the next token on
//! all that lies in the cache.

use rocmforge_kv_cache::{Space, TokenId};

use crate::random::mix;

/// Tokens of the vocabulary.
const VOCABULARY: u64 = 50_000;

/// What comes before the first token: different for each model, adapter and tenant.
pub(crate) fn origin(space: &Space) -> u64 {
    let salt = space.salt.map_or(0, u128::from_le_bytes);
    [space.model, space.adapter, u64::from(space.salt.is_some()), salt as u64, (salt >> 64) as u64]
        .into_iter()
        .fold(11, |h, part| mix(h ^ part))
}

/// What lies in the cache for a token behind `before`.
pub(crate) fn entry(before: u64, token: TokenId, position: usize) -> u64 {
    mix(before ^ (u64::from(token) << 32) ^ position as u64)
}

/// Attention: one more entry seen.
pub(crate) fn attend(seen: u64, entry: u64) -> u64 {
    (seen ^ entry).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

/// What has been seen before the first entry.
pub(crate) const NOTHING_SEEN: u64 = 0x1234_5678_9abc_def1;

/// The token that follows from all that was seen, for a sequence with its own random numbers.
pub(crate) fn sample(seen: u64, seed: u64, index: u32) -> TokenId {
    (mix(seen ^ seed ^ (u64::from(index) << 48)) % VOCABULARY) as TokenId
}

/// Whether a token ends its sequence.
pub(crate) fn is_end(token: TokenId) -> bool {
    token.is_multiple_of(61)
}

/// The same model computed from tokens alone.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Oracle {
    last: u64,
    seen: u64,
    len: usize,
}

impl Oracle {
    pub fn new(space: &Space) -> Self {
        Self { last: origin(space), seen: NOTHING_SEEN, len: 0 }
    }

    pub fn of(space: &Space, tokens: &[TokenId]) -> Self {
        let mut oracle = Self::new(space);
        for token in tokens {
            oracle.push(*token);
        }
        oracle
    }

    /// One more token.
    pub fn push(&mut self, token: TokenId) {
        self.last = entry(self.last, token, self.len);
        self.seen = attend(self.seen, self.last);
        self.len += 1;
    }

    pub fn next(&self, seed: u64, index: u32) -> TokenId {
        sample(self.seen, seed, index)
    }
}
