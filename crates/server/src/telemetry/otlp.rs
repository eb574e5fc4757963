//! Spans of requests, sent over OTLP in batches.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tokio::sync::mpsc;

use super::Span;

/// Spans that wait to be sent; more are left out.
const WAITING: usize = 4096;
/// Spans sent at once.
const BATCH: usize = 512;
/// How long a span waits for others.
const PAUSE: Duration = Duration::from_secs(1);

/// Hands spans to the task that sends them.
#[derive(Debug, Clone)]
pub struct Sender(mpsc::Sender<SpanData>);

impl Sender {
    /// Starts the task, which ends with the last sender.
    pub fn start(endpoint: &str) -> Result<Self, String> {
        let exporter = SpanExporter::builder().with_http().with_endpoint(endpoint).build();
        let mut exporter = exporter.map_err(|error| format!("--otlp-traces-endpoint {endpoint}: {error}"))?;
        exporter.set_resource(&Resource::builder().with_service_name("rocmforge").build());
        let (sender, receiver) = mpsc::channel(WAITING);
        tokio::spawn(export(exporter, receiver));
        Ok(Self(sender))
    }

    /// Hands a span over, unless its caller does not record the trace.
    pub fn send(&self, span: &Span<'_>) {
        if span.trace.parent().is_none_or(|(_, _, is_recorded)| is_recorded) {
            // A collector that does not keep up costs spans and nothing else.
            let _ = self.0.try_send(data(span));
        }
    }
}

async fn export(exporter: SpanExporter, mut spans: mpsc::Receiver<SpanData>) {
    let mut batch = Vec::with_capacity(BATCH);
    while spans.recv_many(&mut batch, BATCH).await > 0 {
        if let Err(error) = exporter.export(std::mem::take(&mut batch)).await {
            tracing::warn!("cannot send traces: {error}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn data(span: &Span<'_>) -> SpanData {
    let (trace, id) = span.trace.ids();
    let context = SpanContext::new(
        TraceId::from_bytes(trace.to_be_bytes()),
        SpanId::from_bytes(id.to_be_bytes()),
        TraceFlags::SAMPLED,
        false,
        TraceState::default(),
    );
    let parent = span.trace.parent().map_or(SpanId::INVALID, |(_, id, _)| SpanId::from_bytes(id.to_be_bytes()));
    let is_failure = span.status >= 500 || !span.is_whole;
    SpanData {
        span_context: context,
        parent_span_id: parent,
        parent_span_is_remote: true,
        span_kind: SpanKind::Server,
        name: Cow::Owned(format!("{} {}", span.method, span.route)),
        start_time: span.began,
        end_time: SystemTime::now(),
        attributes: vec![
            KeyValue::new("http.request.method", span.method.to_owned()),
            KeyValue::new("http.route", span.route.to_owned()),
            KeyValue::new("http.response.status_code", i64::from(span.status)),
            KeyValue::new("gen_ai.request.id", span.request_id.to_owned()),
        ],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if is_failure { Status::error("") } else { Status::Unset },
        instrumentation_scope: InstrumentationScope::builder("rocmforge-server").build(),
    }
}
