//! The engine's own thread: takes requests from its mailbox, steps while there is work, sleeps while there is none.

use std::collections::{HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rocmforge_program::backend::BackendError;
use rocmforge_scheduler::RequestId;

use crate::handle::{Shared, Status};
use crate::intake::Prepared;
use crate::stream::Channel;
use crate::{Engine, EngineError, Event, Failure, FailureKind};

/// How often the engine may be loaded again after a failure before it is given up.
const MOST_RESTARTS: usize = 5;
const RESTART_WINDOW: Duration = Duration::from_secs(600);

/// What is said to the engine's thread.
pub(crate) enum Message {
    Submit(Box<Prepared>, Arc<Channel>),
    /// The reader of a request that was held back has taken enough.
    Resume(RequestId),
    /// Every request ends, since the engine is about to stop for this reason.
    EndAll(String),
    /// A request was cancelled.
    Wake,
    Stop,
}

/// Messages that wait, in order.
pub(crate) struct Mailbox {
    /// `None`: nobody reads any more.
    messages: Mutex<Option<VecDeque<Message>>>,
    posted: Condvar,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self { messages: Mutex::new(Some(VecDeque::new())), posted: Condvar::new() }
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailbox").field("messages", &self.lock().as_ref().map(VecDeque::len)).finish()
    }
}

impl Mailbox {
    fn lock(&self) -> MutexGuard<'_, Option<VecDeque<Message>>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves a message; `false` if nobody will read it.
    pub fn post(&self, message: Message) -> bool {
        let mut messages = self.lock();
        let Some(messages) = messages.as_mut() else { return false };
        messages.push_back(message);
        self.posted.notify_one();
        true
    }

    /// Takes what is there, and nothing from then on.
    fn close(&self) -> VecDeque<Message> {
        self.lock().take().unwrap_or_default()
    }

    /// What is there now.
    pub fn take(&self) -> VecDeque<Message> {
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Waits until there is something.
    fn wait(&self) -> VecDeque<Message> {
        let is_empty = |messages: &mut Option<VecDeque<Message>>| messages.as_ref().is_some_and(VecDeque::is_empty);
        drop(self.posted.wait_while(self.lock(), is_empty));
        self.take()
    }

    /// Waits until there are `count` or the time is over.
    fn wait_for(&self, count: usize, time: Duration) -> VecDeque<Message> {
        let are_few = |messages: &mut Option<VecDeque<Message>>| messages.as_ref().is_some_and(|m| m.len() < count);
        drop(self.posted.wait_timeout_while(self.lock(), time, are_few));
        self.take()
    }
}

/// How a model is loaded, and loaded again after a failure.
pub(crate) type LoadEngine = Box<dyn FnMut() -> Result<Engine, EngineError> + Send>;

pub(crate) struct Worker {
    shared: Arc<Shared>,
    load: LoadEngine,
    streams: HashMap<RequestId, Arc<Channel>>,
    restarts: VecDeque<Instant>,
}

/// Whether the thread goes on.
enum Flow {
    Continue,
    Stop,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, load: LoadEngine) -> Self {
        Self { shared, load, streams: HashMap::new(), restarts: VecDeque::new() }
    }

    /// Runs until it is told to stop, or the engine cannot be saved.
    pub fn run(mut self) {
        let end = match self.load_guarded() {
            Ok(mut engine) => loop {
                match self.serve(&mut engine) {
                    Ok(Flow::Continue) => {}
                    Ok(Flow::Stop) => break Status::Stopped,
                    Err(why) => break Status::Failed(why),
                }
            },
            Err(why) => Status::Failed(why),
        };
        if let Status::Failed(why) = &end {
            tracing::error!("the engine has ended: {why}");
        }
        self.shared.note_gone();
        self.shared.set_status(end.clone());
        let why = match end {
            Status::Failed(why) => Failure::new(FailureKind::Engine, why),
            _ => Failure::new(FailureKind::Stopped, "the engine was stopped"),
        };
        self.end_streams(&why);
        for message in self.shared.mailbox.close() {
            if let Message::Submit(_, channel) = message {
                channel.fail(&why);
            }
        }
    }

    /// Loads, and makes an error of a panic.
    fn load_guarded(&mut self) -> Result<Engine, String> {
        // However long it takes, it is no step that is stuck.
        self.shared.note_gone();
        let loaded = catch_unwind(AssertUnwindSafe(|| (self.load)()));
        let mut engine = loaded.map_err(|_| "loading panicked".to_string())?.map_err(|error| error.to_string())?;
        engine.metrics = self.shared.metrics.clone();
        self.shared.loaded(&engine);
        Ok(engine)
    }

