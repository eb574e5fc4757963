//! JSON schemas: which of their keywords can be enforced, and how large they may be.
//!
//! A schema that passes is enforced as a whole. A keyword that changes what is valid and cannot be enforced is an
//! error; what only describes is left out.

mod apart;
mod finite;

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::limits::within;
use crate::{GrammarError, Limits, repeats};

/// What the value of a keyword is.
#[derive(Clone, Copy)]
enum Holds {
    /// A schema.
    Schema,
    /// A schema, or a list of them.
    SchemaOrList,
    /// A list of schemas.
    List,
    /// Schemas by name.
    Map,
    /// A number of repetitions.
    Count,
    /// Possible values.
    Enum,
    /// Names.
    Names,
    /// Nothing that needs a look.
    Plain,
}

/// The keywords that are enforced.
static ENFORCED: &[(&str, Holds)] = &[
    ("type", Holds::Plain),
    ("const", Holds::Plain),
    ("enum", Holds::Enum),
    ("allOf", Holds::List),
    ("anyOf", Holds::List),
    ("oneOf", Holds::List),
    ("properties", Holds::Map),
    ("patternProperties", Holds::Map),
    ("additionalProperties", Holds::Schema),
    ("required", Holds::Names),
    ("minProperties", Holds::Count),
    ("maxProperties", Holds::Count),
    ("items", Holds::SchemaOrList),
    ("additionalItems", Holds::Schema),
    ("prefixItems", Holds::List),
    ("minItems", Holds::Count),
    ("maxItems", Holds::Count),
    ("minLength", Holds::Count),
    ("maxLength", Holds::Count),
    ("pattern", Holds::Plain),
    ("minimum", Holds::Plain),
    ("maximum", Holds::Plain),
    ("exclusiveMinimum", Holds::Plain),
    ("exclusiveMaximum", Holds::Plain),
    ("multipleOf", Holds::Plain),
];

/// The keywords that change what is valid and that masks cannot enforce.
static REFUSED: &[&str] = &[
    "$dynamicRef",
    "$recursiveRef",
    "contains",
    "dependencies",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "not",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
    "uniqueItems",
];

/// The formats of strings that are enforced.
static FORMATS: &[&str] =
    &["date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"];

/// Formats that say how a value is used, not how it is written.
static DESCRIPTIVE_FORMATS: &[&str] = &[
    "binary",
    "byte",
    "decimal",
    "directory-path",
    "double",
    "file-path",
    "float",
    "int32",
    "int64",
    "json-string",
    "multi-line",
    "password",
    "path",
    "uint32",
    "uint64",
];

/// Most patterns of one `patternProperties`, each of which is compared with each.
const MOST_PATTERNS: usize = 32;

/// The schema as it is compiled: every keyword in it is enforced, and each `oneOf` is as good as an `anyOf`.
pub(crate) fn prepare(schema: &Value, limits: &Limits) -> Result<Value, GrammarError> {
    let mut walk = Walk { root: schema.clone(), open: vec![String::new()], seen: HashSet::new(), limits };
    let mut visited = Vec::new();
    while let Some(pointer) = walk.open.pop() {
        if walk.seen.insert(pointer.clone()) {
            walk.visit(&pointer)?;
            visited.push(pointer);
        }
    }
    finite::check(&walk.root, &visited)?;
    Ok(walk.root)
}

/// A walk over the schemas of a document that are in use, by their JSON pointers.
struct Walk<'a> {
    root: Value,
    open: Vec<String>,
    seen: HashSet<String>,
    limits: &'a Limits,
}

impl Walk<'_> {
    fn visit(&mut self, pointer: &str) -> Result<(), GrammarError> {
        let fields = match self.root.pointer(pointer) {
            Some(Value::Object(fields)) => fields,
            Some(Value::Bool(_)) => return Ok(()),
            Some(_) => return Err(invalid("a schema must be an object or a boolean")),
            None => return Err(invalid(&format!("`$ref`: nothing at `#{pointer}`"))),
        };
        check_keywords(fields)?;
        repeats::check_patterns(fields, self.limits)?;
        for (keyword, holds) in ENFORCED {
            if let Some(value) = fields.get(*keyword) {
                check_size(keyword, *holds, value, self.limits)?;
                push_schemas(pointer, keyword, *holds, value, &mut self.open);
            }
        }
        if let Some(reference) = fields.get("$ref") {
            self.open.push(target(reference)?.to_owned());
        }
        if let Some(options) = fields.get("oneOf") {
            apart::check(options, &self.root)?;
        }
        let describes = describes_only(fields)?;
        if let Some(Value::Object(fields)) = self.root.pointer_mut(pointer) {
            // From the first two the library would read another dialect, or options of its own.
            for keyword in ["$schema", "x-guidance", "uniqueItems"] {
                fields.shift_remove(keyword);
            }
            if describes {
                fields.shift_remove("format");
            }
        }
        Ok(())
    }
}

