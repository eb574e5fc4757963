//! Models as shapes: which tensors they have, and of which types.

use anyhow::{Context, Result, anyhow};
use rocmforge_quant::GgmlType;

/// Sizes of a dense decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// What the command line calls it.
    pub name: &'static str,
    /// `general.architecture`.
    pub arch: &'static str,
    pub hidden: u64,
    pub layers: u64,
    pub heads: u64,
    pub kv_heads: u64,
    pub head_dim: u64,
    /// Width of the MLP.
    pub intermediate: u64,
    pub vocab: u64,
    /// Whether logits are taken with the embedding's table.
    pub is_tied: bool,
}

/// One row a model, from the configuration files that its makers publish.
static SHAPES: &[Shape] = &[
    Shape {
        name: "llama-1b",
        arch: "llama",
        hidden: 2048,
        layers: 16,
        heads: 32,
        kv_heads: 8,
        head_dim: 64,
        intermediate: 8192,
        vocab: 128_256,
        is_tied: true,
    },
    Shape { name: "llama-8b", ..LLAMA_8B },
    Shape { name: "llama-70b", hidden: 8192, layers: 80, heads: 64, intermediate: 28_672, ..LLAMA_8B },
    Shape { name: "qwen3-8b", arch: "qwen3", layers: 36, intermediate: 12_288, vocab: 151_936, ..LLAMA_8B },
    Shape {
        name: "qwen2-0.5b",
        arch: "qwen2",
        hidden: 896,
        layers: 24,
        heads: 14,
        kv_heads: 2,
        head_dim: 64,
        intermediate: 4864,
        vocab: 151_936,
        is_tied: true,
    },
];

const LLAMA_8B: Shape = Shape {
    name: "llama-8b",
    arch: "llama",
    hidden: 4096,
    layers: 32,
    heads: 32,
    kv_heads: 8,
    head_dim: 128,
    intermediate: 14_336,
    vocab: 128_256,
    is_tied: false,
};

/// How matrices are stored. The rules of `q4_k_m` are those by which llama.cpp quantizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mix {
    /// All of one type.
    Plain(GgmlType),
    /// Q4_K; the output, and values and the last matrix of the MLP of half of the layers, in Q6_K.
    Q4KM,
}

static MIXES: &[(&str, Mix)] = &[
    ("q4_k_m", Mix::Q4KM),
    ("q4_0", Mix::Plain(GgmlType::Q4_0)),
    ("q8_0", Mix::Plain(GgmlType::Q8_0)),
    ("f16", Mix::Plain(GgmlType::F16)),
];

/// A shape in a mix of types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Model {
    pub shape: Shape,
    mix: Mix,
    mix_name: &'static str,
}

/// Layers that have the same types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LayerKind {
    /// Whether the mix gives its more delicate matrices more bits.
    more_bits: bool,
    /// How many layers are such.
    pub layers: u64,
}

/// A tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    /// The fastest-varying size first.
    pub dims: Vec<u64>,
    pub ty: GgmlType,
}

impl Tensor {
    /// Bytes of its blocks.
    pub fn bytes(&self) -> u64 {
        let spec = self.ty.spec();
        self.dims.iter().product::<u64>() / spec.block_elems as u64 * spec.block_bytes as u64
    }

    /// Whether products are made with it.
    pub fn is_matrix(&self) -> bool {
        self.dims.len() == 2
    }
}

impl Model {
    /// `llama-8b:q4_k_m`.
    ///
    /// # Errors
    /// Which names there are.
    pub fn named(text: &str) -> Result<Self> {
        let list = |names: &mut dyn Iterator<Item = &'static str>| names.collect::<Vec<_>>().join(", ");
        let shapes = || anyhow!("models are {}", list(&mut SHAPES.iter().map(|shape| shape.name)));
        let mixes = || anyhow!("types are {}", list(&mut MIXES.iter().map(|(name, _)| *name)));
        let (name, mix) = text.split_once(':').context("expected a model and its types, as in llama-8b:q4_k_m")?;
        let shape = SHAPES.iter().find(|shape| shape.name == name).ok_or_else(shapes)?;
        let &(mix_name, mix) = MIXES.iter().find(|(name, _)| *name == mix).ok_or_else(mixes)?;
        Ok(Self { shape: *shape, mix, mix_name })
    }

