//! The prefix tree: which tokens, behind which prefix, lie in which block.

use std::hash::{BuildHasher, RandomState};

use crate::TokenId;
use crate::lru::NONE;

/// What comes before a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Parent {
    /// Nothing: it is the first block of a prompt in this space.
    Root(u32),
    /// The tokens of this node.
    Node(u32),
}

/// Where the keys and values of a node are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this block of the device.
    Device(u32),
    /// In this slot of the host tier.
    Host(u32),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Node {
    pub parent: Parent,
    pub place: Place,
    /// Nodes that continue this one.
    pub children: u32,
    /// Of these, nodes on the device.
    pub device_children: u32,
    /// The space that the first block of the prefix is in.
    pub space: u32,
    /// Name of the tokens up to here in events.
    pub name: u64,
    hash: u64,
    next_in_bucket: u32,
    live: bool,
}

/// Full blocks by the tokens they hold and what came before. A hash only finds a node; the tokens themselves and the
/// parent decide. All memory is taken at the start: there is one node for each place.
#[derive(Debug)]
pub(crate) struct PrefixTree {
    block_size: usize,
    nodes: Vec<Node>,
    /// Tokens of node `i` at `i * block_size`.
    tokens: Vec<TokenId>,
    unused: Vec<u32>,
    buckets: Vec<u32>,
    /// Keyed, so that nobody can choose prompts that fall into one bucket.
    hasher: RandomState,
}

impl PrefixTree {
    pub fn new(places: usize, block_size: usize) -> Self {
        let node = Node {
            parent: Parent::Root(NONE),
            place: Place::Device(NONE),
            children: 0,
            device_children: 0,
            space: NONE,
            name: 0,
            hash: 0,
            next_in_bucket: NONE,
            live: false,
        };
        Self {
            block_size,
            nodes: vec![node; places],
            tokens: vec![0; places * block_size],
            unused: (0..places as u32).rev().collect(),
            buckets: vec![NONE; places.next_power_of_two()],
            hasher: RandomState::new(),
        }
    }

    pub fn node(&self, node: u32) -> &Node {
        &self.nodes[node as usize]
    }

    pub fn set_place(&mut self, node: u32, place: Place) {
        let Node { parent, place: before, .. } = self.nodes[node as usize];
        self.nodes[node as usize].place = place;
        if let Parent::Node(parent) = parent {
            let on_device = |place| u32::from(matches!(place, Place::Device(_)));
            let count = &mut self.nodes[parent as usize].device_children;
            *count = *count + on_device(place) - on_device(before);
        }
    }

    pub fn tokens(&self, node: u32) -> &[TokenId] {
        &self.tokens[node as usize * self.block_size..][..self.block_size]
    }

    /// The node of exactly these tokens behind this parent.
    pub fn find(&self, parent: Parent, tokens: &[TokenId]) -> Option<u32> {
        let hash = self.hasher.hash_one((parent, tokens));
        let mut at = self.buckets[self.bucket(hash)];
        while at != NONE {
            let node = self.node(at);
            if node.hash == hash && node.parent == parent && self.tokens(at) == tokens {
                return Some(at);
            }
            at = node.next_in_bucket;
        }
        None
    }

    /// Adds a node in a block of the device, one that [`find`](Self::find) does not find. `None` when every place has a
    /// node already.
    pub fn insert(&mut self, parent: Parent, tokens: &[TokenId], block: u32, name: u64) -> Option<u32> {
        let new = self.unused.pop()?;
        let hash = self.hasher.hash_one((parent, tokens));
        let bucket = self.bucket(hash);
        let next_in_bucket = std::mem::replace(&mut self.buckets[bucket], new);
        let space = match parent {
            Parent::Root(space) => space,
            Parent::Node(parent) => {
                let parent = &mut self.nodes[parent as usize];
                parent.children += 1;
                parent.device_children += 1;
                parent.space
            }
        };
        let place = Place::Device(block);
        let (children, device_children, live) = (0, 0, true);
        self.nodes[new as usize] =
            Node { parent, place, children, device_children, space, name, hash, next_in_bucket, live };
        self.tokens[new as usize * self.block_size..][..self.block_size].copy_from_slice(tokens);
        Some(new)
    }

    /// Removes a node without children.
    pub fn remove(&mut self, node: u32) {
        let Node { parent, place, hash, next_in_bucket, children, .. } = self.nodes[node as usize];
        debug_assert_eq!(children, 0, "a node goes before what it continues");
        let bucket = self.bucket(hash);
        if self.buckets[bucket] == node {
            self.buckets[bucket] = next_in_bucket;
        } else {
            let mut at = self.buckets[bucket];
            while at != NONE && self.nodes[at as usize].next_in_bucket != node {
                at = self.nodes[at as usize].next_in_bucket;
            }
            if at != NONE {
                self.nodes[at as usize].next_in_bucket = next_in_bucket;
            }
        }
        if let Parent::Node(parent) = parent {
            let parent = &mut self.nodes[parent as usize];
            parent.children -= 1;
            parent.device_children -= u32::from(matches!(place, Place::Device(_)));
        }
        self.nodes[node as usize].live = false;
        self.unused.push(node);
    }

    /// Every node, with its number.
    pub fn live(&self) -> impl Iterator<Item = (u32, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.live).map(|(number, node)| (number as u32, node))
    }

    fn bucket(&self, hash: u64) -> usize {
        hash as usize & (self.buckets.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_found_by_parent_and_tokens_also_in_one_bucket() {
        let mut tree = PrefixTree::new(9, 2);
        tree.buckets = vec![NONE];
        let root = Parent::Root(0);
        let a = tree.insert(root, &[1, 2], 0, 0).expect("room");
        let b = tree.insert(Parent::Node(a), &[1, 2], 1, 0).expect("room");
        let c = tree.insert(Parent::Root(1), &[1, 2], 2, 0).expect("room");
        assert_eq!(tree.find(root, &[1, 2]), Some(a));
        assert_eq!(tree.find(Parent::Node(a), &[1, 2]), Some(b));
        assert_eq!(tree.find(Parent::Root(1), &[1, 2]), Some(c));
        assert_eq!((tree.find(root, &[2, 1]), tree.find(Parent::Node(b), &[1, 2])), (None, None));
        assert_eq!(tree.node(a).children, 1);
        tree.remove(b);
        tree.remove(a);
        assert_eq!((tree.find(root, &[1, 2]), tree.find(Parent::Root(1), &[1, 2])), (None, Some(c)));
        assert_eq!(tree.live().count(), 1);
    }
}
