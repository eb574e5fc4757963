//! StarCoder 2 (arXiv:2402.19173): layer norms, biases everywhere, a plain GELU network.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "starcoder2", description: "StarCoder 2", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Layer)?;
    let attention = Attention {
        rope: Some(net.rope(RopePairing::Halves)?),
        window: net.optional_window()?,
        ..Attention::default()
    };
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, h, &attention)?;
        x = net.ops.add(x, h)?;
        let h = net.norm(x, &layer.tensor("ffn_norm"))?;
        let h = net.mlp(&layer, h, Mlp::Plain(Activation::Gelu))?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}
