//! Walks the table of types: sizes, stored samples, quantizers, hostile bytes.

#![allow(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod codec;
mod hostile;
mod readme;
mod rng;
mod samples;
mod sizes;
