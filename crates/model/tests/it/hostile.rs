//! Metadata and tensors that lie. Each test spoils one thing and reads the message.

use std::panic::{AssertUnwindSafe, catch_unwind};

use rocmforge_gguf_loader::{Array, GgmlType, Value};
use rocmforge_model::{ARCHS, ModelError};

use crate::tiny::{HIDDEN, Tiny, VOCAB, check};

fn check_key(tiny: &Tiny, key: &str, value: impl Into<Value>, expected: &str) {
    let full = format!("llama.{key}");
    check(tiny, |t| t.set(&full, value), &format!("key `{full}`: {expected}"));
}

#[test]
fn architecture_absent_mistyped_unknown_or_endless() {
    let llama = Tiny::llama();
    check(&llama, |t| t.unset("general.architecture"), "key `general.architecture` is missing");
    let mut typed = llama.clone();
    typed.set("general.architecture", 7_u32);
    assert!(typed.error().ends_with("expected string, found u32 7"), "{}", typed.error());
    let unknown = llama.renamed("llamma").error();
    assert!(unknown.starts_with("architecture `llamma` is not supported; known are: llama, "), "{unknown}");
    let mut long = llama.clone();
    long.set("general.architecture", "x".repeat(1 << 20));
    let message = long.error();
    assert!(message.len() < 1000 && message.contains("(1048576 bytes)"), "{} bytes", message.len());
}

#[test]
fn head_count_array_of_the_wrong_length() {
    let mut tiny = Tiny::llama();
    tiny.set("llama.attention.head_count", vec![4_u32, 4, 4]);
    assert!(tiny.error().ends_with("expected 2 elements, found 3"), "{}", tiny.error());
}

#[test]
fn layers_must_be_few_and_present() {
    let llama = Tiny::llama();
    check_key(&llama, "block_count", 0_u32, "expected 1 to 4096, found 0");
    check_key(&llama, "block_count", u32::MAX, "expected 1 to 4096, found 4294967295");
    check_key(&llama, "block_count", 513_u32, "expected 2, the layers that have tensors, found 513");
    check_key(&llama, "block_count", 1_u32, "expected 2, the layers that have tensors, found 1");
    check_key(&llama, "nextn_predict_layers", 2_u32, "expected less than 2 layers, found 2");
}

#[test]
fn hidden_size_zero_odd_or_huge() {
    let llama = Tiny::llama();
    check_key(&llama, "embedding_length", 0_u32, "expected 2 to 1048576, found 0");
    check_key(&llama, "embedding_length", 33_u32, "expected an even number, found 33");
    check_key(&llama, "embedding_length", 1_u32 << 31, "expected 2 to 1048576, found 2147483648");
    check_key(&llama, "embedding_length", -32_i32, "expected 2 to 1048576, found -32");
}

#[test]
fn heads_zero_or_not_a_multiple() {
    let llama = Tiny::llama();
    check_key(&llama, "attention.head_count", 0_u32, "expected 1 to 65536, found 0");
    check_key(&llama, "attention.head_count_kv", 0_u32, "expected 1 to 65536, found 0");
    let message = "expected a divisor of the 4 query heads of layer 0, found 3";
    check_key(&llama, "attention.head_count_kv", 3_u32, message);
    check(
        &llama,
        |t| t.set("llama.attention.head_count_kv", vec![2_u32, 0]),
        "key `llama.attention.head_count_kv[1]`: expected 1 to 65536, found 0",
    );
    check(
        &llama,
        |t| t.set("llama.attention.head_count", vec![4_i32, -1]),
        "key `llama.attention.head_count[1]`: expected 1 to 65536, found -1",
    );
}

#[test]
fn head_dim_must_follow_from_something() {
    check(
        &Tiny::llama(),
        |t| t.set("llama.attention.head_count", 5_u32).set("llama.attention.head_count_kv", 5_u32),
        "key `llama.embedding_length`: expected a multiple of 5 heads, as there is no `llama.attention.key_length`, found 32",
    );
}

