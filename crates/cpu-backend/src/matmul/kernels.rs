//! The integer kernels, written once over [`Simd`] and [`Format`].
//!
//! Every path computes the same sequence of roundings for an output element: it starts at the
//! bias, and for each block of 32 columns in order adds `float(dot) * (w_scale * x_scale)` by one
//! fused multiply-add a sub-block, then `w_min * x_sum` likewise. The dot products between are
//! exact. Where the input is fine, the same follows once more with what its rounding left over, all
//! columns after all columns. So a token's result does not depend on which path computed it, nor on its neighbours.

use super::activations::Line;
use super::format::{BLOCK, Format, ROWS, Scale};
use super::simd::Simd;
use std::ops::Range;

/// Groups of four columns in a block.
const GROUPS: usize = BLOCK / 4;
/// Bytes of a group: four columns of 16 rows.
const GROUP: usize = 4 * ROWS;
/// How far ahead of its use packed data is requested. The hardware's own prefetch stops at page
/// ends and starts late at each.
const AHEAD: usize = 2048;

/// Blocks that are unpacked at a time for many tokens: with two panels, 25 KB stay in the first
/// level cache. A multiple of the blocks of any record.
pub(super) const CHUNK: usize = 16;
/// Panels that are unpacked at a time, at most.
pub(super) const PANELS_MAX: usize = 2;
/// Tokens of a tile, at most.
pub(super) const TOKENS_MAX: usize = 6;
/// Bytes of an unpacked block of one panel, at most: weights, two scales and two minima a row.
pub(super) const DENSE_BLOCK_MAX: usize = GROUPS * GROUP + 4 * ROWS * 4;

/// Where the outputs of some panels begin, and what they start from.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// Rows of the matrix.
    pub rows: usize,
    /// `[rows]`, or null for none.
    pub bias: *const f32,
}

impl Target {
    /// Rows of `panel` that exist: 0..=16.
    #[inline(always)]
    pub fn rows_of(&self, panel: usize) -> usize {
        self.rows.saturating_sub(panel * ROWS).min(ROWS)
    }

    /// What the outputs of `panel` start from.
    ///
    /// # Safety
    /// Those of [`Simd`]; `bias` is null or has `rows` entries.
    #[inline(always)]
    pub unsafe fn first<S: Simd>(&self, panel: usize) -> S::Floats {
        // SAFETY: the rows of the panel that exist are entries of the bias.
        unsafe { if self.bias.is_null() { S::zero() } else { load_rows::<S>(self.bias, self.rows_of(panel), panel) } }
    }

    /// What the outputs of `panel` in the row `out` start from: the bias at `first`, later what they hold.
    ///
    /// # Safety
    /// As [`Target::first`]; `out` has `rows` entries.
    #[inline(always)]
    unsafe fn start<S: Simd>(&self, first: bool, out: *const f32, panel: usize) -> S::Floats {
        // SAFETY: the rows of the panel that exist are entries of both.
        unsafe { if first { self.first::<S>(panel) } else { load_rows::<S>(out, self.rows_of(panel), panel) } }
    }
}

/// The first `n` <= 16 entries of `panel` in a vector over rows, and zeros.
///
/// # Safety
/// Those of [`Simd`]; entries `16 * panel..` of `base` can be read, `n` of them.
#[inline(always)]
pub(super) unsafe fn load_rows<S: Simd>(base: *const f32, n: usize, panel: usize) -> S::Floats {
    // SAFETY: no more than `n` entries are read from `base`, 16 from the array.
    unsafe {
        if n == ROWS {
            return S::load(base.add(panel * ROWS));
        }
        let mut whole = [0.0; ROWS];
        if n > 0 {
            std::ptr::copy_nonoverlapping(base.add(panel * ROWS), whole.as_mut_ptr(), n);
        }
        S::load(whole.as_ptr())
    }
}

