//! Divides products among threads, and walks the panels and tokens of each part.

use super::activations::{Input, Line, stride};
use super::float::{Floats, RUN};
use super::format::{BLOCK, ROWS, Spec};
use super::isa::{DECODE_TOKENS, FEW_TOKENS, FloatKernels, IntKernels, Kernels};
use super::kernels::{CHUNK, DENSE_BLOCK_MAX, Decode, Dense, PANELS_MAX, TOKENS_MAX, Target, Unpack, dense_block};
use super::pack::{Layout, PackedMatrix};
use crate::pool::Pool;
use rocmforge_quant::{GgmlType, dequantize};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One matrix times some rows of the input.
///
/// Whoever makes one has checked that the matrix has the input's columns and, if it needs them,
/// quantized rows; that `bias` has its rows; that all indices are rows of the input and of the
/// output; and that `out` is writable by these products alone.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub w: &'a PackedMatrix,
    pub bias: Option<&'a [f32]>,
    /// `[.., w.rows()]`
    pub out: *mut f32,
    pub tokens: usize,
    /// For each token the row of the input; none for its own number.
    pub from: Option<&'a [u32]>,
    /// For each token the row of the output; none for its own number.
    pub to: Option<&'a [u32]>,
}

impl Work<'_> {
    fn row_from(&self, token: usize) -> usize {
        self.from.map_or(token, |from| from[token] as usize)
    }

    fn row_to(&self, token: usize) -> usize {
        self.to.map_or(token, |to| to[token] as usize)
    }

    fn panels(&self) -> usize {
        self.w.rows().div_ceil(ROWS)
    }

    fn target(&self) -> Target {
        Target { rows: self.w.rows(), bias: self.bias.map_or(std::ptr::null(), <[f32]>::as_ptr) }
    }
}

/// Products smaller than this many multiplications are done by the caller alone.
const SERIAL: usize = 1 << 16;
/// Tokens that meet the weights at a time. A chunk of the columns of as many tokens, 1 KB each,
/// stays in the second level cache.
const TOKEN_BLOCK: usize = 252;
/// Parts for each thread, so that a thread that was interrupted is not waited for.
const PARTS: usize = 8;

/// How a piece of work is cut.
struct Cut {
    tokens: usize,
    panels: usize,
    columns: usize,
    units: usize,
}

impl Cut {
    fn of(work: &Work<'_>, threads: usize, unit: usize) -> Self {
        let tokens = work.tokens.clamp(1, TOKEN_BLOCK);
        let panels = if threads == 1 { work.panels() } else { work.panels().div_ceil(threads * PARTS) };
        let panels = panels.max(1).next_multiple_of(unit);
        let columns = work.panels().div_ceil(panels);
        Self { tokens, panels, columns, units: work.tokens.div_ceil(tokens) * columns }
    }

    /// Tokens and panels of unit `i`: all panels of a block of tokens before the next block.
    fn unit(&self, work: &Work<'_>, i: usize) -> (Range<usize>, Range<usize>) {
        let (token, panel) = (i / self.columns * self.tokens, i % self.columns * self.panels);
        (token..work.tokens.min(token + self.tokens), panel..work.panels().min(panel + self.panels))
    }
}

/// Does `count` pieces of work that share an input, in one dispatch.
pub(super) fn run<'a>(pool: &Pool, input: &Input<'_>, count: usize, work: impl Fn(usize) -> Work<'a> + Sync) {
    let kernels = input.isa.kernels();
    let size: usize = (0..count).map(&work).map(|w| w.w.rows() * w.w.cols() * w.tokens).sum();
    let threads = if size < SERIAL { 1 } else { pool.threads() };
    let next = AtomicUsize::new(0);
    let body = || {
        let (mut before, mut at) = (0, next.fetch_add(1, Ordering::Relaxed));
        for i in 0..count {
            let work = work(i);
            let cut = Cut::of(&work, threads, kernels.dense_panels.max(kernels.float_panels));
            while at < before + cut.units {
                let (tokens, panels) = cut.unit(&work, at - before);
                unit(kernels, input, &work, tokens, panels);
                at = next.fetch_add(1, Ordering::Relaxed);
            }
            before += cut.units;
        }
    };
    if threads == 1 { body() } else { pool.run(|_, _| body()) }
}

fn unit(k: &Kernels, input: &Input<'_>, work: &Work<'_>, tokens: Range<usize>, panels: Range<usize>) {
    match work.w.layout() {
        Layout::Ints(spec) => {
            if let (Some(ints), Some(lines)) = ((k.ints)(work.w.ty()), input.lines) {
                let fine = input.fine.filter(|_| spec.fine);
                let x = Quantized { passes: [Some(lines), fine], stride: stride(input.cols) };
                if tokens.len() <= k.unpack_after {
                    few(k, ints, spec, &x, work, tokens, panels);
                } else {
                    many(k, ints, spec, &x, work, tokens, panels);
                }
            }
        }
        Layout::Floats => plain(k, input, work, tokens, panels),
        Layout::Rows => decoded(k, input, work, tokens, panels),
    }
}

