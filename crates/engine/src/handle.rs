//! The engine as a service: submit from any thread, read events as they come.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use rocmforge_kv_cache::CacheEvent;

use crate::admission::{Admission, QueueLimits};
use crate::intake::Intake;
use crate::stream::{Channel, EventStream};
use crate::worker::{Mailbox, Message, Worker};
use crate::{Engine, EngineError, Event, FinishReason, Metrics, ModelInfo, Request, Usage};

/// A vector under way. Dropping it cancels the request.
#[derive(Debug)]
pub struct Embedding(EventStream);

impl Embedding {
    /// The vector of length 1 `[hidden]`, and token counts.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn get(mut self) -> Result<(Vec<f32>, Usage), FinishReason> {
        let mut vector = Vec::new();
        while let Some(event) = self.0.next().await {
            match event {
                Event::Embedding { embedding, .. } => vector = embedding,
                Event::Finished { reason: FinishReason::Length, usage, .. } if !vector.is_empty() => {
                    return Ok((vector, usage));
                }
                Event::Finished { reason, .. } => return Err(reason),
                _ => {}
            }
        }
        Err(FinishReason::Cancelled)
    }
}

/// What hears of changes in the cache.
pub(crate) type OnCacheEvents = Box<dyn Fn(Vec<CacheEvent>) + Send + Sync>;

/// What the engine's thread does beside computing.
#[derive(Default)]
pub struct ServiceOptions {
    /// Hears what becomes known to be cached and what is forgotten, on the engine's thread; must not block. Needs
    /// [`EngineOptions::cache_events`](crate::EngineOptions::cache_events).
    pub on_cache_events: Option<OnCacheEvents>,
}

/// Where an engine is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// The model is being loaded.
    Loading,
    /// It takes requests.
    Ready,
    /// It could not be loaded, or failed too often.
    Failed(String),
    /// It was stopped.
    Stopped,
}

/// Why a request was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// Too much waits.
    #[error("the server is busy: {waiting} requests with {tokens} prompt tokens wait; try again in {} s", retry_after.as_secs())]
    Busy {
        /// When to try again.
        retry_after: Duration,
        /// Requests that wait.
        waiting: usize,
        /// Prompt tokens of those.
        tokens: usize,
    },
    /// The model is being loaded.
    #[error("the model is being loaded")]
    Loading,
    /// No more requests are taken.
    #[error("the server is shutting down")]
    Stopping,
    /// The engine has failed.
    #[error("the engine has failed: {0}")]
    Dead(String),
    /// The request cannot run.
    #[error(transparent)]
    Request(#[from] EngineError),
}

/// How well the step loop is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// Whether requests are taken.
    pub is_ready: bool,
    /// Whether a step is being computed.
    pub is_busy: bool,
    /// How long ago the last step ended, or the loop was idle.
    pub since_progress: Duration,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Sequences that run.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Prompt tokens of those.
    pub waiting_tokens: usize,
    /// Cache blocks of running sequences.
    pub used_blocks: usize,
    /// Cache blocks kept for later prompts.
    pub cached_blocks: usize,
    /// All cache blocks.
    pub total_blocks: usize,
}

/// What the handles and the thread share.
pub(crate) struct Shared {
    pub mailbox: Arc<Mailbox>,
    pub metrics: Arc<Metrics>,
    pub on_cache_events: Option<OnCacheEvents>,
    pub born: Instant,
    pub is_busy: AtomicBool,
    status: Mutex<(Status, Vec<Waker>)>,
    changed: Condvar,
    model: OnceLock<Loaded>,
    queue: Arc<Admission>,
    is_draining: AtomicBool,
    /// Milliseconds from `born` to the last progress.
    progress: AtomicU64,
    running: AtomicUsize,
    used_blocks: AtomicUsize,
    cached_blocks: AtomicUsize,
}

