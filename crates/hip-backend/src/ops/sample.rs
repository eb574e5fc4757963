//! Tokens chosen on the device, as the crate `rocmforge-sampler` chooses them.

use bytemuck::{Pod, Zeroable};
use rocmforge_program::backend::{RowSampling, SampledToken};

use super::forms::blocks;
use crate::driver::{DevicePtr, Dims, Function, HipError, Stream};
use crate::library::{KernelError, Kernels};

const MODULE: &str = "sample/sample";
/// Largest vocabulary.
pub const MAX_VOCAB: usize = 1 << 19;
/// [`SampleRow::row`] of padding, for which nothing is done.
pub const NO_ROW: u32 = u32::MAX;
/// [`SampleRow::token_slot`] of a token that only the results get.
pub const NO_TOKEN_SLOT: u32 = u32::MAX;

const SCAN_TOKENS: usize = 4096;
const SUM_TOKENS: usize = 1024;
/// Keys that one workgroup holds in LDS.
const CAPACITY: usize = 4096;
const STATS_BYTES: usize = 24;
const STATE_BYTES: usize = 32;

/// How one token is chosen, as the kernels read it; see `kernels/sample/sample.hip`. Begins at a multiple of 8 bytes.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct SampleRow {
    /// Key of the random numbers.
    pub seed: u64,
    /// Their counter.
    pub position: u64,
    /// ln(min_p); -inf: off.
    pub ln_min_p: f64,
    /// Row of the logits, or [`NO_ROW`].
    pub row: u32,
    /// 0: greedy.
    pub temperature: f32,
    /// 0: off.
    pub top_k: u32,
    /// 1: off.
    pub top_p: f32,
    /// 1: off.
    pub repetition_penalty: f32,
    /// 0: off.
    pub presence_penalty: f32,
    /// 0: off.
    pub frequency_penalty: f32,
    /// Index of the row's first [`SampleEdit`].
    pub first_edit: u32,
    /// How many it has.
    pub edits: u32,
    /// Where in [`SampleCall::tokens`] the token goes, or [`NO_TOKEN_SLOT`].
    pub token_slot: u32,
}

/// What happens to the logit of one token of one row; a row has at most one for each token.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct SampleEdit {
    /// The token; one outside of the vocabulary is passed over.
    pub token: u32,
    /// Added to its logit; -inf bans.
    pub bias: f32,
    /// 1: in prompt or output.
    pub seen: u32,
    /// How often it is in the output.
    pub generated: u32,
    /// Written by the kernels.
    pub raw: f32,
}

/// What came of a row.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable)]
pub struct SampleResult {
    /// The token; 0 without one.
    pub token: u32,
    /// Its log-probability under the untouched logits.
    pub logprob: f32,
    status: u32,
    bad_token: u32,
}

/// Why a row has no token, or that it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleStatus {
    /// There is a token.
    Chosen,
    /// The logit of this token, the first such one, is NaN or +inf.
    BadLogit(u32),
    /// All logits are -inf.
    NoFiniteLogit,
    /// Every token that the model allows is banned.
    NoCandidate,
}

impl SampleResult {
    /// Whether there is a token.
    pub fn status(&self) -> SampleStatus {
        match self.status {
            0 => SampleStatus::Chosen,
            1 => SampleStatus::BadLogit(self.bad_token),
            2 => SampleStatus::NoFiniteLogit,
            _ => SampleStatus::NoCandidate,
        }
    }

    /// As a step reports it.
    pub fn sampled(&self) -> SampledToken {
        let token = (self.status() == SampleStatus::Chosen).then_some(self.token);
        SampledToken { token, logprob: self.logprob }
    }
}

/// Whether the kernels can choose so from a vocabulary of this size.
pub fn supports(how: &RowSampling, vocab: usize) -> bool {
    (1..=MAX_VOCAB).contains(&vocab)
        && how.temperature >= 0.0
        && how.top_p > 0.0
        && how.repetition_penalty > 0.0
        && [how.temperature, how.presence_penalty, how.frequency_penalty].iter().all(|x| x.is_finite())
}

/// The rows and edits of one step, reused from step to step.
#[derive(Debug, Clone, Default)]
pub struct SampleBatch {
    /// Rows to sample.
    pub rows: Vec<SampleRow>,
    /// Their edits.
    pub edits: Vec<SampleEdit>,
    /// Whether a row may need [`SampleCall::draws`].
    pub draws: bool,
}

impl SampleBatch {
    /// Packs the rows that the device samples: entry `i` speaks of row `i` of the logits, `None` is left out.
    pub fn fill(&mut self, sampling: &[Option<RowSampling>], vocab: usize) {
        self.rows.clear();
        self.edits.clear();
        self.draws = false;
        for (row, how) in sampling.iter().enumerate() {
            if let Some(how) = how {
                self.push(row as u32, how, vocab);
            }
        }
    }

