//! gpt-oss (arXiv:2508.10925): every other layer local, a learned sink a head, experts with biases and a clamped
//! gate.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind, Scoring};

use super::ArchSpec;
use crate::blocks::{Attention, Moe};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "gpt-oss", description: "gpt-oss", build };

/// The constants of the reference implementation; files do not hold them.
const GATE: Activation = Activation::SwigluClamped { alpha: 1.702, limit: 7.0 };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    let global = Attention { rope: Some(net.rope(RopePairing::Halves)?), sinks: true, ..Attention::default() };
    let local = Attention { window: Some(net.window()?), ..global.clone() };
    let is_local = net.local_layers(2)?;
    let moe = Moe::need(source, GATE, Scoring::SoftmaxChosen, false)?;
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let attention = if is_local[layer.index] { &local } else { &global };
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, h, attention)?;
        x = net.ops.add(x, h)?;
        let h = net.norm(x, &layer.tensor("post_attention_norm"))?;
        let h = net.moe(&layer, h, &moe)?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}
