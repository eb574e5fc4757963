#![doc = include_str!("../README.md")]

mod block;
mod compile;
mod control;
mod emulate;
mod faults;
mod figures;
mod host;
mod image;
mod memory;
mod module;
mod objects;
mod say;
mod settings;
mod state;
mod stream;
#[allow(non_snake_case, reason = "the functions have HIP's names")]
mod symbols;

pub use control::{FakeHip, Fault, OpenError, compiler, emulated, library_path};
