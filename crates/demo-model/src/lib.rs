//! A 7 M-parameter chat model in GGUF, so that everything runs without a download.
#![doc = include_str!("../README.md")]
