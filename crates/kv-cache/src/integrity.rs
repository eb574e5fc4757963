//! Recounting everything.

use crate::lru::NONE;
use crate::tree::{Parent, Place};
use crate::{BlockPool, KvCacheError, Sequence};

type Check = Result<(), String>;

impl BlockPool {
    /// Recounts everything from the sequences that own the blocks. Takes time in proportion to the pool.
    ///
    /// # Errors
    /// The first invariant that does not hold.
    pub fn check_integrity<'a>(&self, owners: impl IntoIterator<Item = &'a Sequence>) -> Result<(), KvCacheError> {
        let mut owned = vec![0; self.blocks.len()];
        let mut users = vec![0; self.spaces.bound()];
        for sequence in owners {
            self.check_all(sequence)?;
            self.check_sequence(sequence).map_err(KvCacheError::Broken)?;
            sequence.blocks.iter().for_each(|id| owned[id.index as usize] += 1);
            if let Some(space) = sequence.space {
                users[space as usize] += 1;
            }
        }
        let check = self.check_blocks(&owned).and_then(|()| self.check_tree(users)).and_then(|()| self.check_host());
        check.map_err(KvCacheError::Broken)
    }

    fn check_sequence(&self, sequence: &Sequence) -> Check {
        let (len, blocks) = (sequence.len, sequence.blocks.len());
        ensure(len <= blocks * self.block_size, || format!("{len} tokens in {blocks} blocks"))?;
        if sequence.space.is_none() {
            return Ok(());
        }
        let partial = sequence.partial.len();
        ensure(len % self.block_size == partial, || format!("{partial} tokens remembered of {len}"))?;
        for at in 0..len / self.block_size {
            let node = self.blocks[sequence.blocks[at].index as usize].node;
            ensure(node != NONE, || format!("full block {at} of a sequence is not in the tree"))?;
            let before = at.checked_sub(1).map(|at| self.blocks[sequence.blocks[at].index as usize].node);
            let expected = before.map_or(Parent::Root(sequence.space.unwrap_or(NONE)), Parent::Node);
            let parent = self.tree.node(node).parent;
            ensure(parent == expected, || format!("block {at} stands behind {parent:?}, expected {expected:?}"))?;
        }
        Ok(())
    }

    fn check_blocks(&self, owned: &[u32]) -> Check {
        let mut is_free = vec![false; self.blocks.len()];
        for &index in &self.free {
            ensure(!is_free[index as usize], || format!("block {index} is free twice"))?;
            is_free[index as usize] = true;
        }
        for (index, (block, &owned)) in self.blocks.iter().zip(owned).enumerate() {
            let owners = block.owners;
            ensure(owners == owned, || format!("block {index} says {owners} owners and has {owned}"))?;
            let states = [owners > 0, is_free[index], self.cached.contains(index as u32)];
            let is_one = states.iter().filter(|s| **s).count() == 1;
            ensure(is_one, || format!("block {index} is used, free, cached: {states:?}"))?;
            if block.node == NONE {
                ensure(!states[2], || format!("block {index} is cached and not in the tree"))?;
            } else {
                let place = self.tree.node(block.node).place;
                let is_there = place == Place::Device(index as u32) && !states[1];
                ensure(is_there, || format!("block {index} holds a node that is at {place:?}"))?;
            }
        }
        ensure(self.cached.iter().count() == self.cached.len(), || "the list of cached blocks is broken".into())
    }

    fn check_tree(&self, mut users: Vec<usize>) -> Check {
        let mut children = vec![(0, 0); self.blocks.len() + self.host.slots()];
        for (number, node) in self.tree.live() {
            let at = match node.place {
                Place::Device(block) => self.blocks[block as usize].node,
                Place::Host(slot) => self.host.nodes[slot as usize],
            };
            ensure(at == number, || format!("node {number} is not at {:?}", node.place))?;
            let found = self.tree.find(node.parent, self.tree.tokens(number));
            ensure(found == Some(number), || format!("node {number} is not found by its tokens"))?;
            let is_on_device = matches!(node.place, Place::Device(_));
            match node.parent {
                Parent::Root(space) => users[space as usize] += 1,
                Parent::Node(parent) => {
                    children[parent as usize].0 += 1;
                    children[parent as usize].1 += u32::from(is_on_device);
                    let above = self.tree.node(parent).place;
                    let is_below = !is_on_device || matches!(above, Place::Device(_));
                    ensure(is_below, || format!("node {number} is on the device and its parent is not"))?;
                }
            }
        }
        for (number, node) in self.tree.live() {
            let (says, has) = ((node.children, node.device_children), children[number as usize]);
            ensure(says == has, || format!("node {number} says children {says:?} and has {has:?}"))?;
        }
        let spaces = users.iter().filter(|users| **users > 0).count();
        ensure(spaces == self.spaces.len(), || format!("{} spaces and {spaces} used", self.spaces.len()))?;
        let is_counted = |(space, &users): (usize, &usize)| users == 0 || self.spaces.users(space as u32) == users;
        ensure(users.iter().enumerate().all(is_counted), || "a space miscounts its users".into())?;
        self.check_order()
    }

    /// What continues a block is evicted before it, in both tiers.
    fn check_order(&self) -> Check {
        let device = self.cached.iter().map(|index| self.blocks[index as usize].node);
        let host = self.host.used.iter().map(|slot| self.host.nodes[slot as usize]);
        let mut left = vec![0; self.blocks.len() + self.host.slots()];
        for node in host {
            ensure(left[node as usize] == self.tree.node(node).children, || format!("node {node} is before a child"))?;
            if let Parent::Node(parent) = self.tree.node(node).parent {
                left[parent as usize] += 1;
            }
        }
        left.fill(0);
        for node in device {
            let children = self.tree.node(node).device_children;
            ensure(left[node as usize] == children, || format!("node {node} is before a child on the device"))?;
            if let Parent::Node(parent) = self.tree.node(node).parent {
                left[parent as usize] += 1;
            }
        }
        Ok(())
    }

    fn check_host(&self) -> Check {
        let (free, used, slots) = (self.host.free.len(), self.host.used.len(), self.host.slots());
        ensure(free + used == slots, || format!("{free} free and {used} used slots of {slots}"))?;
        for slot in self.host.used.iter() {
            let place = self.tree.node(self.host.nodes[slot as usize]).place;
            ensure(place == Place::Host(slot), || format!("slot {slot} holds a node that is at {place:?}"))?;
        }
        Ok(())
    }
}

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(message()) }
}
