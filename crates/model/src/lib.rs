#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod archs;
mod blocks;
mod describe;
mod error;
mod hparams;
mod keys;
mod net;
mod rope;
mod source;
mod window;

pub use archs::{ARCHS, ArchSpec};
pub use describe::{ModelInfo, describe};
pub use error::{ModelError, ModelWarning};
pub use source::Source;

use rocmforge_gguf_loader::Gguf;
use rocmforge_program::Program;

/// Choices that change the Program of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BuildOptions {
    /// Tokens of context that will be used, which decides between the short and long tables of LongRoPE. `None` means
    /// all that the model was made for.
    pub context_length: Option<usize>,
}

/// A Program, and what was odd about its file.
#[derive(Debug, Clone, PartialEq)]
pub struct Built {
    /// The Program.
    pub program: Program,
    /// Oddities that do not stop it from running.
    pub warnings: Vec<ModelWarning>,
}

/// The Program of a model file; warnings are logged.
///
/// # Errors
/// An architecture without a row in [`ARCHS`], hyperparameters out of range, tensors missing or of a wrong shape.
pub fn build<B: AsRef<[u8]>>(gguf: &Gguf<B>, options: &BuildOptions) -> Result<Program, ModelError> {
    let Built { program, warnings } = build_with_warnings(gguf, options)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    Ok(program)
}

/// As [`build`], handing the warnings to the caller.
///
/// # Errors
/// As [`build`].
pub fn build_with_warnings<B: AsRef<[u8]>>(gguf: &Gguf<B>, options: &BuildOptions) -> Result<Built, ModelError> {
    let source = Source::new(gguf, options)?;
    (arch(source.architecture())?.build)(&source)
}

/// The row of an architecture.
///
/// # Errors
/// [`ModelError::UnsupportedArchitecture`], which lists those there are.
pub fn arch(name: &str) -> Result<&'static ArchSpec, ModelError> {
    ARCHS.iter().find(|arch| arch.name == name).ok_or_else(|| ModelError::UnsupportedArchitecture {
        found: name.to_string(),
        known: ARCHS.iter().map(|arch| arch.name).collect(),
    })
}
