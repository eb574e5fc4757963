//! What can go wrong, and whose fault it is.

use rocmforge_tokenizer::TokenId;

/// Why a constraint was refused, or why a text cannot go on under it.
///
/// Every message is one line and may be shown to whoever sent the constraint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrammarError {
    /// The vocabulary is beyond what token masks are made for.
    #[error("the vocabulary cannot be constrained: {0}")]
    Vocabulary(String),
    /// A limit of [`Limits`](crate::Limits) is passed.
    #[error("{what}: {found} is above the limit of {limit}")]
    TooLarge {
        /// What is counted.
        what: &'static str,
        /// The limit.
        limit: u64,
        /// What was found; counting may stop early.
        found: u64,
    },
    /// A keyword of JSON Schema that changes what is valid and that masks cannot enforce.
    #[error("JSON schema: `{keyword}` is not supported{hint}")]
    Keyword {
        /// The keyword.
        keyword: String,
        /// What would be, starting with a separator; may be empty.
        hint: &'static str,
    },
    /// The constraint does not parse or does not compile.
    #[error("{kind}: {message}")]
    Invalid {
        /// What kind of constraint it is.
        kind: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// No text fulfils the constraint.
    #[error("{kind}: no text can match it")]
    Empty {
        /// What kind of constraint it is.
        kind: &'static str,
    },
    /// The mask given is shorter than the vocabulary.
    #[error("a mask of {found} words for a vocabulary that needs {expected}")]
    MaskLength {
        /// Words that are needed.
        expected: usize,
        /// Words that were given.
        found: usize,
    },
    /// The token is not allowed at this place; the matcher is as it was.
    #[error("token {token} is not allowed here")]
    Refused {
        /// The token.
        token: TokenId,
    },
    /// Matching went beyond the limits of a step; the sequence cannot go on.
    #[error("the constraint is too complex at this place: {0}")]
    TooComplex(String),
    /// A defect of ours or of the grammar library, caught.
    #[error("the constraint could not be worked on: {0}")]
    Internal(String),
}

impl GrammarError {
    /// Whether a different constraint could have avoided it, which makes it the sender's to correct.
    #[must_use]
    pub fn is_request_fault(&self) -> bool {
        !matches!(self, Self::Vocabulary(_) | Self::MaskLength { .. } | Self::Internal(_))
    }

    /// An error text of the library: its first line, or [`GrammarError::Internal`] for what was a panic.
    pub(crate) fn from_library(kind: &'static str, text: &str) -> Self {
        let message = first_line(text);
        match message.strip_prefix("panic: ") {
            Some(panic) => Self::Internal(panic.to_owned()),
            None => Self::Invalid { kind, message },
        }
    }
}

/// Most characters of a foreign message that are passed on.
const MESSAGE_CHARS: usize = 300;

pub(crate) fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown").chars().take(MESSAGE_CHARS).collect()
}
