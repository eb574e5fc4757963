//! Limits, fixed when the scheduler is made.

use std::time::Duration;

use crate::SchedulerError;

/// What becomes of the blocks of a sequence that has to make room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preemption {
    /// They go to the prefix cache. When the sequence goes on, what is still cached is shared and the rest computed
    /// again.
    #[default]
    Recompute,
    /// They move to the cache's second tier at once and come back from there. Without a second tier this is the same.
    Swap,
}

/// Limits of a scheduler.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchedulerConfig {
    /// Sequences that run at once; a request with several counts as so many.
    pub max_batch_size: usize,
    /// Requests that may wait.
    pub max_queue_size: usize,
    /// Prompt tokens that may wait, over all requests.
    pub max_queue_tokens: usize,
    /// How long an idle engine waits for more requests after the first one, so that they begin in one step. The
    /// scheduler has no clock: its owner does the waiting. Requests that come while others run join the next step.
    pub batch_timeout: Duration,
    /// Tokens that prompt and answer of a request may have together.
    pub max_sequence_length: usize,
    /// Tokens of a step, over all sequences. At least `max_batch_size`.
    pub max_tokens_per_step: usize,
    /// Rows of logits of a step. At least `max_batch_size`.
    pub max_rows_per_step: usize,
    /// Steps of waiting that count as much as one level of priority.
    pub ageing: u32,
    /// How sequences make room.
    pub preemption: Preemption,
    /// How often a request may be under way when the device fails; at the next failure it is given up, since it may be
    /// the cause.
    pub max_lost_steps: u32,
}

impl Default for SchedulerConfig {
    fn default() -> Self {
        Self {
            max_batch_size: 32,
            max_queue_size: 1000,
            max_queue_tokens: 1 << 20,
            batch_timeout: Duration::from_millis(50),
            max_sequence_length: 4096,
            max_tokens_per_step: 512,
            max_rows_per_step: 32,
            ageing: 256,
            preemption: Preemption::Recompute,
            max_lost_steps: 1,
        }
    }
}

impl SchedulerConfig {
    /// Whether a scheduler can work within these limits.
    ///
    /// # Errors
    /// A limit of zero, or steps too small for a token of each sequence.
    pub fn check(&self) -> Result<(), SchedulerError> {
        let batch = self.max_batch_size;
        for (option, found, min) in [
            ("max_batch_size", batch, 1),
            ("max_queue_size", self.max_queue_size, 1),
            ("max_queue_tokens", self.max_queue_tokens, 1),
            ("max_sequence_length", self.max_sequence_length, 1),
            ("max_tokens_per_step", self.max_tokens_per_step, batch),
            ("max_rows_per_step", self.max_rows_per_step, batch),
            ("ageing", self.ageing as usize, 1),
        ] {
            if found < min {
                return Err(SchedulerError::BadConfig { option, found, min });
            }
        }
        Ok(())
    }
}
