#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod args;
mod device;
mod load;
mod terminal;

pub use args::{CommonArgs, KvArg, PrecisionArg};
pub use terminal::{bytes, progress, start_logging};
