#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod types;

pub use types::GgmlType;
