//! Hyperparameters that every decoder has, read and checked once.

use rocmforge_program::NormKind;

use crate::source::Source;
use crate::{ModelError, keys};

/// A size, with the keys it follows from for error messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dim {
    pub size: usize,
    pub keys: &'static str,
}

impl Dim {
    pub(crate) fn new(size: usize, keys: &'static str) -> Self {
        Self { size, keys }
    }
}

/// Sizes of a decoder.
#[derive(Debug, Clone)]
pub(crate) struct Hparams {
    pub hidden_size: Dim,
    pub vocab_size: Dim,
    pub context_length: usize,
    pub head_dim: usize,
    pub rotary_dims: usize,
    pub norm_kind: NormKind,
    pub norm_eps: f32,
    pub layers: Vec<Layer>,
}

/// Sizes of one layer; most models have the same in all.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    pub index: usize,
    pub num_heads: usize,
    pub num_kv_heads: usize,
    /// Width of a head of queries and keys.
    pub head_dim: usize,
    /// Width of a head of values.
    pub value_dim: usize,
    intermediate_size: Option<usize>,
}

impl Layer {
    /// Name of one of the layer's tensors, without `.weight`.
    pub(crate) fn tensor(&self, part: &str) -> String {
        format!("blk.{}.{part}", self.index)
    }

    pub(crate) fn query_width(&self) -> Dim {
        Dim::new(self.num_heads * self.head_dim, "attention.head_count x attention.key_length")
    }

    pub(crate) fn key_width(&self) -> Dim {
        Dim::new(self.num_kv_heads * self.head_dim, "attention.head_count_kv x attention.key_length")
    }

    pub(crate) fn value_width(&self) -> Dim {
        Dim::new(self.num_kv_heads * self.value_dim, "attention.head_count_kv x attention.value_length")
    }

    pub(crate) fn output_width(&self) -> Dim {
        Dim::new(self.num_heads * self.value_dim, "attention.head_count x attention.value_length")
    }

    /// Width of the dense MLP; mixtures of experts may have none.
    pub(crate) fn intermediate_size(&self, source: &Source<'_>) -> Result<Dim, ModelError> {
        let size = self.intermediate_size.ok_or_else(|| source.missing_key(keys::INTERMEDIATE_SIZE.key))?;
        Ok(Dim::new(size, keys::INTERMEDIATE_SIZE.key))
    }
}

impl Hparams {
    pub(crate) fn read(source: &Source<'_>, norm_kind: NormKind) -> Result<Self, ModelError> {
        let hidden_size = source.need(&keys::HIDDEN_SIZE)?;
        if hidden_size % 2 == 1 {
            return Err(source.bad(keys::HIDDEN_SIZE.key, hidden_size, "an even number"));
        }
        let num_layers = num_layers(source)?;
        let heads = heads(source, num_layers)?;
        let head_dim = head_dim(source, hidden_size, &heads)?;
        let value_dim = source.size(&keys::VALUE_DIM)?.unwrap_or(head_dim);
        let intermediate = source.size_each(&keys::INTERMEDIATE_SIZE, num_layers)?;
        let layer = |(index, (num_heads, num_kv_heads)): (usize, (usize, usize))| Layer {
            index,
            num_heads,
            num_kv_heads,
            head_dim,
            value_dim,
            intermediate_size: intermediate.as_ref().map(|sizes| sizes[index]),
        };
        let mut layers: Vec<Layer> = heads.into_iter().enumerate().map(layer).collect();
        layers.truncate(num_layers - num_nextn(source, num_layers)?);
        Ok(Self {
            hidden_size: Dim::new(hidden_size, keys::HIDDEN_SIZE.key),
            vocab_size: vocab_size(source)?,
            context_length: source.need(&keys::CONTEXT_LENGTH)?,
            head_dim,
            rotary_dims: rotary_dims(source, head_dim)?,
            norm_kind,
            norm_eps: source.need_number(match norm_kind {
                NormKind::Rms => &keys::RMS_NORM_EPS,
                NormKind::Layer => &keys::LAYER_NORM_EPS,
            })?,
            layers,
        })
    }
}