/// The quantized rows of an input, and what their rounding left over if that counts. Outputs add up all columns of the
/// first, then all of the second.
struct Quantized<'a> {
    passes: [Option<&'a [Line]>; 2],
    stride: usize,
}

impl<'a> Quantized<'a> {
    /// The rows of each pass, and whether it is the first.
    fn passes(&self) -> impl Iterator<Item = (bool, &'a [Line])> {
        self.passes.into_iter().flatten().enumerate().map(|(i, lines)| (i == 0, lines))
    }
}

/// Pointers to the inputs and outputs of up to `N` tokens. Places beyond them repeat the last
/// token, which computes and stores the same once more.
struct Tile<X, const N: usize> {
    x: [*const X; N],
    out: [*mut f32; N],
}

impl<X, const N: usize> Tile<X, N> {
    fn new(work: &Work<'_>, tokens: Range<usize>, x: impl Fn(usize) -> *const X) -> Self {
        let token = |i: usize| (tokens.start + i).min(tokens.end - 1);
        // Offsets stay within the output, as `Work` promises.
        let out = |i: usize| work.out.wrapping_add(work.row_to(token(i)) * work.w.rows());
        Self { x: std::array::from_fn(|i| x(work.row_from(token(i)))), out: std::array::from_fn(out) }
    }
}

fn few(
    k: &Kernels,
    ints: &IntKernels,
    spec: &Spec,
    x: &Quantized<'_>,
    work: &Work<'_>,
    tokens: Range<usize>,
    panels: Range<usize>,
) {
    // With several passes a panel at a time, so that all but the first find the weights in the cache.
    let is_once = x.passes[1].is_none() && tokens.len() <= k.decode_tokens;
    let step = if is_once { panels.len().max(1) } else { 1 };
    for start in panels.clone().step_by(step) {
        for (first, lines) in x.passes() {
            for token in tokens.clone().step_by(k.decode_tokens) {
                let here = token..tokens.end.min(token + k.decode_tokens);
                let kernel = ints.decode[usize::from(here.len() > 1) + usize::from(here.len() > FEW_TOKENS)];
                let tile = Tile::<_, DECODE_TOKENS>::new(work, here, |row| lines[row * x.stride..].as_ptr());
                let job = Decode {
                    data: work.w.data().as_ptr(),
                    panel_bytes: work.w.stride(),
                    panels: start..panels.end.min(start + step),
                    records: work.w.cols() / (BLOCK * spec.blocks()),
                    first,
                    target: work.target(),
                    x: tile.x.as_ptr(),
                    out: tile.out.as_ptr(),
                };
                // SAFETY: an `Isa` exists only if the processor has its instructions; the rest is what
                // `Work` and `PackedMatrix` promise.
                unsafe { kernel(&job) };
            }
        }
    }
}

/// Room for unpacked weights, aligned for whole-line stores.
#[repr(align(64))]
struct Scratch<const N: usize>([std::mem::MaybeUninit<u8>; N]);

impl<const N: usize> Scratch<N> {
    const NEW: Self = Self([std::mem::MaybeUninit::uninit(); N]);
}

fn many(
    k: &Kernels,
    ints: &IntKernels,
    spec: &Spec,
    x: &Quantized<'_>,
    work: &Work<'_>,
    tokens: Range<usize>,
    panels: Range<usize>,
) {
    for (first, lines) in x.passes() {
        many_pass(k, ints, spec, first, &|row: usize| &lines[row * x.stride..], work, tokens.clone(), panels.clone());
    }
}