/// What is known once a model is loaded.
struct Loaded {
    info: Arc<ModelInfo>,
    intake: Intake,
    limits: QueueLimits,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, (Status, Vec<Waker>)> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_status(&self, status: Status) {
        let wakers = {
            let mut state = self.lock();
            state.0 = status;
            std::mem::take(&mut state.1)
        };
        self.changed.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// The engine is there.
    pub fn loaded(&self, engine: &Engine) {
        let config = engine.scheduler.config();
        self.model.get_or_init(|| Loaded {
            info: Arc::new(ModelInfo::of(engine)),
            intake: engine.intake.clone(),
            limits: QueueLimits { requests: config.max_queue_size, tokens: config.max_queue_tokens },
        });
        self.set_status(Status::Ready);
    }

    /// Nothing is computed: the engine is gone, or is being loaded again.
    pub fn note_gone(&self) {
        for figure in [&self.running, &self.used_blocks, &self.cached_blocks] {
            figure.store(0, Ordering::Relaxed);
        }
        self.is_busy.store(false, Ordering::Relaxed);
    }

    /// Notes that the loop is alive.
    pub fn note(&self, engine: &Engine, has_work: bool) {
        let (usage, blocks) = (engine.usage(), engine.cache_usage());
        self.running.store(usage.running, Ordering::Relaxed);
        self.used_blocks.store(blocks.used, Ordering::Relaxed);
        self.cached_blocks.store(blocks.cached, Ordering::Relaxed);
        self.progress.store(self.born.elapsed().as_millis() as u64, Ordering::Relaxed);
        self.is_busy.store(has_work, Ordering::Relaxed);
        if !has_work {
            self.metrics.state(&usage, &engine.pool);
        }
    }
}

/// An engine on its own thread, which loads the model, takes requests from everywhere, and ends with the last handle.
#[derive(Clone)]
pub struct EngineHandle {
    shared: Arc<Shared>,
    _owner: Arc<Owner>,
}

/// Stops the thread when the last handle is gone.
struct Owner {
    mailbox: Arc<Mailbox>,
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.mailbox.post(Message::Stop);
    }
}

