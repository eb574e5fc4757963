//! The way of events from the engine's thread to whoever asked: bounded, for async readers and for threads.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use rocmforge_scheduler::RequestId;

use crate::worker::{Mailbox, Message};
use crate::{CancelToken, Event, Failure, FinishReason, Timings, Usage};

/// Events that wait for their reader before its request is held back.
const MOST_WAITING: usize = 128;
/// Events left when it may go on.
const FEW_WAITING: usize = MOST_WAITING / 4;

/// One request's events on their way.
#[derive(Debug, Default)]
pub(crate) struct Channel {
    state: Mutex<State>,
    ready: Condvar,
    id: OnceLock<RequestId>,
}

#[derive(Debug, Default)]
struct State {
    events: VecDeque<Event>,
    waker: Option<Waker>,
    /// Answers that have not ended.
    open: Vec<u32>,
    is_closed: bool,
    is_held_back: bool,
}

impl Channel {
    /// The way of a request with so many answers.
    pub fn new(answers: u32) -> Self {
        let channel = Self::default();
        channel.lock().open = (0..answers).collect();
        channel
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which request it is.
    pub fn name(&self, id: RequestId) {
        let _ = self.id.set(id);
    }

    /// Hands an event over; `true`: enough wait, the request is to be held back until its reader has taken some.
    ///
    /// The last event closes the channel in the same moment: a reader that takes it and leaves cancels nothing, and so
    /// not the requests that share its token either.
    pub fn push(&self, event: Event) -> bool {
        let mut state = self.lock();
        if let Event::Finished { index, is_last, .. } = &event {
            state.open.retain(|open| open != index);
            state.is_closed |= is_last;
        }
        state.events.push_back(event);
        let must_hold = state.events.len() >= MOST_WAITING && !state.is_held_back;
        state.is_held_back |= must_hold;
        self.wake(state);
        must_hold
    }

    /// Ends every answer that has not ended, of a request that the engine does not know, or not any more.
    pub fn fail(&self, why: &Failure) {
        let open = self.lock().open.clone();
        let request = self.id.get().copied().unwrap_or(RequestId(0));
        for (&index, more) in open.iter().zip((0..open.len()).rev()) {
            self.push(Event::Finished {
                request,
                index,
                text: String::new(),
                reason: FinishReason::Error(why.clone()),
                stop: None,
                usage: Usage::default(),
                timings: Timings::default(),
                is_last: more == 0,
            });
        }
    }

    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        self.ready.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// What a request yields, in order. Dropping it cancels the request. A reader that lags holds its request back, and no
/// other one.
#[derive(Debug)]
pub struct EventStream {
    channel: Arc<Channel>,
    mailbox: Arc<Mailbox>,
    cancel: CancelToken,
}

impl EventStream {
    pub(crate) fn new(channel: Arc<Channel>, mailbox: Arc<Mailbox>, cancel: CancelToken) -> Self {
        Self { channel, mailbox, cancel }
    }

    /// The next event; `None` after the last.
    pub async fn next(&mut self) -> Option<Event> {
        poll_fn(|context| self.poll_next(context)).await
    }

    /// The next event, for those who write futures by hand.
    pub fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.channel.lock();
        match state.events.pop_front() {
            Some(event) => Poll::Ready(Some(self.taken(state, event))),
            None if state.is_closed => Poll::Ready(None),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// The next event; waits for it in this thread.
    pub fn next_blocking(&mut self) -> Option<Event> {
        let mut state = self.channel.lock();
        loop {
            if let Some(event) = state.events.pop_front() {
                return Some(self.taken(state, event));
            }
            if state.is_closed {
                return None;
            }
            state = self.channel.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the request go on if enough events were taken.
    fn taken(&self, mut state: MutexGuard<'_, State>, event: Event) -> Event {
        if state.is_held_back && state.events.len() <= FEW_WAITING {
            state.is_held_back = false;
            drop(state);
            if let Some(&id) = self.channel.id.get() {
                self.mailbox.post(Message::Resume(id));
            }
        }
        event
    }

    /// What stops the request: its last event then tells so.
    pub fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    /// Asks the request to stop. It ends within one step.
    pub fn cancel(&self) {
        self.cancel.cancel();
        self.mailbox.post(Message::Wake);
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        if !self.channel.lock().is_closed {
            self.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FinishReason, Timings, Usage};

    fn event(n: u64) -> Event {
        Event::PromptLogprobs { request: RequestId(n), logprobs: Vec::new() }
    }

    fn last(n: u64) -> Event {
        Event::Finished {
            request: RequestId(n),
            index: 0,
            text: String::new(),
            reason: FinishReason::Stop,
            stop: None,
            usage: Usage::default(),
            timings: Timings::default(),
            is_last: true,
        }
    }

    #[test]
    fn a_reader_that_lags_holds_its_request_back_once() {
        let (channel, mailbox) = (Arc::new(Channel::default()), Arc::new(Mailbox::default()));
        channel.name(RequestId(7));
        let mut stream = EventStream::new(channel.clone(), mailbox.clone(), CancelToken::new());
        let held: Vec<bool> = (0..MOST_WAITING as u64 + 1).map(|n| channel.push(event(n))).collect();
        assert_eq!(held.iter().position(|&held| held), Some(MOST_WAITING - 1));
        assert_eq!(held.iter().filter(|&&held| held).count(), 1);
        channel.push(last(MOST_WAITING as u64 + 1));
        let mut seen = 0;
        while let Some(next) = stream.next_blocking() {
            assert_eq!(next.request(), RequestId(seen));
            seen += 1;
        }
        assert_eq!(seen, MOST_WAITING as u64 + 2);
        let resumed = |m: &Message| matches!(m, Message::Resume(RequestId(7)));
        assert_eq!(mailbox.take().iter().filter(|m| resumed(m)).count(), 1);
    }

    #[test]
    fn a_failure_ends_each_answer_that_has_not_ended() {
        let channel = Arc::new(Channel::new(3));
        let mut stream = EventStream::new(channel.clone(), Arc::default(), CancelToken::new());
        let finished = |index, is_last| Event::Finished {
            request: RequestId(1),
            index,
            text: String::new(),
            reason: FinishReason::Stop,
            stop: None,
            usage: Usage::default(),
            timings: Timings::default(),
            is_last,
        };
        channel.push(finished(1, false));
        channel.fail(&Failure::new(crate::FailureKind::Engine, "it broke"));
        let mut ends = Vec::new();
        while let Some(Event::Finished { index, reason, is_last, .. }) = stream.next_blocking() {
            ends.push((index, reason == FinishReason::Stop, is_last));
        }
        assert_eq!(ends, [(1, true, false), (0, false, false), (2, false, true)]);
    }

    #[test]
    fn dropping_a_stream_cancels_unless_it_is_over() {
        let mailbox = Arc::new(Mailbox::default());
        let open = EventStream::new(Arc::default(), mailbox.clone(), CancelToken::new());
        let cancel = open.cancel_token().clone();
        drop(open);
        assert!(cancel.is_cancelled());
        let channel = Arc::new(Channel::default());
        channel.push(last(0));
        let mut over = EventStream::new(channel, mailbox, CancelToken::new());
        let cancel = over.cancel_token().clone();
        assert!(over.next_blocking().is_some_and(|event| event.is_last()));
        drop(over);
        assert!(!cancel.is_cancelled());
    }
}
