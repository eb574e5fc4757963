//! What can go wrong between a template and its text.

/// Why a template gave no text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The template is not valid Jinja, or uses a part of Jinja that chat
    /// templates have no use for (`include`, `import`, `extends`).
    #[error("chat template, line {line}: {message}")]
    Syntax {
        /// Line of the template, counted from 1.
        line: usize,
        /// What was expected and what was found.
        message: String,
    },
    /// The template called `raise_exception`: it refuses these messages.
    #[error("chat template refuses the messages: {message}")]
    Raised {
        /// The template's own words.
        message: String,
        /// Line of the template, where known.
        line: Option<usize>,
    },
    /// An operation failed while rendering, as it would in Python: an undefined
    /// name was used, or a value had the wrong type.
    #[error("chat template{}: {message}", at(.line))]
    Render {
        /// What failed.
        message: String,
        /// Line of the template, where known.
        line: Option<usize>,
    },
    /// A limit of [`Limits`](crate::Limits) was reached.
    #[error("chat template{}: {what} exceeds the limit of {limit}", at(.line))]
    Limit {
        /// Which quantity.
        what: &'static str,
        /// Its limit.
        limit: u64,
        /// Line of the template, where known.
        line: Option<usize>,
    },
    /// The caller's messages, tools or extra variables cannot be given to a template.
    #[error("chat input: {message}")]
    Input {
        /// What was expected and what was found.
        message: String,
    },
    /// The template engine itself failed; a mistake of this crate or of its engine.
    #[error("chat template engine: {message}")]
    Internal {
        /// What the engine said.
        message: String,
    },
}

fn at(line: &Option<usize>) -> String {
    line.map(|l| format!(", line {l}")).unwrap_or_default()
}

impl ChatError {
    pub(crate) fn syntax(line: usize, message: impl Into<String>) -> Self {
        ChatError::Syntax { line, message: message.into() }
    }

    pub(crate) fn limit(what: &'static str, limit: u64, line: Option<usize>) -> Self {
        ChatError::Limit { what, limit, line }
    }
}
