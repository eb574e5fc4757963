//! Requests that are refused, and misuse.

use rocmforge_kv_cache::KvCacheError;

use crate::SequenceId;

/// Why a request is not taken. Only a full queue may have room later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// Too many requests wait, or too many tokens of them.
    #[error("the queue is full: {waiting} requests with {tokens} prompt tokens wait")]
    QueueFull {
        /// Requests that wait.
        waiting: usize,
        /// Prompt tokens of those.
        tokens: usize,
    },
    /// Prompt and answer together are longer than a sequence may be.
    #[error("prompt and answer may have {tokens} tokens, and the limit is {limit}")]
    TooLong {
        /// Tokens of the prompt and the longest answer.
        tokens: usize,
        /// The limit.
        limit: usize,
    },
    /// It would not fit if it were alone.
    #[error("it needs {blocks} cache blocks, and there are {total}")]
    NeverFits {
        /// Blocks that one of its sequences needs.
        blocks: usize,
        /// Blocks of the device.
        total: usize,
    },
    /// Nothing to continue.
    #[error("the prompt is empty")]
    EmptyPrompt,
    /// No sequences, or more than may run at once.
    #[error("{found} sequences, expected 1 to {max}")]
    BadSequences {
        /// Sequences asked for.
        found: u32,
        /// Sequences that may run at once.
        max: usize,
    },
}

/// A mistake of the caller, or of this crate.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SchedulerError {
    /// A limit that nothing fits in.
    #[error("{option}: {found}, expected at least {min}")]
    BadConfig {
        /// Which limit.
        option: &'static str,
        /// Value found.
        found: usize,
        /// Smallest useful one.
        min: usize,
    },
    /// Outcomes of a step that was not planned.
    #[error("there is no step to commit")]
    NoStep,
    /// The outcomes do not answer the plan; nothing was changed.
    #[error("outcome {at} is {}, expected {}", name(found), name(expected))]
    WrongOutcome {
        /// Which outcome.
        at: usize,
        /// Whose it is; `None`: it is missing.
        found: Option<SequenceId>,
        /// Whose the plan asks for; `None`: no more.
        expected: Option<SequenceId>,
    },
    /// The cache refuses what was planned: a bug of this crate, or a pool that is not the scheduler's.
    #[error(transparent)]
    Cache(#[from] KvCacheError),
}

fn name(id: &Option<SequenceId>) -> String {
    id.map_or("missing".into(), |id| format!("of {id}"))
}
