//! What becomes known to be cached and what is forgotten, for routers that send requests to where their prefix is.

use crate::{Space, TokenId};

/// Name of a block's tokens together with all before them in their space. Equal prefixes have equal names in every
/// process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockHash(pub u64);

/// Which memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tier {
    /// The device's.
    Device,
    /// The host's.
    Host,
}

/// A change of what is cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheEvent {
    /// A full block can be shared from here on.
    BlockStored {
        /// Its name.
        hash: BlockHash,
        /// Name of the block before it; `None` at the beginning of a prompt.
        parent: Option<BlockHash>,
        /// Its tokens.
        tokens: Box<[TokenId]>,
        /// Tokens a block.
        block_size: usize,
        /// Whose it is.
        space: Space,
        /// Where it is.
        tier: Tier,
    },
    /// A block is no longer in that memory.
    BlockRemoved {
        /// Its name.
        hash: BlockHash,
        /// Where it was.
        tier: Tier,
    },
    /// Nothing that was stored before can be relied on: everything was forgotten, or events were lost.
    AllBlocksCleared,
}

/// Events not taken yet, at most so many.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    events: Vec<CacheEvent>,
    max: usize,
    lost: u64,
}

impl EventLog {
    pub fn new(max: usize) -> Self {
        Self { events: Vec::new(), max, lost: 0 }
    }

    pub fn is_on(&self) -> bool {
        self.max > 0
    }

    /// Records an event. One too many drops them all: who has missed one must begin anew.
    pub fn push(&mut self, event: CacheEvent) {
        if !self.is_on() {
            return;
        }
        if self.events.len() >= self.max {
            self.lost += self.events.len() as u64;
            self.events.clear();
            self.events.push(CacheEvent::AllBlocksCleared);
        }
        self.events.push(event);
    }

    pub fn take(&mut self) -> Vec<CacheEvent> {
        std::mem::take(&mut self.events)
    }

    pub fn lost(&self) -> u64 {
        self.lost
    }
}

/// The name of tokens behind a prefix of that name.
pub(crate) fn name_of(before: u64, tokens: &[TokenId]) -> u64 {
    tokens.iter().fold(before, |name, &token| mix(name ^ u64::from(token)))
}

/// The name of the empty prefix of a space.
pub(crate) fn name_of_space(space: &Space) -> u64 {
    let salt = space.salt.map_or(0, u128::from_le_bytes);
    let parts = [space.model, space.adapter, u64::from(space.salt.is_some()), salt as u64, (salt >> 64) as u64];
    parts.into_iter().fold(0, |name, part| mix(name ^ part))
}

/// Every bit of the result depends on every bit of `x` (the finalizer of SplitMix64).
fn mix(x: u64) -> u64 {
    let x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_log_tells_its_reader_to_begin_anew() {
        let removed = |n| CacheEvent::BlockRemoved { hash: BlockHash(n), tier: Tier::Device };
        let mut log = EventLog::new(2);
        for n in 0..3 {
            log.push(removed(n));
        }
        assert_eq!(log.take(), [CacheEvent::AllBlocksCleared, removed(2)]);
        assert_eq!((log.lost(), log.take().len()), (2, 0));
        let mut off = EventLog::new(0);
        off.push(removed(0));
        assert!(off.take().is_empty());
    }

    #[test]
    fn names_tell_spaces_and_orders_apart() {
        let plain = Space::default();
        let salted = Space { salt: Some([0; 16]), ..plain };
        let adapted = Space { adapter: 1, ..plain };
        let names = [plain, salted, adapted].map(|s| name_of_space(&s));
        assert!(names[0] != names[1] && names[0] != names[2] && names[1] != names[2]);
        assert_ne!(name_of(names[0], &[1, 2]), name_of(names[0], &[2, 1]));
        assert_eq!(name_of(name_of(names[0], &[1]), &[2]), name_of(names[0], &[1, 2]));
    }
}
