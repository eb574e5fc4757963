#![doc = include_str!("../README.md")]

pub mod arith;
pub mod object;
