//! Tokens that the device draws: as often as their probabilities say, and the same ones as the processor's sampler.

use hip_sys::Api;
use rocmforge_hip_backend::driver::{Buffer, Device, DevicePtr, HipError, Stream, read, write};
use rocmforge_hip_backend::library::{KernelOptions, Kernels};
use rocmforge_hip_backend::ops::{Sample, SampleBatch, SampleCall, SampleResult, SampleRow, SampleStatus};
use rocmforge_program::backend::RowSampling;
use rocmforge_sampler::{Sampler, SamplingParams, Snapshot, TokenProb, uniform};

use crate::report::Report;

/// Rows of one launch.
const ROWS: usize = 200;
/// How far from the boundary between two tokens the uniform number may be where the choices differ.
const ROUNDING: f64 = 1e-6;
/// Vocabularies from here on are large.
const LARGE: usize = 10_000;
/// Draws that may lie so near a boundary.
const NEAR: f64 = 0.002;
/// Standard deviations by which chi-square may be above its mean: once in a million.
const DEVIATIONS: f64 = 5.0;

pub fn run(quick: bool, report: &mut Report) {
    let draws = if quick { 2 * ROWS } else { 20_000 };
    match Bench::open() {
        Err(error) => report.check("sampler", Err(error)),
        Ok(bench) => {
            for (name, vocab, how) in ways() {
                // Large vocabularies take the processor long.
                let draws = if vocab < LARGE { draws } else { draws / 5 + ROWS };
                report.check(&format!("sampler: {name}, {vocab} tokens"), bench.compare(vocab, &how, draws));
            }
        }
    }
}

fn ways() -> Vec<(&'static str, usize, RowSampling)> {
    let plain = RowSampling::default();
    let cut = RowSampling { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, ..plain.clone() };
    let penalized = RowSampling {
        repetition_penalty: 1.3,
        presence_penalty: 0.5,
        frequency_penalty: 0.25,
        seen: (0..60).map(|i| (i * 3, i % 4)).collect(),
        logit_bias: vec![(1, 3.0), (4, f32::NEG_INFINITY), (50, -1.0)],
        ..plain.clone()
    };
    vec![
        ("plain", 300, plain.clone()),
        ("temperature 1.7", 300, RowSampling { temperature: 1.7, ..plain.clone() }),
        ("top-k 20", 300, RowSampling { top_k: 20, ..plain.clone() }),
        ("top-p 0.8", 300, RowSampling { top_p: 0.8, ..plain.clone() }),
        ("min-p 0.1", 300, RowSampling { min_p: 0.1, ..plain.clone() }),
        ("all of them", 300, cut.clone()),
        ("penalties and biases", 300, penalized),
        ("plain", 32_000, RowSampling { temperature: 0.2, ..plain }),
        ("all of them", 32_000, cut),
    ]
}

struct Bench {
    device: Device,
    stream: Stream,
    sample: Sample,
}

/// What is on the device for the draws of one way.
struct Batch {
    vocab: usize,
    logits: Buffer,
    rows: Buffer,
    edits: Buffer,
    results: Buffer,
    scratch: Buffer,
}

impl Bench {
    fn open() -> Result<Self, String> {
        let text = |error: HipError| error.to_string();
        let api = Api::open().map_err(|e| e.to_string())?;
        let device = Device::open(api, 0).map_err(text)?;
        let kernels = Kernels::new(&device, KernelOptions::default());
        let sample = Sample::load(&kernels).map_err(|e| e.to_string())?;
        let stream = device.stream().map_err(text)?;
        Ok(Self { device, stream, sample })
    }

    /// Draws, and holds each draw against the processor's and all of them against the probabilities.
    fn compare(&self, vocab: usize, how: &RowSampling, draws: usize) -> Result<String, String> {
        let logits = logits(vocab);
        let batch = self.batch(&logits, how).map_err(|e| e.to_string())?;
        let probabilities = sampler(how, vocab).distribution(&logits, None).map_err(|e| e.to_string())?;
        let mut counts = vec![0u32; vocab];
        let mut near = 0;
        for first in (0..draws).step_by(ROWS) {
            let drawn = (first..first + ROWS).map(|draw| RowSampling { position: draw as u64, ..how.clone() });
            let all: Vec<RowSampling> = drawn.collect();
            for (how, result) in all.iter().zip(self.draw(&batch, &all).map_err(|e| e.to_string())?) {
                if result.status() != SampleStatus::Chosen {
                    return Err(format!("draw {}: {:?}", how.position, result.status()));
                }
                counts[result.token as usize] += 1;
                near += usize::from(!is_the_same(how, &logits, &probabilities, result.token)?);
            }
        }
        let total: usize = counts.iter().map(|&n| n as usize).sum();
        let (square, freedom) = chi_square(&counts, &probabilities, total)?;
        let most = freedom + DEVIATIONS * (2.0 * freedom).sqrt() + DEVIATIONS;
        let text = format!("{total} draws, chi-square {square:.0} of {freedom:.0}, {near} near a boundary");
        let holds = square <= most && near as f64 <= NEAR * total as f64;
        if holds { Ok(text) } else { Err(text) }
    }

