//! Phi 1 to 2 (Microsoft): one norm a layer, whose output both branches read; partial rotation; biases everywhere.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "phi2", description: "Phi 1, 1.5 and 2", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Layer)?;
    let attention = Attention { rope: Some(net.rope(RopePairing::Halves)?), ..Attention::default() };
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let attended = net.attention(&layer, h, &attention)?;
        let h = net.mlp(&layer, h, Mlp::Plain(Activation::Gelu))?;
        x = net.ops.add(x, attended)?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}
