//! Fixed-size blocks: free, cached (kept for their contents) or used.

use std::collections::{BTreeSet, HashMap};

use crate::{KvCacheError, Sequence};

/// A token of the vocabulary.
pub type TokenId = u32;

/// A block, tagged with a generation so that an id kept after its release is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId {
    index: u32,
    generation: u32,
}

impl BlockId {
    /// Place in the device's cache.
    pub fn index(self) -> u32 {
        self.index
    }

    /// How often the block had been handed out before.
    pub fn generation(self) -> u32 {
        self.generation
    }
}

/// How many blocks are in each state; the three add up to all blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolUsage {
    /// Blocks without contents.
    pub free: usize,
    /// Blocks that nobody uses, kept because a later prompt may begin with their tokens.
    pub cached: usize,
    /// Blocks of running sequences.
    pub used: usize,
}

#[derive(Debug, Clone, Default)]
struct Block {
    owners: u32,
    generation: u32,
    /// Set when the block is full and registered: its key in the prefix tree.
    key: Option<PrefixKey>,
    /// Registered blocks that continue this one.
    children: u32,
    /// When it was last released; orders eviction.
    released: u64,
}

/// A registered block: the block before it, and its own tokens. Equality compares the tokens themselves; the hash
/// only finds them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct PrefixKey {
    parent: Option<u32>,
    tokens: Box<[TokenId]>,
}

/// Hands out blocks and remembers which tokens the released ones hold.
///
/// A sequence begins with [`begin`](Self::begin), which shares the longest cached prefix; grows with
/// [`reserve`](Self::reserve); says what it has computed with [`commit`](Self::commit); ends with
/// [`end`](Self::end). Only full blocks are shared, and they are never written again.
#[derive(Debug)]
pub struct BlockPool {
    block_size: usize,
    blocks: Vec<Block>,
    free: Vec<u32>,
    tree: HashMap<PrefixKey, u32>,
    /// Cached blocks by time of release.
    evictable: BTreeSet<(u64, u32)>,
    clock: u64,
}

const MAX_BLOCKS: usize = u32::MAX as usize;

impl BlockPool {
    /// A pool of `num_blocks` blocks of `block_size` tokens.
    ///
    /// # Errors
    /// A size of zero, or more blocks than an id can name.
    pub fn new(block_size: usize, num_blocks: usize) -> Result<Self, KvCacheError> {
        for (what, found) in [("block size", block_size), ("number of blocks", num_blocks)] {
            if found == 0 || found > MAX_BLOCKS {
                return Err(KvCacheError::BadSize { what, found, max: MAX_BLOCKS });
            }
        }
        Ok(Self {
            block_size,
            blocks: vec![Block::default(); num_blocks],
            free: (0..num_blocks as u32).rev().collect(),
            tree: HashMap::new(),
            evictable: BTreeSet::new(),
            clock: 0,
        })
    }

    /// Tokens a block.
    pub fn block_size(&self) -> usize {
        self.block_size
    }

    /// Tokens that all blocks together can hold.
    pub fn capacity_tokens(&self) -> usize {
        self.block_size * self.blocks.len()
    }

    /// Blocks by state.
    pub fn usage(&self) -> PoolUsage {
        let (free, cached) = (self.free.len(), self.evictable.len());
        PoolUsage { free, cached, used: self.blocks.len() - free - cached }
    }

    /// Begins a sequence whose first tokens will be `prompt`, sharing the cached blocks it starts with. At least one
    /// token is left to compute, so that there are logits to continue from.
    pub fn begin(&mut self, prompt: &[TokenId]) -> Sequence {
        let mut sequence = Sequence::default();
        let shareable = prompt.len().saturating_sub(1) / self.block_size;
        let mut parent = None;
        for tokens in prompt.chunks_exact(self.block_size).take(shareable) {
            let key = PrefixKey { parent, tokens: tokens.into() };
            let Some(&index) = self.tree.get(&key) else { break };
            self.adopt(index);
            sequence.blocks.push(self.id(index));
            sequence.tokens.extend_from_slice(tokens);
            parent = Some(index);
        }
        sequence.registered = sequence.blocks.len();
        sequence
    }

    /// Makes room for `tokens` tokens in all. Returns whether there was room; if not, nothing changes.
    pub fn reserve(&mut self, sequence: &mut Sequence, tokens: usize) -> bool {
        let needed = tokens.div_ceil(self.block_size).saturating_sub(sequence.blocks.len());
        if needed > self.free.len() + self.evictable.len() {
            return false;
        }
        for _ in 0..needed {
            let Some(index) = self.free.pop().or_else(|| self.evict()) else { return false };
            let block = &mut self.blocks[index as usize];
            block.owners = 1;
            sequence.blocks.push(BlockId { index, generation: block.generation });
        }
        true
    }

    /// Says that `tokens`, the next ones of the sequence, are in its blocks now. Blocks that became full can be
    /// shared from here on.
    ///
    /// # Errors
    /// More tokens than were reserved.
    pub fn commit(&mut self, sequence: &mut Sequence, tokens: &[TokenId]) -> Result<(), KvCacheError> {
        let total = sequence.tokens.len() + tokens.len();
        if total > sequence.blocks.len() * self.block_size {
            let blocks = sequence.blocks.len();
            return Err(KvCacheError::PastReservation { tokens: total, blocks, block_size: self.block_size });
        }
        sequence.tokens.extend_from_slice(tokens);
        while (sequence.registered + 1) * self.block_size <= total {
            self.register(sequence)?;
        }
        Ok(())
    }