/// The counterpart of [`load_rows`].
///
/// # Safety
/// As [`load_rows`], for writing.
#[inline(always)]
pub(super) unsafe fn store_rows<S: Simd>(base: *mut f32, n: usize, panel: usize, v: S::Floats) {
    // SAFETY: no more than `n` entries are written to `base`, 16 to the array.
    unsafe {
        if n == ROWS {
            return S::store(base.add(panel * ROWS), v);
        }
        let mut whole = [0.0; ROWS];
        S::store(whole.as_mut_ptr(), v);
        if n > 0 {
            std::ptr::copy_nonoverlapping(whole.as_ptr(), base.add(panel * ROWS), n);
        }
    }
}

/// What a kernel for few tokens works on. It computes all rows of `panels` for each token.
pub(super) struct Decode {
    /// The first panel of the matrix.
    pub data: *const u8,
    /// From one panel to the next.
    pub panel_bytes: usize,
    /// Which panels.
    pub panels: Range<usize>,
    /// Records of a panel.
    pub records: usize,
    /// Whether outputs start here, rather than from what `out` holds.
    pub first: bool,
    /// Outputs.
    pub target: Target,
    /// One quantized row for each token.
    pub x: *const *const Line,
    /// One output row of `target.rows` for each token. Two tokens may name the same row if they
    /// have the same input.
    pub out: *const *mut f32,
}

/// What an unpacking kernel works on: some records of one panel.
pub(super) struct Unpack {
    pub from: *const u8,
    pub records: usize,
    /// The panel's first block; the next is `stride` bytes on.
    pub to: *mut u8,
    pub stride: usize,
}

/// What a kernel for many tokens works on: some blocks of some panels, unpacked.
pub(super) struct Dense {
    /// For each block: for each panel: weights as bytes, scales, minima.
    pub weights: *const u8,
    pub blocks: usize,
    /// Of the format.
    pub shift: u32,
    /// The first panel; those after it follow.
    pub panel: usize,
    /// Whether outputs start here, rather than from what `out` holds.
    pub first: bool,
    pub target: Target,
    /// For each token the first of `blocks` lines.
    pub x: *const *const Line,
    /// As in [`Decode`].
    pub out: *const *mut f32,
}

/// Scales and minima of a super-block.
struct Head<S: Simd> {
    scale: S::Floats,
    min: S::Floats,
}

/// Scales and minima of a block's one or two sub-blocks.
struct Factors<S: Simd> {
    scale: [S::Floats; 2],
    min: [S::Floats; 2],
}

/// # Safety
/// Those of [`Simd`]; `record` is a record of `F`.
#[inline(always)]
unsafe fn head<S: Simd, F: Format>(record: *const u8) -> Head<S> {
    // SAFETY: both lie within the record.
    unsafe {
        if matches!(F::SPEC.scale, Scale::Bfloat) {
            return Head { scale: S::bfloat(record), min: S::zero() };
        }
        let min = if F::SPEC.min { S::half(record.add(2 * ROWS)) } else { S::zero() };
        let mut scale = S::half(record);
        if F::SPEC.gain != 1.0 {
            scale = S::mul(scale, S::splat(&F::SPEC.gain));
        }
        Head { scale, min }
    }
}