    /// As [`Self::named`] takes it.
    pub fn name(&self) -> String {
        format!("{}:{}", self.shape.name, self.mix_name)
    }

    /// The kinds of layers, one or two.
    pub fn layer_kinds(&self) -> Vec<LayerKind> {
        let all = self.shape.layers;
        let more = match self.mix {
            Mix::Plain(_) => 0,
            Mix::Q4KM => (0..all).filter(|&layer| has_more_bits(layer, all)).count() as u64,
        };
        let kinds = [LayerKind { more_bits: false, layers: all - more }, LayerKind { more_bits: true, layers: more }];
        kinds.into_iter().filter(|kind| kind.layers > 0).collect()
    }

    /// Tensors of a layer.
    pub fn layer(&self, index: usize, kind: LayerKind) -> Vec<Tensor> {
        let s = &self.shape;
        let (queries, keys) = (s.heads * s.head_dim, s.kv_heads * s.head_dim);
        let value = match (self.mix, kind.more_bits) {
            (Mix::Plain(ty), _) => ty,
            (Mix::Q4KM, true) => GgmlType::Q6_K,
            // Eight query heads share one of values, which is small then, so that bits cost little.
            (Mix::Q4KM, false) if s.layers == 80 && s.heads == 8 * s.kv_heads => GgmlType::Q5_K,
            (Mix::Q4KM, false) => GgmlType::Q4_K,
        };
        let down = if kind.more_bits { GgmlType::Q6_K } else { self.usual() };
        let mut tensors = Vec::new();
        let mut add = |part: &str, dims: &[u64], ty| {
            tensors.push(Tensor { name: format!("blk.{index}.{part}"), dims: dims.to_vec(), ty: fitting(ty, dims[0]) });
        };
        add("attn_norm.weight", &[s.hidden], GgmlType::F32);
        add("attn_q.weight", &[s.hidden, queries], self.usual());
        add("attn_k.weight", &[s.hidden, keys], self.usual());
        add("attn_v.weight", &[s.hidden, keys], value);
        add("attn_output.weight", &[queries, s.hidden], self.usual());
        match s.arch {
            "qwen2" => {
                add("attn_q.bias", &[queries], GgmlType::F32);
                add("attn_k.bias", &[keys], GgmlType::F32);
                add("attn_v.bias", &[keys], GgmlType::F32);
            }
            "qwen3" => {
                add("attn_q_norm.weight", &[s.head_dim], GgmlType::F32);
                add("attn_k_norm.weight", &[s.head_dim], GgmlType::F32);
            }
            _ => {}
        }
        add("ffn_norm.weight", &[s.hidden], GgmlType::F32);
        add("ffn_gate.weight", &[s.hidden, s.intermediate], self.usual());
        add("ffn_up.weight", &[s.hidden, s.intermediate], self.usual());
        add("ffn_down.weight", &[s.intermediate, s.hidden], down);
        tensors
    }

    /// Tensors outside of the layers.
    pub fn rest(&self) -> Vec<Tensor> {
        let s = &self.shape;
        let tensor = |name: &str, dims: &[u64], ty| Tensor { name: name.into(), dims: dims.to_vec(), ty };
        let head = match self.mix {
            Mix::Plain(ty) => fitting(ty, s.hidden),
            Mix::Q4KM => fitting(GgmlType::Q6_K, s.hidden),
        };
        let table = [s.hidden, s.vocab];
        let norm = tensor("output_norm.weight", &[s.hidden], GgmlType::F32);
        if s.is_tied {
            return vec![tensor("token_embd.weight", &table, head), norm];
        }
        let embedding = tensor("token_embd.weight", &table, fitting(self.usual(), s.hidden));
        vec![embedding, norm, tensor("output.weight", &table, head)]
    }

