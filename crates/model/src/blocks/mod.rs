//! The parts that decoders are made of. Each reads its tensors by their usual names and emits plain operations.

mod attention;
mod mlp;
mod moe;

pub(crate) use attention::{Attention, QkNorm};
pub(crate) use mlp::Mlp;
pub(crate) use moe::Moe;

use std::ops::Range;

use rocmforge_program::{NormKind, ValueId, WeightId};

use crate::hparams::Dim;
use crate::net::Net;
use crate::{ModelError, keys};

pub(crate) type Emitted = Result<ValueId, ModelError>;

const EMBEDDING: &str = "token_embd.weight";

impl Net<'_> {
    /// Token embeddings times `scale`, `[T, hidden]`.
    pub(crate) fn embed(&mut self, scale: f32) -> ValueId {
        let (vocab, hidden) = (self.hp.vocab_size, self.hp.hidden_size);
        let table = self.matrix(EMBEDDING, vocab, hidden);
        self.ops.embed(table, scale)
    }

    /// Token embeddings times `sqrt(hidden)`, as Gemma has them.
    pub(crate) fn embed_scaled(&mut self) -> ValueId {
        self.embed((self.hp.hidden_size.size as f32).sqrt())
    }

    /// The model's kind of norm over whole rows, with `name.weight` and, for a layer norm that has one, `name.bias`.
    pub(crate) fn norm(&mut self, x: ValueId, name: &str) -> Emitted {
        let width = Dim::new(self.ops.shape(x).cols, self.hp.hidden_size.keys);
        let weight = self.vector(&format!("{name}.weight"), width);
        let bias = match self.hp.norm_kind {
            NormKind::Rms => None,
            NormKind::Layer => self.bias(name, width),
        };
        Ok(self.ops.norm(self.hp.norm_kind, x, width.size, self.hp.norm_eps, Some(weight), bias)?)
    }

    /// A linear map with `name.weight` and, where the file has it, `name.bias`.
    pub(crate) fn linear(&mut self, x: ValueId, name: &str, rows: Dim, cols: Dim) -> Emitted {
        let weight = self.matrix(&format!("{name}.weight"), rows, cols);
        let bias = self.bias(name, rows);
        Ok(self.ops.linear(x, weight, bias)?)
    }

    /// Some rows of a linear map that holds several: fused projections of `stored` rows in all.
    pub(crate) fn linear_part(&mut self, x: ValueId, name: &str, stored: Dim, rows: Range<usize>) -> Emitted {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let weight = self.matrix_rows(&weight, stored, rows.clone(), self.hp.hidden_size)?;
        let bias = if self.has(&bias) { Some(self.vector_part(&bias, stored, rows)?) } else { None };
        Ok(self.ops.linear(x, weight, bias)?)
    }

    /// The bias of a map or norm, if the file has one.
    pub(crate) fn bias(&mut self, name: &str, width: Dim) -> Option<WeightId> {
        let name = format!("{name}.bias");
        self.has(&name).then(|| self.vector(&name, width))
    }

    /// Final norm and output head of the wanted rows, `[S, vocab]`. Without a head of its own the model uses its
    /// embedding.
    pub(crate) fn head(&mut self, x: ValueId) -> Emitted {
        let x = self.ops.select_rows(x)?;
        let x = self.norm(x, "output_norm")?;
        let (vocab, hidden) = (self.hp.vocab_size, self.hp.hidden_size);
        let name = if self.has("output.weight") { "output.weight" } else { EMBEDDING };
        let weight = self.matrix(name, vocab, hidden);
        let bias = self.bias("output", vocab);
        Ok(self.ops.linear(x, weight, bias)?)
    }

    /// Logits within the bound that the file states, or else the architecture's; 0 is how a file says none.
    pub(crate) fn bound_logits(&mut self, logits: ValueId, default: Option<f32>) -> Emitted {
        match self.source.number(&keys::LOGIT_SOFTCAP)?.or(default) {
            Some(cap) if cap > 0.0 => Ok(self.ops.softcap(logits, cap)),
            _ => Ok(logits),
        }
    }
}
