//! One tile: scores, softmax, and the weighted sum of values, for the rows that see any of it.

use rocmforge_program::backend::KvType;

use super::micro::{Ahead, F16, F32, FEW_ROWS, GROUPS, Source, TILE, Values, add_values, scores};
use super::state::State;
use crate::elementwise::lanes::{Kernel, LANES, Lanes};
use crate::elementwise::math::{exp2, tanh};
use crate::kv::{GROUP, Layer};

/// Runs a body over `from..to` in blocks of at most [`Lanes::ROWS`] and of nearly equal size. A macro, since a closure
/// would have to be inlined for the kernels in it to see the instruction set.
macro_rules! blocks {
    ($l:ty, $from:expr, $to:expr, |$row:ident, $rows:ident| $body:block) => {{
        let (mut $row, end) = ($from, $to);
        let mut left = (end - $row).div_ceil(<$l>::ROWS);
        while $row < end {
            let $rows = (end - $row).div_ceil(left);
            $body
            $row += $rows;
            left -= 1;
        }
    }};
}

/// What all tiles of an item have in common.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub layer: &'a Layer,
    pub head: usize,
    pub block_size: usize,
    pub block_table: &'a [u32],
    /// `cap * log2 e`, where scores are capped.
    pub softcap: Option<f32>,
    /// Positions that each row sees, both ends ascending with the row.
    pub visible: &'a [(usize, usize)],
    pub q: *const f32,
    pub scores: *mut f32,
    pub keep: *mut f32,
    pub tile: *mut f32,
    pub scales: *mut f32,
}

/// Where the cache has a tile, group by group.
#[derive(Clone, Copy)]
struct Cached {
    keys: [*const u8; GROUPS],
    values: [*const u8; GROUPS],
}

/// Where the numbers of a tile are, group by group, and what they are.
#[derive(Clone, Copy)]
struct Place {
    groups: [*const u8; GROUPS],
    half: bool,
}

/// Positions and rows that a tile works on.
#[derive(Clone, Copy)]
struct Part {
    /// First position of the tile.
    start: usize,
    /// Keys `from..to` of the tile are seen by some row.
    from: usize,
    to: usize,
    /// Rows `first..last` see some key.
    first: usize,
    last: usize,
}

