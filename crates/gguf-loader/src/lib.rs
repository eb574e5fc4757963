//! A GGUF reader that trusts nothing, and a writer.
#![doc = include_str!("../README.md")]
