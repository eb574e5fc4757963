#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

/// The model file: GGUF, Q4_K_M.
pub static GGUF: &[u8] = include_bytes!("../model/demo-q4_k_m.gguf");

/// What a person calls it.
pub const NAME: &str = "ROCmForge demo 7M (Q4_K_M)";