    /// The matrix that logits are taken with.
    pub fn head(&self) -> Option<Tensor> {
        let name = if self.shape.is_tied { "token_embd.weight" } else { "output.weight" };
        self.rest().into_iter().find(|tensor| tensor.name == name)
    }

    /// Bytes of the matrices that every step reads.
    pub fn weight_bytes(&self) -> u64 {
        let layer = |kind: LayerKind| {
            kind.layers * self.layer(0, kind).iter().filter(|t| t.is_matrix()).map(Tensor::bytes).sum::<u64>()
        };
        self.layer_kinds().into_iter().map(layer).sum::<u64>() + self.head().map_or(0, |head| head.bytes())
    }

    /// Bytes of keys and values of one token in one layer, as halves.
    pub fn kv_bytes(&self) -> u64 {
        2 * 2 * self.shape.kv_heads * self.shape.head_dim
    }

    fn usual(&self) -> GgmlType {
        match self.mix {
            Mix::Plain(ty) => ty,
            Mix::Q4KM => GgmlType::Q4_K,
        }
    }
}

/// The first and last eighth of the layers, and every third between.
fn has_more_bits(layer: u64, layers: u64) -> bool {
    let eighth = layers / 8;
    layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2
}

/// The type that takes the place of one whose blocks are too long for the rows.
fn fitting(ty: GgmlType, row: u64) -> GgmlType {
    match ty {
        ty if row.is_multiple_of(ty.spec().block_elems as u64) => ty,
        GgmlType::Q4_K => GgmlType::Q5_0,
        GgmlType::Q5_K => GgmlType::Q5_1,
        _ => GgmlType::Q8_0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_files_that_people_download() {
        // Sizes of published files, GB, which hold the vocabulary and the embedding's table too.
        for (name, low, high) in [
            ("llama-8b:q4_k_m", 4.5, 4.92),
            ("llama-8b:q8_0", 7.9, 8.54),
            ("llama-8b:f16", 14.9, 16.07),
            ("llama-70b:q4_k_m", 41.0, 42.52),
            ("qwen3-8b:q4_k_m", 4.6, 5.03),
            ("qwen2-0.5b:q4_0", 0.25, 0.40),
            ("llama-1b:q4_k_m", 0.7, 0.81),
        ] {
            let gigabytes = Model::named(name).unwrap().weight_bytes() as f64 / 1e9;
            assert!((low..high).contains(&gigabytes), "{name}: {gigabytes}");
        }
    }

    #[test]
    fn half_of_the_layers_get_more_bits() {
        let layers =
            |name: &str| Model::named(name).unwrap().layer_kinds().iter().map(|k| k.layers).collect::<Vec<_>>();
        assert_eq!(layers("llama-8b:q4_k_m"), [16, 16]);
        assert_eq!(layers("llama-8b:q4_0"), [32]);
        for shape in SHAPES {
            for (mix, _) in MIXES {
                let name = format!("{}:{mix}", shape.name);
                assert_eq!(layers(&name).iter().sum::<u64>(), shape.layers, "{name}");
            }
        }
    }

    #[test]
    fn rows_are_whole_blocks() {
        for shape in SHAPES {
            for (mix, _) in MIXES {
                let model = Model::named(&format!("{}:{mix}", shape.name)).unwrap();
                let kinds = model.layer_kinds().into_iter();
                for tensor in kinds.flat_map(|kind| model.layer(0, kind)).chain(model.rest()) {
                    assert!(tensor.dims[0].is_multiple_of(tensor.ty.spec().block_elems as u64), "{tensor:?}");
                }
            }
        }
    }

    #[test]
    fn unknown_names_are_answered_with_those_that_there_are() {
        let error = |text: &str| Model::named(text).unwrap_err().to_string();
        assert!(error("llama-9b:q4_0").contains("llama-8b"));
        assert!(error("llama-8b:q4").contains("q4_k_m"));
        assert!(error("llama-8b").contains("as in"));
        assert_eq!(Model::named("llama-8b:q4_0").unwrap().name(), "llama-8b:q4_0");
    }
}
