//! The blocks of one sequence.

use crate::{BlockId, TokenId};

/// Tokens whose keys and values are cached, and the blocks that hold them. Made by
/// [`BlockPool::begin`](crate::BlockPool::begin), given back to [`BlockPool::end`](crate::BlockPool::end).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sequence {
    pub(crate) blocks: Vec<BlockId>,
    pub(crate) tokens: Vec<TokenId>,
    /// Full blocks that were offered to the prefix tree.
    pub(crate) registered: usize,
}

impl Sequence {
    /// Cached tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether nothing is cached.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// The cached tokens.
    pub fn tokens(&self) -> &[TokenId] {
        &self.tokens
    }

    /// The blocks, in order of position.
    pub fn blocks(&self) -> &[BlockId] {
        &self.blocks
    }

    /// The block table a backend wants: block indices in order of position.
    pub fn block_table(&self) -> Vec<u32> {
        self.blocks.iter().map(|id| id.index()).collect()
    }
}
