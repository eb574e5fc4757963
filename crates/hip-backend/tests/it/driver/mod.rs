//! The driver layer.

mod graphs;
mod memory;
mod opening;
mod streams;
mod walks;
