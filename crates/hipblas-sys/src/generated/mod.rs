//! What `cargo xtask bindings` writes, under the names that the C headers use.
#![allow(missing_docs, non_camel_case_types, non_snake_case, non_upper_case_globals, reason = "the names are C's")]

pub mod blas;
pub mod types;
