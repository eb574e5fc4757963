//! Code objects made by a compiler, loaded and executed.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod abi;
mod arith;
mod generations;
mod isa;
mod memory;
mod object;
