//! Llama 1 to 3 (arXiv:2302.13971, arXiv:2407.21783), Mistral (arXiv:2310.06825) and Mixtral (arXiv:2401.04088).

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind, Scoring};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp, Moe};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError};

pub(super) const SPEC: ArchSpec =
    ArchSpec { name: "llama", description: "Llama 1 to 3, Mistral, Mixtral and their many relatives", build };

pub(super) fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    let attention = Attention {
        rope: Some(net.rope(RopePairing::Adjacent)?),
        window: net.optional_window()?,
        ..Attention::default()
    };
    let moe = Moe::read(source, Activation::Silu, Scoring::Softmax, true)?;
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, h, &attention)?;
        x = net.ops.add(x, h)?;
        let h = net.norm(x, &layer.tensor("ffn_norm"))?;
        let h = match &moe {
            Some(moe) => net.moe(&layer, h, moe)?,
            None => net.mlp(&layer, h, Mlp::Gated(Activation::Silu))?,
        };
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}