    fn batch(&self, logits: &[f32], how: &RowSampling) -> Result<Batch, HipError> {
        let (vocab, device) = (logits.len(), &self.device);
        let edits = how.seen.len() + how.logit_bias.len();
        let batch = Batch {
            vocab,
            logits: device.alloc(ROWS * size_of_val(logits), "logits")?,
            rows: device.alloc(ROWS * size_of::<SampleRow>(), "rows")?,
            edits: device.alloc(ROWS * edits.max(1) * 20, "edits")?,
            results: device.alloc(ROWS * size_of::<SampleResult>(), "results")?,
            scratch: device.alloc(Sample::scratch_bytes(ROWS, vocab), "scratch")?,
        };
        for row in 0..ROWS {
            write(&batch.logits, row * vocab, logits)?;
        }
        Ok(batch)
    }

    fn draw(&self, batch: &Batch, all: &[RowSampling]) -> Result<Vec<SampleResult>, HipError> {
        let how: Vec<_> = all.iter().cloned().map(Some).collect();
        let mut packed = SampleBatch::default();
        packed.fill(&how, batch.vocab);
        write(&batch.rows, 0, &packed.rows)?;
        write(&batch.edits, 0, &packed.edits)?;
        let call = SampleCall {
            logits: batch.logits.ptr(),
            vocab: batch.vocab,
            stride: batch.vocab,
            rows: batch.rows.ptr(),
            count: all.len(),
            edits: batch.edits.ptr(),
            results: batch.results.ptr(),
            tokens: DevicePtr::NULL,
            scratch: batch.scratch.ptr(),
            draws: packed.draws,
        };
        self.sample.run(&self.stream, &call)?;
        read(&batch.results, 0..all.len())
    }
}

/// A few tokens far ahead, the rest spread out.
fn logits(vocab: usize) -> Vec<f32> {
    let spread = |i: u64| -> f64 {
        (0..6).map(|k| uniform(vocab as u64, 6 * i + k, rocmforge_sampler::Stream::Token) - 0.5).sum()
    };
    let one = |i: usize| 2.0 * spread(i as u64) + if i % 37 == 5 { 2.0 } else { 0.0 };
    (0..vocab).map(|i: usize| one(i) as f32).collect()
}

/// The processor's sampler in the state that a row describes.
fn sampler(how: &RowSampling, vocab: usize) -> Sampler {
    let params = SamplingParams {
        temperature: how.temperature,
        top_k: how.top_k,
        top_p: how.top_p,
        min_p: how.min_p,
        repetition_penalty: how.repetition_penalty,
        presence_penalty: how.presence_penalty,
        frequency_penalty: how.frequency_penalty,
        logit_bias: how.logit_bias.clone(),
        seed: Some(how.seed),
        ..SamplingParams::default()
    };
    let mut sampler = Sampler::new(params, vocab).expect("the parameters are good");
    let prompt: Vec<u32> = how.seen.iter().filter(|(_, count)| *count == 0).map(|(token, _)| *token).collect();
    sampler.accept_prompt(&prompt);
    for &(token, count) in &how.seen {
        sampler.accept_generated(&vec![token; count as usize]);
    }
    sampler.restore(&Snapshot { position: how.position, ..sampler.snapshot() });
    sampler
}

/// Whether the processor draws the same token; if not, the random number lies at a boundary between tokens.
fn is_the_same(how: &RowSampling, logits: &[f32], all: &[TokenProb], token: u32) -> Result<bool, String> {
    let expected = sampler(how, logits.len()).sample(logits).map_err(|e| e.to_string())?.token;
    if expected == token {
        return Ok(true);
    }
    let u = uniform(how.seed, how.position, rocmforge_sampler::Stream::Token);
    let mut sum = 0.0;
    let is_near = all.iter().any(|one| {
        sum += f64::from(one.prob);
        (sum - u).abs() < ROUNDING
    });
    if is_near { Ok(false) } else { Err(format!("draw {}: token {token} instead of {expected}", how.position)) }
}

/// The sum over tokens, rare ones together, and its degrees of freedom.
fn chi_square(counts: &[u32], all: &[TokenProb], total: usize) -> Result<(f64, f64), String> {
    let possible = |token: usize| all.iter().any(|one| one.token as usize == token && one.prob > 0.0);
    if let Some(token) = (0..counts.len()).find(|&token| counts[token] > 0 && !possible(token)) {
        return Err(format!("token {token} was drawn and has no probability"));
    }
    let (mut square, mut classes) = (0.0, 0.0);
    let (mut rare, mut rare_expected) = (0.0, 0.0);
    let mut add = |count: f64, expected: f64| {
        square += (count - expected).powi(2) / expected;
        classes += 1.0;
    };
    for one in all {
        let (count, expected) = (f64::from(counts[one.token as usize]), f64::from(one.prob) * total as f64);
        if expected >= 5.0 {
            add(count, expected);
        } else {
            (rare, rare_expected) = (rare + count, rare_expected + expected);
        }
    }
    if rare_expected >= 5.0 {
        add(rare, rare_expected);
    }
    Ok((square, classes - 1.0))
}
