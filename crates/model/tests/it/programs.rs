//! What is emitted for sound files.

use std::collections::HashSet;
use std::path::Path;

use rocmforge_model::{ARCHS, arch};
use rocmforge_program::Op;

use crate::tiny::{HIDDEN, Tiny};

#[test]
fn architectures_have_one_row_and_a_description() {
    let names: HashSet<&str> = ARCHS.iter().map(|arch| arch.name).collect();
    assert_eq!(names.len(), ARCHS.len());
    assert!(
        ARCHS.iter().all(|spec| !spec.description.is_empty() && arch(spec.name).is_ok_and(|a| a.name == spec.name))
    );
}

/// Compares with the file of that name; `UPDATE_EXPECT=1` writes it.
fn check_snapshot(tiny: &Tiny, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name);
    let printed = format!("{}\n", tiny.build().expect("a sound file").program);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &printed).expect("the snapshot can be written");
    }
    let expected = std::fs::read_to_string(&path).expect("the snapshot exists");
    assert_eq!(printed, expected, "{name}; UPDATE_EXPECT=1 accepts the difference");
}

#[test]
fn llama_prints_as_expected() {
    check_snapshot(&Tiny::llama(), "llama.txt");
}

#[test]
fn mixtral_prints_as_expected() {
    check_snapshot(&Tiny::mixtral(), "mixtral.txt");
}

#[test]
fn gemma2_alternates_windows_and_bounds_logits() {
    check_snapshot(&Tiny::gemma2(), "gemma2.txt");
}

#[test]
fn a_model_without_head_uses_its_embedding() {
    let mut tiny = Tiny::llama();
    tiny.drop("output.weight");
    let program = tiny.build().expect("tied embeddings").program;
    let Some(Op::Linear { weight, .. }) = program.ops.last() else { panic!("the head is a linear map") };
    assert_eq!(program.weight(*weight).tensor, "token_embd.weight");
}

/// Frequencies and magnitude of the first rotation.
fn rotation(tiny: &Tiny) -> (Vec<f32>, f32) {
    let program = tiny.build().expect("a sound file").program;
    let spec = program.ops.iter().find_map(|op| if let Op::Rope { spec, .. } = op { Some(spec) } else { None });
    let spec = spec.expect("a rotation");
    (spec.frequencies.to_vec(), spec.magnitude)
}

#[test]
fn linear_scaling_and_tables_divide_frequencies() {
    let mut tiny = Tiny::llama();
    let (trained, _) = rotation(&tiny);
    tiny.add("rope_freqs.weight", &[4]);
    let (by_table, _) = rotation(&tiny);
    tiny.set("llama.rope.scaling.type", "linear").set("llama.rope.scaling.factor", 4.0_f32);
    let (by_both, magnitude) = rotation(&tiny);
    for i in 0..4 {
        assert_eq!((by_table[i], by_both[i]), (trained[i] / 2.0, trained[i] / 8.0));
    }
    assert_eq!(magnitude, 1.0);
    tiny.set("llama.rope.scaling.type", "none");
    assert_eq!(rotation(&tiny).0, by_table);
}

#[test]
fn the_context_chooses_the_table_of_longrope() {
    let mut tiny = Tiny::llama();
    tiny.set("llama.rope.scaling.original_context_length", 64_u32);
    tiny.set("llama.rope.scaling.type", "longrope").set("llama.rope.scaling.attn_factor", 1.25_f32);
    let (trained, _) = rotation(&tiny);
    tiny.add("rope_factors_long.weight", &[4]);
    let (long, magnitude) = rotation(&tiny);
    assert_eq!((long[0], magnitude), (trained[0] / 2.0, 1.25));
    tiny.options.context_length = Some(64);
    assert_eq!(rotation(&tiny).0, trained, "the short table is absent, so nothing is divided");
}

#[test]
fn yarn_temperature_follows_the_paper_and_its_multiplier() {
    let mut tiny = Tiny::llama();
    tiny.set("llama.rope.scaling.type", "yarn").set("llama.rope.scaling.factor", 4.0_f32);
    tiny.set("llama.rope.scaling.original_context_length", 32_u32);
    let (_, paper) = rotation(&tiny);
    assert!((paper - (0.1 * 4f32.ln() + 1.0)).abs() < 1e-6, "{paper}");
    tiny.set("llama.rope.scaling.yarn_log_multiplier", 1.0_f32);
    assert!((rotation(&tiny).1 - 1.0).abs() < 1e-6);
}

#[test]
fn heads_may_differ_by_layer() {
    let mut tiny = Tiny::llama();
    tiny.set("llama.attention.head_count_kv", vec![2_u32, 1]);
    tiny.reshape("blk.1.attn_k.weight", &[HIDDEN, 8]).reshape("blk.1.attn_v.weight", &[HIDDEN, 8]);
    let program = tiny.build().expect("one array element a layer").program;
    let heads: Vec<usize> = program.cache_layers.iter().map(|layer| layer.num_kv_heads).collect();
    assert_eq!(heads, [2, 1]);
}

#[test]
fn a_window_is_optional_and_zero_means_none() {
    let window = |tokens: u32| {
        let mut tiny = Tiny::llama();
        tiny.set("llama.attention.sliding_window", tokens);
        tiny.build().expect("any window").program.cache_layers[0].window
    };
    assert_eq!([0, 16, 128, 4096].map(window), [None, Some(16), None, None]);
}

#[test]
fn layers_that_predict_further_tokens_are_left_out() {
    let mut tiny = Tiny::llama();
    tiny.set("llama.nextn_predict_layers", 1_u32);
    let built = tiny.build().expect("one layer remains");
    assert_eq!((built.program.cache_layers.len(), built.warnings), (1, vec![]));
}
