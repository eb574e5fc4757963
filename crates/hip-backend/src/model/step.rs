//! From a step's input to its output: what is copied in, run, and copied out.

use rocmforge_program::backend::{BackendError, BadNumber, BadRow, StepInput, StepLimits, StepOutput};
use rocmforge_program::{Program, ValueId};

use super::cache::Cache;
use super::graphs::bucket;
use super::inputs::{self, Attending, Layout, Shape};
use super::run::{Kind, Run, Sampling};
use super::{Model, attention};
use crate::driver::{Device, Event, HipError, PinnedBuffer, Stream};
use crate::error::Failure;
use crate::ops::sample::NO_ROW;
use crate::ops::{SampleBatch, SampleResult, SampleRow, SampleStatus};

/// Steps that may be under way at once: one runs while the next is enqueued.
const SLOTS: usize = 2;

/// Where results arrive.
pub(crate) struct Outputs {
    slots: [Output; SLOTS],
    batch: SampleBatch,
}

struct Output {
    logits: PinnedBuffer,
    hidden: PinnedBuffer,
    results: PinnedBuffer,
    done: Event,
    is_free: bool,
}

/// A step that was enqueued.
pub(crate) struct InFlight {
    slot: usize,
    /// What comes back of each wanted row.
    rows: Vec<RowResult>,
}

/// What comes back of a wanted row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RowResult {
    Logits,
    Hidden,
    /// A token: the place among those sampled.
    Sampled(usize),
}

impl Outputs {
    pub fn new(device: &Device, program: &Program, limits: StepLimits) -> Result<Self, HipError> {
        let slot = || -> Result<Output, HipError> {
            Ok(Output {
                logits: device.alloc_pinned(limits.max_wanted * program.vocab_size * size_of::<f32>())?,
                hidden: device.alloc_pinned(limits.max_hidden * program.hidden_size() * size_of::<f32>())?,
                results: device.alloc_pinned(limits.max_wanted * size_of::<SampleResult>())?,
                done: device.event()?,
                is_free: true,
            })
        };
        Ok(Self { slots: [slot()?, slot()?], batch: SampleBatch::default() })
    }
}

impl Model {
    /// Enqueues a step and the copies of its results.
    pub fn submit(&mut self, stream: &Stream, cache: &mut Cache, step: &StepInput) -> Result<InFlight, Failure> {
        step.check(&self.program, self.limits, cache.spec)?;
        let slot = self.outputs.slots.iter().position(|slot| slot.is_free);
        let slot = slot.ok_or_else(|| BackendError::BadStep(format!("{SLOTS} steps are under way already")))?;
        let mut batch = std::mem::take(&mut self.outputs.batch);
        batch.fill(&step.sampling, self.program.vocab_size);
        let rows = results(step, &mut batch, cache.max_edits());
        let outcome = self.enqueue(stream, cache, step, &batch, rows, slot);
        self.outputs.batch = batch;
        outcome
    }

    fn enqueue(
        &mut self,
        stream: &Stream,
        cache: &mut Cache,
        step: &StepInput,
        batch: &SampleBatch,
        rows: Vec<RowResult>,
        slot: usize,
    ) -> Result<InFlight, Failure> {
        let (kind, attending) = self.kind(cache, step, batch);
        let layout = Layout::of(kind.shape);
        let block_size = cache.spec.block_size;
        cache.inputs.send(stream, |words| {
            inputs::write(step, kind.shape, block_size, &attending, words);
            layout.words + write_sampling(batch, kind.shape.logits, &mut words[layout.words..])
        })?;
        self.run(stream, cache, kind, layout)?;
        self.fetch(stream, &rows, slot)?;
        self.outputs.slots[slot].is_free = false;
        Ok(InFlight { slot, rows })
    }

