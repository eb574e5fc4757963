//! SmolLM 3 (Hugging Face): Llama without positions in every fourth layer (arXiv:2501.18795).

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "smollm3", description: "SmolLM 3", build };

/// The last layer of each four has no rotation; files do not say so.
const NOPE_PERIOD: usize = 4;

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    let rotated = Attention { rope: Some(net.rope(RopePairing::Adjacent)?), ..Attention::default() };
    let nope = Attention { rope: None, ..rotated.clone() };
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let attention = if (layer.index + 1).is_multiple_of(NOPE_PERIOD) { &nope } else { &rotated };
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, h, attention)?;
        x = net.ops.add(x, h)?;
        let h = net.norm(x, &layer.tensor("ffn_norm"))?;
        let h = net.mlp(&layer, h, Mlp::Gated(Activation::Silu))?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}
