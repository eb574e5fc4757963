#![doc = include_str!("../README.md")]

mod reference;
mod registry;
mod weights;

pub use reference::ReferenceBackend;
