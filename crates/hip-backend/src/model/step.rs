//! From a step's input to its output: what is copied in, run, and copied out.

use rocmforge_program::Program;
use rocmforge_program::backend::{BackendError, BadRow, StepInput, StepLimits, StepOutput};

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
    results: PinnedBuffer,
    done: Event,
    is_free: bool,
}

/// A step that was enqueued.
pub(crate) struct InFlight {
    slot: usize,
    /// For each wanted row: its place among the sampled ones, or `None` if its logits come back.
    sampled: Vec<Option<usize>>,
    logit_rows: usize,
}

impl Outputs {
    pub fn new(device: &Device, program: &Program, limits: StepLimits) -> Result<Self, HipError> {
        let slot = || -> Result<Output, HipError> {
            Ok(Output {
                logits: device.alloc_pinned(limits.max_wanted * program.vocab_size * size_of::<f32>())?,
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
        if batch.edits.len() > cache.max_edits() {
            batch.rows.clear();
        }
        let outcome = self.enqueue(stream, cache, step, &batch, slot);
        self.outputs.batch = batch;
        outcome
    }

    fn enqueue(
        &mut self,
        stream: &Stream,
        cache: &mut Cache,
        step: &StepInput,
        batch: &SampleBatch,
        slot: usize,
    ) -> Result<InFlight, Failure> {
        let (kind, attending) = self.kind(cache, step, batch);
        let layout = Layout::of(kind.shape);
        let block_size = cache.spec.block_size;
        cache.inputs.send(stream, |words| {
            inputs::write(step, kind.shape, block_size, &attending, words);
            layout.words + write_sampling(batch, kind.shape.wanted, &mut words[layout.words..])
        })?;
        self.run(stream, cache, kind, layout)?;
        let mut sampled = vec![None; step.wanted.len()];
        for (place, row) in batch.rows.iter().enumerate() {
            sampled[row.row as usize] = Some(place);
        }
        let in_flight = self.fetch(stream, sampled, slot)?;
        self.outputs.slots[slot].is_free = false;
        Ok(in_flight)
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
        let pads = is_decode && (self.use_graphs || self.poison.is_some()) && step.wanted.len() == step.tokens.len();
        let padded = |n: usize, max: usize| if pads { bucket(n).min(max) } else { n };
        let by_itself = is_decode || self.attends_by_token(step.tokens.len());
        let attending = match by_itself {
            true => Attending::default(),
            false => inputs::attending(step, attention::TILE, attention::FEW),
        };
        let longest = step.sequences.iter().map(|s| s.context_len).max().unwrap_or(1);
        let limit = self.limits.max_tokens.min(self.limits.max_sequences).min(self.limits.max_wanted);
        let shape = Shape {
            tokens: padded(step.tokens.len(), limit),
            sequences: padded(step.sequences.len(), limit),
            wanted: padded(step.wanted.len(), limit),
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
    fn fetch(&mut self, stream: &Stream, sampled: Vec<Option<usize>>, slot: usize) -> Result<InFlight, Failure> {
        let row_bytes = self.program.vocab_size * size_of::<f32>();
        let logits =
            self.buffers.arena.ptr().add(self.memory.offsets[self.program.output.0 as usize] * size_of::<f32>());
        let output = &mut self.outputs.slots[slot];
        let mut logit_rows = 0;
        let mut row = 0;
        while row < sampled.len() {
            let run = sampled[row..].iter().take_while(|place| place.is_none()).count();
            if run > 0 {
                let range = logit_rows * row_bytes..(logit_rows + run) * row_bytes;
                stream.copy_out(&mut output.logits, range, logits.add(row * row_bytes))?;
                logit_rows += run;
            }
            row += run.max(1);
        }
        let places = sampled.iter().flatten().count();
        if places > 0 {
            let bytes = places * size_of::<SampleResult>();
            stream.copy_out(&mut output.results, 0..bytes, self.buffers.results.ptr())?;
        }
        stream.record(&output.done)?;
        Ok(InFlight { slot, sampled, logit_rows })
    }

    /// Waits for a step: the one place where the host waits for the device.
    pub fn wait(&mut self, step: InFlight) -> Result<StepOutput, Failure> {
        let vocab = self.program.vocab_size;
        let output = &mut self.outputs.slots[step.slot];
        output.is_free = true;
        output.done.synchronize()?;
        if let Some(profile) = &self.profile {
            profile.borrow_mut().collect()?;
        }
        let logits: &[f32] = bytemuck::cast_slice(output.logits.as_slice()?);
        let logits = &logits[..step.logit_rows * vocab];
        let places = step.sampled.iter().flatten().count();
        let results: &[SampleResult] =
            bytemuck::cast_slice(&output.results.as_slice()?[..places * size_of::<SampleResult>()]);
        let sampled = match places {
            0 => Vec::new(),
            _ => step.sampled.iter().map(|place| place.map(|place| results[place].sampled())).collect(),
        };
        let bad_rows = bad_rows(&step.sampled, results, logits.chunks_exact(vocab));
        Ok(StepOutput { logits: logits.to_vec(), sampled, bad_rows })
    }
}

/// The rows without a choice: those sampled have it in their status, the others are looked through.
fn bad_rows<'a>(
    sampled: &[Option<usize>],
    results: &[SampleResult],
    mut logits: impl Iterator<Item = &'a [f32]>,
) -> Vec<BadRow> {
    let of = |(row, place): (usize, &Option<usize>)| match place.map(|place| results[place].status()) {
        Some(SampleStatus::BadLogit(token)) => Some(BadRow { row, token }),
        Some(_) => None,
        None => BadRow::find(row, logits.next()?),
    };
    sampled.iter().enumerate().filter_map(of).collect()
}

/// Writes the rows that are sampled and their edits; the words written.
fn write_sampling(batch: &SampleBatch, wanted: usize, words: &mut [u32]) -> usize {
    if batch.rows.is_empty() {
        return 0;
    }
    let row_words = size_of::<SampleRow>() / size_of::<u32>();
    let padding = SampleRow { row: NO_ROW, ..bytemuck::Zeroable::zeroed() };
    for (i, words) in words.chunks_exact_mut(row_words).take(wanted).enumerate() {
        words.copy_from_slice(bytemuck::cast_slice(&[*batch.rows.get(i).unwrap_or(&padding)]));
    }
    let edits: &[u32] = bytemuck::cast_slice(&batch.edits);
    words[wanted * row_words..][..edits.len()].copy_from_slice(edits);
    wanted * row_words + edits.len()
}
