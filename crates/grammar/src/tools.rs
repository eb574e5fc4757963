//! Calls of tools, as each chat format writes them.

use std::collections::HashSet;

use llguidance::api::GrammarWithLexer;
use rocmforge_chat::CallFormat;
use serde_json::{Map, Value, json};

use crate::lark::{Mark, free_text, literal};
use crate::limits::within;
use crate::schema;
use crate::source::{json_grammar, lark_grammar, named};
use crate::{GrammarError, GrammarVocab, Limits, Tool, ToolChoice, Tools};

/// Longest name of a tool, in bytes.
const MOST_NAME_BYTES: usize = 256;

/// The grammars of the calls: the first is the whole text, and it names the others.
pub(crate) fn grammars(
    vocab: &GrammarVocab,
    tools: &Tools,
    limits: &Limits,
) -> Result<Vec<GrammarWithLexer>, GrammarError> {
    let callable = callable(tools)?;
    let format = tools.format;
    let open = format.open.map(|mark| Mark::new(vocab, mark));
    let separator = format.named.map(|mark| Mark::new(vocab, mark)).filter(Mark::is_token);
    match (open, separator) {
        (None, _) => bare_calls(tools, &callable, limits),
        (Some(open), Some(separator)) => named_calls(tools, &callable, &open, &separator, limits),
        (Some(open), None) => {
            let close = format.close.map(|mark| format!(" GAP? {}", Mark::new(vocab, mark).symbol()));
            let body = format!("GAP? @calls{}", close.unwrap_or_default());
            let mut text = whole(tools, &open, &body);
            text.push_str("GAP: /[ \\n]{1,2}/\n");
            let schema = match format.list {
                true => list_schema(&callable, format, tools.parallel),
                false => call_schema(&callable, format),
            };
            Ok(vec![lark_grammar(text), named("calls", json_grammar(schema::prepare(&schema, limits)?))])
        }
    }
}

/// The tools that may be called.
fn callable(tools: &Tools) -> Result<Vec<&Tool>, GrammarError> {
    let mut names = HashSet::new();
    for tool in &tools.tools {
        within("bytes of a tool's name", tool.name.len(), MOST_NAME_BYTES)?;
        if tool.name.is_empty() || tool.name.chars().any(|c| c.is_control() || "\"\\[]{}<>".contains(c)) {
            return Err(invalid(format!("`{}` cannot be the name of a tool", tool.name.escape_debug())));
        }
        if !names.insert(&tool.name) {
            return Err(invalid(format!("tool `{}` is there twice", tool.name)));
        }
    }
    let callable: Vec<&Tool> = match &tools.choice {
        ToolChoice::Named(name) => tools.tools.iter().filter(|tool| tool.name == *name).collect(),
        ToolChoice::Auto | ToolChoice::Any => tools.tools.iter().collect(),
    };
    match (&tools.choice, callable.is_empty()) {
        (_, false) => Ok(callable),
        (ToolChoice::Named(name), true) => Err(invalid(format!("there is no tool `{}`", name.escape_debug()))),
        (_, true) => Err(invalid("there are no tools".to_owned())),
    }
}

/// The whole text: calls that start with `open` and go on with `body`, and free text where it is allowed.
fn whole(tools: &Tools, open: &Mark, body: &str) -> String {
    // A list holds all calls there are.
    let repeats = tools.parallel && !tools.format.list;
    if tools.choice == ToolChoice::Auto {
        let start = if repeats { "(before call)* TAIL?" } else { "before call | TAIL?" };
        return format!("start: {start}\ncall: {body}\n{}", free_text(open));
    }
    let more = if repeats { " (/\\n{0,2}/ open call)*" } else { "" };
    format!("start: open call{more}\ncall: {body}\nopen: {}\n", open.symbol())
}

