//! The one place where the keys of GGUF become the field's words, each with the range that is accepted.
//!
//! A key stands behind the architecture's name and a dot: `block_count` is `llama.block_count` in a Llama file.

/// A whole number, or one for each layer.
pub(crate) struct Size {
    pub key: &'static str,
    pub min: u64,
    pub max: u64,
}

/// A real number: finite, more than `above` and at most `max`.
pub(crate) struct Number {
    pub key: &'static str,
    pub above: f32,
    pub max: f32,
}

macro_rules! sizes {
    ($($word:ident $key:literal $min:literal ..= $max:expr;)*) => {
        $(pub(crate) const $word: Size = Size { key: $key, min: $min, max: $max };)*
    };
}

macro_rules! numbers {
    ($($word:ident $key:literal above $above:literal to $max:literal;)*) => {
        $(pub(crate) const $word: Number = Number { key: $key, above: $above, max: $max };)*
    };
}

/// Context lengths and windows are positions, which are 31-bit numbers everywhere.
const POSITIONS: u64 = i32::MAX as u64;

#[rustfmt::skip]
sizes! {
    NUM_LAYERS                "block_count"                            1..=4096;
    NUM_NEXTN_LAYERS          "nextn_predict_layers"                   0..=4096;
    HIDDEN_SIZE               "embedding_length"                       2..=1 << 20;
    INTERMEDIATE_SIZE         "feed_forward_length"                    1..=1 << 24;
    VOCAB_SIZE                "vocab_size"                             1..=1 << 24;
    CONTEXT_LENGTH            "context_length"                         1..=POSITIONS;
    NUM_HEADS                 "attention.head_count"                   1..=1 << 16;
    NUM_KV_HEADS              "attention.head_count_kv"                1..=1 << 16;
    HEAD_DIM                  "attention.key_length"                   1..=1 << 14;
    VALUE_DIM                 "attention.value_length"                 1..=1 << 14;
    SLIDING_WINDOW            "attention.sliding_window"               0..=POSITIONS;
    SLIDING_WINDOW_PATTERN    "attention.sliding_window_pattern"       1..=4096;
    TEMPERATURE_LENGTH        "attention.temperature_length"           1..=POSITIONS;
    ROTARY_DIMS               "rope.dimension_count"                   2..=1 << 14;
    ORIGINAL_CONTEXT_LENGTH   "rope.scaling.original_context_length"   1..=POSITIONS;
    NUM_EXPERTS               "expert_count"                           0..=4096;
    NUM_EXPERTS_PER_TOKEN     "expert_used_count"                      0..=4096;
    MOE_INTERMEDIATE_SIZE     "expert_feed_forward_length"             1..=1 << 24;
    NUM_SHARED_EXPERTS        "expert_shared_count"                    0..=1024;
    SHARED_INTERMEDIATE_SIZE  "expert_shared_feed_forward_length"      1..=1 << 24;
    NUM_DENSE_LAYERS          "leading_dense_block_count"              0..=4096;
    EXPERT_SCORING            "expert_gating_func"                     0..=3;
    NUM_EXPERT_GROUPS         "expert_group_count"                     0..=4096;
    NUM_EXPERT_GROUPS_CHOSEN  "expert_group_used_count"                0..=4096;
}

#[rustfmt::skip]
numbers! {
    RMS_NORM_EPS       "attention.layer_norm_rms_epsilon"   above 0.0 to 1.0;
    LAYER_NORM_EPS     "attention.layer_norm_epsilon"       above 0.0 to 1.0;
    ROPE_THETA         "rope.freq_base"                     above 1.0 to 1e12;
    ROPE_THETA_LOCAL   "rope.freq_base_swa"                 above 1.0 to 1e12;
    ROPE_FACTOR        "rope.scaling.factor"                above 1e-3 to 1e6;
    ROPE_FACTOR_OLD    "rope.scale_linear"                  above 1e-3 to 1e6;
    ROPE_MAGNITUDE     "rope.scaling.attn_factor"           above 0.0 to 1e3;
    YARN_MAGNITUDE     "rope.scaling.yarn_attn_factor"      above 0.0 to 1e3;
    YARN_EXTRAPOLATION "rope.scaling.yarn_ext_factor"       above -1.0 to 1.0;
    YARN_BETA_FAST     "rope.scaling.yarn_beta_fast"        above 0.0 to 1e6;
    YARN_BETA_SLOW     "rope.scaling.yarn_beta_slow"        above 0.0 to 1e6;
    YARN_LOG_FACTOR    "rope.scaling.yarn_log_multiplier"   above -1e-30 to 1e3;
    ATTENTION_SCALE    "attention.scale"                    above 0.0 to 1e3;
    ATTENTION_SOFTCAP  "attn_logit_softcapping"             above 0.0 to 1e6;
    TEMPERATURE_SCALE  "attention.temperature_scale"        above -1e-30 to 1e3;
    LOGIT_SOFTCAP      "final_logit_softcapping"            above -1e-30 to 1e6;
    LOGIT_SCALE        "logit_scale"                        above 1e-9 to 1e6;
    EMBEDDING_SCALE    "embedding_scale"                    above 0.0 to 1e6;
    RESIDUAL_SCALE     "residual_scale"                     above 0.0 to 1e6;
    EXPERT_SCALE       "expert_weights_scale"               above 0.0 to 1e6;
}

/// Keys whose values are texts or truths, so that no range applies.
pub(crate) mod plain {
    pub(crate) const ROPE_SCALING: &str = "rope.scaling.type";
    pub(crate) const ROPE_SECTIONS: &str = "rope.dimension_sections";
    pub(crate) const YARN_TRUNCATE: &str = "rope.scaling.yarn_truncate";
    pub(crate) const PARALLEL_RESIDUAL: &str = "use_parallel_residual";
    pub(crate) const NORMALIZE_EXPERTS: &str = "expert_weights_norm";
}
