//! Byte-pair merging over token ids: of all neighbours that a rule joins, the one of the lowest rank, and of those the
//! leftmost, is joined first, until no rule applies.

use crate::TokenId;
use crate::hash::Map;
use crate::queue::Queue;

/// A token id, or a character (or byte) that is no token, marked by [`RAW`].
pub(crate) type Symbol = u32;

/// Marks a symbol that holds a character instead of an id.
pub(crate) const RAW: u32 = 1 << 31;

const NO_RANK: u32 = u32::MAX;
const NONE: u32 = u32::MAX;

/// Up to this many symbols, looking through all of them for the lowest rank beats keeping a queue.
const SHORT: usize = 40;

/// What joining two symbols costs and gives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Join {
    /// Lower is earlier.
    pub rank: u32,
    /// The result.
    pub id: TokenId,
}

/// The merge rules.
#[derive(Debug, Default)]
pub(crate) struct Merges {
    pairs: Map<u64, Join>,
}

/// Memory that is used again from word to word.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The word's symbols; after merging, its tokens.
    pub symbols: Vec<Symbol>,
    ranks: Vec<u32>,
    links: Vec<Link>,
    queue: Queue,
}

/// Neighbours of a symbol in a long word.
#[derive(Debug, Clone, Copy)]
struct Link {
    prev: u32,
    next: u32,
    /// Rank of joining this symbol with the next; [`NO_RANK`] also marks a symbol that is gone.
    rank: u32,
}

fn key(left: Symbol, right: Symbol) -> u64 {
    (u64::from(left) << 32) | u64::from(right)
}

impl Merges {
    /// Room for `count` rules.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self { pairs: Map::with_capacity_and_hasher(count, Default::default()) }
    }

    /// Adds a rule; answers whether the pair had none.
    pub(crate) fn insert(&mut self, left: Symbol, right: Symbol, join: Join) -> bool {
        match self.pairs.entry(key(left, right)) {
            std::collections::hash_map::Entry::Occupied(_) => false,
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(join);
                true
            }
        }
    }

    fn rank(&self, left: Symbol, right: Symbol) -> u32 {
        self.pairs.get(&key(left, right)).map_or(NO_RANK, |join| join.rank)
    }

    /// Merges `scratch.symbols` in place.
    pub(crate) fn run(&self, scratch: &mut Scratch) {
        match scratch.symbols.len() {
            0 | 1 => {}
            2..=SHORT => self.run_short(scratch),
            _ => self.run_long(scratch),
        }
    }

    fn run_short(&self, scratch: &mut Scratch) {
        let Scratch { symbols, ranks, .. } = scratch;
        ranks.clear();
        ranks.extend(symbols.windows(2).map(|pair| self.rank(pair[0], pair[1])));
        while let Some((at, _)) =
            ranks.iter().enumerate().filter(|&(_, &rank)| rank != NO_RANK).min_by_key(|&(_, &rank)| rank)
        {
            let Some(join) = self.pairs.get(&key(symbols[at], symbols[at + 1])) else { break };
            symbols[at] = join.id;
            symbols.remove(at + 1);
            ranks.remove(at);
            if at > 0 {
                ranks[at - 1] = self.rank(symbols[at - 1], symbols[at]);
            }
            if at < ranks.len() {
                ranks[at] = self.rank(symbols[at], symbols[at + 1]);
            }
        }
    }

    /// With a queue of (rank, position). An entry is stale when the symbol at its position no longer has that rank; if it has
    /// that rank again through another pair, joining that pair now is right all the same.
    fn run_long(&self, scratch: &mut Scratch) {
        let Scratch { symbols, links, queue, .. } = scratch;
        let count = symbols.len();
        // Positions are 32 bits wide: a word of four billion symbols does not fit in memory together with its links.
        debug_assert!(count < NONE as usize);
        links.clear();
        links.extend((0..count).map(|at| Link {
            prev: (at as u32).wrapping_sub(1),
            next: if at + 1 < count { at as u32 + 1 } else { NONE },
            rank: if at + 1 < count { self.rank(symbols[at], symbols[at + 1]) } else { NO_RANK },
        }));
        queue.clear();
        for (at, link) in links.iter().enumerate().filter(|(_, link)| link.rank != NO_RANK) {
            queue.push(link.rank, at as u32);
        }

        while let Some((rank, at)) = queue.pop() {
            let at = at as usize;
            if links[at].rank != rank {
                continue;
            }
            let right = links[at].next as usize;
            let Some(join) = self.pairs.get(&key(symbols[at], symbols[right])) else { continue };
            symbols[at] = join.id;
            let after = links[right].next;
            links[right].rank = NO_RANK;
            links[at].next = after;
            if after != NONE {
                links[after as usize].prev = at as u32;
            }
            self.rerank(symbols, links, queue, at);
            let before = links[at].prev;
            if before != NONE {
                self.rerank(symbols, links, queue, before as usize);
            }
        }

        let (mut at, mut kept) = (0, 0);
        loop {
            symbols[kept] = symbols[at];
            kept += 1;
            match links[at].next {
                NONE => break,
                next => at = next as usize,
            }
        }
        symbols.truncate(kept);
    }

    /// Finds the rank of joining the symbol at `at` with its present neighbour.
    fn rerank(&self, symbols: &[Symbol], links: &mut [Link], queue: &mut Queue, at: usize) {
        let rank = match links[at].next {
            NONE => NO_RANK,
            next => self.rank(symbols[at], symbols[next as usize]),
        };
        links[at].rank = rank;
        if rank != NO_RANK {
            queue.push(rank, at as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Joins in the plainest way: look at every pair, join the best, begin again.
    fn plainly(merges: &Merges, symbols: &[Symbol]) -> Vec<Symbol> {
        let mut symbols = symbols.to_vec();
        loop {
            let best = (1..symbols.len())
                .filter_map(|i| merges.pairs.get(&key(symbols[i - 1], symbols[i])).map(|join| (join.rank, i, join.id)));
            let Some((_, at, id)) = best.min() else { return symbols };
            symbols[at - 1] = id;
            symbols.remove(at);
        }
    }

    #[test]
    fn short_and_long_words_merge_like_the_plain_loop() {
        let mut state = 7_u64;
        let mut random = move |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for round in 0..200 {
            let mut merges = Merges::default();
            for rank in 0..40 {
                // Equal ranks occur where scores decide instead of positions in a list.
                let rank = if round % 2 == 0 { rank } else { rank / 3 };
                let (left, right) = (random(12) as u32, random(12) as u32);
                merges.insert(left, right, Join { rank, id: 4 + random(8) as u32 });
            }
            let length = 1 + random(160) as usize;
            let word: Vec<Symbol> = (0..length).map(|_| random(4) as u32).collect();
            let mut scratch = Scratch { symbols: word.clone(), ..Scratch::default() };
            merges.run(&mut scratch);
            assert_eq!(scratch.symbols, plainly(&merges, &word), "round {round}");
            let mut forced = Scratch { symbols: word.clone(), ..Scratch::default() };
            merges.run_long(&mut forced);
            assert_eq!(forced.symbols, scratch.symbols, "round {round}");
        }
    }
}
