//! JSON schemas: what of them can be enforced.

use serde_json::Value;

use crate::{GrammarError, Limits};

/// The schema as it is compiled.
pub(crate) fn prepare(schema: &Value, _limits: &Limits) -> Result<Value, GrammarError> {
    Ok(schema.clone())
}