    fn push(&mut self, row: u32, how: &RowSampling, vocab: usize) {
        let first = self.edits.len();
        self.push_edits(how);
        let decided_in_lds = how.top_k > 0 && how.top_k as usize <= CAPACITY >> chunk_shift(vocab);
        self.draws |= how.temperature > 0.0 && !decided_in_lds;
        self.rows.push(SampleRow {
            seed: how.seed,
            position: how.position,
            ln_min_p: f64::from(how.min_p).ln(),
            row,
            temperature: how.temperature,
            top_k: how.top_k,
            top_p: how.top_p,
            repetition_penalty: how.repetition_penalty,
            presence_penalty: how.presence_penalty,
            frequency_penalty: how.frequency_penalty,
            first_edit: first as u32,
            edits: (self.edits.len() - first) as u32,
            token_slot: NO_TOKEN_SLOT,
        });
    }

    /// One edit a token, by rising token.
    fn push_edits(&mut self, how: &RowSampling) {
        let first = self.edits.len();
        let penalized = how.repetition_penalty != 1.0 || how.presence_penalty != 0.0 || how.frequency_penalty != 0.0;
        let none = SampleEdit { token: 0, bias: 0.0, seen: 0, generated: 0, raw: 0.0 };
        let seen = how.seen.iter().filter(|_| penalized);
        self.edits.extend(seen.map(|&(token, generated)| SampleEdit { token, seen: 1, generated, ..none }));
        self.edits.extend(how.logit_bias.iter().map(|&(token, bias)| SampleEdit { token, bias, ..none }));
        self.edits[first..].sort_unstable_by_key(|edit| edit.token);
        let mut last = first;
        for i in first + 1..self.edits.len() {
            let edit = self.edits[i];
            let kept = &mut self.edits[last];
            if kept.token == edit.token {
                kept.bias += edit.bias;
                kept.seen |= edit.seen;
                kept.generated += edit.generated;
            } else {
                last += 1;
                self.edits[last] = edit;
            }
        }
        self.edits.truncate(self.edits.len().min(last + 1));
    }
}