#[test]
fn head_dims_against_the_projections() {
    let llama = Tiny::llama();
    check(
        &llama,
        |t| t.set("llama.attention.key_length", 16_u32).set("llama.attention.value_length", 8_u32),
        "tensor `blk.0.attn_q.weight`: expected [64, 32] by `attention.head_count x attention.key_length` and `embedding_length`, found [32, 32]",
    );
    check(
        &llama,
        |t| t.set("llama.attention.value_length", 4_u32),
        "tensor `blk.0.attn_v.weight`: expected [8, 32] by `attention.head_count_kv x attention.value_length` and `embedding_length`, found [16, 32]",
    );
    check(
        &llama,
        |t| t.reshape("blk.1.attn_output.weight", &[64, HIDDEN]),
        "tensor `blk.1.attn_output.weight`: expected [32, 32] by `embedding_length` and `attention.head_count x attention.value_length`, found [32, 64]",
    );
}

#[test]
fn rotary_dims_odd_zero_or_past_the_head() {
    let llama = Tiny::llama();
    check_key(&llama, "rope.dimension_count", 0_u32, "expected 2 to 16384, found 0");
    check_key(&llama, "rope.dimension_count", 5_u32, "expected an even number of at most 8, found 5");
    check_key(&llama, "rope.dimension_count", 10_u32, "expected an even number of at most 8, found 10");
}

#[test]
fn rope_base_and_scaling_out_of_range() {
    let llama = Tiny::llama();
    for base in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let message = format!("expected a number from 1e0 (excluded) to 1e12, found {base}");
        check_key(&llama, "rope.freq_base", base, &message);
    }
    for factor in [0.0, -2.0, f32::NAN] {
        let message = format!("expected a number from 1e-3 (excluded) to 1e6, found {factor}");
        check_key(&llama, "rope.scaling.factor", factor, &message);
    }
    check_key(&llama, "rope.scaling.type", "dynamic", "expected none, linear, yarn or longrope, found dynamic");
    check(&llama, |t| t.set("llama.rope.scaling.type", "yarn"), "key `llama.rope.scaling.factor` is missing");
}

#[test]
fn rope_tables_of_the_wrong_length_type_or_value() {
    let mut llama = Tiny::llama();
    llama.add("rope_freqs.weight", &[4]);
    llama.build().expect("half of eight rotary dimensions");
    check(
        &llama,
        |t| t.reshape("rope_freqs.weight", &[5]),
        "tensor `rope_freqs.weight`: expected [4] by rope.dimension_count / 2, found [5]",
    );
    check(
        &llama,
        |t| t.retype("rope_freqs.weight", GgmlType::F16),
        "tensor `rope_freqs.weight`: expected F32, found F16",
    );
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let message = format!("key `rope_freqs.weight`: expected finite numbers above 1e-6, found {bad}");
        check(&llama, |t| t.fill_tables(bad), &message);
    }
}

#[test]
fn norm_eps_out_of_range() {
    let llama = Tiny::llama();
    for eps in [0.0, -1e-5, f32::NAN, 1e30] {
        let message = format!("expected a number from 0e0 (excluded) to 1e0, found {eps}");
        check_key(&llama, "attention.layer_norm_rms_epsilon", eps, &message);
    }
}

#[test]
fn context_length_zero_or_absurd() {
    let llama = Tiny::llama();
    check_key(&llama, "context_length", 0_u32, "expected 1 to 2147483647, found 0");
    check_key(&llama, "context_length", 1_u64 << 40, "expected 1 to 2147483647, found 1099511627776");
}