impl Context<'_> {
    /// Adds the tile from position `start` to the rows of `state`.
    ///
    /// # Safety
    /// The pointers of the context are those of a workspace wide enough for the layer and the rows, `state` is laid out
    /// for them, and the processor has the instructions of `L`.
    #[inline(always)]
    pub unsafe fn add_tile<L: Lanes>(&self, start: usize, state: State) {
        // SAFETY: as promised by the caller.
        unsafe { L::call(AddTile { context: self, start, state }) }
    }

    #[inline(always)]
    unsafe fn add<L: Lanes>(&self, start: usize, state: State) {
        let end = start + TILE;
        let first = self.visible.partition_point(|&(_, to)| to <= start);
        let last = self.visible.partition_point(|&(from, _)| from < end);
        if first >= last {
            return;
        }
        let from = self.visible[first].0.max(start) - start;
        let to = self.visible[last - 1].1.min(end) - start;
        let part = Part { start, from, to, first, last };
        // SAFETY: as promised by the caller.
        unsafe {
            let cached = self.find(start, from, to);
            let place = self.keys::<L>(part, cached);
            self.score::<L>(part, place, Ahead { groups: &cached.values, bytes: self.layer.value_group });
            self.soften::<L>(part, state);
            let place = self.values::<L>(part, cached);
            let next = self.find(end, 0, self.visible[self.visible.len() - 1].1.saturating_sub(end).min(TILE));
            self.sum_values::<L>(part, state, place, Ahead { groups: &next.keys, bytes: self.layer.key_group });
        }
    }

    #[inline(always)]
    unsafe fn score<L: Lanes>(&self, part: Part, place: Place, values: Ahead<'_>) {
        let depth = self.layer.shape.head_dim;
        let groups = (part.from / LANES, part.to.div_ceil(LANES));
        let mut ahead = values;
        // SAFETY: as promised to `add_tile`.
        unsafe {
            blocks!(L, part.first, part.last, |row, rows| {
                let (q, out) = (self.q.add(row * depth), self.scores.add(row * TILE));
                if place.half {
                    scores::<L, F16>(rows, depth, q, &place.groups, groups, out, ahead);
                } else {
                    scores::<L, F32>(rows, depth, q, &place.groups, groups, out, ahead);
                }
                // Asked for once.
                ahead.bytes = 0;
            });
        }
    }

    /// The keys that a row sees, as `from..to` within the tile.
    #[inline(always)]
    fn seen(&self, part: Part, row: usize) -> (usize, usize) {
        let (from, to) = self.visible[row];
        (from.max(part.start) - part.start, to.min(part.start + TILE) - part.start)
    }

    /// Turns scores into weights, and updates the largest and the sum of each row. Weights of keys that a row does not
    /// see are left undefined.
    #[inline(always)]
    unsafe fn soften<L: Lanes>(&self, part: Part, state: State) {
        // SAFETY: as promised to `add_tile`; rows are padded to whole vectors.
        unsafe {
            for row in part.first..part.last {
                let scores = self.scores.add(row * TILE);
                let (from, to) = self.seen(part, row);
                let mut largest = L::splat(f32::NEG_INFINITY);
                for g in from / LANES..to.div_ceil(LANES) {
                    let at = scores.add(g * LANES);
                    let mut s = L::load(at);
                    if let Some(cap) = self.softcap {
                        s = L::mul(L::splat(cap), tanh::<L>(s));
                        L::store(at, s);
                    }
                    largest = L::max(largest, only::<L>(g, from, to, s, f32::NEG_INFINITY));
                }
                let (old, new) = (*state.largest.add(row), L::largest(largest));
                let new = if new > old { new } else { old };
                *state.largest.add(row) = new;
                *self.keep.add(row) = old - new;
            }
            let mut row = part.first;
            while row < part.last {
                // The last vector may reach past the rows, but not past the padded array.
                let count = (part.last - row).min(LANES);
                let x =
                    if count == LANES { L::load(self.keep.add(row)) } else { L::load_part(self.keep.add(row), count) };
                let keep = exp2::<L>(x);
                if count == LANES {
                    L::store(self.keep.add(row), keep);
                } else {
                    L::store_part(self.keep.add(row), count, keep);
                }
                row += LANES;
            }
            for row in part.first..part.last {
                let scores = self.scores.add(row * TILE);
                let (from, to) = self.seen(part, row);
                let largest = L::splat(*state.largest.add(row));
                let mut sum = L::splat(0.0);
                for g in from / LANES..to.div_ceil(LANES) {
                    let at = scores.add(g * LANES);
                    let p = exp2::<L>(L::sub(L::load(at), largest));
                    L::store(at, p);
                    sum = L::add(sum, only::<L>(g, from, to, p, 0.0));
                }
                let total = state.sum.add(row);
                *total = *total * *self.keep.add(row) + L::sum(sum);
            }
        }
    }

    #[inline(always)]
    unsafe fn sum_values<L: Lanes>(&self, part: Part, state: State, place: Place, keys: Ahead<'_>) {
        let pitch = self.layer.pitch;
        let mut ahead = keys;
        // SAFETY: as promised to `add_tile`.
        unsafe {
            let mut row = part.first;
            while row < part.last {
                // Rows that see the same keys go together; a key is never multiplied with 0 for a row that does not
                // see it, since it may be infinite or NaN.
                let (from, to) = self.seen(part, row);
                let mut end = row + 1;
                while end < part.last && self.seen(part, end) == (from, to) {
                    end += 1;
                }
                let values = Values { groups: &place.groups, pitch, from, to };
                blocks!(L, row, end, |row, rows| {
                    let (p, keep) = (self.scores.add(row * TILE), self.keep.add(row));
                    let out = state.values.add(row * pitch);
                    if place.half {
                        add_values::<L, F16>(rows, values, p, keep, out, ahead);
                    } else {
                        add_values::<L, F32>(rows, values, p, keep, out, ahead);
                    }
                    ahead.bytes = 0;
                });
                row = end;
            }
        }
    }

    /// Whether groups of 16 positions are groups of a block, and so can be read where they are.
    #[inline(always)]
    fn aligned(&self) -> bool {
        self.block_size.is_multiple_of(GROUP)
    }

    /// Whether few enough rows use the numbers that converting them again for each block of rows is no loss.
    #[inline(always)]
    fn few(part: Part) -> bool {
        part.last - part.first <= FEW_ROWS
    }

    /// Block and offset of a position.
    #[inline(always)]
    fn slot(&self, position: usize) -> (u32, usize) {
        (self.block_table[position / self.block_size], position % self.block_size)
    }

    /// Where the cache has the keys `from..to` of the tile at `start`, if blocks are whole groups. Groups beyond have the
    /// workspace's address, as a pointer that is valid.
    #[inline(always)]
    fn find(&self, start: usize, from: usize, to: usize) -> Cached {
        let none = [self.tile.cast_const().cast::<u8>(); GROUPS];
        let mut cached = Cached { keys: none, values: none };
        if !self.aligned() || from >= to {
            return cached;
        }
        let first = from / LANES;
        let (mut index, mut offset) =
            ((start + first * LANES) / self.block_size, (start + first * LANES) % self.block_size);
        for g in first..to.div_ceil(LANES) {
            let block = self.block_table[index];
            cached.keys[g] = self.layer.keys(block, self.head, offset / GROUP);
            cached.values[g] = self.layer.values(block, self.head, offset / GROUP);
            offset += GROUP;
            if offset == self.block_size {
                (index, offset) = (index + 1, 0);
            }
        }
        cached
    }

    /// Whether kernels read a tile of f16 where the cache has it.
    #[inline(always)]
    fn half(&self, part: Part) -> bool {
        self.aligned() && self.layer.kv_type == KvType::F16 && Self::few(part)
    }

    /// The keys of a tile: in the cache, or expanded into the workspace.
    #[inline(always)]
    unsafe fn keys<L: Lanes>(&self, part: Part, cached: Cached) -> Place {
        let depth = self.layer.shape.head_dim;
        let mut place = Place { groups: cached.keys, half: self.half(part) };
        let groups = place.groups.iter_mut().enumerate();
        // SAFETY: the tile holds GROUPS groups of `depth` vectors; positions of the part are within the block table.
        unsafe {
            for (g, group) in groups.take(part.to.div_ceil(LANES)).skip(part.from / LANES) {
                let room = self.tile.add(g * depth * LANES);
                match self.layer.kv_type {
                    _ if !self.aligned() || self.layer.one_by_one() => {
                        for j in (g * LANES).max(part.from)..((g + 1) * LANES).min(part.to) {
                            let (block, offset) = self.slot(part.start + j);
                            let group = self.layer.keys(block, self.head, offset / GROUP);
                            self.layer.read_key(group, offset % GROUP, room.add(j % LANES), LANES);
                        }
                    }
                    KvType::F16 if !place.half => expand_half::<L>(*group, depth, room),
                    KvType::Q8_0 => expand_byte_keys::<L>(*group, depth, room),
                    _ => continue,
                }
                *group = room.cast_const().cast();
            }
        }
        place
    }

    /// The values of a tile: in the cache, or expanded into the workspace.
    #[inline(always)]
    unsafe fn values<L: Lanes>(&self, part: Part, cached: Cached) -> Place {
        let pitch = self.layer.pitch;
        let mut place = Place { groups: cached.values, half: self.half(part) };
        let groups = place.groups.iter_mut().enumerate();
        // SAFETY: the tile holds TILE rows of `pitch` numbers; positions of the part are within the block table.
        unsafe {
            for (g, group) in groups.take(part.to.div_ceil(LANES)).skip(part.from / LANES) {
                let room = self.tile.add(g * LANES * pitch);
                match self.layer.kv_type {
                    _ if !self.aligned() || self.layer.one_by_one() => {
                        for j in (g * LANES).max(part.from)..((g + 1) * LANES).min(part.to) {
                            let (block, offset) = self.slot(part.start + j);
                            let group = self.layer.values(block, self.head, offset / GROUP);
                            self.layer.read_value(group, offset % GROUP, room.add(j % LANES * pitch));
                        }
                    }
                    KvType::F16 if !place.half => expand_half::<L>(*group, pitch, room),
                    KvType::Q8_0 => expand_byte_values::<L>(*group, pitch, self.scales, room),
                    _ => continue,
                }
                *group = room.cast_const().cast();
            }
        }
        place
    }
}