/// Tokens from rows of logits.
#[derive(Debug, Clone, Copy)]
pub struct SampleCall {
    /// f32 `[.., vocab]`, a row every `stride` elements; rows begin at multiples of 16 bytes where `vocab` is a multiple
    /// of 4. Unchanged in the end, but not in between.
    pub logits: DevicePtr,
    /// Size of the vocabulary.
    pub vocab: usize,
    /// Elements from one row of logits to the next.
    pub stride: usize,
    /// [`SampleRow`] `[count]`.
    pub rows: DevicePtr,
    /// How many rows, padding included.
    pub count: usize,
    /// [`SampleEdit`]s of all rows; may be null if there are none.
    pub edits: DevicePtr,
    /// [`SampleResult`] `[count]`; those of padding stay as they are.
    pub results: DevicePtr,
    /// u32, where rows with a slot leave their token; may be null.
    pub tokens: DevicePtr,
    /// Room of [`Sample::scratch_bytes`].
    pub scratch: DevicePtr,
    /// Whether a row may not be decided among 4096 candidates, [`SampleBatch::draws`]: two kernels more.
    pub draws: bool,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct SampleArgs {
    logits: DevicePtr,
    rows: DevicePtr,
    edits: DevicePtr,
    results: DevicePtr,
    tokens: DevicePtr,
    stats: DevicePtr,
    chunk_keys: DevicePtr,
    sums: DevicePtr,
    states: DevicePtr,
    vocab: u32,
    stride: u32,
    scan_blocks: u32,
    sum_blocks: u32,
    chunk_shift: u32,
    chunks: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
struct GuardArgs {
    x: DevicePtr,
    counts: DevicePtr,
    cols: u32,
    unused: u32,
}

/// The kernels of `sample/sample.hip`.
#[derive(Debug, Clone)]
pub struct Sample {
    scan: Function,
    cut: Function,
    weigh: Function,
    draw: Function,
    guard: Function,
}

impl Sample {
    /// Loads the kernels.
    ///
    /// # Errors
    /// As [`Kernels::function`].
    pub fn load(kernels: &Kernels) -> Result<Self, KernelError> {
        let named = |name| kernels.function(MODULE, name);
        Ok(Self {
            scan: named("sample_scan")?,
            cut: named("sample_cut")?,
            weigh: named("sample_weigh")?,
            draw: named("sample_draw")?,
            guard: named("nan_guard")?,
        })
    }

    /// Bytes of scratch that `count` rows need.
    pub fn scratch_bytes(count: usize, vocab: usize) -> usize {
        Scratch::of(count, vocab).bytes
    }

    /// Enqueues the choice of a token for each row.
    ///
    /// # Errors
    /// [`HipError::BadLaunch`]: an empty vocabulary or one above [`MAX_VOCAB`]; else as [`Stream::launch`].
    pub fn run(&self, stream: &Stream, call: &SampleCall) -> Result<(), HipError> {
        if call.count == 0 {
            return Ok(());
        }
        if !(1..=MAX_VOCAB).contains(&call.vocab) {
            return Err(HipError::BadLaunch {
                kernel: MODULE.into(),
                what: "the size of the vocabulary",
                found: call.vocab as u64,
                least: 1,
                most: MAX_VOCAB as u64,
            });
        }
        let scratch = Scratch::of(call.count, call.vocab);
        let args = SampleArgs {
            logits: call.logits,
            rows: call.rows,
            edits: call.edits,
            results: call.results,
            tokens: call.tokens,
            stats: call.scratch,
            chunk_keys: call.scratch.add(scratch.chunk_keys),
            sums: call.scratch.add(scratch.sums),
            states: call.scratch.add(scratch.states),
            vocab: call.vocab as u32,
            stride: call.stride as u32,
            scan_blocks: blocks(call.vocab, SCAN_TOKENS),
            sum_blocks: blocks(call.vocab, SUM_TOKENS),
            chunk_shift: chunk_shift(call.vocab),
            chunks: blocks(call.vocab, 1 << chunk_shift(call.vocab)),
        };
        let rows = blocks(call.count, 1);
        let over = |blocks| Dims { grid: [blocks, rows, 1], threads: 256, lds: 0 };
        // SAFETY: the struct is the kernels'; the caller's addresses hold the sizes of the call, and its edits lie
        // inside their buffer.
        unsafe {
            stream.launch(&self.scan, over(args.scan_blocks), &args)?;
            stream.launch(&self.cut, Dims::line(rows, 1024), &args)?;
            if call.draws {
                stream.launch(&self.weigh, over(args.sum_blocks), &args)?;
                stream.launch(&self.draw, Dims::line(rows, 256), &args)?;
            }
        }
        Ok(())
    }

    /// Counts the NaN and +inf of each row of `x` `[rows, cols]` into `counts`, u32 `[rows]`.
    ///
    /// # Errors
    /// As [`Stream::launch`].
    pub fn guard(
        &self,
        stream: &Stream,
        x: DevicePtr,
        counts: DevicePtr,
        rows: usize,
        cols: usize,
    ) -> Result<(), HipError> {
        if rows == 0 {
            return Ok(());
        }
        let args = GuardArgs { x, counts, cols: cols as u32, unused: 0 };
        // SAFETY: the struct is the kernel's; the caller's addresses hold the sizes of the call.
        unsafe { stream.launch(&self.guard, Dims::line(blocks(rows, 1), 1024), &args) }
    }
}

/// Tokens of a chunk as a power of two: at most 4096 chunks.
fn chunk_shift(vocab: usize) -> u32 {
    if vocab <= CAPACITY << 6 { 6 } else { 7 }
}

/// Where in the scratch the arrays between the kernels lie.
struct Scratch {
    chunk_keys: usize,
    sums: usize,
    states: usize,
    bytes: usize,
}

impl Scratch {
    fn of(count: usize, vocab: usize) -> Self {
        let room = |bytes: usize| (count * bytes).next_multiple_of(256);
        let chunk_keys = room(vocab.div_ceil(SCAN_TOKENS) * STATS_BYTES);
        let sums = chunk_keys + room(vocab.div_ceil(1 << chunk_shift(vocab)) * 8);
        let states = sums + room(vocab.div_ceil(SUM_TOKENS) * 8);
        Self { chunk_keys, sums, states, bytes: states + room(STATE_BYTES) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_of_a_token_become_one() {
        let how = RowSampling {
            presence_penalty: 0.5,
            seen: vec![(7, 2), (3, 0)],
            logit_bias: vec![(9, -1.0), (7, 4.0)],
            top_k: 40,
            ..RowSampling::default()
        };
        let mut batch = SampleBatch::default();
        batch.fill(&[None, Some(how.clone()), Some(RowSampling { presence_penalty: 0.0, ..how })], 1000);
        let found: Vec<_> = batch.edits.iter().map(|e| (e.token, e.bias, e.seen, e.generated)).collect();
        assert_eq!(found, [(3, 0.0, 1, 0), (7, 4.0, 1, 2), (9, -1.0, 0, 0), (7, 4.0, 0, 0), (9, -1.0, 0, 0)]);
        let rows: Vec<_> = batch.rows.iter().map(|r| (r.row, r.first_edit, r.edits)).collect();
        assert_eq!(rows, [(1, 0, 3), (2, 3, 2)]);
        assert!(!batch.draws);
        batch.fill(&[Some(RowSampling::default())], 1000);
        assert!(batch.draws && batch.edits.is_empty() && batch.rows[0].ln_min_p == f64::NEG_INFINITY);
    }

    #[test]
    fn structs_are_as_large_as_the_kernels_say() {
        assert_eq!((size_of::<SampleRow>(), size_of::<SampleEdit>(), size_of::<SampleResult>()), (64, 20, 16));
        assert_eq!((size_of::<SampleArgs>(), size_of::<GuardArgs>()), (96, 24));
    }
}