    fn run(&self, stream: &Stream, cache: &mut Cache, kind: Kind, layout: Layout) -> Result<(), Failure> {
        let mut graphs = std::mem::take(&mut cache.graphs);
        let run = Run { stream, model: self, cache, kind, layout };
        let outcome = if kind.is_decode && self.use_graphs { graphs.run(&run) } else { run.all() };
        cache.graphs = graphs;
        outcome
    }

    /// The shape of a step, padded where steps of many sizes are to share a graph.
    fn kind(&self, cache: &Cache, step: &StepInput, batch: &SampleBatch) -> (Kind, Attending) {
        let is_decode = step.sequences.iter().all(|s| s.num_tokens == 1);
        let rows = step.rows();
        // Rows of padding come last, where hidden states would be.
        let pads = is_decode && (self.use_graphs || self.poison.is_some()) && rows.logits == rows.tokens;
        let padded = |n: usize, max: usize| if pads { bucket(n).min(max) } else { n };
        let by_itself = is_decode || self.attends_by_token(step.tokens.len());
        let attending = match by_itself {
            true => Attending::default(),
            false => inputs::attending(step, attention::TILE, attention::FEW),
        };
        let longest = step.sequences.iter().map(|s| s.context_len).max().unwrap_or(1);
        let limit = self.limits.max_tokens.min(self.limits.max_sequences).min(self.limits.max_wanted);
        let shape = Shape {
            tokens: padded(rows.tokens, limit),
            sequences: padded(step.sequences.len(), limit),
            wanted: padded(rows.wanted, limit),
            logits: padded(rows.logits, limit),
            table_stride: cache.table_stride(longest),
            tiles: attending.tiles.len(),
            lone_rows: attending.lone_rows.len(),
        };
        let sampling = match (batch.rows.is_empty(), batch.draws) {
            (true, _) => Sampling::None,
            (false, false) => Sampling::Decided,
            (false, true) => Sampling::Drawn,
        };
        (Kind { shape, is_decode, splits: attention::splits(longest), sampling }, attending)
    }

    /// Enqueues the copies of what was asked for.
    fn fetch(&mut self, stream: &Stream, rows: &[RowResult], slot: usize) -> Result<(), Failure> {
        let value = |id: ValueId| self.buffers.arena.ptr().add(self.memory.offsets[id.0 as usize] * size_of::<f32>());
        let (output, hidden) = (value(self.program.output), value(self.program.hidden));
        let row_bytes = self.program.vocab_size * size_of::<f32>();
        let Output { logits: host, hidden: host_hidden, results, done, .. } = &mut self.outputs.slots[slot];
        // Rows of logits come first on the device, those that are sampled among them.
        let projected: Vec<_> = rows.iter().filter(|row| **row != RowResult::Hidden).collect();
        let (mut row, mut copied) = (0, 0);
        while row < projected.len() {
            let run = projected[row..].iter().take_while(|row| ***row == RowResult::Logits).count();
            if run > 0 {
                let range = copied * row_bytes..(copied + run) * row_bytes;
                stream.copy_out(host, range, output.add(row * row_bytes))?;
                copied += run;
            }
            row += run.max(1);
        }
        if projected.len() < rows.len() {
            let row_bytes = self.program.hidden_size() * size_of::<f32>();
            let bytes = (rows.len() - projected.len()) * row_bytes;
            stream.copy_out(host_hidden, 0..bytes, hidden.add(projected.len() * row_bytes))?;
        }
        if projected.len() > copied {
            let bytes = (projected.len() - copied) * size_of::<SampleResult>();
            stream.copy_out(results, 0..bytes, self.buffers.results.ptr())?;
        }
        Ok(stream.record(done)?)
    }

    /// Waits for a step: the one place where the host waits for the device.
    pub fn wait(&mut self, step: InFlight) -> Result<StepOutput, Failure> {
        let output = &mut self.outputs.slots[step.slot];
        output.is_free = true;
        output.done.synchronize()?;
        if let Some(profile) = &self.profile {
            profile.borrow_mut().collect()?;
        }
        let arrived = Arrived {
            rows: &step.rows,
            logits: bytemuck::cast_slice(output.logits.as_slice()?),
            vocab_size: self.program.vocab_size,
            hidden: bytemuck::cast_slice(output.hidden.as_slice()?),
            hidden_size: self.program.hidden_size(),
            results: bytemuck::cast_slice(output.results.as_slice()?),
        };
        Ok(arrived.output())
    }
}