    /// Ends a sequence: its blocks are cached if their contents are known, free otherwise.
    ///
    /// # Errors
    /// A block that is not in use: the sequence belongs to another pool.
    pub fn end(&mut self, sequence: Sequence) -> Result<(), KvCacheError> {
        // Last first: eviction takes the oldest, and a prefix must outlive what continues it.
        for id in sequence.blocks.into_iter().rev() {
            self.release(id)?;
        }
        Ok(())
    }

    /// Forgets all cached contents.
    pub fn clear_cached(&mut self) {
        while let Some(index) = self.evict() {
            self.free.push(index);
        }
    }

    fn id(&self, index: u32) -> BlockId {
        BlockId { index, generation: self.blocks[index as usize].generation }
    }

    fn adopt(&mut self, index: u32) {
        let block = &mut self.blocks[index as usize];
        if block.owners == 0 {
            self.evictable.remove(&(block.released, index));
        }
        block.owners += 1;
    }

    /// Registers the next full block of a sequence. If another sequence computed the same tokens first, the block
    /// stays private: it holds the same numbers, but the tree keeps one.
    fn register(&mut self, sequence: &mut Sequence) -> Result<(), KvCacheError> {
        let at = sequence.registered;
        let id = sequence.blocks[at];
        self.check_in_use(id)?;
        sequence.registered += 1;
        let parent = at.checked_sub(1).map(|before| sequence.blocks[before].index);
        // A private parent is not in the tree, so nothing can be found behind it.
        if parent.is_some_and(|p| self.blocks[p as usize].key.is_none()) {
            return Ok(());
        }
        let tokens = sequence.tokens[at * self.block_size..][..self.block_size].into();
        let key = PrefixKey { parent, tokens };
        if self.tree.contains_key(&key) {
            return Ok(());
        }
        if let Some(parent) = parent {
            self.blocks[parent as usize].children += 1;
        }
        self.tree.insert(key.clone(), id.index);
        self.blocks[id.index as usize].key = Some(key);
        Ok(())
    }

    fn check_in_use(&self, id: BlockId) -> Result<(), KvCacheError> {
        match self.blocks.get(id.index as usize) {
            Some(block) if block.generation == id.generation && block.owners > 0 => Ok(()),
            Some(block) => Err(KvCacheError::StaleBlock { id, generation: block.generation, owners: block.owners }),
            None => Err(KvCacheError::StaleBlock { id, generation: 0, owners: 0 }),
        }
    }

    fn release(&mut self, id: BlockId) -> Result<(), KvCacheError> {
        self.check_in_use(id)?;
        self.clock += 1;
        let block = &mut self.blocks[id.index as usize];
        block.owners -= 1;
        if block.owners > 0 {
            return Ok(());
        }
        if block.key.is_some() {
            block.released = self.clock;
            self.evictable.insert((self.clock, id.index));
        } else {
            block.generation = block.generation.wrapping_add(1);
            self.free.push(id.index);
        }
        Ok(())
    }

    /// Takes the cached block that was released longest ago and that nothing continues.
    fn evict(&mut self) -> Option<u32> {
        let &(released, index) = self.evictable.iter().find(|(_, i)| self.blocks[*i as usize].children == 0)?;
        self.evictable.remove(&(released, index));
        let block = &mut self.blocks[index as usize];
        block.generation = block.generation.wrapping_add(1);
        if let Some(key) = block.key.take() {
            if let Some(parent) = key.parent {
                self.blocks[parent as usize].children -= 1;
            }
            self.tree.remove(&key);
        }
        Some(index)
    }

    /// Recounts everything from the sequences that own the blocks.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check_integrity<'a>(&self, owners: impl IntoIterator<Item = &'a Sequence>) -> Result<(), KvCacheError> {
        let broken = |message: String| Err(KvCacheError::Broken(message));
        let mut counted = vec![0u32; self.blocks.len()];
        for sequence in owners {
            if sequence.tokens.len() > sequence.blocks.len() * self.block_size {
                return broken(format!("{} tokens in {} blocks", sequence.tokens.len(), sequence.blocks.len()));
            }
            for id in &sequence.blocks {
                self.check_in_use(*id)?;
                counted[id.index as usize] += 1;
            }
        }
        for (index, (block, counted)) in self.blocks.iter().zip(&counted).enumerate() {
            if block.owners != *counted {
                return broken(format!("block {index} says {} owners and has {counted}", block.owners));
            }
            let index = index as u32;
            let places = [
                block.owners > 0,
                self.free.contains(&index),
                self.evictable.contains(&(block.released, index)) && block.owners == 0,
            ];
            if places.iter().filter(|p| **p).count() != 1 {
                return broken(format!("block {index} is used, free, cached: {places:?}"));
            }
            let children = self.tree.keys().filter(|k| k.parent == Some(index)).count();
            if block.children as usize != children {
                return broken(format!("block {index} says {} children and has {children}", block.children));
            }
            if block.key.as_ref().is_some_and(|k| self.tree.get(k) != Some(&index)) {
                return broken(format!("block {index} is not where its key says"));
            }
        }
        Ok(())
    }
}
