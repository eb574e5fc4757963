//! The three penalties and the bias, to the last bit.

use proptest::prelude::*;
use rocmforge_sampler::{Sampler, SamplingParams, TokenId};

/// Whether `a` is adjusted to a larger logit than `b`, seen through the greedy choice.
fn winner(params: &SamplingParams, prompt: &[TokenId], output: &[TokenId], row: &[f32]) -> TokenId {
    let params = SamplingParams { temperature: 0.0, ..params.clone() };
    let mut sampler = Sampler::new(params, row.len()).unwrap();
    sampler.accept_prompt(prompt);
    sampler.accept_generated(output);
    sampler.sample(row).unwrap().token
}

proptest! {
    /// Token 1 is penalized and compared with an unpenalized token 2 that has exactly the
    /// value it should get, and with the next value up and down.
    #[test]
    fn exact(
        logit in -20.0f32..20.0,
        repetition in 0.5f32..2.0,
        presence in -2.0f32..2.0,
        frequency in -2.0f32..2.0,
        in_prompt in 0usize..4,
        in_output in 0usize..4,
    ) {
        let params = SamplingParams {
            repetition_penalty: repetition,
            presence_penalty: presence,
            frequency_penalty: frequency,
            ..SamplingParams::default()
        };
        let mut expected = logit;
        if in_prompt + in_output > 0 {
            expected = if logit > 0.0 { logit / repetition } else { logit * repetition };
        }
        if in_output > 0 {
            expected -= frequency * in_output as f32 + presence;
        }
        let (prompt, output) = (vec![1; in_prompt], vec![1; in_output]);
        let against = |other: f32| winner(&params, &prompt, &output, &[-1e9, logit, other]);
        prop_assert_eq!(against(expected), 1, "a tie goes to the lower id");
        prop_assert_eq!(against(expected.next_up()), 2);
        prop_assert_eq!(against(expected.next_down()), 1);
    }
}

#[test]
fn window_forgets() {
    let params = SamplingParams { presence_penalty: 1.0, penalty_last_n: Some(2), ..SamplingParams::default() };
    let row = [1.0, 0.5, 0.0];
    assert_eq!(winner(&params, &[], &[0], &row), 1);
    assert_eq!(winner(&params, &[], &[0, 2], &row), 1);
    assert_eq!(winner(&params, &[], &[0, 2, 2], &row), 0);
    assert_eq!(winner(&params, &[0], &[], &row), 0, "presence does not count the prompt");
    let none = SamplingParams { penalty_last_n: Some(0), ..params };
    assert_eq!(winner(&none, &[], &[0], &row), 0);
}

#[test]
fn bias_moves_and_bans() {
    let with = |bias| SamplingParams { logit_bias: vec![(0, bias)], ..SamplingParams::default() };
    let row = [2.0, 1.0];
    assert_eq!(winner(&with(-1.0), &[], &[], &row), 0);
    assert_eq!(winner(&with(-1.000_001), &[], &[], &row), 1);
    assert_eq!(winner(&with(f32::NEG_INFINITY), &[], &[], &row), 1);
    // What the model bans stays banned.
    assert_eq!(winner(&with(100.0), &[], &[], &[f32::NEG_INFINITY, 1.0]), 1);
}

#[test]
fn placeholders_past_the_vocabulary_are_harmless() {
    let params = SamplingParams { repetition_penalty: 1.5, ..SamplingParams::default() };
    assert_eq!(winner(&params, &[u32::MAX, 9, 0], &[7], &[1.0, 0.8]), 1);
}

#[test]
fn extremes_stay_finite() {
    let params = SamplingParams { repetition_penalty: 0.01, ..SamplingParams::default() };
    assert_eq!(winner(&params, &[1], &[], &[f32::MAX, f32::MAX]), 0, "both at the limit: a tie");
    let params = SamplingParams { repetition_penalty: 10.0, ..SamplingParams::default() };
    assert_eq!(winner(&params, &[0], &[], &[f32::MIN, f32::NEG_INFINITY]), 0);
}
