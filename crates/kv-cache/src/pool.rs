//! Fixed-size blocks: free, cached (kept for their contents) or used.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::config::check_pool;
use crate::events::EventLog;
use crate::lru::{LruList, NONE};
use crate::space::Spaces;
use crate::tier::HostTier;
use crate::tree::{Node, Parent, Place, PrefixTree};
use crate::{BlockHash, BlockTimes, CacheConfig, CacheCounters, CacheEvent, KvCacheError, Sequence, Tier};

/// A token of the vocabulary.
pub type TokenId = u32;

/// A block, tagged with a generation so that an id kept after its release is recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
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

/// Keys and values of a block to be moved before the next step. Blocks are those of the device, by index; slots are
/// those of the host tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Move {
    /// Copy one block of the device to another.
    Copy {
        /// Block read.
        from: u32,
        /// Block written.
        to: u32,
    },
    /// Save a block to the host.
    Save {
        /// Block read.
        block: u32,
        /// Slot written.
        slot: u32,
    },
    /// Bring a block back from the host.
    Load {
        /// Slot read.
        slot: u32,
        /// Block written.
        block: u32,
    },
}

/// How many blocks are in each state; `free`, `cached` and `used` add up to all blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PoolUsage {
    /// Blocks without contents.
    pub free: usize,
    /// Blocks that nobody uses, kept because a later prompt may begin with their tokens.
    pub cached: usize,
    /// Blocks of running sequences.
    pub used: usize,
    /// Slots of the host tier.
    pub host_slots: usize,
    /// Of these, slots that hold a block.
    pub host_used: usize,
}

impl PoolUsage {
    /// Blocks of the device.
    pub fn total(&self) -> usize {
        self.free + self.cached + self.used
    }

    /// Blocks that can be had: free ones, and cached ones by eviction.
    pub fn available(&self) -> usize {
        self.free + self.cached
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Block {
    pub owners: u32,
    pub generation: u32,
    /// Its node in the prefix tree, once it is full and known there.
    pub node: u32,
    /// When it was handed out.
    pub allocated: Duration,
    /// When it was last released.
    pub released: Duration,
}

/// Hands out blocks and remembers which tokens the released ones hold.
///
/// A sequence begins with [`begin`](Self::begin), which shares the longest cached prefix; grows with
/// [`reserve`](Self::reserve); says what was computed with [`commit`](Self::commit); ends with [`end`](Self::end).
/// What [`take_moves`](Self::take_moves) returns has to be done, in its order, before the next step is computed.
#[derive(Debug)]
pub struct BlockPool {
    /// A number that no other pool of this process has.
    pub(crate) number: u64,
    pub(crate) block_size: usize,
    pub(crate) blocks: Vec<Block>,
    pub(crate) free: Vec<u32>,
    /// Blocks that nobody uses and that are in the tree, by time of release. A sequence releases its last block first
    /// and owns every block before one it owns, so what continues a block always stands before it: the first in the
    /// list is a leaf.
    pub(crate) cached: LruList,
    pub(crate) tree: PrefixTree,
    pub(crate) host: HostTier,
    pub(crate) spaces: Spaces,
    pub(crate) moves: Vec<Move>,
    pub(crate) events: EventLog,
    pub(crate) counters: CacheCounters,
    pub(crate) times: BlockTimes,
    pub(crate) now: Duration,
}

/// What must happen to a half-filled block before it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NextWrite {
    /// Nothing: it is the sequence's own.
    Ready,
    /// It is in the cache, and nobody else uses or continues it: the cache forgets it.
    Forget,
    /// Others read it.
    Copy,
}

static NEXT_POOL: AtomicU64 = AtomicU64::new(1);

impl BlockPool {
    /// A pool of `num_blocks` blocks of `block_size` tokens, without a second tier.
    ///
    /// # Errors
    /// A size of zero, or one beyond all measure.
    pub fn new(block_size: usize, num_blocks: usize) -> Result<Self, KvCacheError> {
        Self::with_sizes(block_size, num_blocks, 0, 0)
    }

