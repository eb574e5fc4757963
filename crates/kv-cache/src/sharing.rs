//! Sharing: prompts that begin alike use the same blocks.

use crate::events::{name_of, name_of_space};
use crate::lru::NONE;
use crate::tree::{Parent, Place};
use crate::{BlockPool, KvCacheError, Move, Sequence, Space, Tier, TokenId};

/// How much of a prompt is cached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrefixHit {
    /// Tokens in blocks of the device.
    pub device_tokens: usize,
    /// Tokens behind those, in slots of the host tier.
    pub host_tokens: usize,
}

impl BlockPool {
    /// Begins a sequence whose first tokens will be `prompt`, sharing the longest prefix that is cached in its space,
    /// on the device or in the host tier as far as there is room to bring it back. At least one token is left to
    /// compute, so that there are logits to continue from.
    pub fn begin(&mut self, space: &Space, prompt: &[TokenId]) -> Sequence {
        self.begin_with_room(space, prompt, prompt.len())
    }

    /// Begins a sequence and reserves room for `tokens` tokens in all, prompt included; `None`, and nothing changes,
    /// if there is not so much room.
    pub fn try_begin(&mut self, space: &Space, prompt: &[TokenId], tokens: usize) -> Option<Sequence> {
        if self.missing_blocks(space, prompt, tokens) > 0 {
            return None;
        }
        let mut sequence = self.begin_with_room(space, prompt, tokens);
        if self.reserve(&mut sequence, tokens) {
            return Some(sequence);
        }
        debug_assert!(false, "the room was counted before");
        // A sequence that has just begun is this pool's own.
        let _ = self.end(sequence);
        None
    }

    /// How many blocks more than there are would be needed to begin such a sequence; 0: [`try_begin`](Self::try_begin)
    /// succeeds.
    pub fn missing_blocks(&self, space: &Space, prompt: &[TokenId], tokens: usize) -> usize {
        let (mut shared, mut idle) = (0, 0);
        self.walk(space, prompt, |place| {
            if let Place::Device(index) = place {
                shared += 1;
                idle += usize::from(self.blocks[index as usize].owners == 0);
            }
        });
        // Cached blocks that are shared are no longer there for eviction.
        let available = self.free.len() + self.cached.len() - idle;
        tokens.div_ceil(self.block_size).saturating_sub(shared).saturating_sub(available)
    }

    /// How much of a prompt is cached, without beginning it.
    pub fn lookup(&self, space: &Space, prompt: &[TokenId]) -> PrefixHit {
        let mut hit = PrefixHit::default();
        self.walk(space, prompt, |place| match place {
            Place::Device(_) => hit.device_tokens += self.block_size,
            Place::Host(_) => hit.host_tokens += self.block_size,
        });
        hit
    }

    /// Shares what others have computed since the sequence began: if it stands at the border of a block and the next
    /// tokens of `tokens`, which are all it has and will have, are cached now, their blocks take the place of those
    /// that were reserved. Returns how many tokens were gained. At least one is left to compute.
    pub fn share_computed(&mut self, sequence: &mut Sequence, tokens: &[TokenId]) -> usize {
        let before = sequence.len;
        if sequence.pool == self.number {
            self.share(sequence, tokens);
        }
        let gained = sequence.len - before;
        self.counters.hits += gained as u64;
        gained
    }

    /// Whether both sequences stand at the same border of a block behind the same tokens, so that what one computes
    /// next may serve the other.
    pub fn are_level(&self, a: &Sequence, b: &Sequence) -> bool {
        let full = a.len / self.block_size;
        a.space.is_some()
            && a.space == b.space
            && a.len == b.len
            && a.len.is_multiple_of(self.block_size)
            && (full == 0 || a.blocks[full - 1] == b.blocks[full - 1])
    }

    fn begin_with_room(&mut self, space: &Space, prompt: &[TokenId], tokens: usize) -> Sequence {
        let mut sequence = Sequence {
            pool: self.number,
            space: Some(self.spaces.enter(space)),
            len: 0,
            blocks: Vec::with_capacity(tokens.div_ceil(self.block_size)),
            partial: Vec::with_capacity(self.block_size),
            shared: 0,
        };
        self.share(&mut sequence, prompt);
        self.counters.queries += prompt.len() as u64;
        self.counters.hits += sequence.len as u64;
        sequence
    }

    /// Visits the places of the cached prefix.
    fn walk(&self, space: &Space, prompt: &[TokenId], mut visit: impl FnMut(Place)) {
        let Some(space) = self.spaces.number(space) else { return };
        let mut parent = Parent::Root(space);
        for tokens in prompt.chunks_exact(self.block_size).take(self.shareable(prompt)) {
            let Some(node) = self.tree.find(parent, tokens) else { return };
            visit(self.tree.node(node).place);
            parent = Parent::Node(node);
        }
    }

    /// Blocks of a prompt that may be shared.
    fn shareable(&self, prompt: &[TokenId]) -> usize {
        prompt.len().saturating_sub(1) / self.block_size
    }

    /// What the next block of a sequence stands behind.
    fn tail(&self, sequence: &Sequence) -> Option<Parent> {
        let space = sequence.space?;
        match (sequence.len / self.block_size).checked_sub(1) {
            None => Some(Parent::Root(space)),
            Some(last) => match self.blocks[sequence.blocks[last].index as usize].node {
                NONE => None,
                node => Some(Parent::Node(node)),
            },
        }
    }

