#![doc = include_str!("../README.md")]

mod cpu;
pub mod elementwise;
pub mod flash;
pub mod kv;
pub mod matmul;
mod pool;
mod reference;
mod registry;

pub use cpu::CpuBackend;
pub use pool::Pool;
pub use reference::ReferenceBackend;
