//! The server as a whole: what its parts share, and its life from the first socket to the last answer.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use rocmforge_engine::{EngineHandle, Status};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::api;
use crate::api::openai::ResponseStore;
use crate::args::ServeArgs;
use crate::generation::{Generator, GeneratorOptions};
use crate::guard::{self, BodyLimits, Hosts, Keys, KeysError, Origins};
use crate::metrics::{self, Metrics};
use crate::requests::RequestTable;
use crate::telemetry::Spans;
use crate::transport::{Acceptor, Counters, Limits};
use crate::{health, page};

/// What the operator decided.
#[derive(Debug, Clone)]
pub struct Config {
    /// Names of the model in the APIs, at least one; the first is the usual one.
    pub served_names: Vec<String>,
    /// Who is let in.
    pub keys: Keys,
    /// Names under which this server is asked.
    pub hosts: Hosts,
    /// Web pages that may ask.
    pub origins: Origins,
    /// What connections may take.
    pub limits: Limits,
    /// What bodies may take.
    pub bodies: BodyLimits,
    /// Where spans of requests go.
    pub spans: Spans,
    /// Whether figures are read without a key.
    pub metrics_open: bool,
    /// Whether requests may bring chat templates.
    pub allow_request_templates: bool,
    /// How long a step may take before the engine counts as stuck.
    pub stall_time: Duration,
    /// How long requests may take to end when the server stops.
    pub shutdown_time: Duration,
}

impl Config {
    /// What the options say, for a server that listens on `bound`.
    ///
    /// # Errors
    /// Keys that cannot be used, and an open server beyond this machine that nobody asked for.
    pub fn new(args: &ServeArgs, told: &str, bound: SocketAddr, model_name: &str) -> Result<Self, ServeError> {
        let keys = Keys::new(&args.api_key, args.api_key_file.as_deref())?;
        if keys.is_open() && !bound.ip().to_canonical().is_loopback() && !args.allow_unauthenticated {
            return Err(ServeError::Open(bound));
        }
        let mut served_names = args.served_model_name.clone();
        if served_names.is_empty() {
            served_names.push(model_name.to_owned());
        }
        let mut limits = Limits::default();
        limits.connections = args.max_connections.unwrap_or_else(|| limits.connections.min(files_for_connections()));
        Ok(Self {
            served_names,
            keys,
            hosts: Hosts::new(bound, told, &args.allowed_host),
            origins: Origins::new(&args.cors_origin),
            limits,
            bodies: BodyLimits::new(args.max_body_bytes),
            spans: Spans::to(args.otlp_traces_endpoint.as_deref()).map_err(ServeError::BadOption)?,
            metrics_open: args.metrics_open,
            allow_request_templates: args.allow_request_templates,
            stall_time: Duration::from_secs(args.stall_timeout),
            shutdown_time: Duration::from_secs(args.shutdown_timeout),
        })
    }
}

/// Connections for which this process may open files; others are kept for models and logs.
fn files_for_connections() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let files: Option<usize> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    files.map_or(usize::MAX, |files| (files.saturating_sub(128)).max(files / 2).max(1))
}

/// Why a server could not start, or did not end well.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// An option cannot be used.
    #[error("{0}")]
    BadOption(String),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// Keys cannot be used.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Everybody who can reach the machine could use it.
    #[error(
        "listening on {0} lets everybody in who can reach this machine: set a key (--api-key or --api-key-file), or say \
         that this is intended (--allow-unauthenticated)"
    )]
    Open(SocketAddr),
    /// The system does not give what a server needs.
    #[error("cannot start: {0}")]
    System(#[from] io::Error),
    /// The model cannot be loaded.
    #[error("{reason}")]
    Load {
        /// Why.
        reason: String,
        /// Whether the file or an option is at fault.
        is_bad_input: bool,
    },
    /// The engine failed while it served.
    #[error("the engine failed: {0}")]
    Engine(String),
    /// Requests did not end in the time there was.
    #[error("requests were still under way when the time to shut down was over")]
    NotDrained,
}

impl ServeError {
    /// Whether what the operator gave is at fault.
    pub fn is_bad_input(&self) -> bool {
        match self {
            Self::BadOption(_) | Self::Keys(_) | Self::Open(_) => true,
            Self::Load { is_bad_input, .. } => *is_bad_input,
            _ => false,
        }
    }
}

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    /// The engine.
    pub engine: EngineHandle,
    /// What turns jobs into answers.
    pub generator: Generator,
    /// What the operator decided.
    pub config: Arc<Config>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// Requests by name.
    pub requests: RequestTable,
    /// Answers of the Responses API that can be asked for again.
    pub responses: ResponseStore,
    /// When the server started.
    pub started: Instant,
    /// Whether the server is shutting down.
    pub is_draining: Arc<AtomicBool>,
}

