//! Rotary embeddings as the metadata describes them, resolved to frequencies.

use rocmforge_attention::{RopePairing, RopeScaling, RopeSpec};

use crate::hparams::Hparams;
use crate::source::Source;
use crate::{ModelError, keys};

const THETA_DEFAULT: f32 = 10_000.0;
/// Below this, a divided frequency could overflow.
const DIVISOR_MIN: f32 = 1e-6;
const SCALINGS: &str = "none, linear, yarn or longrope";

/// The rotation of a model with one kind of layer: base, scaling, and the file's tables of divisors.
pub(crate) fn rope(source: &Source<'_>, hp: &Hparams, pairing: RopePairing) -> Result<RopeSpec, ModelError> {
    let theta = source.number(&keys::ROPE_THETA)?.unwrap_or(THETA_DEFAULT);
    let (scaling, magnitude) = scaling(source, hp, theta)?;
    let mut spec = RopeSpec::new(pairing, hp.head_dim, hp.rotary_dims, theta, &scaling)?;
    spec.magnitude *= magnitude;
    if let Some(divisors) = divisors(source, hp)? {
        spec.frequencies = spec.frequencies.iter().zip(divisors).map(|(f, by)| f / by).collect();
    }
    Ok(spec)
}

/// The rotation of layers with a sliding window, which keep a base of their own and know no scaling.
pub(crate) fn local_rope(source: &Source<'_>, hp: &Hparams, pairing: RopePairing) -> Result<RopeSpec, ModelError> {
    let theta = source.number(&keys::ROPE_THETA_LOCAL)?.unwrap_or(THETA_DEFAULT);
    Ok(RopeSpec::new(pairing, hp.head_dim, hp.rotary_dims, theta, &RopeScaling::None)?)
}

/// The scaling, and a factor of its magnitude.
fn scaling(source: &Source<'_>, hp: &Hparams, theta: f32) -> Result<(RopeScaling, f32), ModelError> {
    let magnitude = source.number(&keys::ROPE_MAGNITUDE)?.unwrap_or(1.0);
    let factor = match source.number(&keys::ROPE_FACTOR)? {
        Some(factor) => Some(factor),
        None => source.number(&keys::ROPE_FACTOR_OLD)?,
    };
    let key = source.key(keys::plain::ROPE_SCALING);
    match (source.metadata().get_str(&key)?, factor) {
        (Some("none" | "longrope") | None, None) | (Some("none"), _) => Ok((RopeScaling::None, magnitude)),
        (Some("linear" | "longrope") | None, Some(factor)) => Ok((RopeScaling::Linear { factor }, magnitude)),
        (Some("yarn"), Some(factor)) => {
            let (scaling, more) = yarn(source, hp, theta, factor)?;
            Ok((scaling, magnitude * more))
        }
        (Some("linear" | "yarn"), None) => Err(source.missing_key(keys::ROPE_FACTOR.key)),
        (Some(other), _) => Err(source.bad(keys::plain::ROPE_SCALING, other, SCALINGS)),
    }
}

fn yarn(source: &Source<'_>, hp: &Hparams, theta: f32, factor: f32) -> Result<(RopeScaling, f32), ModelError> {
    if source.number(&keys::YARN_EXTRAPOLATION)?.is_some_and(|mix| (0.0..1.0).contains(&mix)) {
        return Err(ModelError::Unsupported {
            key: source.key(keys::YARN_EXTRAPOLATION.key),
            reason: "only the full extrapolation of 1 is supported".into(),
        });
    }
    let yarn = Yarn {
        factor,
        original_context: source.size(&keys::ORIGINAL_CONTEXT_LENGTH)?.unwrap_or(hp.context_length),
        beta_fast: source.number(&keys::YARN_BETA_FAST)?.unwrap_or(32.0),
        beta_slow: source.number(&keys::YARN_BETA_SLOW)?.unwrap_or(1.0),
        magnitude: temperature(factor, 1.0),
    };
    // DeepSeek's variant divides by a second temperature (mscale and mscale_all_dim in its configuration).
    let divisor = source.number(&keys::YARN_LOG_FACTOR)?.map_or(1.0, |by| temperature(factor, by));
    let more = source.number(&keys::YARN_MAGNITUDE)?.unwrap_or(1.0) / divisor;
    let truncated = source.truth(keys::plain::YARN_TRUNCATE)?.unwrap_or(true);
    Ok((if truncated { yarn.spec() } else { yarn.untruncated(hp.rotary_dims, theta) }, more))
}

/// YaRN's `0.1 m ln(s) + 1` (arXiv:2309.00071, equation 22), 1 without stretching.
fn temperature(factor: f32, multiplier: f32) -> f32 {
    if factor <= 1.0 { 1.0 } else { 0.1 * multiplier * factor.ln() + 1.0 }
}

struct Yarn {
    factor: f32,
    original_context: usize,
    beta_fast: f32,
    beta_slow: f32,
    magnitude: f32,
}

impl Yarn {
    fn spec(&self) -> RopeScaling {
        RopeScaling::Yarn {
            factor: self.factor,
            original_context: self.original_context,
            beta_fast: self.beta_fast,
            beta_slow: self.beta_slow,
            magnitude: Some(self.magnitude),
        }
    }

    /// The ramp between exact dimensions, where the usual form rounds them outwards to whole ones.
    fn untruncated(&self, dims: usize, theta: f32) -> RopeScaling {
        let turns = |rotations: f32| {
            let length = self.original_context as f64 / (f64::from(rotations) * std::f64::consts::TAU);
            dims as f64 * length.ln() / (2.0 * f64::from(theta).ln())
        };
        let low = turns(self.beta_fast).max(0.0);
        let high = turns(self.beta_slow).min(dims as f64 - 1.0);
        let divisor = |i: usize| {
            let ramp = ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
            (1.0 / (1.0 - ramp + ramp / f64::from(self.factor))) as f32
        };
        RopeScaling::Factors { factors: (0..dims / 2).map(divisor).collect(), magnitude: self.magnitude }
    }
}

/// A divisor for each frequency: Llama 3.1's single table, or LongRoPE's (arXiv:2402.13753) for a context longer
/// than the trained one or not.
fn divisors(source: &Source<'_>, hp: &Hparams) -> Result<Option<Vec<f32>>, ModelError> {
    let context = source.options().context_length.unwrap_or(hp.context_length);
    let trained = source.size(&keys::ORIGINAL_CONTEXT_LENGTH)?.unwrap_or(hp.context_length);
    let by_length = if context > trained { "rope_factors_long.weight" } else { "rope_factors_short.weight" };
    for name in ["rope_freqs.weight", by_length] {
        let Some(values) = source.rope_table(name, hp.rotary_dims / 2, "rope.dimension_count / 2")? else { continue };
        if let Some(bad) = values.iter().find(|v| !(v.is_finite() && **v > DIVISOR_MIN)) {
            return Err(ModelError::BadHyperparam {
                key: name.into(),
                found: bad.to_string(),
                range: format!("finite numbers above {DIVISOR_MIN:e}"),
            });
        }
        return Ok(Some(values));
    }
    Ok(None)
}
