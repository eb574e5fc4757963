//! Gemma 3 (arXiv:2503.19786): five local layers, with a rotary base of their own, before each global one.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind};

use super::ArchSpec;
use super::gemma2::query_scale;
use crate::blocks::{Attention, Mlp, QkNorm};
use crate::net::Net;
use crate::rope::local_rope;
use crate::source::Source;
use crate::{Built, ModelError};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "gemma3", description: "Gemma 3, text", build };

const LAYERS_27B: usize = 62;

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    let global = Attention {
        rope: Some(net.rope(RopePairing::Halves)?),
        scale: query_scale(&net, LAYERS_27B)?,
        qk_norm: QkNorm::Heads,
        ..Attention::default()
    };
    let local_rope = local_rope(source, &net.hp, RopePairing::Halves)?;
    let local = Attention { rope: Some(local_rope), window: Some(net.window()?), ..global.clone() };
    let is_local = net.local_layers(6)?;
    let mut x = net.embed_scaled();
    for layer in net.layers() {
        let attention = if is_local[layer.index] { &local } else { &global };
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, h, attention)?;
        let h = net.norm(h, &layer.tensor("post_attention_norm"))?;
        x = net.ops.add(x, h)?;
        let h = net.norm(x, &layer.tensor("ffn_norm"))?;
        let h = net.mlp(&layer, h, Mlp::Gated(Activation::Gelu))?;
        let h = net.norm(h, &layer.tensor("post_ffw_norm"))?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    let logits = net.bound_logits(logits, None)?;
    net.finish(logits)
}
