//! Tokens chosen on the device, held against the CPU's sampler.

use rocmforge_hip_backend::driver::HipError;
use rocmforge_hip_backend::ops::sample::{MAX_VOCAB, NO_ROW, supports};
use rocmforge_hip_backend::ops::{Sample, SampleBatch, SampleCall, SampleEdit, SampleResult, SampleRow, SampleStatus};
use rocmforge_program::backend::RowSampling;
use rocmforge_sampler::{Sampler, SamplerError, SamplingParams, Snapshot, Stream, uniform};

use crate::rig::{Noise, Rig, on_each_device};

/// How far from a boundary between two tokens u may be where the choices differ.
const ROUNDING: f64 = 1e-6;

/// One row: its logits and how to choose.
struct Row {
    logits: Vec<f32>,
    how: RowSampling,
}

/// The CPU's sampler in the state that a row describes.
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
        logprobs: Some(0),
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

/// Chooses on the device; the logits are as before.
fn choose(rig: &Rig, kernels: &Sample, rows: &[Row]) -> Vec<SampleResult> {
    let vocab = rows[0].logits.len();
    let logits: Vec<f32> = rows.iter().flat_map(|row| row.logits.iter().copied()).collect();
    let how: Vec<_> = rows.iter().map(|row| Some(row.how.clone())).collect();
    assert!(how.iter().flatten().all(|how| supports(how, vocab)));
    let mut batch = SampleBatch::default();
    batch.fill(&how, vocab);
    for (slot, row) in batch.rows.iter_mut().enumerate() {
        row.token_slot = (rows.len() - 1 - slot) as u32;
    }
    let on_device = rig.buffer(&logits);
    let (input, edits) = (rig.buffer(&batch.rows), rig.buffer(&batch.edits));
    let (results, tokens) = (rig.room::<SampleResult>(rows.len()), rig.room::<u32>(rows.len()));
    let scratch = rig.room::<u8>(Sample::scratch_bytes(rows.len(), vocab));
    let call = SampleCall {
        logits: on_device.ptr(),
        vocab,
        stride: vocab,
        rows: input.ptr(),
        count: rows.len(),
        edits: edits.ptr(),
        results: results.ptr(),
        tokens: tokens.ptr(),
        scratch: scratch.ptr(),
        draws: batch.draws,
    };
    kernels.run(&rig.stream, &call).expect("the choice is enqueued");
    let found: Vec<SampleResult> = rig.read(&results);
    let tokens: Vec<u32> = rig.read(&tokens);
    assert!(found.iter().rev().map(|result| result.token).eq(tokens), "tokens lie in their slots");
    let left: Vec<f32> = rig.read(&on_device);
    assert!(left.iter().zip(&logits).all(|(a, b)| a.to_bits() == b.to_bits()), "the logits are as before");
    found
}

/// The device's choices are the CPU's, or u lies at a boundary. Returns how many lie there.
fn compare(rig: &Rig, kernels: &Sample, rows: &[Row], what: &str) -> usize {
    let mut at_boundary = 0;
    for (row, found) in rows.iter().zip(choose(rig, kernels, rows)) {
        let mut sampler = sampler(&row.how, row.logits.len());
        let before = sampler.clone();
        let expected = sampler.sample(&row.logits).expect("the CPU finds a token");
        assert_eq!(found.status(), SampleStatus::Chosen, "{what} {:?}", row.how);
        if found.token != expected.token {
            let u = uniform(row.how.seed, row.how.position, Stream::Token);
            let mut sum = 0.0;
            let near = before.distribution(&row.logits, None).expect("as before").iter().any(|token| {
                sum += f64::from(token.prob);
                (sum - u).abs() < ROUNDING
            });
            let differ = (found.token, expected.token);
            assert!(near, "{what} {:?}: {differ:?}, and u = {u} is near no boundary", row.how);
            at_boundary += 1;
            continue;
        }
        let logprob = expected.logprob.expect("it was asked for");
        let error = (found.logprob - logprob).abs();
        assert!(error <= 2e-6 * (1.0 + logprob.abs()), "{what}: {found:?} and {expected:?}");
    }
    at_boundary
}