/// Layers as the key says; the tensors must agree, so that a wrong number is named as such.
fn num_layers(source: &Source<'_>) -> Result<usize, ModelError> {
    let claimed = source.need(&keys::NUM_LAYERS)?;
    let present = source.tensors().iter().filter_map(|t| layer_of(&t.name)).max().map_or(0, |last| last as u64 + 1);
    if present != claimed as u64 {
        return Err(source.bad(keys::NUM_LAYERS.key, claimed, format!("{present}, the layers that have tensors")));
    }
    Ok(claimed)
}

/// The layer a tensor belongs to.
pub(crate) fn layer_of(tensor: &str) -> Option<u32> {
    tensor.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// Layers at the end that predict further tokens; they take no part in the next one.
fn num_nextn(source: &Source<'_>, num_layers: usize) -> Result<usize, ModelError> {
    let count = source.size(&keys::NUM_NEXTN_LAYERS)?.unwrap_or(0);
    if count >= num_layers {
        return Err(source.bad(keys::NUM_NEXTN_LAYERS.key, count, format!("less than {num_layers} layers")));
    }
    Ok(count)
}

/// Query and key/value heads of each layer.
fn heads(source: &Source<'_>, num_layers: usize) -> Result<Vec<(usize, usize)>, ModelError> {
    let key = &keys::NUM_HEADS;
    let queries = source.size_each(key, num_layers)?.ok_or_else(|| source.missing_key(key.key))?;
    let groups = source.size_each(&keys::NUM_KV_HEADS, num_layers)?.unwrap_or_else(|| queries.clone());
    for (layer, (heads, kv)) in queries.iter().zip(&groups).enumerate() {
        if !heads.is_multiple_of(*kv) {
            let range = format!("a divisor of the {heads} query heads of layer {layer}");
            return Err(source.bad(keys::NUM_KV_HEADS.key, kv, range));
        }
    }
    Ok(queries.into_iter().zip(groups).collect())
}

fn head_dim(source: &Source<'_>, hidden_size: usize, heads: &[(usize, usize)]) -> Result<usize, ModelError> {
    if let Some(head_dim) = source.size(&keys::HEAD_DIM)? {
        return Ok(head_dim);
    }
    match heads.iter().find(|(heads, _)| !hidden_size.is_multiple_of(*heads)) {
        None => Ok(hidden_size / heads.first().map_or(1, |(heads, _)| *heads)),
        Some((heads, _)) => {
            let range = format!("a multiple of {heads} heads, as there is no `{}`", source.key(keys::HEAD_DIM.key));
            Err(source.bad(keys::HIDDEN_SIZE.key, hidden_size, range))
        }
    }
}

fn rotary_dims(source: &Source<'_>, head_dim: usize) -> Result<usize, ModelError> {
    let dims = source.size(&keys::ROTARY_DIMS)?.unwrap_or(head_dim);
    if dims % 2 == 1 || dims > head_dim || dims == 0 {
        return Err(source.bad(keys::ROTARY_DIMS.key, dims, format!("an even number of at most {head_dim}")));
    }
    Ok(dims)
}

/// The tokens of the vocabulary; without a list, the key; without that, the rows of the embedding.
fn vocab_size(source: &Source<'_>) -> Result<Dim, ModelError> {
    const TOKENS: &str = "tokenizer.ggml.tokens";
    if let Some(tokens) = source.metadata().get_strings(TOKENS)? {
        let size = tokens.len();
        if size == 0 {
            return Err(ModelError::BadHyperparam {
                key: TOKENS.into(),
                found: "no tokens".into(),
                range: "at least one".into(),
            });
        }
        return Ok(Dim::new(size, TOKENS));
    }
    if let Some(size) = source.size(&keys::VOCAB_SIZE)? {
        return Ok(Dim::new(size, keys::VOCAB_SIZE.key));
    }
    let rows = source.tensor("token_embd.weight").and_then(|t| t.shape().first().copied()).unwrap_or(0);
    if rows == 0 {
        return Err(source.missing_key(keys::VOCAB_SIZE.key));
    }
    Ok(Dim::new(rows, "token_embd.weight"))
}
