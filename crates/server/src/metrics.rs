//! `/metrics`: the engine's figures under the names that routers read, and ours about HTTP.

use std::fmt;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use rocmforge_engine::EngineHandle;

use crate::app::AppState;
use crate::error::ApiError;
use crate::openapi::{self, Operation};
use crate::transport::Counters;

/// Figures about HTTP, and the registry of all figures.
pub struct Metrics {
    registry: Mutex<Registry>,
    /// Labels of the engine's figures.
    labels: Vec<(String, String)>,
    requests: Family<RequestLabels, Counter>,
    seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    in_flight: Gauge<i64, AtomicI64>,
    cut_off: Counter,
    cache_config: OnceLock<()>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    route: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CacheConfigLabels {
    block_size: usize,
    num_gpu_blocks: usize,
    cache_dtype: String,
    enable_prefix_caching: &'static str,
}

/// An answer that ended.
#[derive(Debug)]
pub struct Observed<'a> {
    /// Its route, as it was declared; empty for none.
    pub route: &'a str,
    /// Its status.
    pub status: StatusCode,
    /// Time from the request to the end of the answer.
    pub time: Duration,
    /// Whether all of it was sent.
    pub is_whole: bool,
}

fn durations() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0])
}

impl Metrics {
    /// Figures of `engine` under the model's name, and of connections.
    pub fn new(engine: &EngineHandle, model: &str, connections: Arc<Counters>) -> Self {
        let mut registry = Registry::default();
        let labels = vec![("model_name".into(), model.into()), ("engine".into(), "0".into())];
        let of_engine = labels.iter().cloned().map(|(name, value): (String, String)| (name.into(), value.into()));
        engine.metrics().register(registry.sub_registry_with_labels(of_engine));
        let metrics = Self {
            labels,
            requests: Family::default(),
            seconds: Family::new_with_constructor(durations as fn() -> Histogram),
            in_flight: Gauge::default(),
            cut_off: Counter::default(),
            cache_config: OnceLock::new(),
            registry: Mutex::default(),
        };
        let (requests, seconds) = (metrics.requests.clone(), metrics.seconds.clone());
        registry.register("rocmforge:http_requests", "Answers by route and status", requests);
        registry.register("rocmforge:http_request_seconds", "From a request to the end of its answer", seconds);
        registry.register("rocmforge:http_requests_in_flight", "Requests under way", metrics.in_flight.clone());
        registry.register("rocmforge:http_answers_cut_off", "Answers whose reader left", metrics.cut_off.clone());
        registry.register_collector(Box::new(Connections(connections)));
        *metrics.lock() = registry;
        metrics
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an answer that ended.
    pub fn observe(&self, it: &Observed<'_>) {
        // Paths that are no routes are as many as callers like, so they share a name.
        let route = if it.route.is_empty() { "none" } else { it.route };
        self.requests.get_or_create(&RequestLabels { route: route.into(), status: it.status.as_u16() }).inc();
        self.seconds.get_or_create(&RouteLabels { route: route.into() }).observe(it.time.as_secs_f64());
        if !it.is_whole {
            self.cut_off.inc();
        }
    }

    /// Counts a request as under way until what is returned is dropped.
    pub fn begin(&self) -> InFlight {
        self.in_flight.inc();
        InFlight(self.in_flight.clone())
    }

    /// Requests under way.
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Registers more figures.
    pub fn register(&self, add: impl FnOnce(&mut Registry)) {
        add(&mut self.lock());
    }

    /// Adds what is known only once the model is loaded.
    fn add_cache_config(&self, engine: &EngineHandle) {
        let Some(model) = engine.model() else { return };
        self.cache_config.get_or_init(|| {
            let sizes = Family::<CacheConfigLabels, Gauge>::default();
            let labels = CacheConfigLabels {
                block_size: model.cache.block_size,
                num_gpu_blocks: model.cache.num_blocks,
                cache_dtype: model.cache.kv_type.name().into(),
                enable_prefix_caching: "True",
            };
            sizes.get_or_create(&labels).set(1);
            let of_engine = self.labels.iter().cloned().map(|(name, value)| (name.into(), value.into()));
            self.lock().sub_registry_with_labels(of_engine).register(
                "vllm:cache_config_info",
                "Sizes of the cache",
                sizes,
            );
        });
    }
}

/// A request under way.
#[derive(Debug)]
pub struct InFlight(Gauge<i64, AtomicI64>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What the transport counts.
struct Connections(Arc<Counters>);

impl fmt::Debug for Connections {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Collector for Connections {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let open = ConstGauge::new(self.0.open.load(Ordering::Relaxed) as i64);
        let kind = open.metric_type();
        open.encode(encoder.encode_descriptor("rocmforge:http_connections", "Open connections", None, kind)?)?;
        for (name, help, count) in [
            ("rocmforge:http_connections_accepted", "Connections accepted", &self.0.accepted),
            (
                "rocmforge:http_connections_refused",
                "Connections turned away because too many were open",
                &self.0.refused,
            ),
            ("rocmforge:http_accept_failures", "Connections that could not be accepted", &self.0.failed),
        ] {
            let count = ConstCounter::new(count.load(Ordering::Relaxed));
            let kind = count.metric_type();
            count.encode(encoder.encode_descriptor(name, help, None, kind)?)?;
        }
        Ok(())
    }
}

/// The route of the figures.
pub fn routes() -> Router<AppState> {
    Router::new().route("/metrics", get(metrics))
}

/// What the OpenAPI document says of it.
pub fn operations() -> Vec<Operation> {
    vec![openapi::get("/metrics", "Figures, as Prometheus reads them.").answers_as("application/openmetrics-text")]
}

async fn metrics(State(state): State<AppState>) -> Response {
    state.metrics.add_cache_config(&state.engine);
    let mut text = String::new();
    if let Err(error) = encode(&mut text, &state.metrics.lock()) {
        return ApiError::internal(error).into_response();
    }
    const TYPE: HeaderValue = HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
    ([(CONTENT_TYPE, TYPE)], text).into_response()
}