    /// A pool with the pages, the second tier and the events of a configuration.
    ///
    /// # Errors
    /// As [`CacheConfig::check`].
    pub fn with_config(config: &CacheConfig) -> Result<Self, KvCacheError> {
        config.check()?;
        Self::with_sizes(config.page_size, config.max_pages, config.host_pages, config.max_events)
    }

    /// A pool with `host_slots` slots in a second tier, and room for `max_events` events.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_sizes(
        block_size: usize,
        num_blocks: usize,
        host_slots: usize,
        max_events: usize,
    ) -> Result<Self, KvCacheError> {
        check_pool(block_size, num_blocks, host_slots)?;
        let block = Block { owners: 0, generation: 0, node: NONE, allocated: Duration::ZERO, released: Duration::ZERO };
        Ok(Self {
            number: NEXT_POOL.fetch_add(1, Ordering::Relaxed),
            block_size,
            blocks: vec![block; num_blocks],
            free: (0..num_blocks as u32).rev().collect(),
            cached: LruList::new(num_blocks),
            tree: PrefixTree::new(num_blocks + host_slots, block_size),
            host: HostTier::new(host_slots),
            spaces: Spaces::default(),
            moves: Vec::new(),
            events: EventLog::new(max_events),
            counters: CacheCounters::default(),
            times: BlockTimes::default(),
            now: Duration::ZERO,
        })
    }

    /// Tokens a block.
    pub fn block_size(&self) -> usize {
        self.block_size
    }

    /// Blocks of the device.
    pub fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    /// Tokens that all blocks of the device together can hold.
    pub fn capacity_tokens(&self) -> usize {
        self.block_size * self.blocks.len()
    }

    /// Blocks by state.
    pub fn usage(&self) -> PoolUsage {
        let (free, cached, host_slots) = (self.free.len(), self.cached.len(), self.host.slots());
        PoolUsage {
            free,
            cached,
            used: self.blocks.len() - free - cached,
            host_slots,
            host_used: host_slots - self.host.free.len(),
        }
    }

    /// Blocks without contents: nothing may read them, so that a backend under test can fill them with poison. Those of
    /// moves that were not done yet are among them.
    pub fn free_blocks(&self) -> &[u32] {
        &self.free
    }

    /// What has happened so far.
    pub fn counters(&self) -> &CacheCounters {
        &self.counters
    }

    /// How long blocks lived, lay idle and waited for reuse.
    pub fn times(&self) -> &BlockTimes {
        &self.times
    }

    /// Tells the time, counted from any moment, for [`times`](Self::times). The pool has no clock of its own.
    pub fn set_time(&mut self, now: Duration) {
        self.now = now;
    }

    /// What has to be moved before the next step, in this order.
    pub fn take_moves(&mut self) -> Vec<Move> {
        std::mem::take(&mut self.moves)
    }

    /// As [`take_moves`](Self::take_moves), keeping the memory of the list.
    pub fn drain_moves(&mut self) -> impl Iterator<Item = Move> {
        self.moves.drain(..)
    }

    /// What has become cached or was forgotten since the last call, if the configuration asks for events.
    pub fn take_events(&mut self) -> Vec<CacheEvent> {
        self.events.take()
    }

    /// Events that were dropped because nobody took them.
    pub fn lost_events(&self) -> u64 {
        self.events.lost()
    }

    /// Makes room for `tokens` tokens in all, and makes the block that is written next the sequence's own. Returns
    /// whether there was room; if not, nothing changes.
    pub fn reserve(&mut self, sequence: &mut Sequence, tokens: usize) -> bool {
        if sequence.pool == 0 {
            sequence.pool = self.number;
        }
        let is_ours = sequence.pool == self.number;
        debug_assert!(is_ours, "a sequence of another pool");
        let write = if tokens > sequence.len { self.next_write(sequence) } else { NextWrite::Ready };
        let more = tokens.div_ceil(self.block_size).saturating_sub(sequence.blocks.len());
        let needed = more + usize::from(write == NextWrite::Copy);
        if !is_ours || needed > self.free.len() + self.cached.len() {
            return false;
        }
        let at = sequence.len / self.block_size;
        match write {
            NextWrite::Ready => {}
            NextWrite::Forget => self.forget(sequence.blocks[at].index),
            NextWrite::Copy => self.copy_on_write(sequence, at),
        }
        for _ in 0..more {
            let Some(id) = self.allocate() else { return false };
            sequence.blocks.push(id);
        }
        true
    }