#[test]
fn experts_used_zero_or_more_than_there_are() {
    let mixtral = Tiny::mixtral();
    mixtral.build().expect("the file is sound");
    check_key(&mixtral, "expert_used_count", 0_u32, "expected 1 to 4 experts, found 0");
    check_key(&mixtral, "expert_used_count", 5_u32, "expected 1 to 4 experts, found 5");
    check_key(&mixtral, "expert_count", 1_u32 << 20, "expected 0 to 4096, found 1048576");
    check_key(&mixtral, "expert_group_count", 3_u32, "expected a divisor of 4 experts, found 3");
    check(
        &mixtral,
        |t| t.set("llama.expert_group_count", 4_u32).set("llama.expert_group_used_count", 1_u32),
        "key `llama.expert_group_used_count`: expected at most 4 groups, with room for 2 experts, found 1",
    );
    check(
        &mixtral.renamed("qwen3moe"),
        |t| t.set("qwen3moe.expert_count", 0_u32),
        "key `qwen3moe.expert_count`: expected at least 1, found 0",
    );
}

#[test]
fn sliding_window_zero_negative_or_past_the_context() {
    let gemma = Tiny::gemma2();
    gemma.build().expect("the file is sound");
    let window = |value: Value, message: &str| {
        let key = "gemma2.attention.sliding_window";
        check(&gemma, |t| t.set(key, value), &format!("key `{key}`: {message}"));
    };
    window(Value::U32(0), "expected 1 to the context length 128, found 0");
    window(Value::U32(129), "expected 1 to the context length 128, found 129");
    window(Value::I32(-1), "expected 0 to 2147483647, found -1");
    let mut pattern = gemma.clone();
    pattern.set("gemma2.attention.sliding_window_pattern", vec![true; 3]);
    assert!(pattern.error().ends_with("expected 2 elements, found 3"), "{}", pattern.error());
}

#[test]
fn ffn_shapes_against_the_key() {
    check(
        &Tiny::llama(),
        |t| t.set("llama.feed_forward_length", 96_u32),
        "tensor `blk.0.ffn_gate.weight`: expected [96, 32] by `feed_forward_length` and `embedding_length`, found [64, 32]",
    );
}

#[test]
fn embedding_rows_against_the_vocabulary() {
    let llama = Tiny::llama();
    check(
        &llama,
        |t| t.reshape("token_embd.weight", &[HIDDEN, VOCAB + 1]),
        "tensor `token_embd.weight`: expected [40, 32] by `tokenizer.ggml.tokens` and `embedding_length`, found [41, 32]",
    );
    check(
        &llama,
        |t| t.set("tokenizer.ggml.tokens", Array::String(vec![])),
        "key `tokenizer.ggml.tokens`: expected at least one, found no tokens",
    );
    check(
        &llama,
        |t| t.unset("tokenizer.ggml.tokens").set("llama.vocab_size", 39_u32),
        "tensor `token_embd.weight`: expected [39, 32] by `vocab_size` and `embedding_length`, found [40, 32]",
    );
}

#[test]
fn transposed_matrix() {
    check(
        &Tiny::llama(),
        |t| t.reshape("blk.0.ffn_down.weight", &[HIDDEN, 64]),
        "tensor `blk.0.ffn_down.weight`: expected [32, 64] by `embedding_length` and `feed_forward_length`, found [64, 32]",
    );
}

#[test]
fn every_missing_tensor_is_named() {
    let mut tiny = Tiny::llama();
    tiny.drop("blk.0.attn_k.weight").drop("blk.1.ffn_up.weight").drop("output_norm.weight");
    let Err(ModelError::MissingTensors { tensors }) = tiny.build() else { panic!("{}", tiny.error()) };
    assert_eq!(tensors, ["blk.0.attn_k.weight", "blk.1.ffn_up.weight", "output_norm.weight"]);
    assert!(tiny.error().starts_with("3 tensors missing: `blk.0.attn_k.weight`, "), "{}", tiny.error());
}

#[test]
fn unknown_tensors_are_warned_about() {
    let mut tiny = Tiny::llama();
    tiny.add("blk.1.mystery.weight", &[4]);
    let warnings = tiny.build().expect("extra tensors do no harm").warnings;
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].to_string(), "1 tensor not used: `blk.1.mystery.weight`");
}

