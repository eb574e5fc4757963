//! GLM 4.5 and later mixtures of experts (arXiv:2508.06471): dense layers first, then experts chosen by biased
//! sigmoid scores beside a shared one. The layers that predict further tokens are left out.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind, Scoring};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp, Moe, QkNorm};
use crate::hparams::Dim;
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError, keys};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "glm4moe", description: "GLM 4.5 and later, mixtures", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    let attention = Attention { rope: Some(net.rope(RopePairing::Halves)?), ..Attention::default() };
    let moe = Moe::need(source, Activation::Silu, Scoring::Sigmoid, true)?;
    let shared = moe.shared_width(source)?;
    let dense_layers = source.size(&keys::NUM_DENSE_LAYERS)?.unwrap_or(0);
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        // The Air models have no norms of queries and keys.
        let has_norms = net.has(&layer.tensor("attn_q_norm.weight"));
        let qk_norm = if has_norms { QkNorm::Heads } else { QkNorm::None };
        let h = net.norm(x, &layer.tensor("attn_norm"))?;
        let h = net.attention(&layer, h, &Attention { qk_norm, ..attention.clone() })?;
        x = net.ops.add(x, h)?;
        let mut h = net.norm(x, &layer.tensor("post_attention_norm"))?;
        if layer.index < dense_layers {
            h = net.mlp(&layer, h, Mlp::Gated(Activation::Silu))?;
        } else {
            let routed = net.moe(&layer, h, &moe)?;
            h = match shared {
                Dim { size: 0, .. } => routed,
                width => {
                    let shared = net.shared_expert(&layer, h, &moe, width)?;
                    net.ops.add(routed, shared)?
                }
            };
        }
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}
