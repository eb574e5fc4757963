//! The whole engine on real files.

mod demo;
mod engine;
mod golden;
mod hip;
mod hip_ops;
mod invariance;
