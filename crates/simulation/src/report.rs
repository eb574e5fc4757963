//! What a simulation tells.

use std::fmt;

/// What happened in a run without failures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Operations: events and steps.
    pub operations: u64,
    /// Steps planned.
    pub steps: u64,
    /// Tokens computed.
    pub computed: u64,
    /// Tokens that clients received.
    pub tokens: u64,
    /// Requests that were taken.
    pub requests: u64,
    /// Requests that were refused.
    pub refused: u64,
    /// Sequences that ended by themselves.
    pub finished: u64,
    /// Sequences that were cancelled.
    pub cancelled: u64,
    /// Sequences that failed.
    pub failed: u64,
    /// Sequences that made room.
    pub preemptions: u64,
    /// Prompt tokens that were shared.
    pub shared: u64,
    /// Blocks copied, saved and loaded.
    pub moves: u64,
    /// Losses of the device.
    pub losses: u64,
    /// Longest wait of a request for its first step, in steps.
    pub longest_wait: u64,
    /// Most starts of a sequence without a token in between.
    pub most_restarts: u64,
    /// A hash of every plan and every token.
    pub trace: u64,
}

impl Report {
    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Report) {
        self.operations += other.operations;
        self.steps += other.steps;
        self.computed += other.computed;
        self.tokens += other.tokens;
        self.requests += other.requests;
        self.refused += other.refused;
        self.finished += other.finished;
        self.cancelled += other.cancelled;
        self.failed += other.failed;
        self.preemptions += other.preemptions;
        self.shared += other.shared;
        self.moves += other.moves;
        self.losses += other.losses;
        self.longest_wait = self.longest_wait.max(other.longest_wait);
        self.most_restarts = self.most_restarts.max(other.most_restarts);
        self.trace = crate::random::mix(self.trace ^ other.trace);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, steps, computed, tokens, requests, refused, finished, cancelled, failed, .. } = self;
        writeln!(f, "{operations} operations, {steps} steps, {computed} tokens computed, {tokens} received")?;
        write!(f, "{requests} requests, {refused} refused; {finished} answers finished, {cancelled} cancelled, ")?;
        writeln!(f, "{failed} failed")?;
        write!(f, "{} preemptions, {} losses of the device, ", self.preemptions, self.losses)?;
        writeln!(f, "{} prompt tokens shared, {} blocks moved", self.shared, self.moves)?;
        write!(f, "longest wait {} steps, most restarts without a token {}, ", self.longest_wait, self.most_restarts)?;
        write!(f, "trace {:016x}", self.trace)
    }
}

/// A broken invariant, and how to see it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, operation {operation}, step {step}: {message}")]
pub struct Failure {
    /// The seed that leads there.
    pub seed: u64,
    /// After how many operations.
    pub operation: u64,
    /// In which step.
    pub step: u64,
    /// What does not hold.
    pub message: String,
    /// The last operations before, if the run was traced.
    pub trace: Vec<String>,
}
