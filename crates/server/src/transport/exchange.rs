//! A request and its answer, as the connection's reader, writer and watcher see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

/// The state of the exchange that a connection is in; they come one at a time.
#[derive(Debug)]
pub(super) struct Exchange {
    /// A request was handed on, and its answer has not been sent to the end.
    is_open: AtomicBool,
    /// Some of its answer was sent.
    has_answered: AtomicBool,
    /// When the last one ended.
    ended: Mutex<Instant>,
    /// The reader of the connection, whose time for the next request begins with this one's end.
    reader: AtomicWaker,
}

impl Exchange {
    pub fn new() -> Self {
        Self {
            is_open: AtomicBool::new(false),
            has_answered: AtomicBool::new(false),
            ended: Mutex::new(Instant::now()),
            reader: AtomicWaker::new(),
        }
    }

    pub fn begin(&self) {
        self.has_answered.store(false, Ordering::Relaxed);
        self.is_open.store(true, Ordering::Relaxed);
    }

    pub fn end(&self) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        self.is_open.store(false, Ordering::Relaxed);
        self.reader.wake();
    }

    /// Whether one is under way. If so, its end wakes the task of this context.
    pub fn poll_open(&self, cx: &Context<'_>) -> bool {
        self.reader.register(cx.waker());
        self.is_open()
    }

    pub fn note_answer(&self) {
        self.has_answered.store(true, Ordering::Relaxed);
    }

    pub fn is_open(&self) -> bool {
        self.is_open.load(Ordering::Relaxed)
    }

    /// Whether a request waits for the first byte of its answer.
    pub fn is_unanswered(&self) -> bool {
        self.is_open() && !self.has_answered.load(Ordering::Relaxed)
    }

    /// When the last exchange ended.
    pub fn ended(&self) -> Instant {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
