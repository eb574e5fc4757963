//! Dense feed-forward networks.

use rocmforge_program::{Activation, ValueId};

use super::Emitted;
use crate::hparams::{Dim, Layer};
use crate::net::Net;

/// The shape of a feed-forward network.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Mlp {
    /// `down(activation(gate(x)) * up(x))` (arXiv:2002.05202).
    Gated(Activation),
    /// The same, with gate and up as the two halves of `ffn_up`, in that order.
    Fused(Activation),
    /// `down(activation(up(x)))`.
    Plain(Activation),
}

impl Net<'_> {
    /// The layer's dense network of normalised `x`, `[T, hidden]`.
    pub(crate) fn mlp(&mut self, layer: &Layer, x: ValueId, mlp: Mlp) -> Emitted {
        let width = layer.intermediate_size(self.source)?;
        self.mlp_of(layer, x, mlp, width, "")
    }

    /// A dense network of this width, whose tensors' names end in `suffix`.
    pub(crate) fn mlp_of(&mut self, layer: &Layer, x: ValueId, mlp: Mlp, width: Dim, suffix: &str) -> Emitted {
        let hidden = self.hp.hidden_size;
        let name = |part: &str| layer.tensor(&format!("ffn_{part}{suffix}"));
        let inner = match mlp {
            Mlp::Gated(activation) => {
                let gate = self.linear(x, &name("gate"), width, hidden)?;
                let up = self.linear(x, &name("up"), width, hidden)?;
                self.ops.gate(gate, Some(up), activation)?
            }
            Mlp::Fused(activation) => {
                let stored = Dim::new(2 * width.size, "2 x feed_forward_length");
                let gate = self.linear_part(x, &name("up"), stored, 0..width.size)?;
                let up = self.linear_part(x, &name("up"), stored, width.size..stored.size)?;
                self.ops.gate(gate, Some(up), activation)?
            }
            Mlp::Plain(activation) => {
                let up = self.linear(x, &name("up"), width, hidden)?;
                self.ops.gate(up, None, activation)?
            }
        };
        self.linear(inner, &name("down"), hidden, width)
    }
}
