//! Raw bindings to the HIP runtime and hipRTC, opened at run time.
//!
//! The types and constants have the names of the C headers; [`Api`] and [`Rtc`] hold the functions of an open library,
//! as methods under their own names. A program that links this crate starts without ROCm and learns from
//! [`Api::open`] whether there is one.

mod api;
mod error;
pub mod generated;
pub mod library;
mod macros;
mod rtc;
mod version;

pub use api::{Api, LIBRARY_VARIABLE};
pub use error::{LoadError, Tried};
pub use generated::types::*;
pub use generated::{rtc as rtc_table, runtime as runtime_table};
pub use library::Address;
pub use rtc::{RTC_LIBRARY_VARIABLE, Rtc};
pub use version::Version;
