//! What the scheduler promises.

mod batching;
mod common;
mod failures;
mod fairness;
mod limits;
mod memory;
mod properties;
mod states;
