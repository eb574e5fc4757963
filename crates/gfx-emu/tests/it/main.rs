//! Code objects made by a compiler, loaded and executed.
#![allow(clippy::needless_range_loop, reason = "a lane is the index of several arrays")]
#![allow(clippy::type_complexity, reason = "tables of cases hold formulas")]
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod abi;
mod arith;
mod generations;
mod isa;
mod kernels;
mod launch;
mod memory;
mod object;
