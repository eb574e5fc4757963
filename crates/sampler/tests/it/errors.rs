//! Every bad parameter and every bad row is a typed error that names what is wrong.

use rocmforge_sampler::{
    Dry, Mirostat, Sampler, SamplerError, SamplingParams, TokenMask, greedy, log_softmax_top, token_logprob,
};

const VOCAB: usize = 100;
const NAN: f32 = f32::NAN;
const INF: f32 = f32::INFINITY;

fn refuse(param: &str, params: SamplingParams) -> String {
    let error = params.validate(VOCAB).expect_err(param);
    let text = error.to_string();
    assert!(text.contains(&format!("`{param}`")), "{param}: {text}");
    assert_eq!(Sampler::new(params, VOCAB).err().map(|e| e.to_string()), Some(text.clone()));
    text
}

macro_rules! floats {
    ($($field:ident: bad [$($bad:expr),*], good [$($good:expr),*];)*) => {$(
        for bad in [NAN, -NAN, INF, -INF, $($bad),*] {
            refuse(stringify!($field), SamplingParams { $field: bad, ..SamplingParams::default() });
        }
        for good in [$($good),*] {
            let params = SamplingParams { $field: good, ..SamplingParams::default() };
            assert_eq!(params.validate(VOCAB), Ok(()), "{} = {good}", stringify!($field));
        }
    )*};
}

#[test]
fn h28_h29_floats_out_of_range() {
    floats! {
        temperature: bad [-0.1, -0.0, 2.0001, 1e38], good [0.0, 1e-45, 2.0];
        dynatemp_range: bad [-0.1, 2.1], good [0.0, 2.0];
        dynatemp_exponent: bad [-0.1, 11.0], good [0.0, 1.0];
        top_p: bad [0.0, -0.0, -0.5, 1.001], good [1e-9, 1.0];
        min_p: bad [-0.1, 1.001], good [0.0, 1.0];
        typical_p: bad [0.0, 1.001], good [0.1, 1.0];
        top_n_sigma: bad [-101.0, 101.0], good [-1.0, 0.0, 1.5];
        xtc_probability: bad [-0.1, 1.1], good [0.0, 1.0];
        xtc_threshold: bad [-0.1, 1.1], good [0.0, 1.0];
        repetition_penalty: bad [0.0, -1.0, 10.1], good [0.1, 10.0];
        presence_penalty: bad [-2.1, 2.1], good [-2.0, 2.0];
        frequency_penalty: bad [-2.1, 2.1], good [-2.0, 2.0];
    }
    let text = refuse("top_p", SamplingParams { top_p: 1.5, ..SamplingParams::default() });
    assert_eq!(text, "`top_p` must be more than 0, up to 1, found 1.5");
}

#[test]
fn h29_groups_and_counts() {
    let with = |mirostat| SamplingParams { mirostat: Some(mirostat), ..SamplingParams::default() };
    for bad in [0.0, -1.0, NAN, 101.0] {
        refuse("mirostat.tau", with(Mirostat { tau: bad, eta: 0.1 }));
    }
    for bad in [0.0, -1.0, NAN, 1.5] {
        refuse("mirostat.eta", with(Mirostat { tau: 5.0, eta: bad }));
    }
    let with = |dry| SamplingParams { dry: Some(dry), ..SamplingParams::default() };
    refuse("dry.multiplier", with(Dry { multiplier: -1.0, ..Dry::default() }));
    refuse("dry.multiplier", with(Dry { multiplier: NAN, ..Dry::default() }));
    refuse("dry.base", with(Dry { base: 0.9, ..Dry::default() }));
    refuse("dry.allowed_length", with(Dry { allowed_length: 0, ..Dry::default() }));
    for breakers in [vec![vec![]], vec![vec![1; 65]], vec![vec![100]], vec![vec![1]; 65_537]] {
        refuse("dry.sequence_breakers", with(Dry { sequence_breakers: breakers, ..Dry::default() }));
    }
    refuse("min_keep", SamplingParams { min_keep: VOCAB + 1, ..SamplingParams::default() });
}

#[test]
fn h33_logprobs() {
    refuse("logprobs", SamplingParams { logprobs: Some(21), ..SamplingParams::default() });
    for good in [None, Some(0), Some(20)] {
        let params = SamplingParams { logprobs: good, ..SamplingParams::default() };
        assert_eq!(params.validate(VOCAB), Ok(()));
    }
}

