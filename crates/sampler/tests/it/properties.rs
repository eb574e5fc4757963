//! Any valid parameters, any finite logits.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rocmforge_sampler::{Dry, Mirostat, Sampler, SamplingParams, Stream, TokenId, TokenMask, uniform};

use crate::oracle::{self, Context};

fn off_or<T: std::fmt::Debug + Clone + 'static>(
    off: T,
    on: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = T> {
    prop_oneof![2 => Just(off), 1 => on]
}

fn params(vocab: usize) -> impl Strategy<Value = SamplingParams> {
    let shape = (
        prop_oneof![Just(0.0f32), Just(1.0), 0.05f32..2.0],
        off_or(0.0, 0.0f32..1.0),
        0.0f32..3.0,
        off_or(None, (0.5f32..8.0, 0.01f32..1.0).prop_map(|(tau, eta)| Some(Mirostat { tau, eta }))),
    );
    let truncation = (
        off_or(0, 1..vocab as u32 + 5),
        off_or(1.0, 0.01f32..1.0),
        off_or(0.0, 0.001f32..1.0),
        off_or(1.0, 0.01f32..1.0),
        off_or(0.0, 0.1f32..4.0),
        (off_or(0.0, 0.0f32..1.0), 0.0f32..0.6),
        0..=vocab.min(5),
    );
    let penalties = (
        off_or(1.0, 0.5f32..2.0),
        off_or(0.0, -2.0f32..2.0),
        off_or(0.0, -2.0f32..2.0),
        prop::option::of(0usize..10),
        off_or(None, dry(vocab as u32).prop_map(Some)),
    );
    let ids = 0..vocab as u32;
    let lists = (
        prop::collection::btree_map(ids.clone(), -9.0f32..9.0, 0..3),
        off_or(None, prop::collection::vec(ids, 1..=vocab).prop_map(Some)),
        any::<u64>(),
    );
    (shape, truncation, penalties, lists).prop_map(|(s, t, p, l)| SamplingParams {
        temperature: s.0,
        dynatemp_range: s.1,
        dynatemp_exponent: s.2,
        mirostat: s.3,
        top_k: t.0,
        top_p: t.1,
        min_p: t.2,
        typical_p: t.3,
        top_n_sigma: t.4,
        xtc_probability: t.5.0,
        xtc_threshold: t.5.1,
        min_keep: t.6,
        repetition_penalty: p.0,
        presence_penalty: p.1,
        frequency_penalty: p.2,
        penalty_last_n: p.3,
        dry: p.4,
        logit_bias: l.0.into_iter().collect(),
        allowed_tokens: l.1,
        seed: Some(l.2),
        logprobs: Some(2),
    })
}

fn dry(vocab: u32) -> impl Strategy<Value = Dry> {
    let breakers = prop::collection::vec(prop::collection::vec(0..vocab, 1..3), 0..3);
    (0.0f32..3.0, 1.0f32..2.0, 1usize..4, prop::option::of(0usize..30), breakers).prop_map(
        |(multiplier, base, allowed_length, last_n, sequence_breakers)| Dry {
            multiplier,
            base,
            allowed_length,
            last_n,
            sequence_breakers,
        },
    )
}

/// Ordinary rows, rows full of ties, and rows at the ends of the number range.
fn logits(vocab: usize) -> impl Strategy<Value = Vec<f32>> {
    let wild = prop_oneof![
        Just(f32::MAX),
        Just(f32::MIN),
        Just(0.0f32),
        Just(-0.0f32),
        Just(f32::NEG_INFINITY),
        any::<f32>().prop_map(|v| if v.is_finite() { v } else { 1.0 })
    ];
    prop_oneof![
        prop::collection::vec(-12.0f32..12.0, vocab),
        prop::collection::vec((0u8..4).prop_map(f32::from), vocab),
        prop::collection::vec(wild, vocab),
    ]
}

fn case() -> impl Strategy<Value = (SamplingParams, Vec<f32>, Vec<TokenId>, Vec<TokenId>)> {
    prop_oneof![1usize..8, 8usize..40, Just(300usize)].prop_flat_map(|vocab| {
        let tokens = || prop::collection::vec(0..vocab.min(12) as u32, 0..25);
        (params(vocab), logits(vocab), tokens(), tokens())
    })
}

