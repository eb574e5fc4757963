//! Chi-square tests: 100,000 draws of each stage against its definition.

use rocmforge_sampler::{Dry, Mirostat, Sampler, SamplingParams, TokenId};

use crate::oracle::{self, Context};

const DRAWS: u64 = 100_000;
const VOCAB: usize = 60;

/// Logits with a head, a long tail, a tie and negative values.
fn logits() -> Vec<f32> {
    let mut row: Vec<f32> = (0..VOCAB).map(|i| (i * i * 37 % 101) as f32 / 25.0 - 2.0).collect();
    row[11] = 4.0;
    row[12] = 3.5;
    row[40] = 3.5;
    row
}

fn context() -> Context {
    Context { prompt: vec![11, 12, 3, 40, 41, 11, 12], output: vec![7, 40, 41, 7, 11, 12], mirostat_mu: 3.3 }
}

/// An upper bound of a chi-square variable that is exceeded once in a million: Wilson and
/// Hilferty's approximation with the normal quantile 4.7534.
fn chi_square_bound(freedom: f64) -> f64 {
    let a = 2.0 / (9.0 * freedom);
    freedom * (1.0 - a + 4.7534 * a.sqrt()).powi(3)
}

/// Draws at positions 0..DRAWS from one state, so that every draw has one distribution.
fn counts(params: &SamplingParams, logits: &[f32], context: &Context) -> Vec<u64> {
    let mut base = Sampler::new(params.clone(), VOCAB).unwrap();
    base.accept_prompt(&context.prompt);
    base.accept_generated(&context.output);
    let mut counts = vec![0; VOCAB];
    let mut snapshot = base.snapshot();
    if params.mirostat.is_some() {
        snapshot.mirostat_mu = context.mirostat_mu as f32;
    }
    for position in 0..DRAWS {
        snapshot.position = position;
        let mut sampler = base.clone();
        sampler.restore(&snapshot);
        counts[sampler.sample(logits).unwrap().token as usize] += 1;
    }
    counts
}

fn check(name: &str, params: SamplingParams) {
    let params = SamplingParams { seed: Some(20_240_607), ..params };
    let (logits, context) = (logits(), context());
    let expected = oracle::distribution(&params, &logits, &context);
    let found = counts(&params, &logits, &context);
    let (mut statistic, mut cells) = (0.0, 0);
    let (mut rest_expected, mut rest_found) = (0.0, 0.0);
    for (id, (p, n)) in expected.iter().zip(&found).enumerate() {
        let (e, n) = (p * DRAWS as f64, *n as f64);
        assert!(*p > 0.0 || n == 0.0, "{name}: token {id} has probability 0 and came {n} times");
        if e >= 10.0 {
            statistic += (n - e).powi(2) / e;
            cells += 1;
        } else {
            rest_expected += e;
            rest_found += n;
        }
    }
    if rest_expected >= 10.0 {
        statistic += (rest_found - rest_expected).powi(2) / rest_expected;
        cells += 1;
    }
    assert!(cells >= 2, "{name}: the definition leaves one token, nothing to test");
    let bound = chi_square_bound(f64::from(cells - 1));
    assert!(statistic < bound, "{name}: chi-square {statistic:.1}, bound {bound:.1}, {cells} cells");
}

macro_rules! chi_square {
    ($($name:ident { $($field:ident: $value:expr),* $(,)? })*) => {$(
        #[test]
        fn $name() {
            let base = SamplingParams::default();
            check(stringify!($name), SamplingParams { $($field: $value,)* ..base });
        }
    )*};
}

fn dry() -> Dry {
    Dry { multiplier: 0.8, sequence_breakers: vec![vec![3]], ..Dry::default() }
}