/// What came back of a step, in host memory that has room for more.
struct Arrived<'a> {
    rows: &'a [RowResult],
    logits: &'a [f32],
    vocab_size: usize,
    hidden: &'a [f32],
    hidden_size: usize,
    results: &'a [SampleResult],
}

impl Arrived<'_> {
    fn output(&self) -> StepOutput {
        let count = |what: RowResult| self.rows.iter().filter(|row| **row == what).count();
        let token = |row: &RowResult| match *row {
            RowResult::Sampled(place) => Some(self.results[place].sampled()),
            _ => None,
        };
        let is_sampled = self.rows.iter().any(|row| matches!(row, RowResult::Sampled(_)));
        StepOutput {
            logits: self.logits[..count(RowResult::Logits) * self.vocab_size].to_vec(),
            hidden: self.hidden[..count(RowResult::Hidden) * self.hidden_size].to_vec(),
            sampled: if is_sampled { self.rows.iter().map(token).collect() } else { Vec::new() },
            bad_rows: self.bad_rows(),
        }
    }

    /// The rows that are no numbers: those sampled have it in their status, the others are looked through.
    fn bad_rows(&self) -> Vec<BadRow> {
        let mut logits = self.logits.chunks_exact(self.vocab_size);
        let mut hidden = self.hidden.chunks_exact(self.hidden_size);
        let of = |(row, result): (usize, &RowResult)| match *result {
            RowResult::Logits => BadRow::find(row, logits.next()?),
            RowResult::Hidden => BadRow::find_hidden(row, hidden.next()?),
            RowResult::Sampled(place) => match self.results[place].status() {
                SampleStatus::BadLogit(token) => Some(BadRow { row, what: BadNumber::Logit(token) }),
                _ => None,
            },
        };
        self.rows.iter().enumerate().filter_map(of).collect()
    }
}

/// What comes back of each wanted row. The rows of `batch` speak of wanted ones; after this they speak of those whose
/// logits are computed. Where there is no room for their edits none is sampled.
fn results(step: &StepInput, batch: &mut SampleBatch, max_edits: usize) -> Vec<RowResult> {
    let of = |row| if step.is_hidden(row) { RowResult::Hidden } else { RowResult::Logits };
    let mut rows: Vec<_> = (0..step.wanted.len()).map(of).collect();
    if batch.edits.len() > max_edits {
        batch.rows.clear();
    }
    let (mut hidden, mut looked_at) = (0, 0);
    for (place, sampled) in batch.rows.iter_mut().enumerate() {
        let row = sampled.row as usize;
        hidden += rows[looked_at..row].iter().filter(|row| **row == RowResult::Hidden).count();
        looked_at = row;
        rows[row] = RowResult::Sampled(place);
        sampled.row -= hidden as u32;
    }
    rows
}

/// Writes the rows that are sampled, padded to those of logits, and their edits; the words written.
fn write_sampling(batch: &SampleBatch, logits: usize, words: &mut [u32]) -> usize {
    if batch.rows.is_empty() {
        return 0;
    }
    let row_words = size_of::<SampleRow>() / size_of::<u32>();
    let padding = SampleRow { row: NO_ROW, ..bytemuck::Zeroable::zeroed() };
    for (i, words) in words.chunks_exact_mut(row_words).take(logits).enumerate() {
        words.copy_from_slice(bytemuck::cast_slice(&[*batch.rows.get(i).unwrap_or(&padding)]));
    }
    let edits: &[u32] = bytemuck::cast_slice(&batch.edits);
    words[logits * row_words..][..edits.len()].copy_from_slice(edits);
    logits * row_words + edits.len()
}
