//! The APIs, each a translation of its wire format to and from one neutral job.

pub mod anthropic;
pub mod ollama;