    /// Takes cached blocks over as long as they continue a sequence that stands at the border of a block.
    fn share(&mut self, sequence: &mut Sequence, tokens: &[TokenId]) {
        if !sequence.len.is_multiple_of(self.block_size) {
            return;
        }
        let mut is_touched = false;
        while sequence.len / self.block_size < self.shareable(tokens) {
            let next = &tokens[sequence.len..][..self.block_size];
            let Some(node) = self.tail(sequence).and_then(|tail| self.tree.find(tail, next)) else { return };
            match self.tree.node(node).place {
                Place::Device(index) => self.share_device(sequence, index),
                Place::Host(_) => {
                    if !std::mem::replace(&mut is_touched, true) {
                        self.touch_host(node, &tokens[sequence.len..]);
                    }
                    if !self.share_host(sequence, next) {
                        return;
                    }
                }
            }
            sequence.len += self.block_size;
            sequence.shared += self.block_size;
        }
    }

    fn share_device(&mut self, sequence: &mut Sequence, index: u32) {
        self.adopt(index);
        let id = self.id(index);
        match sequence.blocks.get_mut(sequence.len / self.block_size) {
            Some(reserved) => {
                let reserved = std::mem::replace(reserved, id);
                self.release(reserved);
            }
            None => sequence.blocks.push(id),
        }
    }

    /// Brings the next block back from the host, into the reserved block or a new one.
    fn share_host(&mut self, sequence: &mut Sequence, tokens: &[TokenId]) -> bool {
        let at = sequence.len / self.block_size;
        if at == sequence.blocks.len() {
            let Some(id) = self.allocate() else { return false };
            sequence.blocks.push(id);
        }
        let id = sequence.blocks[at];
        // The block may have come from an eviction that took the slot: look again.
        let node = self.tail(sequence).and_then(|tail| self.tree.find(tail, tokens));
        let Some((node, Place::Host(slot))) = node.map(|node| (node, self.tree.node(node).place)) else {
            return false;
        };
        self.moves.push(Move::Load { slot, block: id.index });
        self.counters.loads += 1;
        self.counters.host_hits += self.block_size as u64;
        self.return_to_device(node, slot, id.index);
        true
    }

    fn return_to_device(&mut self, node: u32, slot: u32, index: u32) {
        self.note_removed(node, Tier::Host);
        self.host.vacate(slot);
        self.tree.set_place(node, Place::Device(index));
        self.blocks[index as usize].node = node;
        self.note_stored(node, Tier::Device);
    }

    /// Makes the chain of host blocks that begins at a node the last to be evicted, its end before its beginning.
    fn touch_host(&mut self, first: u32, tokens: &[TokenId]) {
        let mut chain = first;
        for next in tokens.chunks_exact(self.block_size).skip(1) {
            let Some(node) = self.tree.find(Parent::Node(chain), next) else { break };
            chain = node;
        }
        loop {
            let node = self.tree.node(chain);
            if let Place::Host(slot) = node.place {
                self.host.touch(slot);
            }
            match node.parent {
                Parent::Node(parent) if chain != first => chain = parent,
                _ => return,
            }
        }
    }

    /// Puts the block that has just become full into the tree. Where the tree has these tokens already, its block
    /// takes the place of the sequence's own, so that a sequence owns every block its blocks stand behind.
    pub(crate) fn register(&mut self, sequence: &mut Sequence) -> Result<(), KvCacheError> {
        let at = sequence.len / self.block_size;
        let own = sequence.blocks[at];
        self.check_in_use(own)?;
        let Some(tail) = self.tail(sequence) else {
            return Err(KvCacheError::Broken(format!("the block before block {} is not in the tree", own.index)));
        };
        let Some(node) = self.tree.find(tail, &sequence.partial) else {
            return self.insert(tail, &sequence.partial, own.index);
        };
        match self.tree.node(node).place {
            Place::Device(index) => {
                self.adopt(index);
                sequence.blocks[at] = self.id(index);
                self.release(own);
                self.counters.duplicates += 1;
            }
            Place::Host(slot) => self.return_to_device(node, slot, own.index),
        }
        Ok(())
    }

    fn insert(&mut self, parent: Parent, tokens: &[TokenId], index: u32) -> Result<(), KvCacheError> {
        let before = match parent {
            _ if !self.events.is_on() => 0,
            Parent::Root(space) => name_of_space(self.spaces.space(space)),
            Parent::Node(node) => self.tree.node(node).name,
        };
        let name = if self.events.is_on() { name_of(before, tokens) } else { 0 };
        let Some(node) = self.tree.insert(parent, tokens, index, name) else {
            return Err(KvCacheError::Broken("more nodes than blocks and slots".into()));
        };
        if let Parent::Root(space) = parent {
            self.spaces.add_user(space);
        }
        self.blocks[index as usize].node = node;
        self.note_stored(node, Tier::Device);
        Ok(())
    }

    /// Cuts a sequence to its first `tokens` tokens and gives back all blocks behind them, reserved ones included.
    ///
    /// # Errors
    /// More tokens than it has, or a sequence of another pool.
    pub fn truncate(&mut self, sequence: &mut Sequence, tokens: usize) -> Result<(), KvCacheError> {
        self.check_all(sequence)?;
        let len = sequence.len;
        if tokens > len {
            return Err(KvCacheError::TruncatePastEnd { tokens, len });
        }
        let (full, rest) = (tokens / self.block_size, tokens % self.block_size);
        if full == len / self.block_size {
            sequence.partial.truncate(rest);
        } else if sequence.space.is_some() {
            // The cut goes through a block in the tree, which knows its tokens.
            let node = self.blocks[sequence.blocks[full].index as usize].node;
            sequence.partial.clear();
            sequence.partial.extend_from_slice(&self.tree.tokens(node)[..rest]);
        }
        let keep = tokens.div_ceil(self.block_size);
        self.release_from(&sequence.blocks, keep);
        sequence.blocks.truncate(keep);
        sequence.len = tokens;
        sequence.shared = sequence.shared.min(tokens);
        Ok(())
    }
}
