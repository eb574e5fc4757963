#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod api;
pub mod app;
mod args;
pub mod body;
pub mod error;
pub mod events;
pub mod generation;
pub mod guard;
mod health;
mod metrics;
mod openapi;
pub mod page;
pub mod requests;
mod serve;
pub mod stream;
pub mod telemetry;
pub mod transport;

pub use app::ServeError;
pub use args::{ServeArgs, familiar};
pub use serve::serve;
