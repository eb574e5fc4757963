//! Errors as a user sees them: one line on stderr and an exit code.

use std::io;
use std::path::PathBuf;

use rocmforge_engine::EngineError;
use rocmforge_server::ServeError;

/// Exit code of a run that failed.
const FAILED: i32 = 1;
/// Exit code of a bad flag, file or prompt.
const BAD_INPUT: i32 = 2;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("cannot read {path}: {source}", path = .path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("cannot write {path}: {source}", path = .path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot write to stdout: {0}")]
    Stdout(io::Error),
    #[error("{0}")]
    BadInput(String),
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// Whether the reader of our output went away, which is no failure of ours.
    fn is_closed_stdout(&self) -> bool {
        matches!(self, Self::Stdout(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    fn exit_code(&self) -> i32 {
        match self {
            Self::Engine(error) if error.is_bad_input() => BAD_INPUT,
            Self::Serve(error) if error.is_bad_input() => BAD_INPUT,
            Self::Read { .. } | Self::BadInput(_) => BAD_INPUT,
            Self::Engine(_) | Self::Serve(_) | Self::Write { .. } | Self::Stdout(_) | Self::Failed(_) => FAILED,
        }
    }

    /// Prints the error and returns the exit code.
    pub fn report(&self) -> i32 {
        if self.is_closed_stdout() {
            return 0;
        }
        eprintln!("error: {}", one_line(&self.to_string()));
        if let Self::Engine(error @ EngineError::Device(_)) = self
            && !error.is_bad_input()
        {
            eprintln!("`rocmforge doctor` checks what a GPU needs; --device cpu runs without one");
        }
        self.exit_code()
    }
}

/// Line ends and control characters of foreign text must not reach the terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

macro_rules! from_input_error {
    ($($error:ty),*) => {$(
        impl From<$error> for CliError {
            fn from(error: $error) -> Self {
                EngineError::from(error).into()
            }
        }
    )*};
}
from_input_error!(rocmforge_tokenizer::TokenizerError, rocmforge_chat::ChatError, rocmforge_model::ModelError);
