//! What a file says about its model, whether or not it can be run.

use std::collections::BTreeMap;

use rocmforge_gguf_loader::Gguf;
use rocmforge_quant::GgmlType;

use crate::keys::{self, Size};
use crate::source::Source;
use crate::{ARCHS, BuildOptions, ModelError};

/// A model in numbers, for people. A number that the file leaves out, or that makes no sense, is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelInfo {
    /// `general.name`.
    pub name: Option<String>,
    /// `general.architecture`.
    pub architecture: String,
    /// Whether there is a row for the architecture.
    pub supported: bool,
    /// Elements of all tensors.
    pub parameters: u64,
    /// Bytes of all tensors.
    pub tensor_bytes: u64,
    /// Width of the residual stream.
    pub hidden_size: Option<usize>,
    /// Layers.
    pub num_layers: Option<usize>,
    /// Query heads; the most of any layer.
    pub num_heads: Option<usize>,
    /// Key/value heads; the most of any layer.
    pub num_kv_heads: Option<usize>,
    /// Width of a query and key head.
    pub head_dim: Option<usize>,
    /// Experts of a mixture, `None` for a dense model.
    pub num_experts: Option<usize>,
    /// Experts that each token uses.
    pub num_experts_per_token: Option<usize>,
    /// Tokens of the vocabulary.
    pub vocab_size: Option<usize>,
    /// Tokens of context the model was made for.
    pub context_length: Option<usize>,
    /// The usual name of the file's mixture of types, such as `Q4_K_M`; where it has none, the type of most elements.
    pub quantization: String,
    /// Whether the file brings a chat template.
    pub has_chat_template: bool,
}

/// The names that go with `general.file_type`.
const FILE_TYPES: [(u32, &str); 33] = [
    (0, "F32"),
    (1, "F16"),
    (2, "Q4_0"),
    (3, "Q4_1"),
    (7, "Q8_0"),
    (8, "Q5_0"),
    (9, "Q5_1"),
    (10, "Q2_K"),
    (11, "Q3_K_S"),
    (12, "Q3_K_M"),
    (13, "Q3_K_L"),
    (14, "Q4_K_S"),
    (15, "Q4_K_M"),
    (16, "Q5_K_S"),
    (17, "Q5_K_M"),
    (18, "Q6_K"),
    (19, "IQ2_XXS"),
    (20, "IQ2_XS"),
    (21, "Q2_K_S"),
    (22, "IQ3_XS"),
    (23, "IQ3_XXS"),
    (24, "IQ1_S"),
    (25, "IQ4_NL"),
    (26, "IQ3_S"),
    (27, "IQ3_M"),
    (28, "IQ2_S"),
    (29, "IQ2_M"),
    (30, "IQ4_XS"),
    (31, "IQ1_M"),
    (32, "BF16"),
    (36, "TQ1_0"),
    (37, "TQ2_0"),
    (38, "MXFP4"),
];

/// Describes a model file.
///
/// # Errors
/// A file without an architecture.
pub fn describe<B: AsRef<[u8]>>(gguf: &Gguf<B>) -> Result<ModelInfo, ModelError> {
    let source = Source::new(gguf, &BuildOptions::default())?;
    let metadata = gguf.metadata();
    let text = |key: &str| metadata.get_str(key).ok().flatten();
    let size = |key: &Size| source.size(key).ok().flatten();
    let hidden_size = size(&keys::HIDDEN_SIZE);
    let num_heads = most(&source, &keys::NUM_HEADS);
    let experts = size(&keys::NUM_EXPERTS).filter(|&n| n > 0);
    Ok(ModelInfo {
        name: text("general.name").map(str::to_string),
        architecture: source.architecture().to_string(),
        supported: ARCHS.iter().any(|arch| arch.name == source.architecture()),
        parameters: gguf.tensors().iter().fold(0, |sum, t| sum.saturating_add(t.elements())),
        tensor_bytes: gguf.tensors().iter().fold(0, |sum, t| sum.saturating_add(t.size)),
        hidden_size,
        num_layers: size(&keys::NUM_LAYERS),
        num_heads,
        num_kv_heads: most(&source, &keys::NUM_KV_HEADS).or(num_heads),
        head_dim: size(&keys::HEAD_DIM).or_else(|| Some(hidden_size? / num_heads?)),
        num_experts: experts,
        num_experts_per_token: experts.and_then(|_| size(&keys::NUM_EXPERTS_PER_TOKEN)),
        vocab_size: vocab_size(&source),
        context_length: size(&keys::CONTEXT_LENGTH),
        quantization: quantization(&source).to_string(),
        has_chat_template: text("tokenizer.chat_template").is_some(),
    })
}

/// The largest of a number that may differ by layer.
fn most(source: &Source<'_>, size: &Size) -> Option<usize> {
    let each = source.metadata().get_u32s(&source.key(size.key)).ok().flatten();
    let most = each.and_then(|each| each.iter().max().map(|&n| n as usize));
    most.or_else(|| source.size(size).ok().flatten()).filter(|&n| n > 0)
}

fn vocab_size(source: &Source<'_>) -> Option<usize> {
    let tokens = source.metadata().get_strings("tokenizer.ggml.tokens").ok().flatten().map(<[_]>::len);
    tokens.or_else(|| source.size(&keys::VOCAB_SIZE).ok().flatten())
}

fn quantization(source: &Source<'_>) -> &'static str {
    let stated = source.metadata().get_u32("general.file_type").ok().flatten();
    let known = FILE_TYPES.iter().find(|(id, _)| Some(*id) == stated).map(|(_, name)| *name);
    known.unwrap_or_else(|| dominant_type(source).map_or("none", GgmlType::name))
}

/// The type of most elements.
fn dominant_type(source: &Source<'_>) -> Option<GgmlType> {
    let mut elements: BTreeMap<GgmlType, u64> = BTreeMap::new();
    for tensor in source.tensors() {
        let sum = elements.entry(tensor.ty).or_default();
        *sum = sum.saturating_add(tensor.elements());
    }
    elements.into_iter().max_by_key(|(_, sum)| *sum).map(|(ty, _)| ty)
}
