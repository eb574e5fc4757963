//! The blocks of one sequence.

use crate::{BlockId, TokenId};

/// Blocks that hold the keys and values of a sequence's tokens. Made by
/// [`BlockPool::begin`](crate::BlockPool::begin), given back to [`BlockPool::end`](crate::BlockPool::end).
///
/// [`Sequence::default`] is a private one: it shares nothing with others, neither now nor later.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "a sequence that is dropped keeps its blocks: give it to `BlockPool::end`"]
pub struct Sequence {
    /// The pool, by a number that no other pool of this process has; 0: none yet.
    pub(crate) pool: u64,
    /// The space whose blocks it shares; `None`: it is private. If set, all its full blocks are in the prefix tree.
    pub(crate) space: Option<u32>,
    pub(crate) len: usize,
    pub(crate) blocks: Vec<BlockId>,
    /// Tokens of the last block while it is not full, unless private.
    pub(crate) partial: Vec<TokenId>,
    pub(crate) shared: usize,
}

impl Sequence {
    /// Tokens whose keys and values are there.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Tokens that were there already instead of being computed for this sequence.
    pub fn shared_tokens(&self) -> usize {
        self.shared
    }

    /// The blocks, in order of position; those past [`len`](Self::len) are reserved.
    pub fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }

    /// The block table a backend wants: block indices in order of position.
    pub fn block_table(&self) -> Vec<u32> {
        self.blocks.iter().map(|id| id.index()).collect()
    }
}
