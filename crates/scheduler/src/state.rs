//! The states of a sequence, and which may follow which.

/// Where a sequence of a request is in its life. A request with several sequences has one until its prompt is
/// computed; the others begin in [`Decode`](Self::Decode).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Not begun: it holds no blocks.
    Waiting,
    /// Tokens are known that are not computed yet: the prompt's, or those from before a preemption.
    Prefill,
    /// Each step computes the last token and yields the next.
    Decode,
    /// It made room for others: it holds no blocks, and its tokens are kept.
    Preempted,
    /// It ended by itself, or reached its limit.
    Finished,
    /// It was asked to stop.
    Cancelled,
    /// It could not go on.
    Failed,
}

impl State {
    /// Every state.
    pub const ALL: [State; 7] = [
        State::Waiting,
        State::Prefill,
        State::Decode,
        State::Preempted,
        State::Finished,
        State::Cancelled,
        State::Failed,
    ];

    /// The states that may follow this one.
    pub fn next(self) -> &'static [State] {
        use State::{Cancelled, Decode, Failed, Finished, Preempted, Prefill, Waiting};
        match self {
            Waiting => &[Prefill, Cancelled, Failed],
            Prefill => &[Decode, Preempted, Cancelled, Failed],
            Decode => &[Preempted, Finished, Cancelled, Failed],
            Preempted => &[Prefill, Cancelled, Failed],
            Finished | Cancelled | Failed => &[],
        }
    }

    /// Whether nothing follows.
    pub fn is_terminal(self) -> bool {
        self.next().is_empty()
    }

    /// Whether it holds blocks.
    pub fn is_running(self) -> bool {
        matches!(self, State::Prefill | State::Decode)
    }
}
