//! Why a file cannot become a Program, and what is odd about one that can.

use std::fmt;

use rocmforge_gguf_loader::GgufError;
use rocmforge_program::ProgramError;

/// A model file that cannot be turned into a Program.
///
/// Keys are written in full, as they stand in the file; shapes are `[rows, columns]`, slowest-varying first.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// An architecture without a row in [`ARCHS`](crate::ARCHS).
    #[error("architecture `{}` is not supported; known are: {}", shorten(.found), .known.join(", "))]
    UnsupportedArchitecture {
        /// `general.architecture` of the file.
        found: String,
        /// The names there are rows for.
        known: Vec<&'static str>,
    },
    /// A hyperparameter outside what can be computed with.
    #[error("key `{key}`: expected {range}, found {}", shorten(.found))]
    BadHyperparam {
        /// Key in the file; an element of a per-layer array as `key[layer]`.
        key: String,
        /// What it says.
        found: String,
        /// What would be accepted.
        range: String,
    },
    /// A tensor of another shape than the hyperparameters say.
    #[error("tensor `{tensor}`: expected {expected:?} by {keys}, found {found:?}")]
    ShapeMismatch {
        /// Name.
        tensor: String,
        /// Shape that follows from the keys.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
        /// The keys that say so.
        keys: String,
    },
    /// A tensor of a type that its use does not allow, such as a quantised norm weight.
    #[error("tensor `{tensor}`: expected {expected}, found {found}")]
    WrongTensorType {
        /// Name.
        tensor: String,
        /// Types that are accepted.
        expected: &'static str,
        /// Type in the file.
        found: &'static str,
    },
    /// Tensors that the architecture needs and the file lacks; all of them.
    #[error("{} missing: {}", count(.tensors.len(), "tensor"), list(.tensors))]
    MissingTensors {
        /// Names, in the order of use.
        tensors: Vec<String>,
    },
    /// Something the file asks for that no operation computes.
    #[error("key `{key}`: {reason}")]
    Unsupported {
        /// Key in the file.
        key: String,
        /// What is not supported.
        reason: String,
    },
    /// A key that is missing or has the wrong type.
    #[error(transparent)]
    Gguf(#[from] GgufError),
    /// Operations that do not fit together.
    #[error(transparent)]
    Program(#[from] ProgramError),
    /// A rotation that cannot be computed.
    #[error(transparent)]
    Spec(#[from] rocmforge_attention::SpecError),
}

/// Something odd about a model that does not stop it from running.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelWarning {
    /// Tensors that the architecture has no use for.
    UnusedTensors(
        /// Names, in the order of the file.
        Vec<String>,
    ),
}

impl fmt::Display for ModelWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnusedTensors(names) => write!(f, "{} not used: {}", count(names.len(), "tensor"), list(names)),
        }
    }
}

/// Longest text of the file that is shown whole.
const SHOWN_CHARS: usize = 96;

fn shorten(text: &str) -> String {
    let head: String = text.chars().take(SHOWN_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARS).is_some() { format!("{head}... ({} bytes)", text.len()) } else { head }
}

fn count(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}

/// Names in backquotes; past twelve, their number.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 12;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| format!("`{}`", shorten(name))).collect();
    let rest = names.len().saturating_sub(SHOWN);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    shown.join(", ") + &more
}
