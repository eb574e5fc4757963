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

pub use abi::{Dispatch, kernarg_from_args};
pub use count::Counts;
pub use fault::{Fault, FaultKind};
pub use launch::{LaunchError, Options, Order, launch};
pub use memory::Memory;
pub use object::{CodeObject, Kernel, ObjectError};
pub use program::{Program, ProgramError};
