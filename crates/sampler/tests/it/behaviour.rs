//! Greedy choice, log-probabilities, masks, determinism, resuming.

use rocmforge_sampler::{
    Dry, Mirostat, Sampler, SamplingParams, TokenId, TokenMask, greedy, log_softmax_top, token_logprob,
};

const VOCAB: usize = 500;

fn row(step: usize) -> Vec<f32> {
    (0..VOCAB).map(|i| ((i * 31 + step * 101) % 499) as f32 / 40.0 - 3.0).collect()
}

fn sampler(params: &SamplingParams) -> Sampler {
    Sampler::new(params.clone(), VOCAB).unwrap()
}

fn run(sampler: &mut Sampler, steps: std::ops::Range<usize>) -> Vec<TokenId> {
    steps.map(|step| sampler.sample(&row(step)).unwrap().token).collect()
}

/// Every stateful stage at once.
fn stateful(seed: u64) -> SamplingParams {
    SamplingParams {
        temperature: 0.9,
        mirostat: Some(Mirostat::default()),
        repetition_penalty: 1.1,
        frequency_penalty: 0.3,
        penalty_last_n: Some(10),
        dry: Some(Dry { multiplier: 1.0, allowed_length: 1, ..Dry::default() }),
        seed: Some(seed),
        ..SamplingParams::default()
    }
}

#[test]
fn greedy_takes_the_lowest_id_of_equals() {
    assert_eq!(greedy(&[1.0, 3.0, 3.0, 2.0]).unwrap(), 1);
    assert_eq!(greedy(&[-0.0, 0.0]).unwrap(), 0);
    assert_eq!(greedy(&[f32::NEG_INFINITY, -5.0]).unwrap(), 1);
    let params = SamplingParams { temperature: 0.0, ..SamplingParams::default() };
    for at in [0, 63, 64, 450] {
        let mut logits = vec![1.0; VOCAB];
        (logits[at], logits[VOCAB - 1]) = (2.0, 2.0);
        assert_eq!(sampler(&params).sample(&logits).unwrap().token as usize, at);
        assert_eq!(greedy(&logits).unwrap() as usize, at);
    }
}

#[test]
fn greedy_ignores_truncation() {
    let params = SamplingParams {
        temperature: 0.0,
        typical_p: 0.1,
        xtc_probability: 1.0,
        xtc_threshold: 0.0,
        mirostat: Some(Mirostat::default()),
        ..SamplingParams::default()
    };
    let mut chain = sampler(&params);
    for step in 0..20 {
        assert_eq!(chain.sample(&row(step)).unwrap().token, greedy(&row(step)).unwrap());
    }
    assert_eq!(chain.snapshot().mirostat_mu, 10.0, "Mirostat rests when greedy");
}

#[test]
fn logprobs_are_those_of_the_raw_row() {
    let logits = row(3);
    let max = f64::from(*logits.iter().max_by(|a, b| a.total_cmp(b)).unwrap());
    let log_z = max + logits.iter().map(|l| (f64::from(*l) - max).exp()).sum::<f64>().ln();
    let exact = |token: TokenId| f64::from(logits[token as usize]) - log_z;
    let params = SamplingParams {
        temperature: 0.3,
        top_k: 5,
        logit_bias: vec![(4, 50.0)],
        logprobs: Some(7),
        seed: Some(1),
        ..SamplingParams::default()
    };
    let sampled = sampler(&params).sample(&logits).unwrap();
    assert_eq!(sampled.token, 4);
    let logprob = sampled.logprob.expect("it was asked for");
    assert!((f64::from(logprob) - exact(4)).abs() < 1e-6);
    let mut ids: Vec<TokenId> = (0..VOCAB as TokenId).collect();
    ids.sort_by(|a, b| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b)));
    assert_eq!(sampled.top.iter().map(|t| t.token).collect::<Vec<_>>(), ids[..7]);
    assert_eq!(sampled.top, log_softmax_top(&logits, 7).unwrap());
    for entry in &sampled.top {
        assert!((f64::from(entry.logprob) - exact(entry.token)).abs() < 1e-6);
        assert_eq!(token_logprob(&logits, entry.token).unwrap(), entry.logprob);
    }
    assert_eq!(log_softmax_top(&logits, 1000).unwrap().len(), VOCAB);
    for logprobs in [None, Some(0)] {
        let params = SamplingParams { logprobs, ..params.clone() };
        assert!(sampler(&params).sample(&logits).unwrap().top.is_empty());
    }
}

#[test]
fn huge_logits_have_exact_logprobs() {
    let logits = [f32::MAX, f32::MAX, f32::MIN, f32::NEG_INFINITY];
    let half = token_logprob(&logits, 1).unwrap();
    assert!((half + std::f32::consts::LN_2).abs() < 1e-6 || half == 0.0);
    assert_eq!(token_logprob(&logits, 3).unwrap(), f32::NEG_INFINITY);
    let mut seen = [0; 4];
    let params = SamplingParams { temperature: 1e-45, seed: Some(9), ..SamplingParams::default() };
    let mut sampler = Sampler::new(params, 4).unwrap();
    for _ in 0..200 {
        seen[sampler.sample(&logits).unwrap().token as usize] += 1;
    }
    assert!(seen[0] > 50 && seen[1] > 50 && seen[2] + seen[3] == 0, "{seen:?}");
}

