//! Rotary position embeddings (RoPE, arXiv:2104.09864) and their context extensions, resolved into one table.
//!
//! Every scaling ends in the same two things: an angle per pair of dimensions and position, and one magnitude. So
//! that is all a [`RopeSpec`] holds, and no interpreter knows the name of a scaling.

use std::f64::consts::PI;
use std::fmt;
use std::sync::Arc;

use crate::SpecError;

/// Which dimensions of a head form a rotated pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RopePairing {
    /// `(0, 1), (2, 3), …`: Llama-family GGUF files, whose converter permutes Q and K.
    Adjacent,
    /// `(i, i + dims / 2)`: GPT-NeoX, Qwen, Gemma, Phi and most others.
    Halves,
}

/// How the frequencies of the base model are stretched to a longer context.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeScaling {
    /// The trained frequencies.
    None,
    /// Positions divided by `factor` (arXiv:2306.15595).
    Linear {
        /// Ratio of the new to the trained context.
        factor: f32,
    },
    /// Frequency `i` divided by `factors[i]`: Llama 3.1 and LongRoPE (arXiv:2402.13753) come as such tables.
    Factors {
        /// One divisor a pair.
        factors: Vec<f32>,
        /// Factor of sine and cosine.
        magnitude: f32,
    },
    /// YaRN (arXiv:2309.00071): high frequencies kept, low ones divided by `factor`, a ramp between.
    Yarn {
        /// Ratio of the new to the trained context.
        factor: f32,
        /// The trained context, in tokens.
        original_context: usize,
        /// Rotations over the trained context above which a frequency is kept, usually 32.
        beta_fast: f32,
        /// Rotations below which a frequency is divided, usually 1.
        beta_slow: f32,
        /// Factor of sine and cosine; `None` means the paper's `0.1 ln(factor) + 1`.
        magnitude: Option<f32>,
    },
}

/// One rotation of query or key heads, ready to compute.
///
/// At position `p`, pair `i` is rotated by the angle `p * frequencies[i]` and multiplied by `magnitude`.
/// Dimensions past `2 * frequencies.len()` are left as they are (partial rotary).
#[derive(Debug, Clone, PartialEq)]
pub struct RopeSpec {
    /// Which dimensions form a pair.
    pub pairing: RopePairing,
    /// Radians per position of each pair.
    pub frequencies: Arc<[f32]>,
    /// Factor of the rotated dimensions (1 unless a scaling says otherwise).
    pub magnitude: f32,
}

impl RopeSpec {
    /// Frequencies `base^(-2i / rotary_dims)` under a scaling.
    ///
    /// # Errors
    /// Rotary dimensions that are odd or exceed `head_dim`, a base or factor that is not positive, a factor table
    /// of the wrong length.
    pub fn new(
        pairing: RopePairing,
        head_dim: usize,
        rotary_dims: usize,
        base: f32,
        scaling: &RopeScaling,
    ) -> Result<Self, SpecError> {
        if rotary_dims < 2 || rotary_dims % 2 == 1 || rotary_dims > head_dim {
            return Err(SpecError::RotaryDims { rotary_dims, head_dim });
        }
        positive("RoPE base", base)?;
        let trained: Vec<f64> =
            (0..rotary_dims / 2).map(|i| f64::from(base).powf(-2.0 * i as f64 / rotary_dims as f64)).collect();
        let (frequencies, magnitude) = scale(&trained, rotary_dims, base, scaling)?;
        Ok(Self { pairing, frequencies: frequencies.iter().map(|&f| f as f32).collect(), magnitude })
    }

    /// Dimensions of a head that are rotated.
    pub fn rotary_dims(&self) -> usize {
        self.frequencies.len() * 2
    }

    /// The two dimensions of pair `i`.
    pub fn pair(&self, i: usize) -> (usize, usize) {
        match self.pairing {
            RopePairing::Adjacent => (2 * i, 2 * i + 1),
            RopePairing::Halves => (i, i + self.frequencies.len()),
        }
    }
}

impl fmt::Display for RopeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairing = match self.pairing {
            RopePairing::Adjacent => "adjacent",
            RopePairing::Halves => "halves",
        };
        write!(f, "{pairing} dims={}", self.rotary_dims())?;
        if let Some(last) = self.frequencies.last() {
            write!(f, " slowest={last:.3e}")?;
        }
        if self.magnitude != 1.0 {
            write!(f, " magnitude={}", self.magnitude)?;
        }
        Ok(())
    }
}

