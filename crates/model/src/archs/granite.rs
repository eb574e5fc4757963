//! Granite 3 (IBM): Llama with a factor for embeddings, residual branches, scores and logits.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError, keys};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "granite", description: "Granite 3, dense", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    let attention = Attention {
        rope: Some(net.rope(RopePairing::Adjacent)?),
        scale: source.number(&keys::ATTENTION_SCALE)?,
        ..Attention::default()
    };
    let residual = source.number(&keys::RESIDUAL_SCALE)?.unwrap_or(1.0);
    let mut x = net.embed(source.number(&keys::EMBEDDING_SCALE)?.unwrap_or(1.0));
    for layer in net.layers() {
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, h, &attention)?;
        let h = net.ops.scale(h, residual);
        x = net.ops.add(x, h)?;
        let h = net.norm(x, &layer.tensor("ffn_norm"))?;
        let h = net.mlp(&layer, h, Mlp::Gated(Activation::Silu))?;
        let h = net.ops.scale(h, residual);
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    // The file holds the divisor.
    let logits = net.ops.scale(logits, 1.0 / source.number(&keys::LOGIT_SCALE)?.unwrap_or(1.0));
    net.finish(logits)
}
