//! Attention over the paged cache: flash attention (arXiv:2205.14135) for processors.
//!
//! The rows of an *item*, up to 64 pairs of a token and a query head that share a key/value head, pass together over
//! the keys and values in *tiles* of 64 positions: a small matrix product gives the scores, an online softmax the
//! weights, a second product adds the values. So keys and values are read once for all query heads of a group and for
//! many tokens of a prompt, straight from the blocks of the cache.
//!
//! **What a query yields does not depend, by a single bit, on how its prompt was cut into steps, on its neighbours in
//! the batch, or on the number of threads.** Tiles begin at multiples of 64 positions and are added in order; a row
//! passes over exactly those tiles, and within them exactly those values, that it sees; everything in a row is computed
//! by the same chain of operations whatever the rows beside it; and contexts are always summed in splits of
//! [`SPLIT`] positions that are merged in order, whether one thread computes them all or many.

mod micro;
mod state;
#[cfg(test)]
mod tests;
mod tile;

use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use rocmforge_attention::AttentionSpec;
use rocmforge_program::backend::StepSequence;

use crate::elementwise::Isa;
use crate::elementwise::lanes::{Kernel, LANES, Lanes};
use crate::kv::{KvCache, Layer};
use crate::pool::Pool;

pub use state::FlashScratch;

use micro::TILE;
use state::{ITEMS_PER_THREAD, State, Widths, Workspace, item_rows};
use tile::Context;

/// Positions that are summed before they are merged with those before them. Long contexts are shared between threads
/// in pieces of this size.
pub const SPLIT: usize = 1024;

/// One attention layer of a step.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// What to compute.
    pub spec: &'a AttentionSpec,
    /// Keys and values, those of the step's tokens included.
    pub cache: &'a KvCache,
    /// Layer of the cache.
    pub layer: usize,
    /// One logit a head.
    pub sinks: Option<&'a [f32]>,
    /// The sequences of the step, as [`StepInput::check`](rocmforge_program::backend::StepInput::check) passed them.
    pub sequences: &'a [StepSequence],
}

/// Attends: `q` `[T, num_heads * head_dim]` → `out` `[T, num_heads * value_dim]`, T being the tokens of all sequences
/// one after the other. A query that sees nothing yields zeros.
///
/// # Panics
/// If the slices, the cache layer, the block tables or the scratch do not fit the specification and the step.
pub fn attend(
    isa: Isa,
    pool: &Pool,
    scratch: &mut FlashScratch,
    attention: &Attention<'_>,
    q: &[f32],
    out: &mut [f32],
) {
    let job = Job::new(attention, scratch, q, out);
    let threads = pool.threads();
    assert!(scratch.threads.len() >= threads, "{threads} threads, but scratch for {}", scratch.threads.len());
    let items = job.count();
    if threads > 1 && items < ITEMS_PER_THREAD * threads && (0..items).any(|i| job.splits(&job.item(i)).len() > 1) {
        return job.run_splits(isa, pool, scratch, items);
    }
    job.each(pool, items, |thread, index| {
        // The later tokens of a prompt see the most keys: they come first, so that no thread is left with them.
        let item = job.item(items - 1 - index);
        with(&scratch.threads[thread], |space| isa.run(Whole { job: &job, item, space }));
    });
}

/// A workspace is one thread's own during a dispatch; a panic leaves nothing in it that the next item would read.
fn with<R>(space: &std::sync::Mutex<Workspace>, f: impl FnOnce(&mut Workspace) -> R) -> R {
    f(&mut space.lock().unwrap_or_else(PoisonError::into_inner))
}

/// An [`Attention`] with its inputs.
struct Job<'a> {
    attention: &'a Attention<'a>,
    layer: &'a Layer,
    group_size: usize,
    item_rows: usize,
    /// Factor of the queries: scores come out in units of log2 e, or of the cap.
    scale: f32,
    softcap: Option<f32>,
    q: &'a [f32],
    out: Shared,
}

/// Rows `first..last` of one sequence and key/value head; row `r` is head `r % group_size` of token `r / group_size`.
#[derive(Clone, Copy)]
struct Item {
    sequence: usize,
    /// Row of `q` of the sequence's first token.
    token: usize,
    head: usize,
    first: usize,
    last: usize,
}

/// Memory that threads write to, each in its own places.
#[derive(Clone, Copy)]
struct Shared(*mut f32);

impl Shared {
    /// The number at an index, without a check.
    fn at(&self, index: usize) -> *mut f32 {
        self.0.wrapping_add(index)
    }
}

