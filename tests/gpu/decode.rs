//! Long answers of the bundled model: the same with graphs and without, alone and in company, with tokens chosen on the
//! device and on the processor.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use rocmforge_engine::{EndTokens, EngineOptions, Event, FinishReason, ModelFile, Request};
use rocmforge_hip_backend::{HipBackend, HipOptions};
use rocmforge_program::backend::{KvType, StepLimits};
use rocmforge_sampler::{SamplingParams, greedy};
use rocmforge_tests::{Loaded, nmse};

use crate::bundled::{self, Weights};
use crate::report::Report;

/// Longest prompt, and room for it and its answer.
const LONGEST: usize = 200;
const CONTEXT: usize = 512;
/// Sequences that decode with kernels for few rows; more take those for many.
const FEW: usize = 8;
/// Error of kernels for many rows against those for few, which round their inputs in another way.
const MANY_ROWS_NMSE: f64 = 1e-3;

#[derive(clap::Args)]
pub struct Length {
    /// Tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 200)]
    steps: usize,
    /// Few and short answers of one file
    #[arg(long)]
    quick: bool,
}

/// How much is decoded.
struct Extent {
    /// Tokens that are taken of a prompt.
    prompt: usize,
    /// Sequences that share kernels for few rows.
    few: usize,
    steps: usize,
    many_rows_steps: usize,
}

pub fn run(data: &Path, length: &Length, report: &mut Report) {
    let full = Extent { prompt: LONGEST, few: FEW, steps: length.steps.min(CONTEXT - LONGEST), many_rows_steps: 16 };
    let short = Extent { prompt: 3, few: 2, steps: 5, many_rows_steps: 2 };
    let (extent, files) = if length.quick { (short, &Weights::ALL[2..]) } else { (full, &Weights::ALL[..]) };
    for &weights in files {
        if let Err(error) = check(data, weights, &extent, report) {
            report.check(&format!("decode {}", weights.name()), Err(error));
        }
    }
}

fn check(data: &Path, weights: Weights, extent: &Extent, report: &mut Report) -> Result<(), String> {
    let name = format!("decode {}", weights.name());
    let (file, steps) = (weights.file(data)?, extent.steps);
    let mut prompts: Vec<_> = bundled::cases(data)?.into_iter().map(|case| case.prompt).collect();
    prompts.retain(|prompt| prompt.len() <= LONGEST);
    prompts.iter_mut().for_each(|prompt| prompt.truncate(extent.prompt));
    if prompts.len() <= FEW {
        return Err(format!("expect.json has {} prompts of up to {LONGEST} tokens", prompts.len()));
    }
    let few = &prompts[..extent.few];
    let plain = Company::Alone.answers(&file, few, steps, false)?;
    for (how, company, graphs) in [
        ("graphs", Company::Alone, true),
        ("a batch", Company::Together, false),
        ("graphs of a batch", Company::Together, true),
    ] {
        let found = company.answers(&file, few, steps, graphs)?;
        report.check(&format!("{name}, {how}: tokens"), same_tokens(&plain, &found));
        report.check(&format!("{name}, {how}: bits of the logits"), same_bits(&plain, &found));
    }
    let error = many_rows(&file, &prompts, extent.many_rows_steps)?;
    report.bound(&format!("{name}, {} sequences, padded", prompts.len()), error, MANY_ROWS_NMSE);
    for (how, sampling) in ways_to_choose() {
        report.check(&format!("{name}, {how} on the device"), chosen_alike(&file, few, &sampling, steps));
    }
    Ok(())
}

/// What one sequence became.
struct Answer {
    tokens: Vec<u32>,
    /// Of every step.
    logits: Vec<Vec<f32>>,
}

fn same_tokens(expected: &[Answer], found: &[Answer]) -> Result<String, String> {
    for (i, (expected, found)) in expected.iter().zip(found).enumerate() {
        if let Some(step) = first_difference(&expected.tokens, &found.tokens) {
            return Err(format!("sequence {i} differs from step {step} on"));
        }
    }
    Ok(format!("{} sequences of {}", expected.len(), expected.first().map_or(0, |answer| answer.tokens.len())))
}

