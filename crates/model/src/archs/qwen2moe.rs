//! Qwen 1.5 and 2 mixtures of experts (arXiv:2407.10671): routed experts plus one that a sigmoid gate lets through.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind, Scoring, ValueId};

use super::ArchSpec;
use crate::blocks::{Attention, Emitted, Moe};
use crate::hparams::{Dim, Layer};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError, keys};

pub(super) const SPEC: ArchSpec =
    ArchSpec { name: "qwen2moe", description: "Qwen 1.5 and 2 mixtures of experts", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    let attention = Attention { rope: Some(net.rope(RopePairing::Halves)?), ..Attention::default() };
    let moe = Moe::need(source, Activation::Silu, Scoring::Softmax, false)?;
    let shared = shared_width(source)?;
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, h, &attention)?;
        x = net.ops.add(x, h)?;
        let h = net.norm(x, &layer.tensor("ffn_norm"))?;
        let routed = net.moe(&layer, h, &moe)?;
        let shared = gated_shared_expert(&mut net, &layer, h, &moe, shared)?;
        let h = net.ops.add(routed, shared)?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}

/// Older files leave the key out: the shared expert is then as wide as the dense network.
fn shared_width(source: &Source<'_>) -> Result<Dim, ModelError> {
    match source.size(&keys::SHARED_INTERMEDIATE_SIZE)? {
        Some(width) => Ok(Dim::new(width, keys::SHARED_INTERMEDIATE_SIZE.key)),
        None => Ok(Dim::new(source.need(&keys::INTERMEDIATE_SIZE)?, keys::INTERMEDIATE_SIZE.key)),
    }
}

fn gated_shared_expert(net: &mut Net<'_>, layer: &Layer, x: ValueId, moe: &Moe, width: Dim) -> Emitted {
    let one = Dim::new(1, "one shared expert");
    let gate = net.linear(x, &layer.tensor("ffn_gate_inp_shexp"), one, net.hp.hidden_size)?;
    let expert = net.shared_expert(layer, x, moe, width)?;
    Ok(net.ops.gate(gate, Some(expert), Activation::Sigmoid)?)
}
