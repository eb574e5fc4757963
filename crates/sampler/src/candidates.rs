//! The tokens still in the race, with their logits and the buffers that stages work in.

use crate::TokenId;
use crate::math;
use crate::select::{Cut, Selector};

/// Candidates by rising id, whatever the stages do: an order that no stage changes
/// makes the draw independent of how a stage finds its cut.
///
/// One instance serves all sequences of a thread; its buffers grow to the largest
/// vocabulary and stay.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// The id of each candidate; longer than `logits`, whose length is that of the list.
    ids: Vec<TokenId>,
    /// One logit per candidate.
    pub logits: Vec<f32>,
    /// All tokens are candidates and `ids` is not filled: candidate i is token i.
    dense: bool,
    /// e^(logit - max) per candidate, valid after [`Self::softmax`].
    pub weights: Vec<f32>,
    /// What `typical_p` and `top_p` order by, per candidate.
    pub keys: Vec<f32>,
    pub selector: Selector,
    /// Buffers of DRY.
    pub overlaps: Vec<u32>,
    pub continuations: Vec<(TokenId, u32)>,
    /// The logarithm of the sum of e^logit before Mirostat truncated.
    pub mirostat_log_z: f64,
}

/// The normalization of a softmax: p = weight / total, ln p = logit - max - ln total.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Softmax {
    pub max: f32,
    pub total: f64,
}

/// Values per partial sum of the draw.
const DRAW_BLOCK: usize = 1024;
const CHUNK: usize = 64;

impl Candidates {
    /// Starts a step: every token of `[vocab]` is a candidate with its raw logit.
    pub fn load(&mut self, logits: &[f32]) {
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        self.dense = true;
    }

    pub fn len(&self) -> usize {
        self.logits.len()
    }

    pub fn id(&self, index: usize) -> TokenId {
        if self.dense { index as TokenId } else { self.ids[index] }
    }

    pub fn max(&self) -> f32 {
        math::max(&self.logits)
    }

    /// Fills `weights`.
    pub fn softmax(&mut self) -> Softmax {
        let max = self.max();
        let total = math::exp_into(&self.logits, max, &mut self.weights);
        Softmax { max, total }
    }

    /// Keeps the candidates with finite logits.
    pub fn drop_banned(&mut self) {
        self.retain(f32::MIN, |_, _| true);
    }

    /// Keeps the k largest logits.
    pub fn keep_largest(&mut self, k: usize) {
        if let Some(cut) = self.selector.largest(&self.logits, k) {
            self.retain(cut.value, |index, logit| cut.keeps_large(index, logit));
        }
    }

    /// Keeps the logits that reach `floor`, but at least the `min_keep` largest.
    pub fn keep_from(&mut self, floor: f32, min_keep: usize) {
        let kept = self.logits.iter().filter(|logit| **logit >= floor).count();
        if kept < min_keep {
            self.keep_largest(min_keep);
        } else if kept < self.len() {
            self.retain(floor, |_, _| true);
        }
    }

    /// Keeps the smallest keys that hold `mass` of the weights, but at least `min_keep`.
    pub fn keep_mass(&mut self, mass: f64, min_keep: usize) {
        let Self { selector, keys, weights, .. } = self;
        let Some(cut) = selector.smallest_with_mass(keys, weights, mass, min_keep) else { return };
        self.keep_small_keys(cut);
    }

    fn keep_small_keys(&mut self, cut: Cut) {
        let keys = std::mem::take(&mut self.keys);
        self.retain(f32::NEG_INFINITY, |index, _| cut.keeps_small(index, keys[index]));
        self.keys = keys;
    }

    /// Keeps the candidates whose logit is at least `floor` and for which `keep(index,
    /// logit)` holds, in their order. `floor` lets whole chunks be skipped.
    pub fn retain(&mut self, floor: f32, keep: impl Fn(usize, f32) -> bool) {
        let len = self.logits.len();
        if self.ids.len() < len {
            self.ids.resize(len, 0);
        }
        let mut kept = 0;
        for start in (0..len).step_by(CHUNK) {
            let end = (start + CHUNK).min(len);
            if math::max(&self.logits[start..end]) < floor {
                continue;
            }
            // Written first and counted after: where a cut keeps every other candidate, the
            // processor would mispredict a branch every other time.
            for index in start..end {
                let logit = self.logits[index];
                self.ids[kept] = if self.dense { index as TokenId } else { self.ids[index] };
                self.logits[kept] = logit;
                kept += usize::from((logit >= floor) & keep(index, logit));
            }
        }
        self.logits.truncate(kept);
        self.dense = false;
    }

    /// The candidate at which the running sum of probabilities, by rising id, first
    /// exceeds `uniform`, a number in [0, 1).
    pub fn draw(&mut self, uniform: f64) -> usize {
        let target = uniform * self.softmax().total;
        let mut sum = 0.0;
        let mut last = 0;
        for (number, block) in self.weights.chunks(DRAW_BLOCK).enumerate() {
            let block_sum = math::lane_sum(block, |w| w);
            if block_sum == 0.0 {
                continue;
            }
            // The last block with weight stands in when rounding leaves the target unreached.
            last = number;
            if sum + block_sum > target {
                break;
            }
            sum += block_sum;
        }
        let start = last * DRAW_BLOCK;
        let mut chosen = start;
        for (index, &weight) in self.weights.iter().enumerate().skip(start).take(DRAW_BLOCK) {
            if weight > 0.0 {
                chosen = index;
                sum += f64::from(weight);
            }
            if sum > target {
                break;
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retain_keeps_order_and_ids() {
        let mut candidates = Candidates::default();
        let logits: Vec<f32> = (0..200).map(|i| (i % 7) as f32).collect();
        candidates.load(&logits);
        candidates.keep_from(6.0, 1);
        let expected: Vec<u32> = (0..200).filter(|i| i % 7 == 6).collect();
        assert_eq!(candidates.ids[..candidates.len()], expected);
        candidates.keep_largest(3);
        assert_eq!(candidates.ids[..candidates.len()], expected[..3]);
    }

    #[test]
    fn draw_covers_the_ends() {
        let mut candidates = Candidates::default();
        let mut logits = vec![-1000.0; 5000];
        (logits[7], logits[3000]) = (0.0, 0.0);
        candidates.load(&logits);
        assert_eq!(candidates.draw(0.0), 7);
        assert_eq!(candidates.draw(0.499_999), 7);
        assert_eq!(candidates.draw(0.5), 3000);
        assert_eq!(candidates.draw(1.0 - f64::EPSILON / 2.0), 3000);
    }
}
