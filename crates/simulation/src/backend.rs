//! A backend that keeps what is in each block.

use rocmforge_kv_cache::{BlockId, Move, Space, TokenId};

use crate::model::{NOTHING_SEEN, attend, entry, origin};

/// What lies in a block that nobody may read.
const POISON: u64 = 0xdead_beef_dead_beef;

/// A mistake that the backend makes on purpose, to show that it would be noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// Copies of shared blocks are not made.
    SkipCopies,
    /// Blocks are not saved to the host.
    SkipSaves,
    /// Blocks do not come back from the host.
    SkipLoads,
    /// Moves are done in the opposite order.
    ReverseMoves,
    /// The first token of an item is computed at the position after its own.
    WrongPosition,
    /// The last block of a table is read from another place.
    WrongBlock,
}

pub(crate) struct Backend {
    block_size: usize,
    device: Vec<u64>,
    host: Vec<u64>,
    sabotage: Option<Sabotage>,
}

impl Backend {
    pub fn new(block_size: usize, blocks: usize, slots: usize, sabotage: Option<Sabotage>) -> Self {
        Self { block_size, device: vec![POISON; blocks * block_size], host: vec![POISON; slots * block_size], sabotage }
    }

    pub fn do_moves(&mut self, moves: &[Move]) {
        if self.sabotage == Some(Sabotage::ReverseMoves) {
            moves.iter().rev().for_each(|moved| self.do_move(*moved));
        } else {
            moves.iter().for_each(|moved| self.do_move(*moved));
        }
    }

    fn do_move(&mut self, moved: Move) {
        let size = self.block_size;
        let at = |index: u32| index as usize * size;
        match (moved, self.sabotage) {
            (Move::Copy { .. }, Some(Sabotage::SkipCopies))
            | (Move::Save { .. }, Some(Sabotage::SkipSaves))
            | (Move::Load { .. }, Some(Sabotage::SkipLoads)) => {}
            (Move::Copy { from, to }, _) => self.device.copy_within(at(from)..at(from) + size, at(to)),
            (Move::Save { block, slot }, _) => {
                self.host[at(slot)..][..size].copy_from_slice(&self.device[at(block)..][..size]);
            }
            (Move::Load { slot, block }, _) => {
                self.device[at(block)..][..size].copy_from_slice(&self.host[at(slot)..][..size]);
            }
        }
    }

    /// Makes whatever is in these blocks unusable.
    pub fn poison(&mut self, blocks: &[u32]) {
        for &block in blocks {
            self.device[block as usize * self.block_size..][..self.block_size].fill(POISON);
        }
    }

    /// The device is replaced by a new one, and the host's memory with it.
    pub fn lose(&mut self) {
        self.device.fill(POISON);
        self.host.fill(POISON);
    }

    /// Computes the next tokens of a sequence, from position `start` on.
    pub fn compute(&mut self, space: &Space, start: usize, tokens: &[TokenId], blocks: &[BlockId]) {
        let mut before = if start == 0 { origin(space) } else { self.device[self.place(blocks, start - 1)] };
        for (i, &token) in tokens.iter().enumerate() {
            let position = start + i;
            let is_off = i == 0 && self.sabotage == Some(Sabotage::WrongPosition);
            before = entry(before, token, position + usize::from(is_off && position % 50 == 49));
            let place = self.place(blocks, position);
            self.device[place] = before;
        }
    }

    /// Sees all entries of the first `len` positions.
    pub fn attend(&self, len: usize, blocks: &[BlockId]) -> u64 {
        let mut seen = NOTHING_SEEN;
        for (at, block) in blocks.iter().enumerate().take(len.div_ceil(self.block_size)) {
            let is_last = (at + 1) * self.block_size >= len;
            let is_off = is_last && at == 5 && self.sabotage == Some(Sabotage::WrongBlock);
            let block = if is_off { blocks[0] } else { *block };
            let filled = self.block_size.min(len - at * self.block_size);
            let entries = &self.device[block.index() as usize * self.block_size..][..filled];
            seen = entries.iter().fold(seen, |seen, &entry| attend(seen, entry));
        }
        seen
    }

    fn place(&self, blocks: &[BlockId], position: usize) -> usize {
        blocks[position / self.block_size].index() as usize * self.block_size + position % self.block_size
    }
}
