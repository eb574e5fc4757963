//! The two matrix products of a tile, blocked for registers.
//!
//! Both add up `depth` outer products of a column of broadcast numbers (queries, or probabilities) and a row of
//! vectors (keys across, or values), `NR` rows by `NV` vectors at a time. Each result is one chain of fused
//! multiply-adds in the order of the depth, whatever the block it was computed in, so that blocking never shows.

use std::marker::PhantomData;

use crate::elementwise::lanes::{Kernel, LANES, Lanes};

/// Keys of a tile. Tiles begin at multiples of this position.
pub(super) const TILE: usize = 64;

/// Groups of 16 keys of a tile.
pub(super) const GROUPS: usize = TILE / LANES;

/// Memory that a kernel asks for while it computes, so that the next one finds it in the cache: one run of bytes for each
/// group, in equal steps. Blocks of a cache lie scattered, where the processor alone would not look ahead.
#[derive(Clone, Copy)]
pub(super) struct Ahead<'a> {
    pub groups: &'a [*const u8; GROUPS],
    /// Bytes of a group.
    pub bytes: usize,
}

/// What keys and values are read as. Only f32 and f16 are read in place; other types are expanded first.
pub(super) trait Source: Copy {
    /// Bytes of a number.
    const BYTES: usize;

    /// 16 numbers.
    ///
    /// # Safety
    /// They are at `at`, and the processor has the instructions of `L`.
    unsafe fn load<L: Lanes>(at: *const u8) -> L::V;
}

#[derive(Clone, Copy)]
pub(super) struct F32;

impl Source for F32 {
    const BYTES: usize = 4;

    #[inline(always)]
    unsafe fn load<L: Lanes>(at: *const u8) -> L::V {
        // SAFETY: as promised by the caller.
        unsafe { L::load(at.cast()) }
    }
}

#[derive(Clone, Copy)]
pub(super) struct F16;

impl Source for F16 {
    const BYTES: usize = 2;

    #[inline(always)]
    unsafe fn load<L: Lanes>(at: *const u8) -> L::V {
        // SAFETY: as promised by the caller.
        unsafe { L::load_half(at.cast()) }
    }
}

/// Rows for which numbers are converted where they are used, at most; for more, the tile is converted before.
pub(super) const FEW_ROWS: usize = 8;

/// Runs a kernel whose number of rows is a constant.
macro_rules! by_rows {
    ($l:ty, $rows:expr, $kernel:ident::<$s:ty> { $($field:ident),* }) => {
        match $rows {
            1 => <$l>::call($kernel::<$s, 1> { $($field,)* source: PhantomData }),
            2 => <$l>::call($kernel::<$s, 2> { $($field,)* source: PhantomData }),
            3 if <$l>::ROWS > 2 => <$l>::call($kernel::<$s, 3> { $($field,)* source: PhantomData }),
            4 if <$l>::ROWS > 2 => <$l>::call($kernel::<$s, 4> { $($field,)* source: PhantomData }),
            5 if <$l>::ROWS > 2 => <$l>::call($kernel::<$s, 5> { $($field,)* source: PhantomData }),
            _ if <$l>::ROWS > 2 => <$l>::call($kernel::<$s, 6> { $($field,)* source: PhantomData }),
            _ => {}
        }
    };
}

/// `out[r, 16 g ..] = Σ_i q[r, i] keys[g][i, ..]` for `rows` (1 to [`Lanes::ROWS`]) rows and groups `from..to`. `q` is
/// `[rows, depth]`, a key group `[depth][16]`, `out` has [`TILE`] numbers a row.
///
/// # Safety
/// The pointers are valid for that, and the processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn scores<L: Lanes, S: Source>(
    rows: usize,
    depth: usize,
    q: *const f32,
    keys: &[*const u8; GROUPS],
    groups: (usize, usize),
    out: *mut f32,
    ahead: Ahead<'_>,
) {
    // SAFETY: as promised by the caller.
    unsafe { by_rows!(L, rows, Scores::<S> { depth, q, keys, groups, out, ahead }) }
}

