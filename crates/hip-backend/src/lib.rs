#![doc = include_str!("../README.md")]

mod backend;
pub mod driver;
mod error;
pub mod library;
mod model;
pub mod ops;
mod options;
mod self_test;
pub mod survey;
pub mod weights;

pub use backend::HipBackend;
pub use error::OpenError;
pub use hip_sys::LoadError;
pub use model::ProfileRow;
pub use options::{HipOptions, Precision};
