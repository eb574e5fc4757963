//! How much may wait: counted when a request comes, so that one too many is told so at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what waits.
#[derive(Debug, Default)]
pub(crate) struct Admission {
    requests: AtomicUsize,
    tokens: AtomicUsize,
}

/// A request's place in the queue, until it is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    queue: Arc<Admission>,
    tokens: usize,
}

impl Admission {
    /// Requests that wait, and their prompt tokens.
    pub fn waiting(&self) -> (usize, usize) {
        (self.requests.load(Ordering::Relaxed), self.tokens.load(Ordering::Relaxed))
    }

    /// A place for a prompt of `tokens`, or what is in the way. A prompt longer than the whole queue may wait alone.
    pub fn enter(self: &Arc<Self>, tokens: usize, limits: QueueLimits) -> Result<Place, (usize, usize)> {
        let waiting = self.requests.fetch_add(1, Ordering::Relaxed);
        let before = self.tokens.fetch_add(tokens, Ordering::Relaxed);
        // From here on leaving is the place's business, also if it is not given.
        let place = Place { queue: self.clone(), tokens };
        let is_full = waiting >= limits.requests || before.saturating_add(tokens) > limits.tokens;
        if is_full && waiting > 0 { Err((waiting, before)) } else { Ok(place) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.queue.requests.fetch_sub(1, Ordering::Relaxed);
        self.queue.tokens.fetch_sub(self.tokens, Ordering::Relaxed);
    }
}

/// How much may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    pub requests: usize,
    pub tokens: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_come_back() {
        let queue = Arc::new(Admission::default());
        let limits = QueueLimits { requests: 2, tokens: 10 };
        let long = queue.enter(100, limits).expect("a long prompt waits alone");
        assert_eq!(queue.enter(1, limits).err(), Some((1, 100)));
        drop(long);
        let first = queue.enter(5, limits).expect("there is room");
        assert_eq!(queue.enter(6, limits).err(), Some((1, 5)));
        let second = queue.enter(5, limits).expect("there is room");
        assert_eq!(queue.enter(0, limits).err(), Some((2, 10)));
        drop((first, second));
        assert_eq!(queue.waiting(), (0, 0));
    }
}
