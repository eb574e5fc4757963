//! What clients and probes see of an engine that fails, or is stuck.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rocmforge_cpu_backend::CpuBackend;
use rocmforge_engine::{Engine, Status};
use rocmforge_program::Program;
use rocmforge_program::backend::{
    Backend, BackendError, BlockMove, CacheId, CacheSpec, DeviceInfo, ModelId, StepInput, StepLimits, StepOutput,
    StepTicket, WeightSource,
};
use rocmforge_server::app::{Config, ServeError};
use serde_json::{Value, json};

use crate::harness::{Harness, MODEL, Reply, eventually, post};

/// A backend that does what a test says before each step.
struct Prepared<F> {
    backend: CpuBackend,
    before_step: F,
}

impl<F: Fn() + Send> Backend for Prepared<F> {
    fn device(&self) -> &DeviceInfo {
        self.backend.device()
    }

    fn load(
        &mut self,
        program: &Program,
        weights: Arc<dyn WeightSource>,
        limits: StepLimits,
    ) -> Result<ModelId, BackendError> {
        self.backend.load(program, weights, limits)
    }

    fn make_cache(&mut self, model: ModelId, spec: CacheSpec) -> Result<CacheId, BackendError> {
        self.backend.make_cache(model, spec)
    }

    fn submit(&mut self, model: ModelId, cache: CacheId, step: &StepInput) -> Result<StepTicket, BackendError> {
        (self.before_step)();
        self.backend.submit(model, cache, step)
    }

    fn wait(&mut self, ticket: StepTicket) -> Result<StepOutput, BackendError> {
        self.backend.wait(ticket)
    }

    fn move_blocks(&mut self, cache: CacheId, moves: &[BlockMove]) -> Result<(), BackendError> {
        self.backend.move_blocks(cache, moves)
    }
}

/// A server with a loaded model, whose backend is prepared so.
fn start(adjust: impl FnOnce(&mut Config), before_step: impl Fn() + Clone + Send + 'static) -> Harness {
    let server = Harness::with_engine(&[], adjust, move |common, options| {
        let backend = Prepared { backend: CpuBackend::new(2)?, before_step: before_step.clone() };
        Engine::with_backend(common.open_model()?, Box::new(backend), options)
    });
    assert_eq!(server.state.engine.wait_ready_blocking(), Status::Ready);
    server
}

fn question() -> Value {
    json!({"model": MODEL, "messages": [{"role": "user", "content": "Who are you?"}], "max_tokens": 8})
}

fn ask(server: &Harness) -> Reply {
    server.post("/v1/chat/completions", &question())
}

#[test]
fn an_engine_that_fails_again_and_again_ends_the_server_with_an_error() {
    let fails = Arc::new(AtomicBool::new(false));
    let noted = fails.clone();
    let mut server = start(|_| {}, move || assert!(!noted.load(Ordering::Relaxed), "planted"));
    assert_eq!(ask(&server).status, 200);
    // A request whose body is on its way keeps the server from ending, so that it can be asked how it is.
    let body = question().to_string();
    let request = post("/v1/chat/completions", "connection: close\r\n", body.as_bytes());
    let (first, last) = request.split_at(request.len() - 1);
    let mut late = server.connect();
    late.send(first);
    assert!(eventually(|| server.state.metrics.in_flight() == 1));

    fails.store(true, Ordering::Relaxed);
    let mut failures = 0;
    while server.state.engine.status() == Status::Ready {
        let reply = ask(&server);
        // The last may find the engine gone already.
        reply.assert_error(if reply.status == 503 { 503 } else { 500 });
        failures += 1;
        let settled = || server.state.engine.load().waiting == 0;
        assert!(failures < 100 && eventually(settled), "it goes on after {failures} failures");
    }
    assert!(failures > 1, "it is not given up at the first");
    let (health, ready) = (server.get("/health"), server.get("/ready"));
    health.assert_error(503);
    assert!(health.text().contains("the engine has failed"), "{}", health.text());
    ready.assert_error(503);
    // The server may not have noticed yet that it has to end.
    let reasons = ["the engine has failed", "the server is shutting down"];
    assert!(reasons.iter().any(|reason| ready.text().contains(reason)), "{}", ready.text());
    assert_eq!(server.get("/live").status, 200);
    ask(&server).assert_error(503);
    late.send(last);
    late.reply().assert_error(503);
    let error = server.join().expect_err("it did not end well");
    assert!(matches!(error, ServeError::Engine(_)) && !error.is_bad_input(), "{error}");
}

#[test]
fn a_step_that_makes_no_progress_is_told_until_it_goes_on() {
    let gate = Arc::new(Mutex::new(()));
    let passed = gate.clone();
    let pass = move || drop(passed.lock().unwrap_or_else(PoisonError::into_inner));
    let server = start(|config| config.stall_time = Duration::from_millis(100), pass);
    assert_eq!(server.get("/health").status, 200);
    let closed = gate.lock().expect("nobody panics with it");
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&server));
        assert!(eventually(|| server.get("/health").status == 503), "it is told");
        for path in ["/health", "/ready"] {
            let told = server.get(path);
            told.assert_error(503);
            assert!(told.text().contains("no progress"), "{path}: {}", told.text());
        }
        assert_eq!(server.get("/live").status, 200);
        drop(closed);
        assert_eq!(asking.join().expect("it does not panic").status, 200);
    });
    assert!(eventually(|| server.get("/health").status == 200 && server.get("/ready").status == 200));
}
