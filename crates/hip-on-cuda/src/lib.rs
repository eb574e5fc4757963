#![doc = include_str!("../README.md")]

mod attributes;
mod blas;
mod context;
mod cublas;
mod device;
mod driver;
mod errors;
mod export;
#[allow(dead_code, reason = "a generated method for each function, some called through the table")]
mod generated;
mod graph;
mod launch;
mod memory;
mod module;
mod nvrtc;
mod options;
mod properties;
mod rtc;
mod status;
mod stream;