#[test]
fn norms_must_not_be_quantised_and_biases_must_fit() {
    let llama = Tiny::llama();
    check(
        &llama,
        |t| t.retype("blk.1.ffn_norm.weight", GgmlType::Q8_0),
        "tensor `blk.1.ffn_norm.weight`: expected F32, F16 or BF16, found Q8_0",
    );
    check(
        &llama,
        |t| t.retype("blk.1.ffn_up.weight", GgmlType::I32),
        "tensor `blk.1.ffn_up.weight`: expected a float or quantized type, found I32",
    );
    check(
        &llama,
        |t| t.add("blk.0.attn_q.bias", &[31]),
        "tensor `blk.0.attn_q.bias`: expected [32] by `attention.head_count x attention.key_length`, found [31]",
    );
}

#[test]
fn a_longer_context_than_ministral_can_is_refused() {
    let mut tiny = Tiny::llama().renamed("mistral3");
    tiny.set("mistral3.attention.temperature_scale", 0.1_f32);
    tiny.set("mistral3.rope.scaling.original_context_length", 64_u32);
    assert!(tiny.error().contains("use a context of at most 64 instead of 128"), "{}", tiny.error());
    tiny.options.context_length = Some(64);
    tiny.build().expect("within the trained context the factor is one");
}

/// Values that no key expects, or only some.
fn hostile_values() -> Vec<Value> {
    let integers = [0, 1, 3, 4096, u64::from(u32::MAX), u64::MAX];
    let numbers = [0.0, -1.0, 1e-45, 1.0, 1e30, f32::NAN, f32::INFINITY];
    let mut values: Vec<Value> = integers.map(Value::U64).into();
    values.extend(numbers.map(Value::F32));
    values.extend([Value::I32(-1), Value::I64(i64::MIN), Value::Bool(true), Value::String("yarn".into())]);
    values.extend([Value::from("\u{1b}[2J"), Value::from(Vec::<u32>::new()), Value::from(vec![0_u32; 2])]);
    values.extend([Value::from(vec![-1_i32; 2]), Value::from(vec![u64::MAX; 2]), Value::from(vec![f32::NAN; 2])]);
    values.extend([Value::from(vec![true, false]), Value::from(vec![3_u32, 1])]);
    values
}

/// Every key that some architecture reads.
const KEYS: &[&str] = &[
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "attention.scale",
    "attention.sliding_window",
    "attention.sliding_window_pattern",
    "attention.temperature_length",
    "attention.temperature_scale",
    "attention.value_length",
    "attn_logit_softcapping",
    "block_count",
    "context_length",
    "embedding_length",
    "embedding_scale",
    "expert_count",
    "expert_feed_forward_length",
    "expert_gating_func",
    "expert_group_count",
    "expert_group_used_count",
    "expert_shared_count",
    "expert_shared_feed_forward_length",
    "expert_used_count",
    "expert_weights_norm",
    "expert_weights_scale",
    "feed_forward_length",
    "final_logit_softcapping",
    "leading_dense_block_count",
    "logit_scale",
    "nextn_predict_layers",
    "residual_scale",
    "rope.dimension_count",
    "rope.dimension_sections",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scale_linear",
    "rope.scaling.attn_factor",
    "rope.scaling.factor",
    "rope.scaling.original_context_length",
    "rope.scaling.type",
    "rope.scaling.yarn_attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    "rope.scaling.yarn_ext_factor",
    "rope.scaling.yarn_log_multiplier",
    "rope.scaling.yarn_truncate",
    "use_parallel_residual",
    "vocab_size",
];

