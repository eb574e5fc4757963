//! DRY against the brute-force definition.

use proptest::prelude::*;
use rocmforge_sampler::{Dry, Sampler, SamplingParams, TokenId};

use crate::oracle;

const VOCAB: usize = 6;

/// The penalties that a sampler applies, read back from its distribution.
fn penalties(dry: &Dry, history: &[TokenId]) -> Vec<f64> {
    let params = SamplingParams { dry: Some(dry.clone()), ..SamplingParams::default() };
    let mut sampler = Sampler::new(params, VOCAB + 1).unwrap();
    let (prompt, output) = history.split_at(history.len() / 3);
    sampler.accept_prompt(prompt);
    sampler.accept_generated(output);
    let found = sampler.distribution(&[0.0; VOCAB + 1], None).unwrap();
    // The last token is never in the history and so the measure of "no penalty".
    let free = f64::from(found[VOCAB].prob).ln();
    found[..VOCAB].iter().map(|p| free - f64::from(p.prob).ln()).collect()
}

fn check(dry: &Dry, history: &[TokenId]) {
    for (token, found) in penalties(dry, history).into_iter().enumerate() {
        let expected = oracle::dry_penalty(dry, history, token as TokenId);
        assert!(
            (found - expected).abs() < 1e-5 * (1.0 + expected) || expected > 60.0,
            "token {token} after {history:?} with {dry:?}: expected {expected}, found {found}"
        );
    }
}

#[test]
fn worked_example() {
    // "1 2 3" came before and was followed by 4; now "1 2 3" again: 4 would be the fourth.
    let dry = Dry { multiplier: 2.0, base: 1.5, allowed_length: 2, ..Dry::default() };
    let found = penalties(&dry, &[1, 2, 3, 4, 5, 1, 2, 3]);
    assert!((found[4] - 3.0).abs() < 1e-5, "2 * 1.5^(3 - 2) = 3, found {}", found[4]);
    assert!(found[..4].iter().chain(&found[5..]).all(|p| p.abs() < 1e-5), "{found:?}");
    // A breaker inside of the repetition leaves only "3", which is too short.
    let broken = Dry { sequence_breakers: vec![vec![1, 2]], ..dry };
    assert!(penalties(&broken, &[1, 2, 3, 4, 5, 1, 2, 3]).iter().all(|p| p.abs() < 1e-5));
}

#[test]
fn long_repetition_stays_finite_and_linear() {
    let dry = Dry { multiplier: 100.0, base: 100.0, allowed_length: 1, ..Dry::default() };
    let params = SamplingParams { dry: Some(dry), seed: Some(1), ..SamplingParams::default() };
    let mut sampler = Sampler::new(params, 3).unwrap();
    sampler.accept_prompt(&vec![1; 200_000]);
    let start = std::time::Instant::now();
    let token = sampler.sample(&[0.0, 0.0, 0.0]).unwrap().token;
    assert_ne!(token, 1);
    assert!(start.elapsed().as_secs() < 2, "quadratic: {:?}", start.elapsed());
    // When nothing else is allowed, the penalty must not ban it.
    let only = rocmforge_sampler::TokenMask::from_words(vec![2], 3).unwrap();
    assert_eq!(sampler.sample_masked(&[0.0, 0.0, 0.0], Some(&only)).unwrap().token, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn equals_brute_force(
        history in prop::collection::vec(0..4u32, 0..40),
        base in 1.0f32..1.6,
        allowed_length in 1usize..5,
        last_n in prop::option::of(0usize..45),
        sequence_breakers in prop::collection::vec(prop::collection::vec(0..5u32, 1..4), 0..3),
    ) {
        check(&Dry { multiplier: 0.1, base, allowed_length, last_n, sequence_breakers }, &history);
    }
}
