//! Counters, and how long blocks live, lie idle and wait for the next use.

use std::time::Duration;

/// What has happened since the pool was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheCounters {
    /// Prompt tokens looked up.
    pub queries: u64,
    /// Of these, tokens that were there, in either tier.
    pub hits: u64,
    /// Of the hits, tokens that came back from the host tier.
    pub host_hits: u64,
    /// Cached blocks given to others.
    pub evictions: u64,
    /// Blocks saved to the host tier.
    pub saves: u64,
    /// Blocks brought back from it.
    pub loads: u64,
    /// Blocks copied because another sequence reads what one is about to write.
    pub copies: u64,
    /// Blocks given back because another sequence had computed the same tokens meanwhile.
    pub duplicates: u64,
}

/// How many durations fell below each bound.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Histogram {
    counts: [u64; Self::BOUNDS + 1],
    sum: Duration,
}

impl Histogram {
    /// Finite bounds; each is twice the one before.
    pub const BOUNDS: usize = 22;

    /// The upper bound of a bucket: 1 ms, 2 ms, 4 ms, … about 35 minutes.
    pub fn bound(bucket: usize) -> Duration {
        Duration::from_millis(1 << bucket.min(Self::BOUNDS - 1))
    }

    /// How many fell in each bucket, not cumulated; the last bucket has no bound.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// Sum of all.
    pub fn sum(&self) -> Duration {
        self.sum
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    pub(crate) fn add(&mut self, time: Duration) {
        let millis = time.as_micros().div_ceil(1000).max(1);
        let bucket = 128 - (millis - 1).leading_zeros() as usize;
        self.counts[bucket.min(Self::BOUNDS)] += 1;
        self.sum += time;
    }
}

/// Durations in the life of cached blocks, in the time that [`set_time`](crate::BlockPool::set_time) tells.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockTimes {
    /// From the time a block was handed out to its eviction.
    pub lifetime: Histogram,
    /// From its last use to its eviction.
    pub idle_before_evict: Histogram,
    /// From the end of one use to the beginning of the next.
    pub reuse_gap: Histogram,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_in_the_bucket_of_its_bound() {
        for (micros, bucket) in [(0, 0), (1000, 0), (1001, 1), (2000, 1), (2001, 2), (4000, 2), (2_097_152_000, 21)] {
            let mut histogram = Histogram::default();
            histogram.add(Duration::from_micros(micros));
            assert_eq!(histogram.counts()[bucket], 1, "{micros} us in {:?}", histogram.counts());
            assert!(Duration::from_micros(micros) <= Histogram::bound(bucket));
        }
        let mut histogram = Histogram::default();
        histogram.add(Duration::from_secs(10_000));
        assert_eq!((histogram.counts()[Histogram::BOUNDS], histogram.count()), (1, 1));
        assert_eq!(histogram.sum(), Duration::from_secs(10_000));
    }
}