/// # Safety
/// As [`head`]; `block` is one of the record's.
#[inline(always)]
unsafe fn factors<S: Simd, F: Format>(record: *const u8, head: &Head<S>, block: usize) -> Factors<S> {
    let spec = F::SPEC;
    let mut f = Factors { scale: [head.scale; 2], min: [head.min; 2] };
    for i in 0..spec.subs() {
        // SAFETY: the bytes of a sub-block lie within the record.
        unsafe {
            let sub = record.add((block * spec.subs() + i) * ROWS);
            let (scale, min) = (sub.add(spec.sub_scales_at()), sub.add(spec.sub_mins_at()));
            match spec.scale {
                Scale::Half if i > 0 => f.scale[i] = S::half(record.add(2 * ROWS * i)),
                Scale::Half | Scale::Bfloat => {}
                Scale::Unsigned => f.scale[i] = S::mul(head.scale, S::unsigned(scale)),
                Scale::Signed => f.scale[i] = S::mul(head.scale, S::signed(scale)),
                Scale::Nibbles => f.scale[i] = S::mul(head.scale, S::low_nibbles(scale)),
            }
            match spec.scale {
                Scale::Unsigned if spec.min => f.min[i] = S::mul(head.min, S::unsigned(min)),
                Scale::Nibbles if spec.min => f.min[i] = S::mul(head.min, S::high_nibbles(scale)),
                _ => {}
            }
        }
    }
    f
}

/// The weights of a block as unsigned bytes, group by group.
///
/// # Safety
/// Those of [`Simd`]; `planes` are a block's of `F`.
#[inline(always)]
unsafe fn weights<S: Simd, F: Format>(planes: *const u8) -> [S::Bytes; GROUPS] {
    // SAFETY: as promised by the caller; the eight groups of a block are 0..8.
    unsafe {
        [
            group::<S, F, 0>(planes),
            group::<S, F, 1>(planes),
            group::<S, F, 2>(planes),
            group::<S, F, 3>(planes),
            group::<S, F, 4>(planes),
            group::<S, F, 5>(planes),
            group::<S, F, 6>(planes),
            group::<S, F, 7>(planes),
        ]
    }
}

/// Group `G` of a block. A plane of `b` bits has `b` units, and the group's bits are in unit
/// `G % b` from bit `G / b * b` up.
///
/// # Safety
/// As [`weights`].
#[inline(always)]
unsafe fn group<S: Simd, F: Format, const G: usize>(planes: *const u8) -> S::Bytes {
    let spec = F::SPEC;
    // SAFETY: both units lie within the block's planes.
    unsafe {
        let low = S::bytes(planes.add(G % spec.low * GROUP));
        let from = G / spec.low * spec.low;
        let mut w = match spec.low {
            8 => low,
            bits if from == 0 => S::and(low, (1 << bits) - 1),
            bits => S::and(S::right(low, from as u32), (1 << bits) - 1),
        };
        if spec.high > 0 {
            let high = S::bytes(planes.add(spec.low_bytes() + G % spec.high * GROUP));
            let (from, to) = (G / spec.high * spec.high, spec.low);
            let moved = if from > to { S::right(high, (from - to) as u32) } else { S::left(high, (to - from) as u32) };
            w = S::and_or(moved, ((1 << spec.high) - 1) << to, w);
        }
        match &spec.table {
            Some(table) => S::look_up(table, w),
            None => w,
        }
    }
}

/// For `T` tokens, straight from the packed form: each weight is read once.
///
/// # Safety
/// Those of [`Simd`]; the pointers of `a` are valid as their descriptions say, and no other
/// thread touches the outputs.
#[inline(always)]
pub(super) unsafe fn decode<S: Simd, F: Format, const T: usize>(a: &Decode) {
    let spec = F::SPEC;
    // SAFETY: the caller vouches for the arguments; blocks and panels are counted from them.
    unsafe {
        let x: [*const Line; T] = std::array::from_fn(|t| *a.x.add(t));
        let out: [*mut f32; T] = std::array::from_fn(|t| *a.out.add(t));
        for panel in a.panels.clone() {
            let mut record = a.data.add(panel * a.panel_bytes);
            let mut sums = [S::zero(); T];
            for (sum, out) in sums.iter_mut().zip(out) {
                *sum = a.target.start::<S>(a.first, out, panel);
            }
            let mut line = 0;
            for _ in 0..a.records {
                let head = head::<S, F>(record);
                for block in 0..spec.blocks() {
                    let planes = record.add(spec.planes_at() + block * spec.block_bytes());
                    let mut at = 0;
                    while at < spec.record_bytes() / spec.blocks() {
                        S::prefetch(planes.wrapping_add(AHEAD + at));
                        at += 64;
                    }
                    let w = weights::<S, F>(planes);
                    let f = factors::<S, F>(record, &head, block);
                    for t in 0..T {
                        sums[t] = one_block::<S, F>(&w, &f, x[t].add(line), sums[t]);
                    }
                    line += 1;
                }
                record = record.add(spec.record_bytes());
            }
            let rows = a.target.rows_of(panel);
            for t in 0..T {
                store_rows::<S>(out[t], rows, panel, sums[t]);
            }
        }
    }
}

