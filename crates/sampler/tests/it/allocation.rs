//! A step allocates nothing once its buffers have grown.

use rocmforge_sampler::{Dry, Sampler, SamplingParams};

#[test]
fn steady_state_allocates_nothing() {
    const VOCAB: usize = 20_000;
    let base = SamplingParams { seed: Some(5), ..SamplingParams::default() };
    let dry = Dry { multiplier: 0.8, ..Dry::default() };
    for params in [
        SamplingParams { temperature: 0.0, ..base.clone() },
        SamplingParams { top_k: 40, top_p: 0.95, min_p: 0.05, temperature: 0.8, ..base.clone() },
        SamplingParams { top_p: 0.9, typical_p: 0.9, top_n_sigma: 3.0, ..base.clone() },
        SamplingParams { mirostat: Some(Default::default()), ..base.clone() },
        SamplingParams {
            repetition_penalty: 1.1,
            penalty_last_n: Some(64),
            dry: Some(dry),
            top_k: 100,
            xtc_probability: 0.5,
            ..base
        },
    ] {
        let mut sampler = Sampler::new(params.clone(), VOCAB).unwrap();
        let row: Vec<f32> = (0..VOCAB).map(|i| ((i * 7919) % 10_007) as f32 / 900.0).collect();
        let step = |sampler: &mut Sampler| drop(sampler.sample(&row));
        (0..300).for_each(|_| step(&mut sampler));
        // The history itself grows, by doubling: from 300 to 500 tokens at most once.
        let used = allocation_counter::measure(|| (0..200).for_each(|_| step(&mut sampler)));
        assert!(used.count_total <= 4, "{} allocations in 200 steps of {params:?}", used.count_total);
    }
}
