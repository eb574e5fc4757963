//! StableLM 2 (arXiv:2402.17834): layer norms and partial rotation; the 12B model adds norms of query and key heads
//! and computes both branches from one input.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp, QkNorm};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError, keys};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "stablelm", description: "StableLM 3B and StableLM 2", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Layer)?;
    let qk_norm = if net.has("blk.0.attn_q_norm.weight") { QkNorm::EachHead } else { QkNorm::None };
    let attention = Attention { rope: Some(net.rope(RopePairing::Halves)?), qk_norm, ..Attention::default() };
    let parallel = source.truth(keys::plain::PARALLEL_RESIDUAL)?.unwrap_or(false);
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let normed = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, normed, &attention)?;
        x = net.ops.add(x, h)?;
        let h = if parallel { normed } else { net.norm(x, &layer.tensor("ffn_norm"))? };
        let h = net.mlp(&layer, h, Mlp::Gated(Activation::Silu))?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}
