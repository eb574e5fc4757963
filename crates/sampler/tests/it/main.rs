//! The public behaviour of the sampler against definitions written down independently.

// The helpers of tests may unwrap like the tests themselves.
#![allow(clippy::unwrap_used)]

mod allocation;
mod behaviour;
mod dry;
mod errors;
mod mirostat;
mod oracle;
mod penalties;
mod properties;
mod readme;
mod statistics;
