//! What one attention layer computes, independent of any device.

use std::fmt;

/// Scaled dot-product attention over a cache of keys and values.
///
/// For query head `h` at position `p`, with `g = h / (num_heads / num_kv_heads)` its key/value head:
///
/// ```text
/// s_j = softcap(scale * q · k[g, j])          for every visible position j
/// a   = softmax([s_j …, sink_h])              the sink, when there is one, has no value
/// out = Σ_j a_j v[g, j]
/// ```
///
/// Position `j` is visible from `p` when `j ≤ p` (if `causal`) and `p - j < window` (if there is a window).
#[derive(Debug, Clone, PartialEq)]
pub struct AttentionSpec {
    /// Query heads.
    pub num_heads: usize,
    /// Key/value heads; divides `num_heads`. Equal: MHA; one: MQA; between: GQA (arXiv:2305.13245).
    pub num_kv_heads: usize,
    /// Width of a query and key head.
    pub head_dim: usize,
    /// Width of a value head.
    pub value_dim: usize,
    /// Factor of the dot product, usually `1 / sqrt(head_dim)`.
    pub scale: f32,
    /// `softcap(x) = cap * tanh(x / cap)` on the scores (Gemma 2).
    pub softcap: Option<f32>,
    /// How many positions a token sees, itself included (sliding-window attention).
    pub window: Option<usize>,
    /// Whether later positions are hidden.
    pub causal: bool,
}

/// An [`AttentionSpec`] or [`RopeSpec`](crate::RopeSpec) that cannot be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// A size is zero.
    #[error("{what} is zero")]
    Zero {
        /// The field.
        what: &'static str,
    },
    /// Query heads are not a multiple of key/value heads.
    #[error("{num_heads} query heads are not a multiple of {num_kv_heads} key/value heads")]
    HeadsNotMultiple {
        /// Query heads.
        num_heads: usize,
        /// Key/value heads.
        num_kv_heads: usize,
    },
    /// A factor is not a finite positive number.
    #[error("{what} must be finite and positive, found {found}")]
    NotPositive {
        /// The field.
        what: &'static str,
        /// The value found.
        found: f32,
    },
    /// The rotated dimensions are odd or exceed the head.
    #[error("{rotary_dims} rotary dimensions: expected an even number between 2 and the head's {head_dim}")]
    RotaryDims {
        /// Dimensions to rotate.
        rotary_dims: usize,
        /// Width of a head.
        head_dim: usize,
    },
    /// A table of frequency factors has the wrong length.
    #[error("{found} RoPE frequency factors, expected {expected}")]
    FactorCount {
        /// Half the rotary dimensions.
        expected: usize,
        /// Length found.
        found: usize,
    },
}

impl AttentionSpec {
    /// Causal attention over the whole context with scale `1 / sqrt(head_dim)`.
    pub fn causal(num_heads: usize, num_kv_heads: usize, head_dim: usize) -> Self {
        Self {
            num_heads,
            num_kv_heads,
            head_dim,
            value_dim: head_dim,
            scale: 1.0 / (head_dim as f32).sqrt(),
            softcap: None,
            window: None,
            causal: true,
        }
    }

    /// Checks sizes and factors.
    ///
    /// # Errors
    /// The first field that cannot be computed with.
    pub fn validate(&self) -> Result<(), SpecError> {
        for (what, size) in [
            ("num_heads", self.num_heads),
            ("num_kv_heads", self.num_kv_heads),
            ("head_dim", self.head_dim),
            ("value_dim", self.value_dim),
            ("window", self.window.unwrap_or(1)),
        ] {
            if size == 0 {
                return Err(SpecError::Zero { what });
            }
        }
        if !self.num_heads.is_multiple_of(self.num_kv_heads) {
            return Err(SpecError::HeadsNotMultiple { num_heads: self.num_heads, num_kv_heads: self.num_kv_heads });
        }
        for (what, found) in [("scale", self.scale), ("softcap", self.softcap.unwrap_or(1.0))] {
            if !(found.is_finite() && found > 0.0) {
                return Err(SpecError::NotPositive { what, found });
            }
        }
        Ok(())
    }

    /// Query heads that share one key/value head.
    pub fn group_size(&self) -> usize {
        self.num_heads / self.num_kv_heads
    }

    /// Width of a query row, `num_heads * head_dim`.
    pub fn query_width(&self) -> usize {
        self.num_heads * self.head_dim
    }

    /// Width of a key row, `num_kv_heads * head_dim`.
    pub fn key_width(&self) -> usize {
        self.num_kv_heads * self.head_dim
    }

    /// Width of a value row, `num_kv_heads * value_dim`.
    pub fn value_width(&self) -> usize {
        self.num_kv_heads * self.value_dim
    }

    /// Width of an output row, `num_heads * value_dim`.
    pub fn output_width(&self) -> usize {
        self.num_heads * self.value_dim
    }

    /// First position that a query at `position` sees.
    pub fn first_visible(&self, position: usize) -> usize {
        self.window.map_or(0, |w| (position + 1).saturating_sub(w))
    }
}

impl fmt::Display for AttentionSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "heads={}/{} dim={}", self.num_heads, self.num_kv_heads, self.head_dim)?;
        if self.value_dim != self.head_dim {
            write!(f, "/{}", self.value_dim)?;
        }
        write!(f, " scale={}", self.scale)?;
        if let Some(cap) = self.softcap {
            write!(f, " softcap={cap}")?;
        }
        if let Some(window) = self.window {
            write!(f, " window={window}")?;
        }
        if !self.causal {
            write!(f, " bidirectional")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_names_the_field() {
        let ok = AttentionSpec::causal(8, 2, 64);
        assert_eq!(ok.validate(), Ok(()));
        let check = |edit: fn(&mut AttentionSpec), message: &str| {
            let mut spec = ok.clone();
            edit(&mut spec);
            assert_eq!(spec.validate().unwrap_err().to_string(), message);
        };
        check(|s| s.head_dim = 0, "head_dim is zero");
        check(|s| s.num_kv_heads = 3, "8 query heads are not a multiple of 3 key/value heads");
        check(|s| s.scale = f32::NAN, "scale must be finite and positive, found NaN");
        check(|s| s.window = Some(0), "window is zero");
    }

    #[test]
    fn window_counts_the_token_itself() {
        let mut spec = AttentionSpec::causal(1, 1, 8);
        assert_eq!(spec.first_visible(9), 0);
        spec.window = Some(4);
        assert_eq!(spec.first_visible(9), 6);
        assert_eq!(spec.first_visible(2), 0);
    }
}
