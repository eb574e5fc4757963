//! The whole engine on real files.

mod demo;
mod emulated;
mod engine;
mod golden;
mod hidden;
mod hip;
mod hip_faults;
mod hip_numbers;
mod hip_ops;
mod hooked;
mod invariance;
mod private_fake;
mod second_tier;
mod service;
mod simulated;