fn positive(what: &'static str, found: f32) -> Result<(), SpecError> {
    if found.is_finite() && found > 0.0 { Ok(()) } else { Err(SpecError::NotPositive { what, found }) }
}

fn scale(trained: &[f64], dims: usize, base: f32, scaling: &RopeScaling) -> Result<(Vec<f64>, f32), SpecError> {
    match scaling {
        RopeScaling::None => Ok((trained.to_vec(), 1.0)),
        RopeScaling::Linear { factor } => {
            positive("RoPE scaling factor", *factor)?;
            Ok((trained.iter().map(|f| f / f64::from(*factor)).collect(), 1.0))
        }
        RopeScaling::Factors { factors, magnitude } => {
            positive("RoPE magnitude", *magnitude)?;
            if factors.len() != trained.len() {
                return Err(SpecError::FactorCount { expected: trained.len(), found: factors.len() });
            }
            for &factor in factors {
                positive("RoPE frequency factor", factor)?;
            }
            Ok((trained.iter().zip(factors).map(|(f, &by)| f / f64::from(by)).collect(), *magnitude))
        }
        RopeScaling::Yarn { factor, original_context, beta_fast, beta_slow, magnitude } => {
            for (what, value) in [
                ("RoPE scaling factor", *factor),
                ("YaRN beta_fast", *beta_fast),
                ("YaRN beta_slow", *beta_slow),
                ("YaRN original context", *original_context as f32),
            ] {
                positive(what, value)?;
            }
            let at = |rotations: f32| yarn_dimension(dims, f64::from(base), *original_context, f64::from(rotations));
            let low = at(*beta_fast).floor().max(0.0);
            let high = at(*beta_slow).ceil().min(dims as f64 - 1.0);
            let stretched = |(i, &f): (usize, &f64)| {
                let ramp = ((i as f64 - low) / (high - low).max(0.001)).clamp(0.0, 1.0);
                f * (1.0 - ramp) + f / f64::from(*factor) * ramp
            };
            let magnitude = magnitude.unwrap_or(0.1 * factor.ln() + 1.0);
            positive("RoPE magnitude", magnitude)?;
            Ok((trained.iter().enumerate().map(stretched).collect(), magnitude))
        }
    }
}

/// The (fractional) pair that makes `rotations` full turns over the trained context.
fn yarn_dimension(dims: usize, base: f64, original_context: usize, rotations: f64) -> f64 {
    dims as f64 * (original_context as f64 / (rotations * 2.0 * PI)).ln() / (2.0 * base.ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_follow_the_paper() {
        let spec = RopeSpec::new(RopePairing::Halves, 8, 8, 10_000.0, &RopeScaling::None).unwrap();
        assert_eq!(&*spec.frequencies, &[1.0, 0.1, 0.01, 0.001]);
        assert_eq!(spec.pair(1), (1, 5));
    }

    #[test]
    fn linear_divides_and_yarn_keeps_the_fast_ones() {
        let linear = RopeSpec::new(RopePairing::Adjacent, 64, 64, 1e4, &RopeScaling::Linear { factor: 4.0 }).unwrap();
        assert_eq!(linear.frequencies[0], 0.25);
        let yarn =
            RopeScaling::Yarn { factor: 4.0, original_context: 4096, beta_fast: 32.0, beta_slow: 1.0, magnitude: None };
        let yarn = RopeSpec::new(RopePairing::Adjacent, 64, 64, 1e4, &yarn).unwrap();
        let plain = RopeSpec::new(RopePairing::Adjacent, 64, 64, 1e4, &RopeScaling::None).unwrap();
        assert_eq!(yarn.frequencies[0], plain.frequencies[0]);
        assert!((yarn.frequencies[31] / plain.frequencies[31] - 0.25).abs() < 1e-6);
        assert!((yarn.magnitude - 1.138_629_4).abs() < 1e-6);
    }

    #[test]
    fn hostile_values_are_named() {
        let check = |dims, base, scaling: RopeScaling, message: &str| {
            let error = RopeSpec::new(RopePairing::Halves, 8, dims, base, &scaling).unwrap_err();
            assert_eq!(error.to_string(), message);
        };
        check(7, 1e4, RopeScaling::None, "7 rotary dimensions: expected an even number between 2 and the head's 8");
        check(10, 1e4, RopeScaling::None, "10 rotary dimensions: expected an even number between 2 and the head's 8");
        check(8, f32::NAN, RopeScaling::None, "RoPE base must be finite and positive, found NaN");
        let short = RopeScaling::Factors { factors: vec![1.0], magnitude: 1.0 };
        check(8, 1e4, short, "1 RoPE frequency factors, expected 4");
    }
}
