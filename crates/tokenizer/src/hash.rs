//! A keyed hash for short keys: pairs of ids and pieces of text.
//!
//! Tables are filled from files of unknown origin, so the key is random per table; the mixing step is a folded
//! 64 × 64 → 128 bit product, which costs a few cycles where the standard library's SipHash costs some twenty.

use std::collections::hash_map::{HashMap, RandomState};
use std::hash::{BuildHasher, Hasher};

/// A hash map keyed with [`Keyed`].
pub(crate) type Map<K, V> = HashMap<K, V, Keyed>;

/// Builds hashers that share one random key.
#[derive(Clone, Debug)]
pub(crate) struct Keyed {
    key: u64,
    mul: u64,
}

impl Default for Keyed {
    fn default() -> Self {
        let random = RandomState::new();
        Self { key: random.hash_one(0x243f_6a88_85a3_08d3_u64), mul: random.hash_one(0x1319_8a2e_0370_7344_u64) | 1 }
    }
}

impl BuildHasher for Keyed {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded { state: self.key, mul: self.mul }
    }
}

/// The running state of one hash.
#[derive(Clone, Debug)]
pub(crate) struct Folded {
    state: u64,
    mul: u64,
}

impl Folded {
    fn mix(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.mul);
        // The state enters once more, so that a word equal to it does not wipe it out.
        self.state = (product as u64) ^ ((product >> 64) as u64) ^ self.state.rotate_left(23);
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
        let rest = chunks.remainder();
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        // The length is part of the last word: `a` and `a\0` must differ.
        self.mix(u64::from_le_bytes(word) ^ ((bytes.len() as u64) << 56));
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    fn write_u8(&mut self, word: u8) {
        self.mix(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn finish(&self) -> u64 {
        let product = u128::from(self.state) * u128::from(self.mul);
        (product as u64) ^ ((product >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_differ_in_length_or_order_have_different_hashes() {
        let keyed = Keyed::default();
        let texts: [&[u8]; 6] = [b"", b"a", b"a\0", b"ab", b"ba", b"abcdefgh\0"];
        let hashes: std::collections::HashSet<u64> = texts.iter().map(|t| keyed.hash_one(*t)).collect();
        assert_eq!(hashes.len(), texts.len());
        assert_eq!(keyed.hash_one(texts[4]), keyed.hash_one(texts[4]));
    }
}