#[test]
fn h35_logit_bias_and_allowed_tokens() {
    let bias = |list| SamplingParams { logit_bias: list, ..SamplingParams::default() };
    for bad in [NAN, INF, 100.1, -100.1] {
        refuse("logit_bias", bias(vec![(1, bad)]));
    }
    refuse("logit_bias", bias(vec![(100, 1.0)]));
    refuse("logit_bias", bias(vec![(u32::MAX, 1.0)]));
    refuse("logit_bias", bias(vec![(1, 1.0), (2, 1.0), (1, 2.0)]));
    refuse("logit_bias", bias((0..1_000_000).map(|i| (i, 0.0)).collect()));
    assert_eq!(bias(vec![(99, f32::NEG_INFINITY), (0, -100.0)]).validate(VOCAB), Ok(()));
    let allowed = |list| SamplingParams { allowed_tokens: Some(list), ..SamplingParams::default() };
    refuse("allowed_tokens", allowed(vec![]));
    refuse("allowed_tokens", allowed(vec![100]));
    refuse("allowed_tokens", allowed(vec![1; 101]));
}

#[test]
fn h36_seeds_at_both_ends() {
    for seed in [0, u64::MAX, i64::MIN as u64, i64::MAX as u64] {
        let params = SamplingParams { seed: Some(seed), ..SamplingParams::default() };
        let mut sampler = Sampler::new(params, VOCAB).unwrap();
        assert_eq!(sampler.seed(), seed);
        assert!(sampler.sample(&[0.0; VOCAB]).is_ok());
    }
}

#[test]
fn h37_every_token_banned() {
    for temperature in [0.0, 1.0] {
        let params = SamplingParams {
            temperature,
            logit_bias: (0..4).map(|t| (t, f32::NEG_INFINITY)).collect(),
            ..SamplingParams::default()
        };
        let mut sampler = Sampler::new(params, 4).unwrap();
        let error = sampler.sample(&[0.0, 1.0, 2.0, f32::NEG_INFINITY]);
        assert_eq!(error, Err(SamplerError::NoCandidate { possible: 3 }));
        let mut free = Sampler::new(SamplingParams { temperature, ..SamplingParams::default() }, 4).unwrap();
        let error = free.sample_masked(&[0.0; 4], Some(&TokenMask::none(4)));
        assert_eq!(error, Err(SamplerError::NoCandidate { possible: 4 }));
    }
}

#[test]
fn vocabulary_sizes() {
    assert!(SamplingParams::default().validate(0).is_err());
    let error = Sampler::new(SamplingParams::default(), u32::MAX as usize + 1);
    assert!(error.is_err());
}

/// m86: broken arithmetic ends the sequence, it never becomes token 0.
#[test]
fn m86_bad_rows() {
    for temperature in [0.0, 0.8] {
        let params = SamplingParams { temperature, top_k: 3, seed: Some(1), ..SamplingParams::default() };
        let mut sampler = Sampler::new(params, VOCAB).unwrap();
        for bad in [NAN, -NAN, INF] {
            for at in [0, 17, 64, 99] {
                let mut row = vec![0.5; VOCAB];
                row[at] = bad;
                row[99] = bad;
                match sampler.sample(&row) {
                    Err(SamplerError::BadLogit { token, value }) => {
                        assert_eq!(token as usize, at);
                        assert_eq!(value.is_nan(), bad.is_nan());
                    }
                    other => panic!("{bad} at {at}: {other:?}"),
                }
                assert!(greedy(&row).is_err() && log_softmax_top(&row, 1).is_err());
                assert!(token_logprob(&row, 1).is_err());
            }
        }
        let none = SamplerError::NoFiniteLogit { vocab_size: VOCAB };
        assert_eq!(sampler.sample(&[f32::NEG_INFINITY; VOCAB]), Err(none));
        let lengths = sampler.sample(&[0.0; VOCAB - 1]);
        assert_eq!(lengths, Err(SamplerError::LogitsLength { expected: 100, found: 99 }));
        let mask = TokenMask::all(99);
        let masked = sampler.sample_masked(&[0.0; VOCAB], Some(&mask));
        assert_eq!(masked, Err(SamplerError::MaskLength { expected: 100, found: 99 }));
        // Nothing of this left a trace.
        assert_eq!((sampler.position(), sampler.history().len()), (0, 0));
    }
    assert!(greedy(&[]).is_err() && log_softmax_top(&[], 3).is_err());
    let past = token_logprob(&[0.0], 1);
    assert!(matches!(past, Err(SamplerError::TokenOutOfVocab { token: 1, .. })));
}
