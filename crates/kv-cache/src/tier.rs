//! The second tier: slots in memory of the host for blocks that the device has no room for.

use crate::lru::LruList;

/// Slots, and the node whose keys and values lie in each.
#[derive(Debug)]
pub(crate) struct HostTier {
    pub free: Vec<u32>,
    pub nodes: Vec<u32>,
    /// Slots in use, the least recently used first.
    pub used: LruList,
}

impl HostTier {
    pub fn new(slots: usize) -> Self {
        Self {
            free: (0..slots as u32).rev().collect(),
            nodes: vec![crate::lru::NONE; slots],
            used: LruList::new(slots),
        }
    }

    pub fn slots(&self) -> usize {
        self.nodes.len()
    }

    /// Puts a node into a free slot.
    pub fn fill(&mut self, slot: u32, node: u32) {
        self.nodes[slot as usize] = node;
        self.used.push(slot);
    }

    /// Makes a slot free again.
    pub fn vacate(&mut self, slot: u32) {
        self.used.remove(slot);
        self.free.push(slot);
    }

    /// Makes a slot the most recently used one.
    pub fn touch(&mut self, slot: u32) {
        self.used.remove(slot);
        self.used.push(slot);
    }
}