struct AddTile<'a> {
    context: &'a Context<'a>,
    start: usize,
    state: State,
}

impl Kernel for AddTile<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        // SAFETY: as promised to `add_tile`.
        unsafe { self.context.add::<L>(self.start, self.state) }
    }
}

/// `x` in the lanes of group `g` whose keys are in `from..to`, `other` in the rest.
#[inline(always)]
unsafe fn only<L: Lanes>(g: usize, from: usize, to: usize, x: L::V, other: f32) -> L::V {
    let start = g * LANES;
    if from <= start && to >= start + LANES {
        return x;
    }
    // SAFETY: the caller has the instructions; the group overlaps the range.
    unsafe { L::within(from.max(start) - start, to.min(start + LANES) - start, x, L::splat(other)) }
}

/// Expands `vectors` times 16 halves.
#[inline(always)]
unsafe fn expand_half<L: Lanes>(from: *const u8, vectors: usize, to: *mut f32) {
    // SAFETY: the caller gives whole groups, and room for one.
    unsafe {
        for i in 0..vectors {
            L::store(to.add(i * LANES), F16::load::<L>(from.add(i * LANES * F16::BYTES)));
        }
    }
}

/// Expands a group of q8_0 keys. Exact: 7 bits times 11 fit in a float.
#[inline(always)]
unsafe fn expand_byte_keys<L: Lanes>(from: *const u8, depth: usize, to: *mut f32) {
    // SAFETY: the caller gives a whole group, and room for it.
    unsafe {
        let bytes = from.add(depth / 32 * GROUP * 2).cast::<i8>();
        for block in 0..depth / 32 {
            let scale = L::load_half(from.cast::<u16>().add(block * GROUP));
            for i in block * 32..(block + 1) * 32 {
                L::store(to.add(i * LANES), L::mul(L::load_bytes(bytes.add(i * LANES)), scale));
            }
        }
    }
}

/// Expands a group of q8_0 values.
#[inline(always)]
unsafe fn expand_byte_values<L: Lanes>(from: *const u8, pitch: usize, scales: *mut f32, to: *mut f32) {
    let per_token = pitch / 32;
    // SAFETY: the caller gives a whole group, and room for it and for its 16 * pitch / 32 scales.
    unsafe {
        for i in 0..per_token {
            L::store(scales.add(i * LANES), L::load_half(from.cast::<u16>().add(i * LANES)));
        }
        let bytes = from.add(per_token * GROUP * 2).cast::<i8>();
        for block in 0..GROUP * per_token {
            let scale = L::splat(*scales.add(block));
            let at = block * 32;
            L::store(to.add(at), L::mul(L::load_bytes(bytes.add(at)), scale));
            L::store(to.add(at + LANES), L::mul(L::load_bytes(bytes.add(at + LANES)), scale));
        }
    }
}