// SAFETY: a pointer to memory that outlives the job; items write to disjoint rows or columns of it.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl<'a> Job<'a> {
    fn new(attention: &'a Attention<'a>, scratch: &FlashScratch, q: &'a [f32], out: &mut [f32]) -> Self {
        let Attention { spec, cache, sequences, sinks, .. } = *attention;
        let layer = cache.layer(attention.layer);
        let shape = &layer.shape;
        assert!(
            shape.num_kv_heads == spec.num_kv_heads
                && shape.head_dim == spec.head_dim
                && shape.value_dim == spec.value_dim
                && spec.validate().is_ok(),
            "cache layer {} is of another shape than `{spec}`",
            attention.layer
        );
        assert!(scratch.widths.fits(Widths::of(spec)), "{scratch:?} is too small for `{spec}`");
        assert!(sinks.is_none_or(|s| s.len() == spec.num_heads), "a sink a head");
        let mut tokens = 0;
        for s in sequences {
            assert!(s.num_tokens <= s.context_len, "{} tokens of a context of {}", s.num_tokens, s.context_len);
            assert!(s.context_len.div_ceil(cache.spec().block_size) <= s.block_table.len(), "a block for each token");
            tokens += s.num_tokens;
        }
        assert!(q.len() == tokens * spec.query_width(), "a query row for each of {tokens} tokens");
        assert!(out.len() == tokens * spec.output_width(), "an output row for each of {tokens} tokens");
        let log2_e = std::f64::consts::LOG2_E;
        let unit = spec.softcap.map_or(log2_e, |cap| 1.0 / f64::from(cap));
        Self {
            attention,
            layer,
            group_size: spec.group_size(),
            item_rows: item_rows(spec.group_size()),
            scale: (f64::from(spec.scale) * unit) as f32,
            softcap: spec.softcap.map(|cap| (f64::from(cap) * log2_e) as f32),
            q,
            out: Shared(out.as_mut_ptr()),
        }
    }

    fn items_of(&self, sequence: &StepSequence) -> usize {
        (sequence.num_tokens * self.group_size).div_ceil(self.item_rows) * self.layer.shape.num_kv_heads
    }

    fn count(&self) -> usize {
        self.attention.sequences.iter().map(|s| self.items_of(s)).sum()
    }

    /// Item `index` of `count()`: sequence after sequence, then rows, then heads.
    fn item(&self, mut index: usize) -> Item {
        let mut token = 0;
        let mut sequence = 0;
        for s in self.attention.sequences {
            let items = self.items_of(s);
            if index < items {
                break;
            }
            index -= items;
            token += s.num_tokens;
            sequence += 1;
        }
        let heads = self.layer.shape.num_kv_heads;
        let first = index / heads * self.item_rows;
        let rows = self.attention.sequences[sequence].num_tokens * self.group_size;
        Item { sequence, token, head: index % heads, first, last: rows.min(first + self.item_rows) }
    }

    /// Positions that a row of an item's sequence sees.
    fn visible(&self, item: &Item, row: usize) -> (usize, usize) {
        let sequence = &self.attention.sequences[item.sequence];
        let position = sequence.first_position() + row / self.group_size;
        let end = if self.attention.spec.causal { position + 1 } else { sequence.context_len };
        (self.attention.spec.first_visible(position), end)
    }

    /// The splits that some row of an item sees.
    fn splits(&self, item: &Item) -> std::ops::Range<usize> {
        let (from, to) = (self.visible(item, item.first).0, self.visible(item, item.last - 1).1);
        from / SPLIT..to.div_ceil(SPLIT)
    }

    /// Calls `work(thread, index)` for each index, on the threads that are free, in order.
    fn each(&self, pool: &Pool, count: usize, work: impl Fn(usize, usize) + Sync) {
        if count == 1 {
            return work(0, 0);
        }
        let next = AtomicUsize::new(0);
        pool.run(|thread, _| {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                work(thread, index);
            }
        });
    }

    /// Few items with long contexts: threads take splits of them, as many at once as there is room for, and then merge
    /// these in order.
    fn run_splits(&self, isa: Isa, pool: &Pool, scratch: &mut FlashScratch, items: usize) {
        let rows = (0..items).map(|i| self.item(i)).map(|i| i.last - i.first).max().unwrap_or(1);
        let floats = State::floats(rows, self.layer.pitch).next_multiple_of(LANES);
        let room = scratch.parts.len() / floats;
        let total = (0..items).map(|i| self.splits(&self.item(i)).len()).sum::<usize>();
        let (parts, wholes) = (Shared(scratch.parts.start()), Shared(scratch.wholes.start()));
        for done in (0..total).step_by(room) {
            let now = done..total.min(done + room);
            self.each(pool, now.len(), |thread, slot| {
                let (item, split) = self.split(now.start + slot);
                let state = State::at(parts.at(slot * floats), item.last - item.first);
                with(&scratch.threads[thread], |space| isa.run(One { job: self, item, split, state, space }));
            });
            self.each(pool, items, |_, index| {
                let first = (0..index).map(|i| self.splits(&self.item(i)).len()).sum::<usize>();
                let whole = wholes.at(index * floats);
                isa.run(Merge { job: self, index, first, now: now.clone(), parts: parts.at(0), whole, floats });
            });
        }
    }

    /// Item and split of the `index`-th split of all items.
    fn split(&self, mut index: usize) -> (Item, usize) {
        let mut i = 0;
        loop {
            let item = self.item(i);
            let splits = self.splits(&item);
            if index < splits.len() {
                return (item, splits.start + index);
            }
            index -= splits.len();
            i += 1;
        }
    }

    /// Copies an item's queries, scaled, and notes what its rows see.
    #[inline(always)]
    unsafe fn prepare<L: Lanes>(&self, item: &Item, space: &mut Workspace) {
        let spec = self.attention.spec;
        for row in item.first..item.last {
            let head = item.head * self.group_size + row % self.group_size;
            let at = (item.token + row / self.group_size) * spec.query_width() + head * spec.head_dim;
            let q = &self.q[at..at + spec.head_dim];
            // SAFETY: the workspace has room for the item's rows.
            let to = unsafe {
                std::slice::from_raw_parts_mut(space.q.start().add((row - item.first) * spec.head_dim), spec.head_dim)
            };
            to.iter_mut().zip(q).for_each(|(to, q)| *to = q * self.scale);
            space.visible[row - item.first] = self.visible(item, row);
        }
    }

    /// Sums one split of a prepared item into `state`.
    #[inline(always)]
    unsafe fn sum<L: Lanes>(&self, item: &Item, split: usize, state: State, space: &mut Workspace) {
        let rows = item.last - item.first;
        let context = Context {
            layer: self.layer,
            head: item.head,
            block_size: self.attention.cache.spec().block_size,
            block_table: &self.attention.sequences[item.sequence].block_table,
            softcap: self.softcap,
            q: space.q.start(),
            scores: space.scores.start(),
            keep: space.keep.start(),
            tile: space.tile.start(),
            scales: space.scales.start(),
            visible: &space.visible[..rows],
        };
        let from = context.visible[0].0.max(split * SPLIT);
        let to = context.visible[rows - 1].1.min((split + 1) * SPLIT);
        // SAFETY: the workspace is wide enough, as `Job::new` checked, and the state is laid out for the rows.
        unsafe {
            state.clear(rows, self.layer.pitch);
            for tile in from / TILE..to.div_ceil(TILE) {
                context.add_tile::<L>(tile * TILE, state);
            }
        }
    }

    /// Writes the rows of a summed item.
    #[inline(always)]
    unsafe fn finish<L: Lanes>(&self, item: &Item, state: State) {
        let spec = self.attention.spec;
        for row in item.first..item.last {
            let head = item.head * self.group_size + row % self.group_size;
            let at = (item.token + row / self.group_size) * spec.output_width() + head * spec.value_dim;
            let sink = self.attention.sinks.map(|s| s[head]);
            // SAFETY: the head of the token is within `out` and written by this item alone.
            unsafe {
                let out = self.out.at(at);
                state.finish::<L>(row - item.first, self.layer.pitch, sink, out, spec.value_dim);
            }
        }
    }
}