/// Adds one block's part to `sum`.
///
/// # Safety
/// Those of [`Simd`]; `x` is a line.
#[inline(always)]
unsafe fn one_block<S: Simd, F: Format>(
    w: &[S::Bytes; GROUPS],
    f: &Factors<S>,
    x: *const Line,
    mut sum: S::Floats,
) -> S::Floats {
    let subs = F::SPEC.subs();
    // SAFETY: all pointers lie within the line.
    unsafe {
        let q = Line::values(x);
        for i in 0..subs {
            let dots = if F::SPEC.wide() {
                part::<S, true>(w, q, i, subs, S::start::<true>(Line::nsum(x, i, subs), F::SPEC.shift()))
            } else {
                part::<S, false>(w, q, i, subs, S::start::<false>(Line::nsum(x, i, subs), F::SPEC.shift()))
            };
            sum = S::fma(S::float(dots), S::mul(f.scale[i], S::splat(Line::scale(x))), sum);
        }
        if F::SPEC.min {
            for i in 0..subs {
                sum = S::fma(f.min[i], S::splat(Line::xsum(x, i, subs)), sum);
            }
        }
        sum
    }
}

/// The dot products of sub-block `i`, added to `dots`.
///
/// # Safety
/// Those of [`Simd`]; `q` are the 32 values of a line.
#[inline(always)]
unsafe fn part<S: Simd, const WIDE: bool>(
    w: &[S::Bytes; GROUPS],
    q: *const i8,
    i: usize,
    subs: usize,
    mut dots: S::Ints,
) -> S::Ints {
    let each = GROUPS / subs;
    for g in i * each..(i + 1) * each {
        // SAFETY: group `g` is four of the 32 values.
        dots = unsafe { S::dot::<WIDE>(dots, w[g], S::quad(q.add(4 * g))) };
    }
    dots
}

/// Bytes of an unpacked block of one panel.
pub(super) const fn dense_block(subs: usize, min: bool) -> usize {
    GROUPS * GROUP + subs * (1 + min as usize) * 4 * ROWS
}

/// Writes weights as bytes and factors as floats, see [`Dense`].
///
/// # Safety
/// Those of [`Simd`]; `a` names whole records of `F`, and room for their blocks.
#[inline(always)]
pub(super) unsafe fn unpack<S: Simd, F: Format>(a: &Unpack) {
    let spec = F::SPEC;
    // SAFETY: reads stay in the records, writes in the blocks.
    unsafe {
        let mut to = a.to;
        for r in 0..a.records {
            let record = a.from.add(r * spec.record_bytes());
            let head = head::<S, F>(record);
            for block in 0..spec.blocks() {
                let w = weights::<S, F>(record.add(spec.planes_at() + block * spec.block_bytes()));
                for (g, w) in w.into_iter().enumerate() {
                    S::put_bytes(to.add(g * GROUP), w);
                }
                let f = factors::<S, F>(record, &head, block);
                let floats = to.add(GROUPS * GROUP).cast::<f32>();
                for i in 0..spec.subs() {
                    S::store(floats.add(i * ROWS), f.scale[i]);
                    if spec.min {
                        S::store(floats.add((spec.subs() + i) * ROWS), f.min[i]);
                    }
                }
                to = to.add(a.stride);
            }
        }
    }
}

