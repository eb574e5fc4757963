//! Ministral 3: Mistral with YaRN, and with scores that grow with the position beyond the trained context.

use rocmforge_program::Program;

use super::{ArchSpec, llama};
use crate::source::Source;
use crate::{Built, ModelError, keys};

pub(super) const SPEC: ArchSpec =
    ArchSpec { name: "mistral3", description: "Ministral 3 and Mistral Small 3, within the trained context", build };

fn build(source: &Source<'_>) -> Result<Built, ModelError> {
    let built = llama::build(source)?;
    refuse_long_context(source, &built.program)?;
    Ok(built)
}

/// Queries are multiplied by `1 + scale * ln(1 + floor(position / trained length))`, so by 1 up to that length; no
/// operation depends on positions like this, so longer contexts are refused.
fn refuse_long_context(source: &Source<'_>, program: &Program) -> Result<(), ModelError> {
    if source.number(&keys::TEMPERATURE_SCALE)?.unwrap_or(0.0) == 0.0 {
        return Ok(());
    }
    let trained = match source.size(&keys::TEMPERATURE_LENGTH)? {
        Some(length) => length,
        None => source.need(&keys::ORIGINAL_CONTEXT_LENGTH)?,
    };
    let context = source.options().context_length.unwrap_or(program.context_length);
    if context <= trained {
        return Ok(());
    }
    Err(ModelError::Unsupported {
        key: source.key(keys::TEMPERATURE_SCALE.key),
        reason: format!("scaled scores are not supported; use a context of at most {trained} instead of {context}"),
    })
}
