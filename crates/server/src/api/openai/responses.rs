//! `/v1/responses`.

/// Answers that can be asked for again.
#[derive(Debug, Clone, Default)]
pub struct ResponseStore;