/// An item from queries to output.
struct Whole<'a> {
    job: &'a Job<'a>,
    item: Item,
    space: &'a mut Workspace,
}

impl Kernel for Whole<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { job, item, space } = self;
        let rows = item.last - item.first;
        let [whole, part] = [0, 1].map(|i: usize| State::at(space.states[i].start(), rows));
        // SAFETY: both states have room for the item; the workspace is this thread's.
        unsafe {
            job.prepare::<L>(&item, space);
            let splits = job.splits(&item);
            for split in splits.clone() {
                if split == splits.start {
                    job.sum::<L>(&item, split, whole, space);
                } else {
                    job.sum::<L>(&item, split, part, space);
                    whole.merge::<L>(part, rows, job.layer.pitch);
                }
            }
            job.finish::<L>(&item, whole);
        }
    }
}

/// One split of an item, left in its state.
struct One<'a> {
    job: &'a Job<'a>,
    item: Item,
    split: usize,
    state: State,
    space: &'a mut Workspace,
}

impl Kernel for One<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // SAFETY: the state is this split's own place; the workspace is this thread's.
        unsafe {
            self.job.prepare::<L>(&self.item, self.space);
            self.job.sum::<L>(&self.item, self.split, self.state, self.space);
        }
    }
}

/// Merges those splits of an item that are `now` in `parts`, in order, and writes the item if its last was among them.
struct Merge<'a> {
    job: &'a Job<'a>,
    index: usize,
    /// Number of the item's first split among all.
    first: usize,
    now: std::ops::Range<usize>,
    parts: *mut f32,
    whole: *mut f32,
    floats: usize,
}

impl Kernel for Merge<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let item = self.job.item(self.index);
        let (rows, pitch) = (item.last - item.first, self.job.layer.pitch);
        let end = self.first + self.job.splits(&item).len();
        let whole = State::at(self.whole, rows);
        let mine = self.first.max(self.now.start)..end.min(self.now.end);
        // SAFETY: places of `parts` and `whole` are laid out for the item, and it alone uses them now.
        unsafe {
            for split in mine.clone() {
                if split == self.first {
                    whole.clear(rows, pitch);
                }
                let part = State::at(self.parts.wrapping_add((split - self.now.start) * self.floats), rows);
                whole.merge::<L>(part, rows, pitch);
            }
            if !mine.is_empty() && mine.end == end {
                self.job.finish::<L>(&item, whole);
            }
        }
    }
}
