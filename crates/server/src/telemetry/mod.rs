//! Traces over several programs: the W3C header `traceparent`, taken from requests and given with answers, and spans of
//! requests sent over OTLP.

#[cfg(feature = "otlp")]
mod otlp;
mod trace_context;

use std::time::SystemTime;

pub use trace_context::TraceContext;

/// A request that was answered.
#[derive(Debug)]
pub struct Span<'a> {
    /// Its trace, and our part of it.
    pub trace: TraceContext,
    /// Its name in logs.
    pub request_id: &'a str,
    /// Its method.
    pub method: &'a str,
    /// Its route, as it was declared.
    pub route: &'a str,
    /// Its answer's status.
    pub status: u16,
    /// When it came.
    pub began: SystemTime,
    /// Whether all of the answer was sent.
    pub is_whole: bool,
}

/// Where spans go.
#[derive(Debug, Clone, Default)]
pub struct Spans {
    #[cfg(feature = "otlp")]
    sender: Option<otlp::Sender>,
}

impl Spans {
    /// Sends spans to that endpoint, if there is one.
    ///
    /// # Errors
    /// An endpoint that is none, and a program that was built without `otlp`.
    #[cfg(feature = "otlp")]
    pub fn to(endpoint: Option<&str>) -> Result<Self, String> {
        Ok(Self { sender: endpoint.map(otlp::Sender::start).transpose()? })
    }

    /// Sends spans to that endpoint, if there is one.
    ///
    /// # Errors
    /// Any endpoint: this program was built without `otlp`.
    #[cfg(not(feature = "otlp"))]
    pub fn to(endpoint: Option<&str>) -> Result<Self, String> {
        match endpoint {
            None => Ok(Self::default()),
            Some(_) => Err("--otlp-traces-endpoint: this program was built without the feature `otlp`".into()),
        }
    }

    /// Hands a span over; never waits.
    pub fn record(&self, span: &Span<'_>) {
        #[cfg(feature = "otlp")]
        if let Some(sender) = &self.sender {
            sender.send(span);
        }
        #[cfg(not(feature = "otlp"))]
        let _ = span;
    }
}