fn check_keywords(fields: &Map<String, Value>) -> Result<(), GrammarError> {
    for keyword in REFUSED {
        match fields.get(*keyword) {
            None => {}
            Some(Value::Bool(false)) if *keyword == "uniqueItems" => {}
            Some(_) => return Err(GrammarError::Keyword { keyword: (*keyword).to_owned(), hint: "" }),
        }
    }
    Ok(())
}

fn check_size(keyword: &'static str, holds: Holds, value: &Value, limits: &Limits) -> Result<(), GrammarError> {
    match (holds, value) {
        (Holds::Count, Value::Number(count)) => match count.as_u64() {
            Some(count) if count > limits.repeats => {
                Err(GrammarError::TooLarge { what: keyword, limit: limits.repeats, found: count })
            }
            _ => Ok(()),
        },
        (Holds::Enum, Value::Array(items)) => within("items of `enum`", items.len(), limits.enum_items),
        (Holds::Map, Value::Object(fields)) => {
            let most = if keyword == "patternProperties" { MOST_PATTERNS } else { limits.properties };
            within(keyword, fields.len(), most)
        }
        (Holds::Names | Holds::List | Holds::SchemaOrList, Value::Array(items)) => {
            within(keyword, items.len(), limits.properties)
        }
        // What is of the wrong type, the library refuses with a message of its own.
        _ => Ok(()),
    }
}

/// Puts the pointers of the schemas within a keyword on the list.
fn push_schemas(pointer: &str, keyword: &str, holds: Holds, value: &Value, open: &mut Vec<String>) {
    match (holds, value) {
        (Holds::Schema | Holds::SchemaOrList, Value::Object(_) | Value::Bool(_)) => {
            open.push(format!("{pointer}/{keyword}"));
        }
        (Holds::List | Holds::SchemaOrList, Value::Array(items)) => {
            open.extend((0..items.len()).map(|at| format!("{pointer}/{keyword}/{at}")));
        }
        (Holds::Map, Value::Object(fields)) => {
            open.extend(fields.keys().map(|name| format!("{pointer}/{keyword}/{}", escaped(name))));
        }
        _ => {}
    }
}

/// A name as a step of a JSON pointer.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// The JSON pointer of a reference within the document.
fn target(reference: &Value) -> Result<&str, GrammarError> {
    let text = reference.as_str().ok_or_else(|| invalid("`$ref` must be a string"))?;
    match text.strip_prefix('#') {
        Some("") => Ok(""),
        Some(pointer) if pointer.starts_with('/') && pointer.len() > 1 && !pointer.contains(['~', '%']) => Ok(pointer),
        _ => Err(GrammarError::Keyword {
            keyword: "$ref".to_owned(),
            hint: " but to a place in the same document, as `#/$defs/name`",
        }),
    }
}

/// Whether the format says nothing about the text. An error for one that does and is not known.
fn describes_only(fields: &Map<String, Value>) -> Result<bool, GrammarError> {
    let Some(format) = fields.get("format") else {
        return Ok(false);
    };
    let Some(format) = format.as_str() else {
        return Err(invalid("`format` must be a string"));
    };
    if FORMATS.contains(&format) {
        return Ok(false);
    }
    match DESCRIPTIVE_FORMATS.contains(&format) {
        true => Ok(true),
        false => {
            Err(GrammarError::Keyword { keyword: format!("format: {}", crate::error::first_line(format)), hint: "" })
        }
    }
}

pub(crate) fn invalid(message: &str) -> GrammarError {
    GrammarError::Invalid { kind: "JSON schema", message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_keyword_is_both_enforced_and_refused_and_lists_are_sorted() {
        assert!(ENFORCED.iter().all(|(keyword, _)| !REFUSED.contains(keyword)));
        for list in [REFUSED, FORMATS, DESCRIPTIVE_FORMATS] {
            assert!(list.is_sorted(), "{list:?}");
        }
    }
}
