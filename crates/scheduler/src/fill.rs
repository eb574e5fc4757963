//! Sharing a step's tokens: one each for what decodes, the rest for prompts.

use rocmforge_kv_cache::BlockPool;

use crate::entry::Entry;
use crate::{Item, Scheduler};

/// What of a step is not given away.
struct Left {
    tokens: usize,
    /// Rows beyond the one that each running sequence may want.
    rows: usize,
}

impl Scheduler {
    pub(crate) fn fill(&mut self, pool: &mut BlockPool) {
        let rows = self.config.max_rows_per_step - self.running.len();
        let mut left = Left { tokens: self.room, rows };
        self.fill_decode(&mut left);
        if left.tokens > 0 {
            self.fill_prefill(pool, &mut left);
        }
    }

    fn fill_decode(&mut self, left: &mut Left) {
        self.scratch.clear();
        self.scratch.extend((0..self.running.len()).filter(|&at| self.running[at].decodes()));
        let count = self.scratch.len();
        if count > left.tokens {
            // After a step that was too large; all get their turn.
            self.scratch.rotate_left(self.turn % count);
            self.scratch.truncate(left.tokens);
            self.turn = self.turn.wrapping_add(left.tokens);
        }
        left.tokens -= self.scratch.len();
        for &at in &self.scratch {
            self.plan.items.push(item(&self.running[at], at, 1));
        }
    }

    /// The first prompt gets at least half; the rest goes to those that need least, so that a short one does not wait
    /// for a long one; what they leave goes to the first.
    fn fill_prefill(&mut self, pool: &mut BlockPool, left: &mut Left) {
        self.scratch.clear();
        for (at, entry) in self.running.iter_mut().enumerate().filter(|(_, e)| !e.is_paused && e.remaining() > 1) {
            entry.share_computed(pool);
            self.scratch.push(at);
        }
        let mut prompts = std::mem::take(&mut self.scratch);
        if let Some((&mut first, others)) = prompts.split_first_mut() {
            let place = self.plan.items.len();
            let given = self.give(pool, first, left.tokens.div_ceil(2), left);
            others.sort_unstable_by_key(|&at| (self.running[at].remaining(), at));
            for &mut at in others {
                self.give(pool, at, left.tokens, left);
            }
            if given > 0 {
                // Where rows are the limit, they were all given at once.
                let count = count(&self.running[first], given + left.tokens, left).max(given);
                self.plan.items[place] = item(&self.running[first], first, count);
            }
        }
        self.scratch = prompts;
    }

    /// Gives a sequence up to `most` tokens of the step, and returns how many.
    fn give(&mut self, pool: &BlockPool, at: usize, most: usize, left: &mut Left) -> usize {
        let entry = &self.running[at];
        let count = count(entry, most, left);
        if count == 0 || self.follows(pool, entry) {
            return 0;
        }
        let item = item(entry, at, count);
        left.tokens -= count;
        if entry.is_limited_by_rows() {
            left.rows -= item.rows.saturating_sub(1);
        }
        self.plan.items.push(item);
        count
    }

    /// Whether this step already computes the next block of a sequence for another one: then it waits for that, and
    /// shares it in the next step.
    fn follows(&self, pool: &BlockPool, entry: &Entry) -> bool {
        let (start, size) = (entry.cache.len(), pool.block_size());
        if entry.shareable().len() <= start + size {
            return false;
        }
        self.plan.items.iter().any(|item| {
            let leader = &self.running[item.at];
            item.count >= size
                && item.start == start
                && pool.are_level(&leader.cache, &entry.cache)
                && leader.log[start..start + size] == entry.log[start..start + size]
        })
    }
}

/// Up to `most` tokens of what remains, as far as there are rows for them.
fn count(entry: &Entry, most: usize, left: &Left) -> usize {
    let most = entry.remaining().min(most);
    if !entry.is_limited_by_rows() {
        return most;
    }
    most.min(entry.rows_done.saturating_sub(entry.cache.len()) + 1 + left.rows)
}

fn item(entry: &Entry, at: usize, count: usize) -> Item {
    let start = entry.cache.len();
    let end = start + count;
    let samples = if end == entry.log.len() { entry.samples() } else { 0 };
    let rows = match entry.wants_prompt_rows() {
        true => end.saturating_sub(start.max(entry.rows_done)),
        false => samples.min(1) as usize,
    };
    Item { sequence: entry.id, start, count, rows, samples, at }
}