/// For `T` tokens times `P` panels, from the unpacked form. All dot products of a block stay in
/// registers, each broadcast serves `P` panels and each weight `T` tokens.
///
/// # Safety
/// As [`decode`]; `weights` was written by [`unpack`] of a format with these constants.
#[inline(always)]
pub(super) unsafe fn dense<
    S: Simd,
    const SUBS: usize,
    const MIN: bool,
    const WIDE: bool,
    const P: usize,
    const T: usize,
>(
    a: &Dense,
) {
    // SAFETY: the caller vouches for the arguments; blocks and panels are counted from them.
    unsafe {
        let x: [*const Line; T] = std::array::from_fn(|t| *a.x.add(t));
        let out: [*mut f32; T] = std::array::from_fn(|t| *a.out.add(t));
        let mut sums = [[S::zero(); P]; T];
        for (t, sums) in sums.iter_mut().enumerate() {
            for (p, sum) in sums.iter_mut().enumerate() {
                *sum = a.target.start::<S>(a.first, out[t], a.panel + p);
            }
        }
        sums = add_blocks::<S, SUBS, MIN, WIDE, P, T>(a, x, sums);
        for t in 0..T {
            for p in 0..P {
                store_rows::<S>(out[t], a.target.rows_of(a.panel + p), a.panel + p, sums[t][p]);
            }
        }
    }
}

/// Adds all blocks to `sums`. A function of its own, for in one body with the code that indexes
/// the sums by variables the compiler keeps them in memory.
///
/// # Safety
/// As [`dense`].
#[inline(always)]
unsafe fn add_blocks<S: Simd, const SUBS: usize, const MIN: bool, const WIDE: bool, const P: usize, const T: usize>(
    a: &Dense,
    mut x: [*const Line; T],
    mut sums: [[S::Floats; P]; T],
) -> [[S::Floats; P]; T] {
    let size = const { dense_block(SUBS, MIN) };
    // SAFETY: as promised by the caller.
    unsafe {
        let mut block = a.weights;
        for _ in 0..a.blocks {
            for i in 0..SUBS {
                let mut dots = [[S::start::<WIDE>(Line::nsum(x[0], i, SUBS), a.shift); P]; T];
                for t in 1..T {
                    dots[t] = [S::start::<WIDE>(Line::nsum(x[t], i, SUBS), a.shift); P];
                }
                let each = GROUPS / SUBS;
                for g in i * each..(i + 1) * each {
                    let mut w = [S::bytes(block.add(g * GROUP)); P];
                    for p in 1..P {
                        w[p] = S::bytes(block.add(p * size + g * GROUP));
                    }
                    for t in 0..T {
                        let x = S::quad(Line::values(x[t]).add(4 * g));
                        for p in 0..P {
                            dots[t][p] = S::dot::<WIDE>(dots[t][p], w[p], x);
                        }
                    }
                }
                let scales = block.add(GROUPS * GROUP + i * 4 * ROWS);
                for t in 0..T {
                    let x_scale = S::splat(Line::scale(x[t]));
                    for p in 0..P {
                        let scale = S::load(scales.add(p * size).cast());
                        sums[t][p] = S::fma(S::float(dots[t][p]), S::mul(scale, x_scale), sums[t][p]);
                    }
                }
            }
            if MIN {
                for i in 0..SUBS {
                    let mins = block.add(GROUPS * GROUP + (SUBS + i) * 4 * ROWS);
                    for t in 0..T {
                        let x_sum = S::splat(Line::xsum(x[t], i, SUBS));
                        for p in 0..P {
                            let min = S::load(mins.add(p * size).cast());
                            sums[t][p] = S::fma(min, x_sum, sums[t][p]);
                        }
                    }
                }
            }
            block = block.add(P * size);
            for x in &mut x {
                *x = x.add(1);
            }
        }
        sums
    }
}
