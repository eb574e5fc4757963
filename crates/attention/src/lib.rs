#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod reference;
mod rope;
mod spec;

pub use rope::{RopePairing, RopeScaling, RopeSpec};
pub use spec::{AttentionSpec, SpecError};
