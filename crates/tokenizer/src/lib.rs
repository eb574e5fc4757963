//! Tokenizers of GGUF files and tokenizer.json, with an incremental detokenizer.
#![doc = include_str!("../README.md")]
