//! What every API does with a job: it starts under the caller's name, can be followed and stopped by its name,
//! and ends when its reader leaves.

use crate::app::AppState;
use crate::error::ApiError;
use crate::generation::{Answers, Collected, Job, Piece, Usage};
use crate::guard::Caller;
use crate::requests::{Entry, Progress};

/// Answers of a job that the table of requests knows.
pub struct Asked {
    answers: Answers,
    /// Nothing where the caller used the name before; then the earlier request keeps it.
    entry: Option<Entry>,
}

/// Starts a job for a caller.
///
/// # Errors
/// Those of [`Generator::start`](crate::generation::Generator::start).
pub async fn ask(state: &AppState, caller: &Caller, job: Job) -> Result<Asked, ApiError> {
    let job = Job { client: caller.client, salt: caller.salt, ..job };
    let entry = state.requests.enter(caller, &caller.request_id, job.cancel.clone());
    let result = state.generator.start(job).await;
    if let (Err(_), Some(entry)) = (&result, &entry) {
        entry.set(Progress::Failed);
    }
    Ok(Asked { answers: result?, entry })
}

impl Asked {
    /// The next piece, as [`Answers::next`] has it.
    pub async fn next(&mut self) -> Option<Result<Piece, ApiError>> {
        let next = self.answers.next().await;
        self.note(match &next {
            Some(Ok(_)) => Progress::Processing,
            Some(Err(_)) => Progress::Failed,
            None => Progress::Completed,
        });
        next
    }

    /// All answers.
    ///
    /// # Errors
    /// The first failure.
    pub async fn collect(self) -> Result<Collected, ApiError> {
        let Self { answers, entry } = self;
        let collected = answers.collect().await;
        if let Some(entry) = entry {
            entry.set(if collected.is_ok() { Progress::Completed } else { Progress::Failed });
        }
        collected
    }

    /// The answers themselves, to ask about.
    pub fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Counts so far.
    pub fn usage(&self) -> &Usage {
        self.answers.usage()
    }

    fn note(&self, progress: Progress) {
        if let Some(entry) = &self.entry {
            entry.set(progress);
        }
    }
}