/// All routes, behind all guards.
fn router(state: &AppState) -> Router {
    let routes =
        Router::new().merge(health::routes()).merge(metrics::routes()).merge(page::routes()).merge(api::routes());
    guard::protect(routes, state)
}

fn generator_options(config: &Config) -> GeneratorOptions {
    GeneratorOptions {
        names: config.served_names.clone(),
        allow_templates: config.allow_request_templates,
        ..GeneratorOptions::default()
    }
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    state: AppState,
    counters: Arc<Counters>,
}

/// How long answers that have ended may take to reach their readers.
const LAST_BYTES: Duration = Duration::from_secs(2);

/// How long answers that were ended may take to say so.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How often the end of all requests, and the end of the engine, are looked for.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_AFTER_ENGINE: Duration = Duration::from_millis(250);

impl Server {
    /// Puts the parts together. Requests are taken as soon as it runs and the model is loaded.
    pub fn new(listener: TcpListener, config: Config, engine: EngineHandle) -> Self {
        let counters = Arc::new(Counters::default());
        let name = config.served_names.first().map_or("model", String::as_str);
        let state = AppState {
            responses: ResponseStore::default(),
            metrics: Arc::new(Metrics::new(&engine, name, counters.clone())),
            generator: Generator::new(engine.clone(), generator_options(&config)),
            engine,
            config: Arc::new(config),
            requests: RequestTable::default(),
            started: Instant::now(),
            is_draining: Arc::default(),
        };
        Self { listener, state, counters }
    }

    /// What handlers share.
    pub fn state(&self) -> &AppState {
        &self.state
    }

    /// Serves until `stop` says so, and then until what runs has ended or the time for that is over. A second word
    /// ends it at once.
    ///
    /// # Errors
    /// An engine that failed, and requests that did not end.
    pub async fn run(self, mut stop: mpsc::Receiver<()>) -> Result<(), ServeError> {
        let Self { listener, state, counters } = self;
        let (drain, is_draining) = watch::channel(false);
        let acceptor = Acceptor::new(listener, router(&state), state.config.limits.clone(), counters.clone());
        let acceptor = tokio::spawn(acceptor.run(is_draining));
        let result = tokio::select! {
            _ = stop.recv() => Ok(()),
            error = engine_failure(&state.engine) => Err(error),
        };
        tracing::info!("shutting down");
        state.is_draining.store(true, Ordering::Relaxed);
        state.engine.drain();
        // Nobody listens if the acceptor has ended.
        let _ = drain.send(true);
        let end = tokio::select! {
            end = drain_requests(&state, &counters, result.is_err()) => end,
            _ = stop.recv() => Err(ServeError::NotDrained),
        };
        acceptor.abort();
        state.engine.stop();
        // A device is given back by its thread, and not by the end of the process, which drivers complain about.
        let has_ended = || !matches!(state.engine.status(), Status::Ready | Status::Loading);
        let _ = tokio::time::timeout(LAST_WORDS, until(has_ended)).await;
        result.and(end)
    }
}

/// Ends when the engine has failed, with the reason.
async fn engine_failure(engine: &EngineHandle) -> ServeError {
    if let Status::Failed(reason) = engine.wait_ready().await {
        return ServeError::Load { reason, is_bad_input: false };
    }
    loop {
        match engine.status() {
            Status::Failed(reason) => return ServeError::Engine(reason),
            Status::Stopped => return ServeError::Engine("its thread has ended".into()),
            Status::Loading | Status::Ready => tokio::time::sleep(LOOK_AFTER_ENGINE).await,
        }
    }
}

/// Waits for requests to end, and ends those that take too long.
async fn drain_requests(state: &AppState, counters: &Counters, has_failed: bool) -> Result<(), ServeError> {
    let time = if has_failed { LAST_WORDS } else { state.config.shutdown_time };
    if tokio::time::timeout(time, until(|| is_idle(state))).await.is_err() {
        state.engine.end_all("the server is shutting down");
        let ended = tokio::time::timeout(LAST_WORDS, until(|| is_idle(state))).await;
        ended.map_err(|_| ServeError::NotDrained)?;
    }
    // Those that have not taken their answers by then have had their time.
    let _ = tokio::time::timeout(LAST_BYTES, until(|| counters.open.load(Ordering::Relaxed) == 0)).await;
    Ok(())
}

fn is_idle(state: &AppState) -> bool {
    let load = state.engine.load();
    load.running == 0 && load.waiting == 0 && state.metrics.in_flight() == 0
}

async fn until(is_true: impl Fn() -> bool) {
    while !is_true() {
        tokio::time::sleep(LOOK).await;
    }
}
