//! Qwen 3 mixtures of experts (arXiv:2505.09388).

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind, Scoring};

use super::ArchSpec;
use crate::blocks::{Attention, Moe, QkNorm};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "qwen3moe", description: "Qwen 3 mixtures of experts", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    let attention =
        Attention { rope: Some(net.rope(RopePairing::Halves)?), qk_norm: QkNorm::Heads, ..Attention::default() };
    let moe = Moe::need(source, Activation::Silu, Scoring::Softmax, true)?;
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, h, &attention)?;
        x = net.ops.add(x, h)?;
        let h = net.norm(x, &layer.tensor("ffn_norm"))?;
        let h = net.moe(&layer, h, &moe)?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}
