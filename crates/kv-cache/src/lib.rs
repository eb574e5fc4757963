//! A paged KV cache: blocks, block tables, reference counts.
#![doc = include_str!("../README.md")]