impl EngineHandle {
    /// Starts the thread, which begins to load. `load` is called again when the device or the engine has failed.
    ///
    /// # Errors
    /// A thread that the system does not give.
    pub fn start(
        options: ServiceOptions,
        load: impl FnMut() -> Result<Engine, EngineError> + Send + 'static,
    ) -> std::io::Result<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let shared = Arc::new(Shared {
            mailbox: mailbox.clone(),
            metrics: Arc::default(),
            on_cache_events: options.on_cache_events,
            born: Instant::now(),
            is_busy: AtomicBool::new(false),
            status: Mutex::new((Status::Loading, Vec::new())),
            changed: Condvar::new(),
            model: OnceLock::new(),
            queue: Arc::default(),
            is_draining: AtomicBool::new(false),
            progress: AtomicU64::new(0),
            running: AtomicUsize::new(0),
            used_blocks: AtomicUsize::new(0),
            cached_blocks: AtomicUsize::new(0),
        });
        let worker = Worker::new(shared.clone(), Box::new(load));
        thread::Builder::new().name("engine".into()).spawn(move || worker.run())?;
        Ok(Self { shared, _owner: Arc::new(Owner { mailbox }) })
    }

    /// Where it is in its life.
    pub fn status(&self) -> Status {
        self.shared.lock().0.clone()
    }

    /// Waits until it takes requests, or never will.
    pub async fn wait_ready(&self) -> Status {
        poll_fn(|context| {
            let mut state = self.shared.lock();
            if state.0 == Status::Loading {
                state.1.push(context.waker().clone());
                return Poll::Pending;
            }
            Poll::Ready(state.0.clone())
        })
        .await
    }

    /// As [`wait_ready`](Self::wait_ready), in this thread.
    pub fn wait_ready_blocking(&self) -> Status {
        let state = self.shared.changed.wait_while(self.shared.lock(), |state| state.0 == Status::Loading);
        state.unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// The model; `None` while it is being loaded for the first time.
    pub fn model(&self) -> Option<Arc<ModelInfo>> {
        self.shared.model.get().map(|loaded| loaded.info.clone())
    }

    /// Queues a request. Never waits.
    ///
    /// # Errors
    /// A model that is not there yet or not any more, too much that waits, or a request that can never run.
    pub fn submit(&self, request: Request) -> Result<EventStream, SubmitError> {
        let loaded = self.accepting()?;
        let limits = loaded.limits;
        let mut prepared = loaded.intake.prepare(request)?;
        let place = self.shared.queue.enter(prepared.request.prompt.len(), limits);
        prepared.place = Some(place.map_err(|(waiting, tokens)| self.busy(waiting, tokens))?);
        let channel = Arc::new(Channel::new(prepared.request.sequences));
        let stream = EventStream::new(channel.clone(), self.shared.mailbox.clone(), prepared.request.cancel.clone());
        if !self.shared.mailbox.post(Message::Submit(Box::new(prepared), channel)) {
            // It ended meanwhile, and its status says why.
            return Err(self.accepting().err().unwrap_or(SubmitError::Stopping));
        }
        Ok(stream)
    }

    /// Makes a vector of a prompt.
    ///
    /// # Errors
    /// As [`submit`](Self::submit).
    pub fn embed(&self, request: Request) -> Result<Embedding, SubmitError> {
        let pooling = request.pooling.or_else(|| self.model().map(|model| model.pooling));
        Ok(Embedding(self.submit(Request { pooling, ..request })?))
    }

    /// Checks a request without queueing it.
    ///
    /// # Errors
    /// As [`submit`](Self::submit), but for a full queue.
    pub fn check(&self, request: Request) -> Result<(), SubmitError> {
        Ok(self.accepting()?.intake.prepare(request).map(drop)?)
    }

    fn accepting(&self) -> Result<&Loaded, SubmitError> {
        if self.shared.is_draining.load(Ordering::Relaxed) {
            return Err(SubmitError::Stopping);
        }
        match (self.status(), self.shared.model.get()) {
            (Status::Ready, Some(loaded)) => Ok(loaded),
            (Status::Ready | Status::Loading, _) => Err(SubmitError::Loading),
            (Status::Failed(why), _) => Err(SubmitError::Dead(why)),
            (Status::Stopped, _) => Err(SubmitError::Stopping),
        }
    }

    fn busy(&self, waiting: usize, tokens: usize) -> SubmitError {
        let running = self.shared.running.load(Ordering::Relaxed).max(1);
        // A guess: each round of what runs takes about a second.
        let rounds = (waiting / running) as u64;
        SubmitError::Busy { retry_after: Duration::from_secs((1 + rounds).min(60)), waiting, tokens }
    }

    /// How well the step loop is.
    pub fn health(&self) -> Health {
        let progress = Duration::from_millis(self.shared.progress.load(Ordering::Relaxed));
        let is_busy = self.shared.is_busy.load(Ordering::Relaxed);
        let since_progress = if is_busy { self.shared.born.elapsed().saturating_sub(progress) } else { Duration::ZERO };
        Health { is_ready: self.accepting().is_ok(), is_busy, since_progress }
    }

    /// How much there is to do.
    pub fn load(&self) -> Load {
        let (waiting, waiting_tokens) = self.shared.queue.waiting();
        Load {
            running: self.shared.running.load(Ordering::Relaxed),
            waiting,
            waiting_tokens,
            used_blocks: self.shared.used_blocks.load(Ordering::Relaxed),
            cached_blocks: self.shared.cached_blocks.load(Ordering::Relaxed),
            total_blocks: self.model().map_or(0, |model| model.cache.num_blocks),
        }
    }

    /// What it counts.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Takes no more requests; those that are there go on.
    pub fn drain(&self) {
        self.shared.is_draining.store(true, Ordering::Relaxed);
    }

    /// Ends all requests with an error of the kind [`FailureKind::Stopped`](crate::FailureKind::Stopped).
    pub fn end_all(&self, why: &str) {
        self.shared.mailbox.post(Message::EndAll(why.to_string()));
    }

    /// Stops the thread after its step; what runs ends with an error.
    pub fn stop(&self) {
        self.drain();
        self.shared.mailbox.post(Message::Stop);
    }
}
