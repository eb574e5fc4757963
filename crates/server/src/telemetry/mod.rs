//! Traces over several programs: the W3C header `traceparent`, taken from requests and given with answers.

mod trace_context;

pub use trace_context::TraceContext;