#[test]
fn masks_are_obeyed_in_every_mode() {
    let mut mask = TokenMask::none(VOCAB);
    let allowed = [3, 77, 78, 200, 499];
    allowed.iter().for_each(|&token| mask.allow(token));
    let base = SamplingParams { seed: Some(4), ..SamplingParams::default() };
    for params in [
        base.clone(),
        SamplingParams { temperature: 0.0, ..base.clone() },
        SamplingParams { top_k: 2, top_p: 0.5, ..base.clone() },
        SamplingParams { mirostat: Some(Mirostat::default()), ..base.clone() },
        SamplingParams { allowed_tokens: Some(vec![77, 78, 9]), ..base },
    ] {
        let mut sampler = sampler(&params);
        for step in 0..200 {
            let token = sampler.sample_masked(&row(step), Some(&mask)).unwrap().token;
            assert!(allowed.contains(&token), "{params:?} chose {token}");
            assert!(params.allowed_tokens.as_ref().is_none_or(|list| list.contains(&token)));
        }
    }
}

#[test]
fn a_seed_decides_the_text() {
    let texts: Vec<_> = [1, 1, 2].map(|seed| run(&mut sampler(&stateful(seed)), 0..60)).into();
    assert_eq!(texts[0], texts[1]);
    assert_ne!(texts[0], texts[2]);
    // Work of another sequence in between changes nothing.
    let (mut a, mut b) = (sampler(&stateful(1)), sampler(&SamplingParams::default()));
    let interleaved: Vec<_> = (0..60)
        .map(|step| {
            run(&mut b, step..step + 1);
            a.sample(&row(step)).unwrap().token
        })
        .collect();
    assert_eq!(interleaved, texts[0]);
    // Nor does another thread.
    let text = std::thread::spawn(|| run(&mut sampler(&stateful(1)), 0..60)).join().unwrap();
    assert_eq!(text, texts[0]);
}

#[test]
fn drawn_seeds_differ_and_can_be_reused() {
    let params = SamplingParams::default();
    let (mut first, second) = (sampler(&params), sampler(&params));
    assert_ne!(first.seed(), second.seed());
    let again = SamplingParams { seed: Some(first.seed()), ..params };
    assert_eq!(run(&mut first, 0..30), run(&mut sampler(&again), 0..30));
}

#[test]
fn resuming_equals_going_on() {
    for params in [stateful(8), SamplingParams { seed: None, ..SamplingParams::default() }] {
        let prompt = [5, 6, 7, 5, 6];
        let mut whole = sampler(&params);
        whole.accept_prompt(&prompt);
        let head = run(&mut whole, 0..25);
        let snapshot = whole.snapshot();
        let tail = run(&mut whole, 25..60);

        let mut resumed = sampler(&params);
        resumed.accept_prompt(&prompt);
        resumed.accept_generated(&head);
        assert_eq!(resumed.position(), 25);
        resumed.restore(&snapshot);
        assert_eq!(run(&mut resumed, 25..60), tail);
        assert_eq!(resumed.history(), [&prompt[..], &head, &tail].concat());
    }
}

#[test]
fn seed_and_tokens_are_enough_without_mirostat() {
    let params = SamplingParams { mirostat: None, ..stateful(8) };
    let mut whole = sampler(&params);
    let text = run(&mut whole, 0..40);
    let mut resumed = sampler(&params);
    resumed.accept_generated(&text[..17]);
    assert_eq!(run(&mut resumed, 17..40), text[17..]);
}

/// Pins the meaning of a seed: a change of the generator, of the order of the draw or of
/// the arithmetic shows here.
#[test]
fn the_draw_is_the_documented_one() {
    let params = SamplingParams { seed: Some(123), ..SamplingParams::default() };
    let mut sampler = sampler(&params);
    for step in 0..50u64 {
        let logits = row(step as usize);
        let u = rocmforge_sampler::uniform(123, step, rocmforge_sampler::Stream::Token);
        let total: f64 = logits.iter().map(|l| f64::from(*l).exp()).sum();
        let mut sum = 0.0;
        let expected = logits.iter().position(|l| {
            sum += f64::from(*l).exp() / total;
            sum > u
        });
        assert_eq!(Some(sampler.sample(&logits).unwrap().token as usize), expected);
    }
}

#[cfg(feature = "serde")]
#[test]
fn parameters_travel_as_json() {
    let params = stateful(u64::MAX);
    let text = serde_json::to_string(&params).unwrap();
    assert_eq!(serde_json::from_str::<SamplingParams>(&text).unwrap(), params);
    let sparse: SamplingParams = serde_json::from_str(r#"{"top_k": 3}"#).unwrap();
    assert_eq!(sparse, SamplingParams { top_k: 3, ..SamplingParams::default() });
    assert!(serde_json::from_str::<SamplingParams>(r#"{"topk": 3}"#).is_err());
}
