//! The public behaviour of the sampler against definitions written down independently.

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