#[allow(clippy::too_many_arguments, reason = "one call, of the function above")]
fn many_pass<'a>(
    k: &Kernels,
    ints: &IntKernels,
    spec: &Spec,
    first: bool,
    row_lines: &impl Fn(usize) -> &'a [Line],
    work: &Work<'_>,
    tokens: Range<usize>,
    panels: Range<usize>,
) {
    let mut scratch = Scratch::<{ CHUNK * PANELS_MAX * DENSE_BLOCK_MAX }>::NEW;
    let scratch = scratch.0.as_mut_ptr().cast::<u8>();
    let size = dense_block(spec.subs(), spec.min);
    let blocks = work.w.cols() / BLOCK;
    let data = work.w.data();
    for block in (0..blocks).step_by(CHUNK) {
        let here = CHUNK.min(blocks - block);
        for panel in panels.clone().step_by(k.dense_panels) {
            for p in 0..k.dense_panels {
                // A panel that does not exist is computed from the last, and not stored.
                let at =
                    (panel + p).min(panels.end - 1) * work.w.stride() + block / spec.blocks() * spec.record_bytes();
                let records = here / spec.blocks();
                let job = Unpack {
                    from: data[at..at + records * spec.record_bytes()].as_ptr(),
                    records,
                    to: scratch.wrapping_add(p * size),
                    stride: k.dense_panels * size,
                };
                // SAFETY: the records were just sliced, and the scratch holds a chunk of as many
                // panels as any kernel takes.
                unsafe { (ints.unpack)(&job) };
            }
            let mut token = tokens.start;
            while token < tokens.end {
                let left = tokens.end - token;
                let which = usize::from(!takes_wide(left, k.dense_tokens));
                let here_tokens = left.min(k.dense_tokens[which]);
                let tile = Tile::<_, TOKENS_MAX>::new(work, token..token + here_tokens, |row| {
                    row_lines(row)[block..][..here].as_ptr()
                });
                let job = Dense {
                    weights: scratch,
                    blocks: here,
                    shift: spec.shift(),
                    panel,
                    first: first && block == 0,
                    target: work.target(),
                    x: tile.x.as_ptr(),
                    out: tile.out.as_ptr(),
                };
                // SAFETY: as in `few`; the chunk was just unpacked by the same format.
                unsafe { (ints.dense[which])(&job) };
                token += here_tokens;
            }
        }
    }
}

/// Whether the next tile should be the larger one: not if two smaller ones end exactly.
fn takes_wide(left: usize, [many, few]: [usize; 2]) -> bool {
    left > few && left != 2 * few && left >= many.min(few + 1)
}

fn of_type(k: &Kernels, ty: GgmlType) -> &FloatKernels {
    match ty {
        GgmlType::F16 => &k.half,
        GgmlType::BF16 => &k.bfloat,
        _ => &k.single,
    }
}

/// Weights stored as floats: all columns at once.
fn plain(k: &Kernels, input: &Input<'_>, work: &Work<'_>, tokens: Range<usize>, panels: Range<usize>) {
    for panel in panels.clone().step_by(k.float_panels) {
        let weights = &work.w.data()[panel * work.w.stride()..];
        let part = Part {
            weights: weights.as_ptr(),
            panel_bytes: work.w.stride(),
            panel,
            panels: k.float_panels.min(panels.end - panel),
            cols: 0..work.w.cols(),
        };
        float_tiles(k, of_type(k, work.w.ty()), input, work, tokens.clone(), &part);
    }
}

/// Some columns of some panels, as floats.
struct Part {
    weights: *const u8,
    panel_bytes: usize,
    panel: usize,
    panels: usize,
    cols: Range<usize>,
}

fn float_tiles(
    k: &Kernels,
    kernels: &FloatKernels,
    input: &Input<'_>,
    work: &Work<'_>,
    tokens: Range<usize>,
    part: &Part,
) {
    let (wide, mut token) = (k.float_tokens, tokens.start);
    while token < tokens.end {
        let here = if tokens.end - token == 1 { 1 } else { wide.min(tokens.end - token) };
        let tile = Tile::<_, TOKENS_MAX>::new(work, token..token + here, |row| {
            input.x[row * input.cols + part.cols.start..][..part.cols.len()].as_ptr()
        });
        let job = Floats {
            weights: part.weights,
            panel_bytes: part.panel_bytes,
            panel: part.panel,
            panels: part.panels,
            cols: part.cols.len(),
            first: part.cols.start == 0,
            target: work.target(),
            x: tile.x.as_ptr(),
            out: tile.out.as_ptr(),
        };
        // SAFETY: as in `few`.
        unsafe { (kernels[usize::from(here > 1)])(&job) };
        token += here;
    }
}

/// Weights stored in any other form: decoded to floats, a run of columns at a time.
fn decoded(k: &Kernels, input: &Input<'_>, work: &Work<'_>, tokens: Range<usize>, panels: Range<usize>) {
    let (ty, cols) = (work.w.ty(), work.w.cols());
    let mut row = [0f32; RUN];
    let mut columns = [[0f32; ROWS]; RUN];
    for panel in panels {
        for start in (0..cols.max(1)).step_by(RUN) {
            let run = start..cols.min(start + RUN);
            for (r, i) in (panel * ROWS..work.w.rows().min((panel + 1) * ROWS)).enumerate() {
                let at = i * work.w.stride() + start / ty.block_elems() * ty.block_bytes();
                let bytes = run.len() / ty.block_elems() * ty.block_bytes();
                let row = &mut row[..run.len()];
                // Blocks divide a run of 256 and a row, so the lengths always fit.
                if dequantize(ty, &work.w.data()[at..at + bytes], row).is_err() {
                    row.fill(f32::NAN);
                }
                for (column, value) in columns.iter_mut().zip(row) {
                    column[r] = *value;
                }
            }
            let part = Part { weights: columns.as_ptr().cast(), panel_bytes: 0, panel, panels: 1, cols: run };
            float_tiles(k, &k.single, input, work, tokens.clone(), &part);
        }
    }
}
