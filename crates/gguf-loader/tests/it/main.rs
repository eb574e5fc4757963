//! Hostile and ordinary files, generated in memory. The names `m1` to `m100` number the hostile cases.

mod build;
mod header;
mod layout;
mod mutate;
mod split;
mod tensors;
mod values;
mod writer;
