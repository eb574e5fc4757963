//! The server.
#![forbid(unsafe_code)]

pub mod body;
pub mod error;
pub mod page;