const SHAPES: usize = 8;

/// Logits of many characters: a few tokens ahead, flat, all equal, with bans, with ties, one far ahead, wild, falling.
fn logits(shape: usize, vocab: usize, noise: &mut Noise) -> Vec<f32> {
    let one = |i: usize, noise: &mut Noise| match shape {
        0 => noise.normal() * 2.5 + if i % 37 == 5 { 8.0 } else { 0.0 },
        1 => noise.normal() * 0.3,
        2 => 1.5,
        3 if i % 3 == 1 => f64::NEG_INFINITY,
        3 => noise.normal() * 4.0,
        4 => (noise.normal() * 3.0).round() / 2.0,
        5 if i == vocab / 2 => 1e4,
        5 => noise.normal() - 1e4,
        6 => noise.normal() * 1e4,
        _ => i as f64 * -0.01,
    };
    (0..vocab).map(|i| one(i, noise) as f32).collect()
}

/// Ways to sample: temperature, top-k, top-p, min-p.
const WAYS: [(f32, u32, f32, f32); 14] = [
    (0.0, 0, 1.0, 0.0),
    (1.0, 0, 1.0, 0.0),
    (0.8, 40, 0.95, 0.05),
    (0.7, 0, 0.9, 0.0),
    (1.3, 0, 0.99, 0.0),
    (1.0, 0, 1.0, 0.1),
    (1.0, 3, 1.0, 0.0),
    (0.6, 1000, 1.0, 0.0),
    (1.0, 5000, 0.9, 0.01),
    (1.5, 0, 0.5, 0.3),
    (1.0, 1024, 0.999, 0.0),
    (0.01, 0, 0.9999, 0.0),
    (1.0, 64, 0.5, 0.0),
    (1.0, 1, 1.0, 0.0),
];

/// Rows of one shape, each way `draws` times, every second row with penalties and biases.
fn rows(vocab: usize, shape: usize, draws: u64) -> Vec<Row> {
    let logits = logits(shape, vocab, &mut Noise::new((vocab * SHAPES + shape) as u64));
    let ways = WAYS.into_iter().enumerate();
    let all = ways.flat_map(|(way, settings)| (0..draws).map(move |draw| (way, settings, draw)));
    let row = |(way, (temperature, top_k, top_p, min_p), draw): (usize, _, u64)| {
        let mut how = RowSampling {
            temperature,
            top_k,
            top_p,
            min_p,
            seed: way as u64 * 1_000_003 + draw + ((shape as u64) << 40),
            position: (draw + way as u64) * 77,
            ..RowSampling::default()
        };
        if (draw as usize + way + shape) % 2 == 1 {
            let token = |i: usize| (i * i * 7 % vocab) as u32;
            (how.repetition_penalty, how.presence_penalty, how.frequency_penalty) = (1.3, 0.5, 0.25);
            how.seen = (0..30).map(|i| (token(i), i as u32 % 4)).collect();
            how.seen.sort_unstable();
            how.seen.dedup_by_key(|(token, _)| *token);
            how.logit_bias = vec![(0, 2.0)];
            if vocab > 5 {
                how.logit_bias.extend([(3, f32::NEG_INFINITY), ((vocab / 2) as u32, -50.0)]);
            }
        }
        Row { logits: logits.clone(), how }
    };
    all.map(row).collect()
}

#[test]
fn tokens_are_the_cpus() {
    on_each_device(|rig| {
        let kernels = Sample::load(&rig.kernels).expect("the kernels load");
        let (mut draws, mut at_boundary) = (0, 0);
        for (vocab, first, step) in
            [(1, 0, 1), (2, 0, 1), (65, 0, 1), (257, 0, 1), (1000, 0, 1), (4097, 0, 2), (10_007, 1, 2)]
        {
            for shape in (first..SHAPES).step_by(step) {
                let rows = rows(vocab, shape, 1);
                draws += rows.len();
                at_boundary += compare(rig, &kernels, &rows, &format!("shape {shape} of {vocab}"));
            }
        }
        assert!(at_boundary <= 1, "{at_boundary} of {draws} at a boundary");
    });
}

