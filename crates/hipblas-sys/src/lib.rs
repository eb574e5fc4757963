#![doc = include_str!("../README.md")]

mod dialect;
pub mod generated;
mod open;

pub use dialect::{Dialect, Element, Gemm, Matrix};
pub use generated::blas as blas_table;
pub use generated::types::*;
pub use open::{Blas, LIBRARY_VARIABLE};
