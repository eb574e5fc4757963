//! Running softmax of some rows, and the room it and everything else lives in.

use std::sync::Mutex;

use rocmforge_attention::AttentionSpec;

use super::micro::TILE;
use crate::elementwise::lanes::{LANES, Lanes};
use crate::elementwise::math::exp2;
use crate::kv::KvError;

/// Rows of queries that share one pass over keys and values, at most.
pub(super) const ITEM_ROWS: usize = 64;

/// Rows of an item: whole tokens, unless one token alone has more heads in the group.
pub(super) fn item_rows(group_size: usize) -> usize {
    if group_size <= ITEM_ROWS { ITEM_ROWS / group_size * group_size } else { ITEM_ROWS }
}

/// The online softmax (arXiv:1805.02867) of `rows` rows over the keys seen so far: the largest score (in units of log2
/// e, as all scores here), the sum of the weights relative to it, and the weighted sum of values `[rows, pitch]`. A sum
/// of exactly 0 says that no key was seen: each key adds something, and the largest adds 1.
#[derive(Clone, Copy)]
pub(super) struct State {
    pub largest: *mut f32,
    pub sum: *mut f32,
    pub values: *mut f32,
}

impl State {
    /// Numbers that `rows` rows take.
    pub fn floats(rows: usize, pitch: usize) -> usize {
        2 * rows.next_multiple_of(LANES) + rows * pitch
    }

    /// Lays a state out over `floats(rows, pitch)` numbers.
    pub fn at(start: *mut f32, rows: usize) -> Self {
        let padded = rows.next_multiple_of(LANES);
        Self { largest: start, sum: start.wrapping_add(padded), values: start.wrapping_add(2 * padded) }
    }

    /// Nothing seen.
    ///
    /// # Safety
    /// The state was laid out over valid memory for `rows` rows.
    pub unsafe fn clear(self, rows: usize, pitch: usize) {
        // SAFETY: as promised by the caller.
        unsafe {
            std::slice::from_raw_parts_mut(self.largest, rows).fill(f32::NEG_INFINITY);
            std::slice::from_raw_parts_mut(self.sum, rows).fill(0.0);
            std::slice::from_raw_parts_mut(self.values, rows * pitch).fill(0.0);
        }
    }

    /// Adds the keys that `other` has seen.
    ///
    /// # Safety
    /// Both were laid out over valid memory for `rows` rows and do not overlap; the instructions of `L` exist.
    #[inline(always)]
    pub unsafe fn merge<L: Lanes>(self, other: State, rows: usize, pitch: usize) {
        // SAFETY: as promised by the caller.
        unsafe {
            for r in 0..rows {
                let (mine, theirs) = (*self.sum.add(r), *other.sum.add(r));
                if theirs == 0.0 {
                    continue;
                }
                let (to, from) = (self.values.add(r * pitch), other.values.add(r * pitch));
                if mine == 0.0 {
                    *self.largest.add(r) = *other.largest.add(r);
                    *self.sum.add(r) = theirs;
                    std::ptr::copy_nonoverlapping(from, to, pitch);
                    continue;
                }
                let (a, b) = (*self.largest.add(r), *other.largest.add(r));
                let largest = if a > b { a } else { b };
                let (keep, take) = (power::<L>(a - largest), power::<L>(b - largest));
                *self.largest.add(r) = largest;
                *self.sum.add(r) = mine * keep + theirs * take;
                let (keep, take) = (L::splat(keep), L::splat(take));
                for col in (0..pitch).step_by(LANES) {
                    let at = to.add(col);
                    L::store(at, L::fma(L::load(at), keep, L::mul(L::load(from.add(col)), take)));
                }
            }
        }
    }

    /// Writes row `r` of the result, `width` numbers: zeros if no key was seen.
    ///
    /// # Safety
    /// As for `merge`; `out` takes `width` numbers, at most `pitch`.
    #[inline(always)]
    pub unsafe fn finish<L: Lanes>(self, r: usize, pitch: usize, sink: Option<f32>, out: *mut f32, width: usize) {
        // SAFETY: as promised by the caller.
        unsafe {
            let (largest, sum) = (*self.largest.add(r), *self.sum.add(r));
            let factor = match sink {
                _ if sum == 0.0 => 0.0,
                None => 1.0 / sum,
                Some(sink) => {
                    let sink = sink * std::f32::consts::LOG2_E;
                    let top = if sink > largest { sink } else { largest };
                    let keep = power::<L>(largest - top);
                    keep / (sum * keep + power::<L>(sink - top))
                }
            };
            let factor = L::splat(factor);
            for col in (0..width).step_by(LANES) {
                let y = L::mul(L::load(self.values.add(r * pitch + col)), factor);
                if width - col >= LANES {
                    L::store(out.add(col), y);
                } else {
                    L::store_part(out.add(col), width - col, y);
                }
            }
        }
    }
}

/// `2^x` of one number, as the vectors compute it.
#[inline(always)]
unsafe fn power<L: Lanes>(x: f32) -> f32 {
    let mut row = [0.0; LANES];
    // SAFETY: the caller has the instructions.
    unsafe { L::store(row.as_mut_ptr(), exp2::<L>(L::splat(x))) };
    row[0]
}

