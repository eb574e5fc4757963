//! The architectures: one file each, and one row here.

use crate::source::Source;
use crate::{Built, ModelError};

mod llama;
mod qwen2;

/// An architecture.
#[derive(Debug, Clone, Copy)]
pub struct ArchSpec {
    /// `general.architecture` of its files.
    pub name: &'static str,
    /// The models that use it, in one line.
    pub description: &'static str,
    /// From a file to a Program.
    pub build: fn(&Source<'_>) -> Result<Built, ModelError>,
}

/// Every architecture, in the order in which they are listed.
pub static ARCHS: &[ArchSpec] = &[llama::SPEC, qwen2::SPEC];
