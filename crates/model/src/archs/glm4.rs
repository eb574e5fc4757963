//! GLM 4 (arXiv:2406.12793), dense: half of each head rotated, norms around each branch.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError, keys};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "glm4", description: "GLM 4 (0414) and Z1, dense", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    refuse_sections(source)?;
    let attention = Attention { rope: Some(net.rope(RopePairing::Adjacent)?), ..Attention::default() };
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, h, &attention)?;
        let h = net.norm(h, &layer.tensor("post_attention_norm"))?;
        x = net.ops.add(x, h)?;
        let h = net.norm(x, &layer.tensor("ffn_norm"))?;
        let h = net.mlp(&layer, h, Mlp::Fused(Activation::Silu))?;
        let h = net.norm(h, &layer.tensor("post_ffw_norm"))?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}

/// The models that see rotate by sections of time, height and width, and pair other dimensions.
fn refuse_sections(source: &Source<'_>) -> Result<(), ModelError> {
    let key = source.key(keys::plain::ROPE_SECTIONS);
    match source.metadata().get_i32s(&key)? {
        Some(sections) if sections.iter().any(|&n| n != 0) => {
            Err(ModelError::Unsupported { key, reason: "rotation by sections is not supported".into() })
        }
        _ => Ok(()),
    }
}
