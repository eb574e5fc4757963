//! Misuse of the pool, and broken invariants. "No room" is an ordinary outcome and not here.

use crate::BlockId;

/// A mistake of the caller, or of this crate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// An invariant of the pool does not hold: a bug of this crate.
    #[error("broken invariant: {0}")]
    Broken(String),
}
