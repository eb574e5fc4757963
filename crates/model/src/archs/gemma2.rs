//! Gemma 2 (arXiv:2408.00118): norms around each branch, bounded scores and logits, every other layer local.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError, keys};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "gemma2", description: "Gemma 2", build };

const LAYERS_27B: usize = 46;
const SCORE_CAP_DEFAULT: f32 = 50.0;
const LOGIT_CAP_DEFAULT: f32 = 30.0;

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    let global = Attention {
        rope: Some(net.rope(RopePairing::Halves)?),
        scale: query_scale(&net, LAYERS_27B)?,
        softcap: Some(source.number(&keys::ATTENTION_SOFTCAP)?.unwrap_or(SCORE_CAP_DEFAULT)),
        ..Attention::default()
    };
    let local = Attention { window: Some(net.window()?), ..global.clone() };
    let is_local = net.local_layers(2)?;
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
    let logits = net.bound_logits(logits, Some(LOGIT_CAP_DEFAULT))?;
    net.finish(logits)
}

/// The factor of scores in the 27B models, which files need not say: one over the root of the hidden size a head, not
/// of the head size. They are known by their layers.
pub(super) fn query_scale(net: &Net<'_>, layers_of_27b: usize) -> Result<Option<f32>, ModelError> {
    let stated = net.source.number(&keys::ATTENTION_SCALE)?;
    let by_hidden = || {
        let layer = net.hp.layers.first().filter(|_| net.hp.layers.len() == layers_of_27b)?;
        Some((layer.num_heads as f32 / net.hp.hidden_size.size as f32).sqrt())
    };
    Ok(stated.or_else(by_hidden))
}