fn same_bits(expected: &[Answer], found: &[Answer]) -> Result<String, String> {
    for (i, (expected, found)) in expected.iter().zip(found).enumerate() {
        for (step, (a, b)) in expected.logits.iter().zip(&found.logits).enumerate() {
            let differ = a.iter().zip(b).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
            if differ > 0 {
                let nmse = nmse(b, a);
                return Err(format!("sequence {i}, step {step}: {differ} logits differ, relative error {nmse:.1e}"));
            }
        }
    }
    Ok(String::new())
}

/// Where two answers part.
fn first_difference(a: &[u32], b: &[u32]) -> Option<usize> {
    (0..a.len().max(b.len())).find(|&i| a.get(i) != b.get(i))
}

/// Who decodes in the same steps.
#[derive(Clone, Copy, PartialEq)]
enum Company {
    /// Nobody: one answer after the other.
    Alone,
    /// Everybody.
    Together,
}

impl Company {
    /// Greedy answers by a model of its own.
    fn answers(
        self,
        file: &Arc<ModelFile>,
        prompts: &[Vec<u32>],
        steps: usize,
        graphs: bool,
    ) -> Result<Vec<Answer>, String> {
        let mut model = load(file, prompts.len(), graphs)?;
        let all: Vec<usize> = (0..prompts.len()).collect();
        let groups = all.chunks(if self == Company::Alone { 1 } else { all.len() });
        let answers = groups.map(|which| decode(&mut model, prompts, which, steps, None));
        Ok(answers.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
    }
}

fn load(file: &Arc<ModelFile>, sequences: usize, graphs: bool) -> Result<Loaded<HipBackend>, String> {
    let backend = HipBackend::open(HipOptions { graphs, ..HipOptions::default() }).map_err(|e| e.to_string())?;
    let limits = StepLimits { max_tokens: LONGEST, max_wanted: sequences, max_hidden: 0, max_sequences: sequences };
    Loaded::of_file(backend, file.clone(), KvType::F16, CONTEXT, limits).map_err(|e| e.to_string())
}

/// Answers of some of the prompts, greedy or with the tokens of other answers. Prompts are computed one by one, so that
/// only the decoding may differ.
fn decode(
    model: &mut Loaded<HipBackend>,
    prompts: &[Vec<u32>],
    which: &[usize],
    steps: usize,
    forced: Option<&[Answer]>,
) -> Result<Vec<Answer>, String> {
    let vocab = model.program.vocab_size;
    let mut answers = Vec::new();
    for &sequence in which {
        let prompt = &prompts[sequence];
        let last = vec![prompt.len() as u32 - 1];
        let output = model.run(&[(sequence, 0, prompt)], last, Vec::new()).map_err(|e| e.to_string())?;
        let mut answer = Answer { tokens: Vec::new(), logits: Vec::new() };
        answer.push(&output.logits, forced.map(|forced| forced[sequence].tokens[0]))?;
        answers.push(answer);
    }
    for step in 1..steps {
        let newest: Vec<u32> = answers.iter().map(|answer| answer.tokens[step - 1]).collect();
        let before = |which: usize| prompts[which].len() + step - 1;
        let parts: Vec<(usize, usize, &[u32])> =
            which.iter().zip(newest.chunks(1)).map(|(&which, token)| (which, before(which), token)).collect();
        let wanted = (0..parts.len() as u32).collect();
        let output = model.run(&parts, wanted, Vec::new()).map_err(|e| format!("step {step}: {e}"))?;
        for ((answer, logits), &which) in answers.iter_mut().zip(output.logits.chunks_exact(vocab)).zip(which) {
            answer.push(logits, forced.map(|forced| forced[which].tokens[step]))?;
        }
    }
    Ok(answers)
}

impl Answer {
    fn push(&mut self, logits: &[f32], forced: Option<u32>) -> Result<(), String> {
        let best = greedy(logits).map_err(|e| format!("token {}: {e}", self.tokens.len()))?;
        self.tokens.push(forced.unwrap_or(best));
        self.logits.push(logits.to_vec());
        Ok(())
    }
}

/// Error of the logits of more sequences than kernels for few rows take, which a graph pads.
fn many_rows(file: &Arc<ModelFile>, prompts: &[Vec<u32>], steps: usize) -> Result<f64, String> {
    let plain = Company::Alone.answers(file, prompts, steps, false)?;
    let mut model = load(file, prompts.len(), true)?;
    let all: Vec<usize> = (0..prompts.len()).collect();
    let found = decode(&mut model, prompts, &all, steps, Some(&plain))?;
    let flat = |answers: &[Answer]| answers.iter().flat_map(|a| a.logits.iter().flatten().copied()).collect::<Vec<_>>();
    Ok(nmse(&flat(&found), &flat(&plain)))
}

/// Ways to choose tokens that a device knows.
fn ways_to_choose() -> [(&'static str, SamplingParams); 4] {
    let neutral = SamplingParams { seed: Some(11), ..SamplingParams::default() };
    [
        ("greedy", SamplingParams { temperature: 0.0, ..neutral.clone() }),
        ("a draw", neutral.clone()),
        ("top-k and top-p", SamplingParams { temperature: 0.8, top_k: 40, top_p: 0.95, ..neutral.clone() }),
        (
            "penalties and min-p",
            SamplingParams {
                temperature: 1.5,
                min_p: 0.02,
                repetition_penalty: 1.1,
                presence_penalty: 0.2,
                frequency_penalty: 0.1,
                logit_bias: vec![(7, 2.0), (9, f32::NEG_INFINITY)],
                ..neutral
            },
        ),
    ]
}

/// Whether tokens chosen on the device are those that the processor chooses from the same logits.
fn chosen_alike(
    file: &Arc<ModelFile>,
    prompts: &[Vec<u32>],
    sampling: &SamplingParams,
    steps: usize,
) -> Result<String, String> {
    // Log-probabilities of alternatives are something that only the processor's sampler has.
    let on_host = SamplingParams { logprobs: Some(1), ..sampling.clone() };
    let expected = sampled(file, prompts, &on_host, steps)?;
    let found = sampled(file, prompts, sampling, steps)?;
    for (i, (expected, found)) in expected.iter().zip(&found).enumerate() {
        if let Some(at) = first_difference(expected, found) {
            let (expected, found) = (expected.get(at), found.get(at));
            return Err(format!("sequence {i}, token {at}: {found:?} instead of {expected:?}"));
        }
    }
    Ok(format!("{} tokens", found.iter().map(Vec::len).sum::<usize>()))
}

fn sampled(
    file: &Arc<ModelFile>,
    prompts: &[Vec<u32>],
    sampling: &SamplingParams,
    steps: usize,
) -> Result<Vec<Vec<u32>>, String> {
    let options =
        EngineOptions { context_length: Some(CONTEXT), max_sequences: prompts.len(), ..EngineOptions::default() };
    let mut engine = bundled::on_device(file.clone(), HipOptions::default(), options)?;
    let mut ids = Vec::new();
    for (i, prompt) in prompts.iter().enumerate() {
        let seed = sampling.seed.map(|seed| seed + i as u64);
        let sampling = SamplingParams { seed, ..sampling.clone() };
        let (max_tokens, end_tokens) = (Some(steps), EndTokens::Ignored);
        let request = Request { sampling, max_tokens, end_tokens, ..Request::new(prompt.clone()) };
        ids.push(engine.submit(request).map_err(|e| e.to_string())?);
    }
    let mut tokens: HashMap<_, Vec<u32>> = HashMap::new();
    let mut failed = Ok(());
    while !engine.is_idle() {
        let on_event = &mut |event| match event {
            Event::Token { request, token, .. } => tokens.entry(request).or_default().push(token),
            Event::Finished { reason: FinishReason::Error(error), .. } => failed = Err(error.to_string()),
            Event::Finished { .. } | Event::PromptLogprobs { .. } | Event::Embedding { .. } => {}
        };
        engine.step(on_event).map_err(|e| e.to_string())?;
    }
    failed?;
    Ok(ids.iter().map(|id| tokens.remove(id).unwrap_or_default()).collect())
}
