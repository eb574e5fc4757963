//! Command R7B (Cohere): both branches read one layer norm; three local layers with rotation, then a global one
//! without positions.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError, keys};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "cohere2", description: "Command R7B and Command A", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Layer)?;
    let rope = net.rope(RopePairing::Adjacent)?;
    let local = Attention { rope: Some(rope), window: Some(net.window()?), ..Attention::default() };
    let global = Attention::default();
    let is_local = net.local_layers(4)?;
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let attention = if is_local[layer.index] { &local } else { &global };
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let attended = net.attention(&layer, h, attention)?;
        let h = net.mlp(&layer, h, Mlp::Gated(Activation::Silu))?;
        x = net.ops.add(x, attended)?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    let logits = net.ops.scale(logits, source.number(&keys::LOGIT_SCALE)?.unwrap_or(1.0));
    net.finish(logits)
}
