//! Whether a schema has values at all: recursion that nothing ends has none.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{escaped, invalid, target};
use crate::GrammarError;

/// Most rounds until every schema that has values is known to have them.
const MOST_ROUNDS: usize = 100;

/// Checks that the schema at the root has a value that is not infinite. `pointers`: the schemas in use, from the
/// outside in.
pub(super) fn check(root: &Value, pointers: &[String]) -> Result<(), GrammarError> {
    let mut finite: HashMap<&str, bool> = pointers.iter().map(|pointer| (pointer.as_str(), false)).collect();
    for _ in 0..MOST_ROUNDS {
        let mut has_changed = false;
        for pointer in pointers.iter().rev() {
            let known = finite.get(pointer.as_str()) == Some(&true);
            if !known && root.pointer(pointer).is_some_and(|schema| is_finite(schema, pointer, &finite)) {
                finite.insert(pointer, true);
                has_changed = true;
            }
        }
        if finite.get("") == Some(&true) {
            return Ok(());
        }
        if !has_changed {
            break;
        }
    }
    Err(invalid("no value fulfils it, or only endless ones (a `$ref` cycle that nothing ends)"))
}

fn is_finite(schema: &Value, pointer: &str, finite: &HashMap<&str, bool>) -> bool {
    let Value::Object(fields) = schema else {
        return *schema == Value::Bool(true);
    };
    // Keywords that list what is unknown here are left to the compiler.
    let known = |pointer: &str| finite.get(pointer).copied().unwrap_or(true);
    let items = |keyword: &str| match fields.get(keyword) {
        Some(Value::Array(items)) => (0..items.len()).map(|at| known(&format!("{pointer}/{keyword}/{at}"))).collect(),
        _ => vec![true],
    };
    let reference = fields.get("$ref").and_then(|reference| target(reference).ok()).is_none_or(known);
    let any = |options: Vec<bool>| options.contains(&true);
    reference
        && !items("allOf").contains(&false)
        && any(items("anyOf"))
        && any(items("oneOf"))
        && (fields.contains_key("const") || fields.contains_key("enum") || has_type(fields, pointer, &known))
}

/// Whether one of the types that are allowed has a value.
fn has_type(fields: &Map<String, Value>, pointer: &str, known: &dyn Fn(&str) -> bool) -> bool {
    let has = |name: &Value| match name.as_str() {
        Some("array") => has_array(fields, pointer, known),
        Some("object") => has_object(fields, pointer, known),
        _ => true,
    };
    match fields.get("type") {
        Some(Value::Array(names)) => names.iter().any(has),
        Some(name) => has(name),
        None => true,
    }
}

fn has_array(fields: &Map<String, Value>, pointer: &str, known: &dyn Fn(&str) -> bool) -> bool {
    let required = fields.get("minItems").and_then(Value::as_u64).unwrap_or(0);
    let listed = |keyword: &str| match fields.get(keyword) {
        Some(Value::Array(items)) => items.len() as u64,
        _ => 0,
    };
    let prefix = ["prefixItems", "items"].into_iter().find(|keyword| listed(keyword) > 0);
    let prefix_len = prefix.map_or(0, listed);
    let prefix_is_finite = prefix
        .is_none_or(|keyword| (0..prefix_len.min(required)).all(|at| known(&format!("{pointer}/{keyword}/{at}"))));
    prefix_is_finite && (required <= prefix_len || known(&format!("{pointer}/items")))
}

fn has_object(fields: &Map<String, Value>, pointer: &str, known: &dyn Fn(&str) -> bool) -> bool {
    let Some(Value::Array(names)) = fields.get("required") else {
        return true;
    };
    names.iter().filter_map(Value::as_str).all(|name| known(&format!("{pointer}/properties/{}", escaped(name))))
}