#[test]
fn large_vocabularies() {
    on_each_device(|rig| {
        let kernels = Sample::load(&rig.kernels).expect("the kernels load");
        let mut at_boundary = 0;
        for (vocab, shape) in [(151_936, 0), (300_000, 1), (270_001, 4)] {
            at_boundary += compare(rig, &kernels, &rows(vocab, shape, 1), &format!("shape {shape} of {vocab}"));
        }
        assert!(at_boundary <= 1, "{at_boundary} at a boundary");
    });
}

#[test]
fn frequencies_are_those_of_the_distribution() {
    on_each_device(|rig| {
        let kernels = Sample::load(&rig.kernels).expect("the kernels load");
        let logits: Vec<f32> = (0..24).map(|i| (i * 5 % 24) as f32 / 8.0).collect();
        for (temperature, top_k, top_p, min_p) in [(1.0, 0, 1.0, 0.0), (0.7, 12, 0.9, 0.05)] {
            let how = RowSampling { temperature, top_k, top_p, min_p, seed: 99, ..RowSampling::default() };
            let rows: Vec<Row> = (0..250)
                .map(|position| Row { logits: logits.clone(), how: RowSampling { position, ..how.clone() } })
                .collect();
            let mut counts = [0u32; 24];
            choose(rig, &kernels, &rows).iter().for_each(|result| counts[result.token as usize] += 1);
            let distribution = sampler(&how, 24).distribution(&logits, None).expect("a distribution");
            let mut chi_square = 0.0;
            for token in &distribution {
                let expected = f64::from(token.prob) * rows.len() as f64;
                let found = f64::from(std::mem::take(&mut counts[token.token as usize]));
                chi_square += (found - expected).powi(2) / expected;
            }
            assert_eq!(counts, [0; 24], "only candidates are drawn");
            let freedom = (distribution.len() - 1) as f64;
            // Five standard deviations of the statistic.
            assert!(chi_square < freedom + 5.0 * (2.0 * freedom).sqrt(), "chi square {chi_square} of {freedom}");
        }
    });
}

#[test]
fn rows_without_a_token_say_why() {
    on_each_device(|rig| {
        let kernels = Sample::load(&rig.kernels).expect("the kernels load");
        let good = Noise::new(4).f32s(5000, 5.0, 0.0);
        let with = |changes: &[(usize, f32)]| {
            let mut logits = good.clone();
            changes.iter().for_each(|&(i, x)| logits[i] = x);
            logits
        };
        let drawing = RowSampling { top_p: 0.9, seed: 5, ..RowSampling::default() };
        let greedy = RowSampling { temperature: 0.0, ..RowSampling::default() };
        let mut banned = greedy.clone();
        banned.logit_bias = vec![(7, f32::NEG_INFINITY)];
        let mut only_seven = vec![f32::NEG_INFINITY; 5000];
        only_seven[7] = 1.0;
        let row = |logits: Vec<f32>, how: &RowSampling| Row { logits, how: how.clone() };
        let rows = [
            row(with(&[(4999, f32::NAN), (4500, f32::NAN)]), &drawing),
            row(with(&[(0, f32::INFINITY)]), &greedy),
            row(vec![f32::NEG_INFINITY; 5000], &greedy),
            row(vec![f32::NEG_INFINITY; 5000], &drawing),
            row(only_seven.clone(), &banned),
            row(only_seven, &drawing),
            row(with(&[(13, f32::NEG_INFINITY)]), &drawing),
        ];
        let found = choose(rig, &kernels, &rows);
        for (i, (row, found)) in rows.iter().zip(&found).enumerate() {
            let status = match sampler(&row.how, 5000).sample(&row.logits) {
                Ok(_) => SampleStatus::Chosen,
                Err(SamplerError::BadLogit { token, .. }) => SampleStatus::BadLogit(token),
                Err(SamplerError::NoFiniteLogit { .. }) => SampleStatus::NoFiniteLogit,
                Err(SamplerError::NoCandidate { .. }) => SampleStatus::NoCandidate,
                Err(error) => panic!("row {i}: {error}"),
            };
            assert_eq!(found.status(), status, "row {i}");
            assert_eq!(found.sampled().token.is_some(), status == SampleStatus::Chosen);
        }
        assert_eq!((found[5].token, found[5].logprob), (7, 0.0));
    });
}

