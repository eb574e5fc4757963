//! Attention and RoPE as specifications, with an f64 reference.
#![doc = include_str!("../README.md")]