/// A file with the tensors of every architecture, so that no build stops at the first missing one.
fn anything(arch: &str) -> Tiny {
    let mut tiny = Tiny::mixtral();
    for (key, value) in
        [("attention.sliding_window", 16_u32), ("expert_shared_count", 1), ("rope.scaling.original_context_length", 64)]
    {
        tiny.set(&format!("llama.{key}"), value);
    }
    tiny.set("llama.attention.layer_norm_epsilon", 1e-5_f32);
    tiny.set("llama.rope.scaling.type", "yarn").set("llama.rope.scaling.factor", 4.0_f32);
    tiny.set("llama.rope.scaling.yarn_truncate", false);
    if arch == "olmo2" {
        tiny.unset("llama.attention.sliding_window");
    }
    for layer in 0..2 {
        let up = if ["phi3", "glm4"].contains(&arch) { 128 } else { 64 };
        let norm = match arch {
            "olmo2" => [32, 16],
            _ => [8, 8],
        };
        for (part, dims) in [
            ("ffn_gate", vec![HIDDEN, 64]),
            ("ffn_up", vec![HIDDEN, up]),
            ("ffn_down", vec![64, HIDDEN]),
            ("ffn_gate_shexp", vec![HIDDEN, if arch == "qwen2moe" { 64 } else { 48 }]),
            ("ffn_up_shexp", vec![HIDDEN, if arch == "qwen2moe" { 64 } else { 48 }]),
            ("ffn_down_shexp", vec![if arch == "qwen2moe" { 64 } else { 48 }, HIDDEN]),
            ("ffn_gate_inp_shexp", vec![HIDDEN]),
            ("attn_sinks", vec![4]),
            ("post_attention_norm", vec![HIDDEN]),
            ("post_ffw_norm", vec![HIDDEN]),
            ("attn_q_norm", if arch == "stablelm" { vec![8, 4] } else { vec![norm[0]] }),
            ("attn_k_norm", if arch == "stablelm" { vec![8, 2] } else { vec![norm[1]] }),
        ] {
            tiny.add(&format!("blk.{layer}.{part}.weight"), &dims);
        }
    }
    tiny.renamed(arch)
}

#[test]
fn every_architecture_builds_from_a_file_with_all_tensors() {
    for arch in ARCHS {
        let built = anything(arch.name).build().unwrap_or_else(|error| panic!("{}: {error}", arch.name));
        assert_eq!(built.program.cache_layers.len(), 2, "{}", arch.name);
    }
}

#[test]
fn no_metadata_makes_any_architecture_panic() {
    let values = hostile_values();
    for arch in ARCHS {
        let tiny = anything(arch.name);
        let mut accepted = 0;
        for key in KEYS {
            for value in &values {
                let mut spoilt = tiny.clone();
                spoilt.set(&format!("{}.{key}", arch.name), value.clone());
                let outcome = catch_unwind(AssertUnwindSafe(|| spoilt.build()));
                let Ok(result) = outcome else { panic!("{} with {key} = {value:?}", arch.name) };
                let Ok(built) = result else { continue };
                assert_sound(&built.program, &format!("{} with {key} = {value:?}", arch.name));
                accepted += 1;
            }
        }
        assert!(accepted > KEYS.len(), "{}: only {accepted} accepted, so this test looks at nothing", arch.name);
    }
}

/// Whatever was accepted can be computed: every rotation and factor is finite.
fn assert_sound(program: &rocmforge_program::Program, context: &str) {
    use rocmforge_program::Op;
    for op in &program.ops {
        let finite = match op {
            Op::Rope { spec, .. } => spec.magnitude.is_finite() && spec.frequencies.iter().all(|f| f.is_finite()),
            Op::Attention { spec, .. } => spec.validate().is_ok(),
            Op::Scale { factor, .. } => factor.is_finite(),
            Op::Softcap { cap, .. } => cap.is_finite() && *cap > 0.0,
            Op::Norm { eps, .. } => eps.is_finite() && *eps > 0.0,
            Op::Embed { scale, .. } => scale.is_finite(),
            _ => true,
        };
        assert!(finite, "{context}: {op:?}");
    }
}
