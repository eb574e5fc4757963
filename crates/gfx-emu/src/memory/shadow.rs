//! Which bytes were ever written.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// A bit for each byte of a range: whether it was ever written. Threads may use it at once; what one marks, others see
/// once something else has ordered them.
#[derive(Debug)]
pub(crate) struct Shadow {
    bytes: u64,
    /// All bytes are written, and `bits`, where it exists, says so too.
    whole: AtomicBool,
    /// Made when a part is marked that is not the whole.
    bits: OnceLock<Box<[AtomicU64]>>,
}

impl Shadow {
    /// Of so many bytes, all of them written or none.
    pub fn new(bytes: u64, written: bool) -> Self {
        Self { bytes, whole: AtomicBool::new(written), bits: OnceLock::new() }
    }

    fn bits(&self, filled: bool) -> &[AtomicU64] {
        let word = if filled { u64::MAX } else { 0 };
        self.bits.get_or_init(|| (0..self.bytes.div_ceil(64)).map(|_| AtomicU64::new(word)).collect())
    }

    /// Whether all bytes from `from` to before `to` are written.
    #[inline]
    pub fn is_written(&self, from: u64, to: u64) -> bool {
        self.whole.load(Relaxed) || self.first_unwritten(from, to).is_none()
    }

    /// The first byte from `from` to before `to` that is not written.
    pub fn first_unwritten(&self, from: u64, to: u64) -> Option<u64> {
        if self.whole.load(Relaxed) || from >= to {
            return None;
        }
        let Some(bits) = self.bits.get() else { return Some(from) };
        words(from, to).find_map(|(at, mask)| {
            let missing = !bits[at].load(Relaxed) & mask;
            (missing != 0).then(|| 64 * at as u64 + u64::from(missing.trailing_zeros()))
        })
    }

    /// The bytes from `from` to before `to` are written now.
    #[inline]
    pub fn mark(&self, from: u64, to: u64) {
        if self.whole.load(Relaxed) || from >= to {
            return;
        }
        if from == 0 && to >= self.bytes {
            self.mark_all();
            return;
        }
        let bits = self.bits(false);
        for (at, mask) in words(from, to) {
            // Most stores are to what was written before: then there is no need to take the line from other threads.
            if bits[at].load(Relaxed) & mask != mask {
                bits[at].fetch_or(mask, Relaxed);
            }
        }
    }

    fn mark_all(&self) {
        for word in self.bits.get().into_iter().flatten() {
            word.store(u64::MAX, Relaxed);
        }
        self.whole.store(true, Relaxed);
    }

    /// What the bytes from `from` to before `to` hold means nothing from now on.
    pub fn unmark(&self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let bits = self.bits(self.whole.load(Relaxed));
        for (at, mask) in words(from, to) {
            bits[at].fetch_and(!mask, Relaxed);
        }
        self.whole.store(false, Relaxed);
    }
}

impl Clone for Shadow {
    fn clone(&self) -> Self {
        let copy = Self::new(self.bytes, self.whole.load(Relaxed));
        if let Some(bits) = self.bits.get() {
            copy.bits.get_or_init(|| bits.iter().map(|word| AtomicU64::new(word.load(Relaxed))).collect());
        }
        copy
    }
}

/// Words of bits that a range has part of, with the mask of the part.
#[inline]
fn words(from: u64, to: u64) -> impl Iterator<Item = (usize, u64)> {
    (from / 64..to.div_ceil(64)).map(move |at| {
        let first = from.saturating_sub(64 * at);
        let last = (to - 64 * at).min(64);
        (at as usize, (u64::MAX >> (64 - (last - first))) << first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_and_forgets_parts_across_words() {
        let shadow = Shadow::new(300, false);
        assert_eq!(shadow.first_unwritten(0, 1), Some(0));
        shadow.mark(60, 200);
        assert!(shadow.is_written(60, 200));
        assert_eq!(shadow.first_unwritten(0, 300), Some(0));
        assert_eq!(shadow.first_unwritten(60, 201), Some(200));
        shadow.unmark(127, 129);
        assert_eq!(shadow.first_unwritten(60, 200), Some(127));
        assert!(shadow.is_written(129, 200));
    }

    #[test]
    fn a_whole_range_can_lose_a_part_and_become_whole_again() {
        let shadow = Shadow::new(100, true);
        assert!(shadow.is_written(0, 100));
        shadow.unmark(10, 11);
        assert_eq!(shadow.first_unwritten(0, 100), Some(10));
        shadow.mark(0, 100);
        assert!(shadow.is_written(0, 100));
        shadow.unmark(0, 1);
        assert_eq!(shadow.first_unwritten(0, 100), Some(0));
        assert!(shadow.is_written(1, 100), "the second loss begins from a whole range");
    }
}