/// 16 floats, aligned for any vector.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Line(#[allow(dead_code, reason = "read and written through pointers")] [f32; LANES]);

/// Floats that start at a cache line, allocated once.
pub(super) struct Floats(Vec<Line>);

impl Floats {
    fn new(count: Option<usize>) -> Result<Self, KvError> {
        let lines = count.unwrap_or(usize::MAX).div_ceil(LANES);
        let mut floats = Vec::new();
        let bytes = lines.saturating_mul(size_of::<Line>());
        floats.try_reserve_exact(lines).map_err(|_| KvError::NoScratch { bytes })?;
        floats.resize(lines, Line([0.0; LANES]));
        Ok(Self(floats))
    }

    pub fn start(&mut self) -> *mut f32 {
        self.0.as_mut_ptr().cast()
    }

    pub fn len(&self) -> usize {
        self.0.len() * LANES
    }
}

/// The largest widths of the layers that share a scratch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    pub rows: usize,
    pub head_dim: usize,
    pub pitch: usize,
}

impl Widths {
    pub fn of(spec: &AttentionSpec) -> Self {
        let pitch = spec.value_dim.checked_next_multiple_of(LANES).unwrap_or(usize::MAX);
        Self { rows: item_rows(spec.group_size()), head_dim: spec.head_dim, pitch }
    }

    fn wider(self, other: Self) -> Self {
        Self {
            rows: self.rows.max(other.rows),
            head_dim: self.head_dim.max(other.head_dim),
            pitch: self.pitch.max(other.pitch),
        }
    }

    pub fn fits(self, other: Self) -> bool {
        self.rows >= other.rows && self.head_dim >= other.head_dim && self.pitch >= other.pitch
    }

    /// Numbers of a state; `None` if they cannot be counted.
    fn state(self) -> Option<usize> {
        self.rows.checked_mul(self.pitch)?.checked_add(2 * self.rows.next_multiple_of(LANES))
    }
}

/// What one thread computes in.
pub(super) struct Workspace {
    /// Scaled queries `[rows, head_dim]`.
    pub q: Floats,
    /// Scores, then weights, `[rows, TILE]`.
    pub scores: Floats,
    /// For each row by how much earlier sums shrink.
    pub keep: Floats,
    /// Keys, then values of a tile as f32.
    pub tile: Floats,
    /// Scales of a group of q8_0 values as f32.
    pub scales: Floats,
    /// The whole of an item, and the split being computed.
    pub states: [Floats; 2],
    /// Positions that each row sees.
    pub visible: Vec<(usize, usize)>,
}

impl Workspace {
    fn new(widths: Widths) -> Result<Self, KvError> {
        let Widths { rows, head_dim, pitch } = widths;
        let rows = rows.next_multiple_of(LANES);
        Ok(Self {
            q: Floats::new(rows.checked_mul(head_dim))?,
            scores: Floats::new(rows.checked_mul(TILE))?,
            keep: Floats::new(Some(rows))?,
            tile: Floats::new(TILE.checked_mul(head_dim.max(pitch)))?,
            scales: Floats::new(Some(pitch))?,
            states: [Floats::new(widths.state())?, Floats::new(widths.state())?],
            visible: vec![(0, 0); rows],
        })
    }
}

/// Room for attention, allocated once for all layers, so that a step allocates nothing.
pub struct FlashScratch {
    pub(super) widths: Widths,
    pub(super) threads: Vec<Mutex<Workspace>>,
    /// States of single splits, and of items that are merged from them.
    pub(super) parts: Floats,
    pub(super) wholes: Floats,
}

/// Below this many items a thread, long contexts are split between threads.
pub(super) const ITEMS_PER_THREAD: usize = 4;

impl FlashScratch {
    /// Room for `threads` threads and any layer of these specifications.
    ///
    /// # Errors
    /// [`KvError::NoScratch`].
    pub fn new<'a>(threads: usize, specs: impl IntoIterator<Item = &'a AttentionSpec>) -> Result<Self, KvError> {
        let none = Widths { rows: 1, head_dim: 1, pitch: LANES };
        let widths = specs.into_iter().map(Widths::of).fold(none, Widths::wider);
        let shared = widths.state().and_then(|floats| floats.checked_mul(threads.checked_mul(ITEMS_PER_THREAD)?));
        Ok(Self {
            widths,
            threads: (0..threads).map(|_| Workspace::new(widths).map(Mutex::new)).collect::<Result<_, _>>()?,
            parts: Floats::new(shared)?,
            wholes: Floats::new(shared)?,
        })
    }

    /// Bytes it takes.
    pub fn bytes(&self) -> usize {
        let Widths { rows, head_dim, pitch } = self.widths;
        let rows = rows.next_multiple_of(LANES);
        let state = State::floats(rows, pitch);
        let thread = rows * (head_dim + TILE + 1 + 4) + TILE * head_dim.max(pitch) + pitch + 2 * state;
        4 * (self.threads.len() * thread + self.parts.len() + self.wholes.len())
    }
}

impl std::fmt::Debug for FlashScratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FlashScratch({} threads, {:?}, {} bytes)", self.threads.len(), self.widths, self.bytes())
    }
}