struct Scores<'a, S, const NR: usize> {
    depth: usize,
    q: *const f32,
    keys: &'a [*const u8; GROUPS],
    groups: (usize, usize),
    out: *mut f32,
    ahead: Ahead<'a>,
    source: PhantomData<S>,
}

impl<S: Source, const NR: usize> Kernel for Scores<'_, S, NR> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { depth, q, keys, groups, out, ahead, .. } = self;
        // SAFETY: as promised to `scores`.
        unsafe { scores_rows::<L, S, NR>(depth, q, keys, groups, out, ahead) }
    }
}

#[inline(always)]
unsafe fn scores_rows<L: Lanes, S: Source, const NR: usize>(
    depth: usize,
    q: *const f32,
    keys: &[*const u8; GROUPS],
    (from, to): (usize, usize),
    out: *mut f32,
    ahead: Ahead<'_>,
) {
    let mut g = from;
    // SAFETY: groups below `to` are valid.
    unsafe {
        // 16 registers hold one vector of six rows, two of two, or four of one.
        if L::WIDE || NR == 1 {
            while g + 4 <= to {
                scores_block::<L, S, NR, 4>(depth, q, keys, g, out, ahead);
                g += 4;
            }
        }
        if L::WIDE || NR <= 2 {
            while g + 2 <= to {
                scores_block::<L, S, NR, 2>(depth, q, keys, g, out, ahead);
                g += 2;
            }
        }
        while g < to {
            scores_block::<L, S, NR, 1>(depth, q, keys, g, out, ahead);
            g += 1;
        }
    }
}

#[inline(always)]
unsafe fn scores_block<L: Lanes, S: Source, const NR: usize, const NV: usize>(
    depth: usize,
    q: *const f32,
    keys: &[*const u8; GROUPS],
    group: usize,
    out: *mut f32,
    ahead: Ahead<'_>,
) {
    let step = ahead.bytes.div_ceil(depth);
    // SAFETY: as promised by the caller.
    unsafe {
        let mut sums = [[L::splat(0.0); NV]; NR];
        let mut at = [keys[group]; NV];
        let mut soon = [ahead.groups[group]; NV];
        let mut v = 0;
        while v < NV {
            at[v] = keys[group + v];
            soon[v] = ahead.groups[group + v];
            v += 1;
        }
        let mut i = 0;
        while i < depth {
            let mut key = [L::splat(0.0); NV];
            let mut v = 0;
            while v < NV {
                key[v] = S::load::<L>(at[v].add(i * LANES * S::BYTES));
                L::prefetch(soon[v].wrapping_add(i * step));
                v += 1;
            }
            let mut r = 0;
            while r < NR {
                let x = L::splat(*q.add(r * depth + i));
                let mut v = 0;
                while v < NV {
                    sums[r][v] = L::fma(key[v], x, sums[r][v]);
                    v += 1;
                }
                r += 1;
            }
            i += 1;
        }
        let mut r = 0;
        while r < NR {
            let mut v = 0;
            while v < NV {
                L::store(out.add(r * TILE + (group + v) * LANES), sums[r][v]);
                v += 1;
            }
            r += 1;
        }
    }
}

/// Where a tile's values are, and which of them count.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    /// Each group, `[16][pitch]`.
    pub groups: &'a [*const u8; GROUPS],
    /// Numbers of a row; a multiple of 16.
    pub pitch: usize,
    /// First key of the tile that is added.
    pub from: usize,
    /// The key behind the last.
    pub to: usize,
}

/// `out[r, ..] = out[r, ..] * keep[r] + Σ_j p[r, j] values[j, ..]` for `rows` (1 to [`Lanes::ROWS`]) rows. `p` has
/// [`TILE`] numbers a row, `out` `pitch`.
///
/// # Safety
/// The pointers are valid for that, and the processor has the instructions of `L`.
#[inline(always)]
pub(super) unsafe fn add_values<L: Lanes, S: Source>(
    rows: usize,
    values: Values<'_>,
    p: *const f32,
    keep: *const f32,
    out: *mut f32,
    ahead: Ahead<'_>,
) {
    // SAFETY: as promised by the caller.
    unsafe { by_rows!(L, rows, AddValues::<S> { values, p, keep, out, ahead }) }
}

