//! From the command line to a server that runs.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rocmforge_engine::{EngineHandle, ServiceOptions};
use rocmforge_launch::CommonArgs;
use tokio::net::{TcpListener, TcpSocket, lookup_host};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::app::{Config, ServeError, Server};
use crate::args::ServeArgs;
use crate::events;

/// Name of the bundled model in the APIs.
const DEMO_NAME: &str = "rocmforge-demo";

/// Serves until SIGTERM or Ctrl-C. `say` is told where it listens, and what else its operator should read.
///
/// # Errors
/// Options that cannot be used, an address that is taken, a model that cannot be loaded, an engine that failed, and
/// requests that did not end in the time they had.
pub fn serve(common: &CommonArgs, args: &ServeArgs, say: impl Fn(&str)) -> Result<(), ServeError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("http").enable_all().build()?;
    let result = runtime.block_on(run(common, args, say));
    // A thread that still tokenizes a long text is not waited for.
    runtime.shutdown_background();
    result
}

async fn run(common: &CommonArgs, args: &ServeArgs, say: impl Fn(&str)) -> Result<(), ServeError> {
    let stop = stop_signals()?;
    let (host, port) = args.address().map_err(ServeError::BadOption)?;
    let listener = bind(&host, port).await?;
    let bound = listener.local_addr()?;
    let config = Config::new(args, &host, bound, &model_name(common))?;
    for warning in warnings(args, &config) {
        say(&warning);
    }
    say(&format!("listening on http://{bound}"));
    let loading = start_engine(common, args, publish_events(args).await?)?;
    let server = Server::new(listener, config, loading.engine.clone());
    let result = server.run(stop).await;
    result.map_err(|error| loading.explain(error))
}

/// Listens, on the first address of a name that can be listened on.
async fn bind(host: &str, port: u16) -> Result<TcpListener, ServeError> {
    let failed = |source| ServeError::Bind { address: format!("{host}:{port}"), source };
    let mut error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((host, port)).await.map_err(failed)? {
        match listen(address) {
            Ok(listener) => return Ok(listener),
            Err(source) => error = source,
        }
    }
    Err(failed(error))
}

/// Connections that may wait to be accepted; the system may allow fewer. Where it is full, peers try again after a second
/// and then ever later, so that a burst of them would take minutes.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A server that starts again takes its port at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn warnings(args: &ServeArgs, config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    if config.keys.is_open() && args.allow_unauthenticated {
        warnings.push("warning: no key is needed, so everybody who can reach this address is let in".into());
    }
    if args.gpu_layers.is_some() {
        warnings.push("warning: --gpu-layers has no effect; --device says where the model is computed".into());
    }
    warnings
}

/// Name of the model before it is loaded: the file's, without its ending.
fn model_name(common: &CommonArgs) -> String {
    let stem = common.model.as_ref().and_then(|path| path.file_stem());
    stem.map_or_else(|| DEMO_NAME.into(), |stem| stem.to_string_lossy().into_owned())
}

/// An engine that is being loaded.
struct Loading {
    engine: EngineHandle,
    /// Whether it failed because of what the operator gave.
    is_bad_input: Arc<AtomicBool>,
}

impl Loading {
    fn explain(&self, error: ServeError) -> ServeError {
        match error {
            ServeError::Load { reason, .. } => {
                ServeError::Load { reason, is_bad_input: self.is_bad_input.load(Ordering::Relaxed) }
            }
            other => other,
        }
    }
}

/// Starts to publish changes of the cache, if the options say so.
async fn publish_events(args: &ServeArgs) -> Result<ServiceOptions, ServeError> {
    let mut options = ServiceOptions::default();
    if let Some((sender, publisher)) = events::bind(args).await.map_err(ServeError::BadOption)? {
        options.on_cache_events = Some(Box::new(move |changes| sender.send(&changes)));
        tokio::spawn(publisher.run());
    }
    Ok(options)
}

fn start_engine(common: &CommonArgs, args: &ServeArgs, service: ServiceOptions) -> Result<Loading, ServeError> {
    let is_bad_input = Arc::new(AtomicBool::new(false));
    let (common, options) = (common.clone(), args.engine_options(common));
    let noted = is_bad_input.clone();
    let load = move || {
        let loaded = common.load_engine(options.clone(), false);
        noted.store(loaded.as_ref().is_err_and(|error| error.is_bad_input()), Ordering::Relaxed);
        loaded
    };
    let engine = EngineHandle::start(service, load)?;
    Ok(Loading { engine, is_bad_input })
}

/// A word for each SIGTERM and each Ctrl-C.
fn stop_signals() -> io::Result<mpsc::Receiver<()>> {
    let (said, stop) = mpsc::channel(2);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if said.send(()).await.is_err() {
                return;
            }
        }
    });
    Ok(stop)
}
