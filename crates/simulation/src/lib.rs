#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;
mod check;
mod model;
mod random;
mod report;
mod request;
mod setup;
mod step;
mod world;

pub use backend::Sabotage;
pub use report::{Failure, Report};
pub use world::{Options, run, run_with};