struct AddValues<'a, S, const NR: usize> {
    values: Values<'a>,
    p: *const f32,
    keep: *const f32,
    out: *mut f32,
    ahead: Ahead<'a>,
    source: PhantomData<S>,
}

impl<S: Source, const NR: usize> Kernel for AddValues<'_, S, NR> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<L: Lanes>(self) {
        let Self { values, p, keep, out, ahead, .. } = self;
        // SAFETY: as promised to `add_values`.
        unsafe { add_values_rows::<L, S, NR>(values, p, keep, out, ahead) }
    }
}

#[inline(always)]
unsafe fn add_values_rows<L: Lanes, S: Source, const NR: usize>(
    values: Values<'_>,
    p: *const f32,
    keep: *const f32,
    out: *mut f32,
    ahead: Ahead<'_>,
) {
    let (mut col, end) = (0, values.pitch);
    // SAFETY: columns below `pitch` are valid.
    unsafe {
        if L::WIDE || NR == 1 {
            while col + 4 * LANES <= end {
                add_values_block::<L, S, NR, 4>(values, p, keep, out, col, ahead);
                col += 4 * LANES;
            }
        }
        if L::WIDE || NR <= 2 {
            while col + 2 * LANES <= end {
                add_values_block::<L, S, NR, 2>(values, p, keep, out, col, ahead);
                col += 2 * LANES;
            }
        }
        while col < end {
            add_values_block::<L, S, NR, 1>(values, p, keep, out, col, ahead);
            col += LANES;
        }
    }
}

#[inline(always)]
unsafe fn add_values_block<L: Lanes, S: Source, const NR: usize, const NV: usize>(
    values: Values<'_>,
    p: *const f32,
    keep: *const f32,
    out: *mut f32,
    col: usize,
    ahead: Ahead<'_>,
) {
    let Values { groups, pitch, from, to } = values;
    // A block of columns asks for its share of each group, over the 16 keys of the group.
    let share = NV * LANES * ahead.bytes / pitch;
    let (skip, step) = (col * ahead.bytes / pitch, share / LANES);
    // SAFETY: as promised by the caller.
    unsafe {
        let mut sums = [[L::splat(0.0); NV]; NR];
        let mut g = from / LANES;
        while g * LANES < to {
            let first = from.saturating_sub(g * LANES);
            let last = if to - g * LANES < LANES { to - g * LANES } else { LANES };
            let mut at = groups[g].add((first * pitch + col) * S::BYTES);
            let mut p = p.add(g * LANES + first);
            let mut soon = ahead.groups[g].wrapping_add(skip);
            let mut left = last - first;
            while left > 0 {
                let mut value = [L::splat(0.0); NV];
                let mut v = 0;
                while v < NV {
                    value[v] = S::load::<L>(at.add(v * LANES * S::BYTES));
                    v += 1;
                }
                let mut r = 0;
                while r < NR {
                    let x = L::splat(*p.add(r * TILE));
                    let mut v = 0;
                    while v < NV {
                        sums[r][v] = L::fma(value[v], x, sums[r][v]);
                        v += 1;
                    }
                    r += 1;
                }
                L::prefetch(soon);
                if step > 64 {
                    L::prefetch(soon.wrapping_add(64));
                }
                soon = soon.wrapping_add(step);
                at = at.wrapping_add(pitch * S::BYTES);
                p = p.wrapping_add(1);
                left -= 1;
            }
            g += 1;
        }
        let mut r = 0;
        while r < NR {
            let keep = L::splat(*keep.add(r));
            let mut v = 0;
            while v < NV {
                let at = out.add(r * pitch + col + v * LANES);
                L::store(at, L::fma(L::load(at), keep, sums[r][v]));
                v += 1;
            }
            r += 1;
        }
    }
}
