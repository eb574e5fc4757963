//! Misuse of the pool, and broken invariants. "No room" is an ordinary outcome and not here.

use crate::BlockId;

/// A mistake of the caller, or of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KvCacheError {
    /// A size that makes no cache.
    #[error("{what}: {found}, expected 1 to {max}")]
    BadSize {
        /// Which size.
        what: &'static str,
        /// Size found.
        found: usize,
        /// Largest allowed.
        max: usize,
    },
    /// A product of sizes that no integer holds.
    #[error("{what}: {factors:?} multiplied is more than {} bytes", usize::MAX)]
    SizeOverflow {
        /// What has that size.
        what: &'static str,
        /// The sizes.
        factors: Vec<usize>,
    },
    /// The smallest cache of a preset is more than it may take.
    #[error("{pages} pages take {needed} bytes, and half of the device's memory is {available}")]
    OverBudget {
        /// Pages of the smallest cache.
        pages: usize,
        /// Bytes of those.
        needed: usize,
        /// Bytes that it may take.
        available: usize,
    },
    /// `enable_compaction` is set.
    #[error("enable_compaction is set, but pages of one size leave no gaps: there is nothing to compact")]
    NothingToCompact,
    /// A threshold that is no fraction.
    #[error("compaction_threshold: {0}, expected 0 to 1")]
    BadThreshold(f32),
    /// A sequence of another pool.
    #[error("the sequence belongs to another pool")]
    ForeignSequence,
    /// An id that the pool did not hand out, or that was released since.
    #[error("block {}.{} is not in use (generation is {generation}, owners: {owners})", id.index(), id.generation())]
    StaleBlock {
        /// The id.
        id: BlockId,
        /// The block's generation now.
        generation: u32,
        /// Its owners now.
        owners: u32,
    },
    /// More tokens committed than there are blocks for.
    #[error("{tokens} tokens in {blocks} blocks of {block_size}")]
    PastReservation {
        /// Tokens committed.
        tokens: usize,
        /// Blocks of the sequence.
        blocks: usize,
        /// Tokens a block.
        block_size: usize,
    },
    /// Tokens committed to a block that others read: `reserve` would have copied it first.
    #[error("block {} has {owners} owners and cannot be written: reserve before the step", id.index())]
    SharedBlock {
        /// The block.
        id: BlockId,
        /// Its owners.
        owners: u32,
    },
    /// A sequence cannot be cut to more than it has.
    #[error("cannot cut {len} tokens to {tokens}")]
    TruncatePastEnd {
        /// Tokens asked for.
        tokens: usize,
        /// Tokens of the sequence.
        len: usize,
    },
    /// An invariant of the pool does not hold: a bug of this crate.
    #[error("broken invariant: {0}")]
    Broken(String),
}
