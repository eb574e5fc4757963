#![doc = include_str!("../README.md")]

pub mod abi;
pub mod arith;
pub mod count;
pub mod fault;
pub mod isa;
pub mod launch;
pub mod memory;
pub mod object;
pub mod program;
pub mod run;
pub mod wave;
