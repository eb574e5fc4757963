#![doc = include_str!("../README.md")]

mod api;
mod error;
pub mod generated;
mod identity;
pub mod library;
mod macros;
mod rtc;
mod version;

pub use api::{Api, LIBRARY_VARIABLE};
pub use error::{LoadError, Tried};
pub use generated::types::*;
pub use generated::{rtc as rtc_table, runtime as runtime_table};
pub use identity::{DeviceIdentity, IdentityError};
pub use library::Address;
pub use rtc::{RTC_LIBRARY_VARIABLE, Rtc};
pub use version::Version;
