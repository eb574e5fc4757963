//! Model architectures: from GGUF metadata to a Program.
#![doc = include_str!("../README.md")]
