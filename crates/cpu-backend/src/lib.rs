//! Interpreters of Programs on the CPU: a naive reference and a fast one.
#![doc = include_str!("../README.md")]