/// The tokens with probability by the definition, or `None` when a change of the cuts and
/// the temperature by one part in ten thousand changes them: then rounding decides.
fn stable_support(params: &SamplingParams, logits: &[f32], context: &Context, coin: bool) -> Option<Vec<TokenId>> {
    let support = |scale: f32| -> Vec<TokenId> {
        let scaled = SamplingParams {
            top_p: if params.top_p < 1.0 { (params.top_p * scale).min(0.999_999) } else { 1.0 },
            typical_p: if params.typical_p < 1.0 { (params.typical_p * scale).min(0.999_999) } else { 1.0 },
            min_p: params.min_p * scale,
            top_n_sigma: params.top_n_sigma * scale,
            xtc_threshold: params.xtc_threshold * scale,
            ..params.clone()
        };
        let context = Context { mirostat_mu: context.mirostat_mu * f64::from(scale), ..context.clone() };
        let p = oracle::with_coin(&scaled, logits, &context, coin);
        (0u32..).zip(p).filter(|(_, p)| *p > 1e-30).map(|(id, _)| id).collect()
    };
    let exact = support(1.0);
    (support(1.0001) == exact && support(0.9999) == exact).then_some(exact)
}

/// Whether two adjusted logits differ by so little that f32 and f64 may order them differently.
fn has_near_tie(params: &SamplingParams, logits: &[f32], context: &Context) -> bool {
    let mut sorted = oracle::adjusted(params, logits, context);
    sorted.sort_by(f64::total_cmp);
    sorted.windows(2).any(|pair| pair[0] != pair[1] && pair[1] - pair[0] < 1e-5)
}

proptest! {
    // A fixed seed, because a case where f32 and f64 round to different sides of a cut is rare
    // but not impossible; 300,000 cases of other seeds went through.
    #![proptest_config(ProptestConfig {
        cases: 4000,
        rng_seed: RngSeed::Fixed(20_240_607),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The token is one that the stages leave, the support is the definition's, and
    /// probabilities sum to one.
    #[test]
    fn chain_follows_its_definition((params, logits, prompt, output) in case()) {
        let mut sampler = Sampler::new(params.clone(), logits.len()).unwrap();
        sampler.accept_prompt(&prompt);
        sampler.accept_generated(&output);
        let allowed = |t: usize| params.allowed_tokens.as_ref().is_none_or(|l| l.contains(&(t as u32)));
        let possible = (0..logits.len()).any(|t| logits[t] > f32::NEG_INFINITY && allowed(t));
        let Ok(found) = sampler.distribution(&logits, None) else {
            prop_assert!(!possible, "an error although a token is possible");
            return Ok(());
        };
        prop_assert!(possible);
        let sum: f64 = found.iter().map(|t| f64::from(t.prob)).sum();
        prop_assert!((sum - 1.0).abs() < 1e-4, "probabilities sum to {}", sum);
        prop_assert!(found.windows(2).all(|pair| pair[0].token < pair[1].token));

        let coin = uniform(sampler.seed(), sampler.position(), Stream::XtcCoin)
            < f64::from(params.xtc_probability);
        let mirostat_mu = f64::from(sampler.snapshot().mirostat_mu);
        let context = Context { prompt, output, mirostat_mu };
        let ordinary = logits.iter().all(|l| l.abs() < 100.0) && !has_near_tie(&params, &logits, &context);
        if let Some(expected) = stable_support(&params, &logits, &context, coin).filter(|_| ordinary) {
            let ids: Vec<TokenId> = found.iter().filter(|t| t.prob > 1e-30).map(|t| t.token).collect();
            prop_assert_eq!(ids, expected);
        }

        let token = sampler.sample(&logits).unwrap().token;
        prop_assert!(found.iter().any(|t| t.token == token && t.prob > 0.0));
        prop_assert!(allowed(token as usize) && logits[token as usize] > f32::NEG_INFINITY);
    }

    #[test]
    fn masks_of_any_kind((params, logits, prompt, _) in case(), words in prop::collection::vec(any::<u32>(), 10)) {
        let words = words[..logits.len().div_ceil(32)].to_vec();
        let mask = TokenMask::from_words(words, logits.len()).unwrap();
        let mut sampler = Sampler::new(params, logits.len()).unwrap();
        sampler.accept_prompt(&prompt);
        for _ in 0..5 {
            if let Ok(sampled) = sampler.sample_masked(&logits, Some(&mask)) {
                prop_assert!(mask.is_allowed(sampled.token));
                prop_assert!(logits[sampled.token as usize] > f32::NEG_INFINITY);
            }
        }
    }
}
