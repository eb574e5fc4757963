//! What `cargo xtask bindings` writes, under the names that CUDA's headers use.
#![allow(missing_docs, non_camel_case_types, non_snake_case, non_upper_case_globals, reason = "the names are CUDA's")]

pub mod driver;
pub mod nvrtc;
pub mod types;