#[test]
fn a_row_does_not_depend_on_its_neighbours_and_padding_is_left_alone() {
    on_each_device(|rig| {
        let kernels = Sample::load(&rig.kernels).expect("the kernels load");
        let together = rows(4097, 0, 2);
        let all = choose(rig, &kernels, &together);
        for (row, of_all) in together.into_iter().zip(&all).step_by(5) {
            assert_eq!(choose(rig, &kernels, &[row])[0], *of_all);
        }

        let logits = Noise::new(8).f32s(3 * 100, 4.0, 0.0);
        let mut batch = SampleBatch::default();
        batch.fill(&[Some(RowSampling::default()), None, Some(RowSampling::default())], 100);
        batch.rows.insert(1, SampleRow { row: NO_ROW, ..batch.rows[0] });
        let (input, rows) = (rig.buffer(&logits), rig.buffer(&batch.rows));
        let results = rig.room::<SampleResult>(3);
        let scratch = rig.room::<u8>(Sample::scratch_bytes(3, 100));
        let edits = rig.room::<SampleEdit>(0);
        let call = SampleCall {
            logits: input.ptr(),
            vocab: 100,
            stride: 100,
            rows: rows.ptr(),
            count: 3,
            edits: edits.ptr(),
            results: results.ptr(),
            tokens: rocmforge_hip_backend::driver::DevicePtr::NULL,
            scratch: scratch.ptr(),
            draws: true,
        };
        kernels.run(&rig.stream, &call).expect("the choice is enqueued");
        let found: Vec<SampleResult> = rig.read(&results);
        for (at, row) in [(0, 0), (2, 2)] {
            let expected = sampler(&RowSampling::default(), 100).sample(&logits[row * 100..][..100]).expect("a token");
            assert_eq!(found[at].token, expected.token);
        }
        assert_eq!(found[1].token, u32::MAX, "the result of padding is not written");
    });
}

#[test]
fn numbers_that_are_not_finite_are_counted_and_sizes_are_checked() {
    on_each_device(|rig| {
        let kernels = Sample::load(&rig.kernels).expect("the kernels load");
        for cols in [1, 31, 1025, 5000] {
            let mut x = Noise::new(1).f32s(3 * cols, 1.0, 0.0);
            x[cols] = f32::NAN;
            x[2 * cols - 1] = if cols == 1 { f32::NAN } else { f32::INFINITY };
            x[2 * cols] = f32::NEG_INFINITY;
            let (input, counts) = (rig.buffer(&x), rig.room::<u32>(3));
            kernels.guard(&rig.stream, input.ptr(), counts.ptr(), 3, cols).expect("enqueued");
            assert_eq!(rig.read::<u32>(&counts), [0, if cols == 1 { 1 } else { 2 }, 0]);
        }
        let at = rig.room::<u8>(64);
        let call = SampleCall {
            logits: at.ptr(),
            vocab: MAX_VOCAB + 1,
            stride: MAX_VOCAB + 1,
            rows: at.ptr(),
            count: 1,
            edits: at.ptr(),
            results: at.ptr(),
            tokens: at.ptr(),
            scratch: at.ptr(),
            draws: false,
        };
        let error = kernels.run(&rig.stream, &call).expect_err("too large");
        assert!(matches!(error, HipError::BadLaunch { .. }), "{error}");
        kernels.run(&rig.stream, &SampleCall { count: 0, ..call }).expect("nothing to do");
        assert!(!supports(&RowSampling::default(), MAX_VOCAB + 1) && supports(&RowSampling::default(), MAX_VOCAB));
        assert!(!supports(&RowSampling { temperature: f32::NAN, ..RowSampling::default() }, 10));
    });
}
