#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod api;
pub mod body;
pub mod error;
pub mod generation;
pub mod page;
pub mod transport;
