//! Walks the table of types: sizes, stored samples, quantizers, hostile bytes.

mod codec;
mod samples;
mod sizes;