/// Calls that are their names, a mark and the arguments.
fn named_calls(
    tools: &Tools,
    callable: &[&Tool],
    open: &Mark,
    separator: &Mark,
    limits: &Limits,
) -> Result<Vec<GrammarWithLexer>, GrammarError> {
    let symbol = separator.symbol();
    let options: Vec<String> =
        callable.iter().enumerate().map(|(at, tool)| format!("{} {symbol} @a{at}", literal(&tool.name))).collect();
    let several = Tools { format: tools.format, tools: Vec::new(), choice: tools.choice.clone(), ..*tools };
    let text = match tools.choice {
        _ if !tools.parallel => whole(&several, open, &options.join("\n  | ")),
        // In this form every call has a mark of its own, although the format knows lists.
        ToolChoice::Auto => {
            format!("start: (before call)* TAIL?\ncall: {}\n{}", options.join("\n  | "), free_text(open))
        }
        _ => format!("start: (open call)+\ncall: {}\nopen: {}\n", options.join("\n  | "), open.symbol()),
    };
    let mut grammars = vec![lark_grammar(text)];
    for (at, tool) in callable.iter().enumerate() {
        let schema = schema::prepare(&parameters(tool, ""), limits)?;
        grammars.push(named(&format!("a{at}"), json_grammar(schema)));
    }
    Ok(grammars)
}

/// Calls that are nothing but an object at the start of the answer.
fn bare_calls(tools: &Tools, callable: &[&Tool], limits: &Limits) -> Result<Vec<GrammarWithLexer>, GrammarError> {
    let more = if tools.parallel { " (/; ?/ @calls)*" } else { "" };
    let text = match tools.choice {
        // What starts with a brace is a call.
        ToolChoice::Auto => format!("start: @calls{more} | TEXT\nTEXT: /(?s:\\s*([^{{\\s].*)?)/\n"),
        _ => format!("start: @calls{more}\n"),
    };
    let schema = schema::prepare(&call_schema(callable, tools.format), limits)?;
    Ok(vec![lark_grammar(text), named("calls", json_grammar(schema))])
}

/// The schema of a list of calls.
fn list_schema(callable: &[&Tool], format: &CallFormat, parallel: bool) -> Value {
    let mut list = json!({"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/call"}});
    let Value::Object(mut call) = call_schema(callable, format) else {
        return list;
    };
    let mut definitions = call.shift_remove("$defs").unwrap_or_default();
    definitions["call"] = Value::Object(call);
    list["$defs"] = definitions;
    if !parallel {
        list["maxItems"] = json!(1);
    }
    list
}

/// The schema of one call: an object with a name and arguments. The schemas of the arguments are definitions of it.
fn call_schema(callable: &[&Tool], format: &CallFormat) -> Value {
    let mut definitions = Map::new();
    let mut options = Vec::new();
    for (at, tool) in callable.iter().enumerate() {
        let name = format!("tool{at}");
        options.push(json!({
            "type": "object",
            "properties": {"name": {"const": tool.name}, format.arguments: {"$ref": format!("#/$defs/{name}")}},
            "required": ["name", format.arguments],
            "additionalProperties": false,
        }));
        definitions.insert(name.clone(), parameters(tool, &format!("/$defs/{name}")));
    }
    json!({"anyOf": options, "$defs": definitions})
}

/// The schema of a tool's arguments, which are always an object, for use at `pointer` of a larger document.
fn parameters(tool: &Tool, pointer: &str) -> Value {
    let mut schema = match &tool.parameters {
        Value::Null | Value::Bool(true) => json!({}),
        other => other.clone(),
    };
    if let Value::Object(fields) = &mut schema
        && !fields.contains_key("type")
        && !fields.contains_key("$ref")
    {
        fields.insert("type".to_owned(), json!("object"));
    }
    move_references(&mut schema, pointer, false);
    schema
}

/// Lets references within a document point to its new place. `is_map`: the keys are names, not keywords.
fn move_references(value: &mut Value, pointer: &str, is_map: bool) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| move_references(item, pointer, false)),
        Value::Object(fields) => {
            for (key, field) in fields {
                match (key.as_str(), field) {
                    ("$ref", Value::String(target)) if !is_map && target.starts_with('#') => {
                        target.insert_str(1, pointer);
                    }
                    ("const" | "enum" | "default" | "examples", _) if !is_map => {}
                    (key, field) => {
                        let names = ["properties", "patternProperties", "$defs", "definitions"];
                        move_references(field, pointer, !is_map && names.contains(&key));
                    }
                }
            }
        }
        _ => {}
    }
}

fn invalid(message: String) -> GrammarError {
    GrammarError::Invalid { kind: "tools", message }
}
