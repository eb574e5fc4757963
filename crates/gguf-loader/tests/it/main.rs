//! Hostile and ordinary files, generated in memory. The names `m1` to `m100` number the hostile cases.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod build;
mod header;
mod layout;
mod mutate;
mod split;
mod tensors;
mod values;
mod writer;