chi_square! {
    neutral {}
    temperature_low { temperature: 0.6 }
    temperature_high { temperature: 1.7 }
    dynamic_temperature { dynatemp_range: 0.7, dynatemp_exponent: 1.4 }
    top_k { top_k: 9 }
    top_p { top_p: 0.75 }
    min_p { min_p: 0.12 }
    typical { typical_p: 0.6 }
    top_n_sigma { top_n_sigma: 1.4 }
    xtc { xtc_probability: 0.4, xtc_threshold: 0.07 }
    mirostat { mirostat: Some(Mirostat { tau: 3.0, eta: 0.1 }) }
    mirostat_skips_truncation { mirostat: Some(Mirostat::default()), top_k: 2, temperature: 1.3 }
    repetition { repetition_penalty: 1.3 }
    presence { presence_penalty: 0.9 }
    frequency { frequency_penalty: 0.7, penalty_last_n: Some(4) }
    dry_alone { dry: Some(dry()) }
    bias { logit_bias: vec![(11, -3.0), (5, 4.0), (12, f32::NEG_INFINITY)] }
    allowed { allowed_tokens: Some(vec![1, 11, 12, 40, 59]) }
    min_keep { top_k: 1, top_p: 0.1, min_keep: 4 }
    usual_chat { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: 0.05 }
    everything {
        temperature: 0.9, dynatemp_range: 0.3, top_k: 30, top_p: 0.93, min_p: 0.02, typical_p: 0.97,
        top_n_sigma: 2.5, xtc_probability: 0.5, xtc_threshold: 0.1, repetition_penalty: 1.1,
        presence_penalty: 0.2, frequency_penalty: 0.1, penalty_last_n: Some(8), dry: Some(dry()),
        logit_bias: vec![(20, 3.0)],
    }
}

/// The test itself must be able to fail: a slightly wrong temperature is noticed.
#[test]
#[should_panic(expected = "chi-square")]
fn a_wrong_distribution_is_noticed() {
    let params = SamplingParams { seed: Some(1), ..SamplingParams::default() };
    let mut other = logits();
    other.iter_mut().for_each(|l| *l *= 0.97);
    let expected = oracle::distribution(&params, &other, &context());
    let found = counts(&params, &logits(), &context());
    let cells = expected.iter().zip(&found).map(|(p, n)| (p * DRAWS as f64, *n as f64));
    let statistic: f64 = cells.map(|(e, n)| (n - e).powi(2) / e).sum();
    assert!(statistic < chi_square_bound(VOCAB as f64 - 1.0), "chi-square {statistic}");
}

/// The coin of XTC and the draw of the token use numbers that know nothing of each other.
#[test]
fn coin_and_draw_are_independent() {
    use rocmforge_sampler::{Stream, uniform};
    let mut table = [[0u32; 4]; 4];
    for position in 0..DRAWS {
        let cell = |stream| (uniform(5, position, stream) * 4.0) as usize;
        table[cell(Stream::Token)][cell(Stream::XtcCoin)] += 1;
    }
    let e = DRAWS as f64 / 16.0;
    let statistic: f64 = table.iter().flatten().map(|n| (f64::from(*n) - e).powi(2) / e).sum();
    assert!(statistic < chi_square_bound(15.0), "chi-square {statistic}");
}

/// A large vocabulary goes through the blocks of sums and buckets; tokens are grouped in
/// 100 cells by id.
#[test]
fn large_vocabulary() {
    const BIG: usize = 20_000;
    let row: Vec<f32> = (0..BIG).map(|i| ((i * 7919) % 10_007) as f32 / 1000.0 - (i % 3) as f32).collect();
    for params in [
        SamplingParams::default(),
        SamplingParams { top_p: 0.9, ..SamplingParams::default() },
        SamplingParams { typical_p: 0.8, ..SamplingParams::default() },
        SamplingParams { top_k: 3000, min_p: 0.01, temperature: 0.7, ..SamplingParams::default() },
    ] {
        let params = SamplingParams { seed: Some(77), ..params };
        let expected = oracle::distribution(&params, &row, &Context::default());
        let mut sampler = Sampler::new(params.clone(), BIG).unwrap();
        let mut found = [0.0f64; 100];
        let draws = 4000;
        for _ in 0..draws {
            let token: TokenId = sampler.sample(&row).unwrap().token;
            assert!(expected[token as usize] > 0.0, "{params:?}: token {token} was cut off");
            found[token as usize / (BIG / 100)] += 1.0;
        }
        let cells = expected.chunks(BIG / 100).map(|c| c.iter().sum::<f64>() * f64::from(draws));
        let statistic: f64 = cells.zip(found).map(|(e, n)| (n - e).powi(2) / e).sum();
        assert!(statistic < chi_square_bound(99.0), "{params:?}: chi-square {statistic}");
    }
}