    /// Takes the memory that the block table of `tokens` tokens needs, so that growing up to there takes none. Reserves
    /// no blocks.
    pub fn expect(&self, sequence: &mut Sequence, tokens: usize) {
        let blocks = tokens.div_ceil(self.block_size);
        sequence.blocks.reserve_exact(blocks.saturating_sub(sequence.blocks.len()));
    }

    /// What the block that the next token goes to needs first.
    fn next_write(&self, sequence: &Sequence) -> NextWrite {
        if sequence.len.is_multiple_of(self.block_size) {
            return NextWrite::Ready;
        }
        let Block { owners, node, .. } = self.blocks[sequence.blocks[sequence.len / self.block_size].index as usize];
        match (owners, node) {
            (1, NONE) => NextWrite::Ready,
            (1, node) if self.tree.node(node).children == 0 => NextWrite::Forget,
            _ => NextWrite::Copy,
        }
    }

    fn copy_on_write(&mut self, sequence: &mut Sequence, at: usize) {
        // The room was counted before.
        let Some(own) = self.allocate() else { return };
        let shared = std::mem::replace(&mut sequence.blocks[at], own);
        self.moves.push(Move::Copy { from: shared.index, to: own.index });
        self.counters.copies += 1;
        self.release(shared);
    }

    /// Says that `tokens`, the next ones of the sequence, are in its blocks now. Blocks that became full can be shared
    /// from here on; where another sequence had computed the same tokens meanwhile, its block takes the place of this
    /// one's in the block table.
    ///
    /// # Errors
    /// More tokens than were reserved, or a block that others read, which [`reserve`](Self::reserve) would have
    /// copied.
    pub fn commit(&mut self, sequence: &mut Sequence, tokens: &[TokenId]) -> Result<(), KvCacheError> {
        self.check_commit(sequence, tokens.len())?;
        if sequence.space.is_none() {
            sequence.len += tokens.len();
            return Ok(());
        }
        let mut rest = tokens;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(self.block_size - sequence.partial.len()));
            sequence.partial.extend_from_slice(now);
            if sequence.partial.len() == self.block_size {
                self.register(sequence)?;
                sequence.partial.clear();
            }
            sequence.len += now.len();
            rest = later;
        }
        Ok(())
    }

    fn check_commit(&self, sequence: &Sequence, tokens: usize) -> Result<(), KvCacheError> {
        self.check_ours(sequence)?;
        let (total, blocks, block_size) = (sequence.len + tokens, sequence.blocks.len(), self.block_size);
        if total > blocks * block_size {
            return Err(KvCacheError::PastReservation { tokens: total, blocks, block_size });
        }
        if tokens > 0 {
            let id = sequence.blocks[sequence.len / block_size];
            self.check_in_use(id)?;
            let Block { owners, node, .. } = self.blocks[id.index as usize];
            if owners > 1 || node != NONE {
                return Err(KvCacheError::SharedBlock { id, owners });
            }
        }
        Ok(())
    }

    /// A second sequence with the same tokens in the same blocks. What either writes next goes to a block of its own.
    ///
    /// # Errors
    /// A sequence of another pool.
    pub fn fork(&mut self, sequence: &Sequence) -> Result<Sequence, KvCacheError> {
        self.check_ours(sequence)?;
        let filled = &sequence.blocks[..sequence.len.div_ceil(self.block_size)];
        // Room for as many as the first one has or will have, so that a fork grows without taking memory.
        let mut blocks = Vec::with_capacity(sequence.blocks.capacity());
        blocks.extend_from_slice(filled);
        for id in filled {
            self.check_in_use(*id)?;
        }
        for id in filled {
            self.blocks[id.index as usize].owners += 1;
        }
        if let Some(space) = sequence.space {
            self.spaces.add_user(space);
        }
        let mut partial = Vec::with_capacity(self.block_size);
        partial.extend_from_slice(&sequence.partial);
        Ok(Sequence {
            pool: self.number,
            space: sequence.space,
            len: sequence.len,
            blocks,
            partial,
            shared: sequence.len,
        })
    }

    /// Ends a sequence: its blocks are cached if their contents are known, free otherwise.
    ///
    /// # Errors
    /// A sequence of another pool, or a block that is not in use; then nothing changes.
    pub fn end(&mut self, sequence: Sequence) -> Result<(), KvCacheError> {
        self.check_all(&sequence)?;
        self.release_from(&sequence.blocks, 0);
        if let Some(space) = sequence.space {
            self.spaces.leave(space);
        }
        Ok(())
    }

    /// Ends a sequence and moves what only it used to the second tier at once, so that its blocks are free rather than
    /// cached. Where the tier is too small, the end of the sequence is forgotten first.
    ///
    /// # Errors
    /// As [`end`](Self::end).
    pub fn swap_out(&mut self, sequence: Sequence) -> Result<(), KvCacheError> {
        self.check_all(&sequence)?;
        for &id in sequence.blocks.iter().rev() {
            self.release(id);
            let is_unused = self.host.slots() > 0 && self.cached.contains(id.index);
            // A block stays on the device as long as one that continues it.
            if is_unused && self.tree.node(self.blocks[id.index as usize].node).device_children == 0 {
                self.cached.remove(id.index);
                self.leave_device(id.index);
                self.free.push(id.index);
            }
        }
        if let Some(space) = sequence.space {
            self.spaces.leave(space);
        }
        Ok(())
    }

    /// Forgets all cached contents, in both tiers. What running sequences use stays.
    pub fn clear_cached(&mut self) {
        while let Some(slot) = self.host.used.pop() {
            let node = self.host.nodes[slot as usize];
            self.remove_node(node, Tier::Host);
            self.host.free.push(slot);
        }
        while let Some(index) = self.cached.pop() {
            self.forget(index);
            self.retire(index);
            self.free.push(index);
        }
        if self.tree.live().next().is_none() {
            self.events.push(CacheEvent::AllBlocksCleared);
        }
    }

    pub(crate) fn id(&self, index: u32) -> BlockId {
        BlockId { index, generation: self.blocks[index as usize].generation }
    }

    /// A block for one owner: a free one, or the cached one that was released longest ago.
    pub(crate) fn allocate(&mut self) -> Option<BlockId> {
        let index = self.free.pop().or_else(|| self.evict())?;
        let now = self.now;
        let block = &mut self.blocks[index as usize];
        block.owners = 1;
        block.allocated = now;
        Some(self.id(index))
    }

    fn evict(&mut self) -> Option<u32> {
        let index = self.cached.pop()?;
        let Block { allocated, released, .. } = self.blocks[index as usize];
        self.counters.evictions += 1;
        self.times.lifetime.add(self.now.saturating_sub(allocated));
        self.times.idle_before_evict.add(self.now.saturating_sub(released));
        self.leave_device(index);
        Some(index)
    }

    /// Moves the contents of a cached block to the host tier, or forgets them if there is none.
    fn leave_device(&mut self, index: u32) {
        match self.host_slot() {
            Some(slot) => {
                let node = std::mem::replace(&mut self.blocks[index as usize].node, NONE);
                self.note_removed(node, Tier::Device);
                self.host.fill(slot, node);
                self.tree.set_place(node, Place::Host(slot));
                self.moves.push(Move::Save { block: index, slot });
                self.counters.saves += 1;
                self.note_stored(node, Tier::Host);
            }
            None => self.forget(index),
        }
        self.retire(index);
    }

    /// A slot of the host tier: a free one, or that of the block saved or used longest ago.
    fn host_slot(&mut self) -> Option<u32> {
        if let Some(slot) = self.host.free.pop() {
            return Some(slot);
        }
        let slot = self.host.used.pop()?;
        self.remove_node(self.host.nodes[slot as usize], Tier::Host);
        Some(slot)
    }

    /// Takes a block's contents out of the tree.
    fn forget(&mut self, index: u32) {
        let node = std::mem::replace(&mut self.blocks[index as usize].node, NONE);
        if node != NONE {
            self.remove_node(node, Tier::Device);
        }
    }

    fn remove_node(&mut self, node: u32, tier: Tier) {
        self.note_removed(node, tier);
        let parent = self.tree.node(node).parent;
        self.tree.remove(node);
        if let Parent::Root(space) = parent {
            self.spaces.leave(space);
        }
    }

    /// Makes ids of a block stale.
    fn retire(&mut self, index: u32) {
        let block = &mut self.blocks[index as usize];
        block.generation = block.generation.wrapping_add(1);
    }

    /// One more owner of a block in the tree.
    pub(crate) fn adopt(&mut self, index: u32) {
        let now = self.now;
        let block = &mut self.blocks[index as usize];
        if block.owners == 0 {
            self.times.reuse_gap.add(now.saturating_sub(block.released));
            self.cached.remove(index);
        }
        block.owners += 1;
    }

    /// One owner less of a block in use.
    pub(crate) fn release(&mut self, id: BlockId) {
        let block = &mut self.blocks[id.index as usize];
        block.owners -= 1;
        if block.owners > 0 {
            return;
        }
        block.released = self.now;
        if block.node == NONE {
            self.retire(id.index);
            self.free.push(id.index);
        } else {
            self.cached.push(id.index);
        }
    }

    /// Releases the blocks from a place on, the last first.
    pub(crate) fn release_from(&mut self, blocks: &[BlockId], from: usize) {
        for id in blocks[from..].iter().rev() {
            self.release(*id);
        }
    }

    pub(crate) fn check_ours(&self, sequence: &Sequence) -> Result<(), KvCacheError> {
        let is_ours = sequence.pool == self.number || sequence.pool == 0;
        if is_ours { Ok(()) } else { Err(KvCacheError::ForeignSequence) }
    }

    pub(crate) fn check_all(&self, sequence: &Sequence) -> Result<(), KvCacheError> {
        self.check_ours(sequence)?;
        sequence.blocks.iter().try_for_each(|id| self.check_in_use(*id))
    }

    pub(crate) fn check_in_use(&self, id: BlockId) -> Result<(), KvCacheError> {
        match self.blocks.get(id.index as usize) {
            Some(block) if block.generation == id.generation && block.owners > 0 => Ok(()),
            Some(block) => Err(KvCacheError::StaleBlock { id, generation: block.generation, owners: block.owners }),
            None => Err(KvCacheError::StaleBlock { id, generation: 0, owners: 0 }),
        }
    }

    pub(crate) fn note_stored(&mut self, node: u32, tier: Tier) {
        if !self.events.is_on() {
            return;
        }
        let Node { parent, name, space, .. } = *self.tree.node(node);
        self.events.push(CacheEvent::BlockStored {
            hash: BlockHash(name),
            parent: match parent {
                Parent::Root(_) => None,
                Parent::Node(before) => Some(BlockHash(self.tree.node(before).name)),
            },
            tokens: self.tree.tokens(node).into(),
            block_size: self.block_size,
            space: *self.spaces.space(space),
            tier,
        });
    }

    pub(crate) fn note_removed(&mut self, node: u32, tier: Tier) {
        if self.events.is_on() {
            let hash = BlockHash(self.tree.node(node).name);
            self.events.push(CacheEvent::BlockRemoved { hash, tier });
        }
    }
}
