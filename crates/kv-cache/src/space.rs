//! Spaces: whose tokens may meet whose.

use std::collections::HashMap;

/// What must be equal, beside the tokens, for cached blocks to be shared: keys and values depend on the weights that
/// computed them, and tenants that must not learn of each other's prompts have different salts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Space {
    /// The model.
    pub model: u64,
    /// The adapter (LoRA) in effect; 0: none.
    pub adapter: u64,
    /// A secret of the tenant; `None` shares with all that have none.
    pub salt: Option<[u8; 16]>,
}

/// Spaces in use, by a small number each. A space stays while a sequence or a cached block is in it.
#[derive(Debug, Default)]
pub(crate) struct Spaces {
    numbers: HashMap<Space, u32>,
    entries: Vec<(Space, usize)>,
    unused: Vec<u32>,
}

impl Spaces {
    /// The number of a space, if anything is in it.
    pub fn number(&self, space: &Space) -> Option<u32> {
        self.numbers.get(space).copied()
    }

    /// The number of a space, with one more user.
    pub fn enter(&mut self, space: &Space) -> u32 {
        if let Some(number) = self.number(space) {
            self.add_user(number);
            return number;
        }
        let number = self.unused.pop().unwrap_or(self.entries.len() as u32);
        match self.entries.get_mut(number as usize) {
            Some(entry) => *entry = (*space, 1),
            None => self.entries.push((*space, 1)),
        }
        self.numbers.insert(*space, number);
        number
    }

    pub fn add_user(&mut self, number: u32) {
        self.entries[number as usize].1 += 1;
    }

    pub fn leave(&mut self, number: u32) {
        let (space, users) = &mut self.entries[number as usize];
        *users -= 1;
        if *users == 0 {
            self.numbers.remove(space);
            self.unused.push(number);
        }
    }

    pub fn space(&self, number: u32) -> &Space {
        &self.entries[number as usize].0
    }

    pub fn users(&self, number: u32) -> usize {
        self.entries.get(number as usize).map_or(0, |entry| entry.1)
    }

    pub fn len(&self) -> usize {
        self.numbers.len()
    }

    /// More than every number.
    pub fn bound(&self) -> usize {
        self.entries.len()
    }
}
