//! Mirostat's feedback.

use rocmforge_sampler::{Mirostat, Sampler, SamplingParams};

/// Zipf's law over 5,000 tokens, another assignment of ranks at each step. The surprise of
/// the best token is 2.66 bits, so that targets above it can be met.
fn row(step: usize) -> Vec<f32> {
    (0..5000).map(|i| -1.1 * (((i + step * 997) % 5000 + 1) as f32).ln()).collect()
}

#[test]
fn surprise_converges_to_tau() {
    for tau in [3.0, 4.0, 6.0] {
        let params = SamplingParams {
            mirostat: Some(Mirostat { tau, eta: 0.1 }),
            seed: Some(42),
            logprobs: Some(0),
            ..SamplingParams::default()
        };
        let mut sampler = Sampler::new(params, 5000).unwrap();
        let mut sum = 0.0;
        for step in 0..4500 {
            let sampled = sampler.sample(&row(step)).unwrap();
            if step >= 500 {
                sum += -sampled.logprob.expect("it was asked for") / std::f32::consts::LN_2;
            }
        }
        let mean = sum / 4000.0;
        assert!((mean - tau).abs() < 0.05, "target {tau} bits, mean surprise {mean}");
    }
}

#[test]
fn limit_moves_by_the_definition() {
    let params = SamplingParams {
        mirostat: Some(Mirostat { tau: 3.0, eta: 0.25 }),
        seed: Some(3),
        logprobs: Some(0),
        ..SamplingParams::default()
    };
    let mut sampler = Sampler::new(params, 5000).unwrap();
    assert_eq!(sampler.snapshot().mirostat_mu, 6.0);
    for step in 0..50 {
        let before = sampler.snapshot().mirostat_mu;
        let sampled = sampler.sample(&row(step)).unwrap();
        let surprise = -sampled.logprob.expect("it was asked for") / std::f32::consts::LN_2;
        assert!(surprise <= before + 1e-4 || before < 1.0, "{surprise} bits above {before}");
        let expected = before - 0.25 * (surprise - 3.0);
        let after = sampler.snapshot().mirostat_mu;
        assert!((after - expected).abs() < 1e-4, "step {step}: {after}, expected {expected}");
    }
}
