//! Model files in memory, to be spoilt one piece at a time.

use rocmforge_gguf_loader::{Array, GgmlType, Gguf, Metadata, Value, Writer};
use rocmforge_model::{BuildOptions, Built, ModelError, build_with_warnings};

/// A model file before it is written.
#[derive(Clone)]
pub struct Tiny {
    pub metadata: Metadata,
    pub tensors: Vec<(String, Vec<u64>, GgmlType)>,
    /// Value of every element of `rope_*` tensors.
    rope_table: f32,
    pub options: BuildOptions,
}

pub const VOCAB: u64 = 40;
pub const HIDDEN: u64 = 32;

impl Tiny {
    /// Two layers of four query and two key/value heads of eight.
    pub fn llama() -> Self {
        let mut tiny =
            Self { metadata: Metadata::new(), tensors: Vec::new(), rope_table: 2.0, options: BuildOptions::default() };
        tiny.set("general.architecture", "llama");
        for (key, value) in [
            ("block_count", 2_u32),
            ("context_length", 128),
            ("embedding_length", HIDDEN as u32),
            ("feed_forward_length", 64),
            ("attention.head_count", 4),
            ("attention.head_count_kv", 2),
        ] {
            tiny.set(&format!("llama.{key}"), value);
        }
        tiny.set("llama.attention.layer_norm_rms_epsilon", 1e-5_f32);
        tiny.set("tokenizer.ggml.tokens", (0..VOCAB).map(|i| format!("t{i}")).collect::<Array>());
        tiny.add("token_embd.weight", &[HIDDEN, VOCAB]);
        for layer in 0..2 {
            let mut add = |part: &str, dims: &[u64]| {
                tiny.add(&format!("blk.{layer}.{part}.weight"), dims);
            };
            add("attn_norm", &[HIDDEN]);
            add("attn_q", &[HIDDEN, 32]);
            add("attn_k", &[HIDDEN, 16]);
            add("attn_v", &[HIDDEN, 16]);
            add("attn_output", &[32, HIDDEN]);
            add("ffn_norm", &[HIDDEN]);
            add("ffn_gate", &[HIDDEN, 64]);
            add("ffn_up", &[HIDDEN, 64]);
            add("ffn_down", &[64, HIDDEN]);
        }
        tiny.add("output_norm.weight", &[HIDDEN]);
        tiny.add("output.weight", &[HIDDEN, VOCAB]);
        tiny
    }

    /// The same with four experts of 48, two a token.
    pub fn mixtral() -> Self {
        let mut tiny = Self::llama();
        tiny.set("llama.expert_count", 4_u32);
        tiny.set("llama.expert_used_count", 2_u32);
        tiny.set("llama.expert_feed_forward_length", 48_u32);
        tiny.tensors.retain(|(name, ..)| !name.contains("ffn_") || name.contains("ffn_norm"));
        for layer in 0..2 {
            tiny.add(&format!("blk.{layer}.ffn_gate_inp.weight"), &[HIDDEN, 4]);
            tiny.add(&format!("blk.{layer}.ffn_gate_exps.weight"), &[HIDDEN, 48, 4]);
            tiny.add(&format!("blk.{layer}.ffn_up_exps.weight"), &[HIDDEN, 48, 4]);
            tiny.add(&format!("blk.{layer}.ffn_down_exps.weight"), &[48, HIDDEN, 4]);
        }
        tiny
    }

    /// Gemma 2 with a window of 16.
    pub fn gemma2() -> Self {
        let mut tiny = Self::llama().renamed("gemma2");
        tiny.set("gemma2.attention.sliding_window", 16_u32);
        for layer in 0..2 {
            tiny.add(&format!("blk.{layer}.post_attention_norm.weight"), &[HIDDEN]);
            tiny.add(&format!("blk.{layer}.post_ffw_norm.weight"), &[HIDDEN]);
        }
        tiny
    }

    /// The same numbers under the keys of another architecture.
    pub fn renamed(&self, arch: &str) -> Self {
        let mut other = self.clone();
        other.metadata = Metadata::new();
        for (key, value) in self.metadata.iter() {
            let key = key.strip_prefix("llama.").map_or(key.to_string(), |rest| format!("{arch}.{rest}"));
            other.metadata.insert(key, value.clone());
        }
        other.set("general.architecture", arch);
        other
    }

    pub fn set(&mut self, key: &str, value: impl Into<Value>) -> &mut Self {
        self.metadata.insert(key, value);
        self
    }

    pub fn unset(&mut self, key: &str) -> &mut Self {
        self.metadata.remove(key);
        self
    }

    pub fn add(&mut self, name: &str, dims: &[u64]) -> &mut Self {
        self.tensors.push((name.into(), dims.to_vec(), GgmlType::F32));
        self
    }

    /// The value of all divisors of frequencies.
    pub fn fill_tables(&mut self, value: f32) -> &mut Self {
        self.rope_table = value;
        self
    }

    pub fn drop(&mut self, name: &str) -> &mut Self {
        self.tensors.retain(|(other, ..)| other != name);
        self
    }

    /// Another shape for a tensor.
    pub fn reshape(&mut self, name: &str, dims: &[u64]) -> &mut Self {
        self.tensors.iter_mut().filter(|t| t.0 == name).for_each(|t| t.1 = dims.to_vec());
        self
    }

    /// Another type for a tensor.
    pub fn retype(&mut self, name: &str, ty: GgmlType) -> &mut Self {
        self.tensors.iter_mut().filter(|t| t.0 == name).for_each(|t| t.2 = ty);
        self
    }

    pub fn gguf(&self) -> Gguf<Vec<u8>> {
        let mut writer = Writer::new(self.metadata.clone());
        for (name, dims, ty) in &self.tensors {
            writer.add(name.as_str(), dims.clone(), *ty);
        }
        let mut sink = writer.begin(Vec::new()).expect("a header that the loader accepts");
        while let Some(tensor) = sink.next_tensor() {
            let bytes = match tensor.name.starts_with("rope_") {
                true => self.rope_table.to_le_bytes().repeat(tensor.size as usize / 4),
                false => vec![0; tensor.size as usize],
            };
            sink.write_tensor(&bytes).expect("as many bytes as the tensor has");
        }
        Gguf::parse(sink.finish().expect("all tensors written")).expect("a file that the loader accepts")
    }

    pub fn build(&self) -> Result<Built, ModelError> {
        build_with_warnings(&self.gguf(), &self.options)
    }

    pub fn error(&self) -> String {
        self.build().expect_err("a spoilt file must not build").to_string()
    }
}

/// Spoils a copy, and compares the message.
pub fn check(tiny: &Tiny, spoil: impl FnOnce(&mut Tiny) -> &mut Tiny, message: &str) {
    let mut tiny = tiny.clone();
    spoil(&mut tiny);
    assert_eq!(tiny.error(), message);
}
