//! What `inspect` shows.

use rocmforge_gguf_loader::GgmlType;
use rocmforge_model::describe;

use crate::tiny::{Tiny, VOCAB};

#[test]
fn a_model_in_numbers() {
    let mut tiny = Tiny::mixtral();
    tiny.set("general.name", "tiny").set("general.file_type", 15_u32).set("tokenizer.chat_template", "{{ x }}");
    let info = describe(&tiny.gguf()).expect("it has an architecture");
    assert_eq!((info.name.as_deref(), info.architecture.as_str(), info.supported), (Some("tiny"), "llama", true));
    assert_eq!((info.hidden_size, info.num_layers, info.head_dim), (Some(32), Some(2), Some(8)));
    assert_eq!((info.num_heads, info.num_kv_heads), (Some(4), Some(2)));
    assert_eq!((info.num_experts, info.num_experts_per_token), (Some(4), Some(2)));
    assert_eq!((info.vocab_size, info.context_length), (Some(VOCAB as usize), Some(128)));
    assert_eq!((info.quantization.as_str(), info.has_chat_template), ("Q4_K_M", true));
    let elements: u64 = tiny.tensors.iter().map(|(_, dims, _)| dims.iter().product::<u64>()).sum();
    assert_eq!((info.parameters, info.tensor_bytes), (elements, 4 * elements));
}

#[test]
fn unknown_architectures_and_nonsense_are_described_all_the_same() {
    let mut tiny = Tiny::llama().renamed("novel");
    tiny.set("novel.attention.head_count", vec![4_u32, 8]).set("novel.embedding_length", -1_i32);
    tiny.retype("token_embd.weight", GgmlType::Q8_0).retype("output.weight", GgmlType::Q8_0);
    let info = describe(&tiny.gguf()).expect("it has an architecture");
    assert!(!info.supported);
    assert_eq!((info.num_heads, info.hidden_size, info.head_dim), (Some(8), None, None));
    assert_eq!((info.quantization.as_str(), info.name), ("F32", None));
}
