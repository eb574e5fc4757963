//! When exactly one of several schemas holds because at most one can: then `oneOf` is `anyOf`.

use std::collections::HashSet;

use serde_json::Value;

use super::target;
use crate::GrammarError;
use crate::limits::within;

/// Most options of a `oneOf`, each of which is compared with each.
const MOST_OPTIONS: usize = 200;

/// Most references on the way to an option.
const MOST_STEPS: usize = 16;

/// Checks that no value fulfils two of the options, as far as their types and constants tell.
pub(super) fn check(options: &Value, root: &Value) -> Result<(), GrammarError> {
    let Value::Array(options) = options else {
        return Ok(());
    };
    within("options of `oneOf`", options.len(), MOST_OPTIONS)?;
    let options = options.iter().map(|option| resolve(option, root)).collect::<Result<Vec<_>, _>>()?;
    let are_apart = options.iter().enumerate().all(|(at, a)| options[..at].iter().all(|b| are_apart(a, b, root)));
    match are_apart {
        true => Ok(()),
        false => Err(GrammarError::Keyword {
            keyword: "oneOf".to_owned(),
            hint: " where options may overlap; give each a required property with its own `const`, or use `anyOf`",
        }),
    }
}

/// Follows references.
fn resolve<'a>(mut schema: &'a Value, root: &'a Value) -> Result<&'a Value, GrammarError> {
    for _ in 0..MOST_STEPS {
        let Some(reference) = schema.get("$ref") else {
            break;
        };
        schema = root.pointer(target(reference)?).unwrap_or(&Value::Null);
    }
    Ok(schema)
}

fn are_apart(a: &Value, b: &Value, root: &Value) -> bool {
    let types = |schema| types(schema).unwrap_or_else(|| TYPES.iter().copied().collect());
    if types(a).is_disjoint(&types(b)) {
        return true;
    }
    if let (Some(a), Some(b)) = (constants(a), constants(b)) {
        return a.iter().all(|value| b.iter().all(|other| value != other));
    }
    differ_in_a_property(a, b, root)
}

/// Whether a property that one of them requires has other values in the other.
fn differ_in_a_property(a: &Value, b: &Value, root: &Value) -> bool {
    let is_object = |schema: &Value| types(schema).is_some_and(|types| types.iter().all(|name| *name == "object"));
    let (Some(Value::Object(fields)), true, true) = (a.get("properties"), is_object(a), is_object(b)) else {
        return false;
    };
    let requires = |schema: &Value, name: &String| match schema.get("required") {
        Some(Value::Array(names)) => names.iter().any(|required| required.as_str() == Some(name)),
        _ => false,
    };
    fields.iter().any(|(name, property)| {
        let Some(other) = b.get("properties").and_then(|properties| properties.get(name)) else {
            return false;
        };
        let (Ok(property), Ok(other)) = (resolve(property, root), resolve(other, root)) else {
            return false;
        };
        let (Some(property), Some(other)) = (constants(property), constants(other)) else {
            return false;
        };
        (requires(a, name) || requires(b, name)) && property.iter().all(|value| !other.contains(value))
    })
}

/// The strings that a schema is limited to, if it is limited to strings. Numbers have many ways to be written.
fn constants(schema: &Value) -> Option<Vec<&str>> {
    let values = match (schema.get("const"), schema.get("enum")) {
        (Some(value), _) => std::slice::from_ref(value),
        (None, Some(Value::Array(values))) => values,
        _ => return None,
    };
    values.iter().map(Value::as_str).collect()
}

static TYPES: [&str; 6] = ["array", "boolean", "null", "number", "object", "string"];

/// The types that a schema names; an integer is a number.
fn types(schema: &Value) -> Option<HashSet<&str>> {
    if let Some(values) = constants(schema) {
        return Some(values.iter().map(|_| "string").collect());
    }
    let name = |value: &'_ Value| TYPES.iter().copied().find(|name| Some(*name) == number(value.as_str()));
    match schema.get("type")? {
        Value::Array(names) => names.iter().map(name).collect(),
        one => Some(name(one).into_iter().collect()),
    }
}

fn number(name: Option<&str>) -> Option<&str> {
    name.map(|name| if name == "integer" { "number" } else { name })
}
