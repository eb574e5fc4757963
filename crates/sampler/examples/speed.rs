//! Prints the time of one step over a vocabulary of 151,936 tokens: the fastest of many,
//! which is what an idle machine takes, and the median.

use std::time::{Duration, Instant};

use rocmforge_sampler::{Dry, Mirostat, Sampler, SamplerError, SamplingParams, TokenMask};

const VOCAB: usize = 151_936;
const STEPS: usize = 301;

/// Near-normal noise of standard deviation 2 under a head of `sharp` likely tokens, as
/// language models have it; with `sharp` 0 the flat worst case.
fn row(step: usize, sharp: usize) -> Vec<f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15u64.wrapping_mul(step as u64 + 1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    };
    let mut logits: Vec<f32> = (0..VOCAB).map(|_| 2.0 * ((0..12).map(|_| next()).sum::<f32>() - 6.0)).collect();
    for rank in 0..sharp {
        let token = (next() * VOCAB as f32) as usize % VOCAB;
        logits[token] = 20.0 - 2.0 * ((rank + 1) as f32).ln();
    }
    logits
}

fn time(name: &str, mut step: impl FnMut(usize) -> Result<(), SamplerError>) -> Result<(), SamplerError> {
    let mut times = Vec::with_capacity(STEPS);
    for i in 0..STEPS {
        let start = Instant::now();
        step(i)?;
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let micros = |d: Duration| d.as_secs_f64() * 1e6;
    let (fastest, median) = (micros(times[0]), micros(times[STEPS / 2]));
    println!("{name:<58} {fastest:>8.0} us  (median {median:>6.0})");
    Ok(())
}

fn chain(name: &str, params: SamplingParams, rows: &[Vec<f32>]) -> Result<(), SamplerError> {
    let mut sampler = Sampler::new(SamplingParams { seed: Some(1), ..params }, VOCAB)?;
    sampler.accept_prompt(&(0..4096).map(|i| i * 37 % 5000).collect::<Vec<_>>());
    time(name, |i| sampler.sample(&rows[i % rows.len()]).map(drop))
}

fn main() -> Result<(), SamplerError> {
    let peaked: Vec<_> = (0..8).map(|i| row(i, 2000)).collect();
    let flat: Vec<_> = (0..8).map(|i| row(i, 0)).collect();
    let base = SamplingParams::default;
    let usual = || SamplingParams { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05, ..base() };
    time("greedy()", |i| rocmforge_sampler::greedy(&peaked[i % 8]).map(drop))?;
    chain("temperature 0", SamplingParams { temperature: 0.0, ..base() }, &peaked)?;
    chain("temperature 0.8, top_k 40, top_p 0.95, min_p 0.05", usual(), &peaked)?;
    chain("the same, flat logits", usual(), &flat)?;
    chain("the same, 20 logprobs", SamplingParams { logprobs: Some(20), ..usual() }, &peaked)?;
    let repetition =
        SamplingParams { repetition_penalty: 1.1, dry: Some(Dry { multiplier: 0.8, ..Dry::default() }), ..usual() };
    chain("the same, repetition penalty and DRY over 4096 tokens", repetition, &peaked)?;
    chain("top_p 0.95 alone", SamplingParams { top_p: 0.95, ..base() }, &peaked)?;
    chain("top_p 0.95 alone, flat logits", SamplingParams { top_p: 0.95, ..base() }, &flat)?;
    chain("min_p 0.05 alone", SamplingParams { min_p: 0.05, ..base() }, &peaked)?;
    chain("typical_p 0.9, flat logits", SamplingParams { typical_p: 0.9, ..base() }, &flat)?;
    chain("top_n_sigma 1", SamplingParams { top_n_sigma: 1.0, ..base() }, &peaked)?;
    chain("mirostat", SamplingParams { mirostat: Some(Mirostat::default()), ..base() }, &peaked)?;
    chain("no truncation", base(), &peaked)?;
    let mut mask = TokenMask::none(VOCAB);
    (0..VOCAB as u32).filter(|t| t % 100 == 0).for_each(|t| mask.allow(t));
    let mut masked = Sampler::new(usual(), VOCAB)?;
    time("usual, grammar mask of 1 in 100", |i| masked.sample_masked(&peaked[i % 8], Some(&mask)).map(drop))
}
