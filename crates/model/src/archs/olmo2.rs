//! OLMo 2 (arXiv:2501.00656): norms after the branches only, and of queries and keys as whole rows.

use rocmforge_attention::RopePairing;
use rocmforge_program::{Activation, NormKind};

use super::ArchSpec;
use crate::blocks::{Attention, Mlp, QkNorm};
use crate::net::Net;
use crate::source::Source;
use crate::{Built, ModelError};

pub(super) const SPEC: ArchSpec = ArchSpec { name: "olmo2", description: "OLMo 2", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let mut net = Net::new(source, NormKind::Rms)?;
    net.refuse_window("OLMo 3's mixture of local and global layers")?;
    let attention =
        Attention { rope: Some(net.rope(RopePairing::Halves)?), qk_norm: QkNorm::Row, ..Attention::default() };
    let mut x = net.embed(1.0);
    for layer in net.layers() {
        let h = net.attention(&layer, x, &attention)?;
        let h = net.norm(h, &layer.tensor("post_attention_norm"))?;
        x = net.ops.add(x, h)?;
        let h = net.mlp(&layer, x, Mlp::Gated(Activation::Silu))?;
        let h = net.norm(h, &layer.tensor("post_ffw_norm"))?;
        x = net.ops.add(x, h)?;
    }
    let logits = net.head(x)?;
    net.finish(logits)
}