    /// Reads mail and computes a step.
    fn serve(&mut self, engine: &mut Engine) -> Result<Flow, String> {
        let has_work = engine.scheduler.has_work();
        self.shared.note(engine, has_work);
        let mail = if has_work { self.shared.mailbox.take() } else { self.wait(engine) };
        for message in mail {
            if let Flow::Stop = self.read(engine, message) {
                return Ok(Flow::Stop);
            }
        }
        self.shared.is_busy.store(true, Ordering::Relaxed);
        let (streams, shared) = (&mut self.streams, &self.shared);
        let mut held = Vec::new();
        let step = catch_unwind(AssertUnwindSafe(|| {
            engine.pool.set_time(shared.born.elapsed());
            engine.try_step(&mut |event| deliver(streams, event, &mut held))
        }));
        for id in held {
            engine.scheduler.pause(id, true);
        }
        match step {
            Ok(Ok(())) => self.publish_cache_events(engine),
            Ok(Err(error)) => self.recover(engine, &error)?,
            Err(_) => self.restart(engine)?,
        }
        Ok(Flow::Continue)
    }

    /// Waits for mail; after a first request a little longer, so that others may come along.
    fn wait(&self, engine: &Engine) -> VecDeque<Message> {
        let mut mail = self.shared.mailbox.wait();
        let time = engine.scheduler.config().batch_timeout;
        let is_request = |message: &Message| matches!(message, Message::Submit(..));
        if !time.is_zero() && engine.is_idle() && mail.iter().any(is_request) {
            mail.extend(self.shared.mailbox.wait_for(engine.limits.max_sequences, time));
        }
        mail
    }

    fn read(&mut self, engine: &mut Engine, message: Message) -> Flow {
        match message {
            Message::Submit(prepared, channel) => match engine.enqueue(*prepared) {
                Ok(id) => {
                    channel.name(id);
                    self.streams.insert(id, channel);
                }
                Err(error) => channel.fail(&(&error).into()),
            },
            Message::Resume(id) => {
                engine.scheduler.pause(id, false);
            }
            Message::EndAll(why) => {
                let streams = &mut self.streams;
                engine.end_all(&Failure::new(FailureKind::Stopped, why), &mut |event| {
                    deliver(streams, event, &mut Vec::new());
                });
            }
            Message::Wake => {}
            Message::Stop => return Flow::Stop,
        }
        Flow::Continue
    }

    fn publish_cache_events(&self, engine: &mut Engine) {
        if let Some(publish) = &self.shared.on_cache_events {
            let events = engine.pool.take_events();
            if !events.is_empty() {
                publish(events);
            }
        }
    }

    /// After a step that failed: a device that is lost is opened again, and what ran goes on from its tokens. Any other
    /// failure ends what ran.
    fn recover(&mut self, engine: &mut Engine, error: &EngineError) -> Result<(), String> {
        tracing::error!("a step failed: {error}");
        if let EngineError::Backend(BackendError::Device(_)) = error {
            self.spend_restart()?;
            engine.leave_device();
            let fresh = self.load_guarded()?;
            return engine.replace_device(fresh).map_err(|error| error.to_string());
        }
        let streams = &mut self.streams;
        let failed = engine.fail_running(&error.into(), &mut |event| {
            deliver(streams, event, &mut Vec::new());
        });
        failed.map_err(|error| error.to_string())
    }

    /// After a panic nothing of the engine can be relied on: every request ends, and a new engine takes its place.
    fn restart(&mut self, engine: &mut Engine) -> Result<(), String> {
        self.end_streams(&Failure::new(FailureKind::Engine, "the engine failed and is being restarted"));
        self.spend_restart()?;
        engine.leave_device();
        *engine = self.load_guarded()?;
        Ok(())
    }

    fn spend_restart(&mut self) -> Result<(), String> {
        let now = Instant::now();
        self.restarts.retain(|&then| now - then < RESTART_WINDOW);
        if self.restarts.len() >= MOST_RESTARTS {
            return Err(format!("it failed more than {MOST_RESTARTS} times in ten minutes"));
        }
        self.restarts.push_back(now);
        self.shared.metrics.restarted();
        Ok(())
    }

    fn end_streams(&mut self, why: &Failure) {
        self.streams.drain().for_each(|(_, channel)| channel.fail(why));
    }
}

/// Hands an event to its reader; notes requests whose readers lag.
fn deliver(streams: &mut HashMap<RequestId, Arc<Channel>>, event: Event, held: &mut Vec<RequestId>) {
    let id = event.request();
    let Some(channel) = streams.get(&id) else { return };
    let is_last = event.is_last();
    if channel.push(event) {
        held.push(id);
    }
    if is_last {
        streams.remove(&id);
    }
}
