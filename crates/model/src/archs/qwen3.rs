//! Qwen 3 (arXiv:2505.09388): a norm of each query and key head in place of biases.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp, QkNorm};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "qwen3", description: "Qwen 3, dense", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    let attention =
        Attention { rope: Some(net.rope(RopePairing::Halves)?), qk_norm: QkNorm::Heads, ..Attention::default() };
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, h, &attention)?;
        x = net.ops.add(x, h)?;
        let h = net.norm(x, &layer.tensor("ffn_norm"))?;
        let h = net.mlp(&layer, h, Mlp::Gated(Activation::Silu))?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}
