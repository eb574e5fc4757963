//! Why an answer could not go on, and where that lies.

use rocmforge_grammar::GrammarError;
use rocmforge_program::backend::BadRow;
use rocmforge_sampler::SamplerError;

use crate::EngineError;

/// Why an answer could not go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Where it lies.
    pub kind: FailureKind,
    /// What happened, in one line. Only that of [`FailureKind::Request`] and [`FailureKind::Stopped`] is meant for
    /// whoever asked; others may tell of the machine.
    pub message: String,
}

/// Where a failure lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FailureKind {
    /// In what was asked for: no token is allowed, or the constraint is too complex.
    Request,
    /// In the model, which computed what is no number.
    Model,
    /// In the device: a step failed on it, or did not fit.
    Device,
    /// In the engine, which had to give its requests up.
    Engine,
    /// Nowhere: the engine stops.
    Stopped,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }
}

impl From<&EngineError> for Failure {
    fn from(error: &EngineError) -> Self {
        let kind = match error {
            EngineError::Backend(_) => FailureKind::Device,
            EngineError::Refused(_) => FailureKind::Request,
            _ => FailureKind::Engine,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<SamplerError> for Failure {
    fn from(error: SamplerError) -> Self {
        let kind = match error {
            SamplerError::NoCandidate { .. } => FailureKind::Request,
            SamplerError::BadLogit { .. } | SamplerError::NoFiniteLogit { .. } => FailureKind::Model,
            _ => FailureKind::Engine,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<GrammarError> for Failure {
    fn from(error: GrammarError) -> Self {
        let kind = match error {
            GrammarError::TooComplex(_) => FailureKind::Request,
            // Once it is compiled, nothing else is the sender's to correct.
            _ => FailureKind::Engine,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<BadRow> for Failure {
    fn from(bad: BadRow) -> Self {
        Self::new(FailureKind::Model, bad.to_string())
    }
}

#[cfg(test)]
mod tests {
    use rocmforge_program::backend::BackendError;

    use super::*;

    #[test]
    fn a_failure_knows_where_it_lies() {
        let kind = |failure: Failure| failure.kind;
        assert_eq!(kind(SamplerError::NoCandidate { possible: 3 }.into()), FailureKind::Request);
        assert_eq!(kind(GrammarError::TooComplex("items".into()).into()), FailureKind::Request);
        assert_eq!(kind(SamplerError::NoFiniteLogit { vocab_size: 3 }.into()), FailureKind::Model);
        assert_eq!(kind((&EngineError::Backend(BackendError::Device("lost".into()))).into()), FailureKind::Device);
        assert_eq!(kind(GrammarError::Refused { token: 1 }.into()), FailureKind::Engine);
    }
}
