//! JSON, free and under schemas.

use rocmforge_grammar::{GrammarError, Spec};
use serde_json::Value;

use crate::walk::{takes, text};
use crate::{DEMO, GPT2, QWEN2, SPM, compile, refusal, schema};

#[test]
fn random_texts_are_json_objects_in_every_vocabulary() {
    for vocab in [&*DEMO, &*GPT2, &*QWEN2, &*SPM] {
        let grammar = compile(vocab, &Spec::JsonObject).unwrap();
        for seed in 0..4 {
            let text = text(&grammar, seed);
            match serde_json::from_str::<Value>(&text) {
                Ok(value) => assert!(value.is_object(), "{text}"),
                // `1e999` is JSON, although this reader does not take it.
                Err(error) => assert!(error.to_string().starts_with("number out of range"), "{error}: {text}"),
            }
        }
    }
}

const PERSON: &str = r#"{
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "mood": {"enum": ["good", "bad", null]},
        "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "minItems": 1, "maxItems": 3}
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": false
}"#;

fn is_person(value: &Value) -> bool {
    let object = value.as_object().unwrap();
    let length = |value: &Value| value.as_str().unwrap().chars().count();
    let tags = object["tags"].as_array().unwrap();
    let id = |id: &Value| {
        let id = id.as_str().unwrap().as_bytes().to_vec();
        id.len() == 6
            && id[..2].iter().all(u8::is_ascii_uppercase)
            && id[2] == b'-'
            && id[3..].iter().all(u8::is_ascii_digit)
    };
    object.keys().all(|key| ["name", "age", "mood", "id", "tags"].contains(&key.as_str()))
        && (1..=12).contains(&length(&object["name"]))
        && object["age"].as_u64().is_some_and(|age| age <= 150)
        && object.get("mood").is_none_or(|mood| mood.is_null() || mood == "good" || mood == "bad")
        && object.get("id").is_none_or(id)
        && (1..=3).contains(&tags.len())
        && tags.iter().all(|tag| length(tag) <= 3)
}

#[test]
fn random_texts_fulfil_the_schema_in_every_vocabulary() {
    for vocab in [&*DEMO, &*GPT2, &*QWEN2, &*SPM] {
        let grammar = compile(vocab, &schema(PERSON)).unwrap();
        for seed in 0..4 {
            let text = text(&grammar, seed);
            let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
            assert!(is_person(&value), "{text}");
        }
    }
}

/// Schemas, texts that fulfil them and texts that do not.
#[test]
fn keywords_are_enforced() {
    let cases: &[(&str, &[&str], &[&str])] = &[
        (r#"{"const": {"a": [1, "x"]}}"#, &[r#"{"a":[1,"x"]}"#], &[r#"{"a":[1]}"#]),
        (r#"{"enum": ["a", 2, null]}"#, &[r#""a""#, "2", "null"], &[r#""b""#, "3"]),
        (r#"{"type": "integer", "multipleOf": 5}"#, &["0", "15", "-20"], &["12", "1.5"]),
        (r#"{"type": "number", "exclusiveMinimum": 1, "maximum": 2}"#, &["1.5", "2"], &["1", "2.01"]),
        (r#"{"type": ["boolean", "null"]}"#, &["true", "null"], &["1", r#""""#]),
        (r#"{"type": "string", "format": "date"}"#, &[r#""2024-02-29""#], &[r#""2024-13-01""#, r#""x""#]),
        (r#"{"type": "string", "minLength": 2}"#, &[r#""ab""#, r#""日本""#, r#""\n\t""#], &[r#""a""#, r#""日""#]),
        (
            r#"{"type": "array", "prefixItems": [{"type": "integer"}], "items": false}"#,
            &["[1]", "[]"],
            &["[1,2]", "[true]"],
        ),
        (
            r#"{"type": "object", "patternProperties": {"^n": {"type": "integer"}}, "additionalProperties": false}"#,
            &[r#"{"n1":2}"#, "{}"],
            &[r#"{"n1":"x"}"#, r#"{"m":1}"#],
        ),
        (
            r#"{"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 1}"#,
            &[r#"{"n":2}"#],
            &["{}"],
        ),
        (r#"{"anyOf": [{"type": "integer"}, {"type": "string", "maxLength": 1}]}"#, &["7", r#""x""#], &[r#""xy""#]),
        (r#"{"allOf": [{"type": "integer", "minimum": 5}, {"maximum": 7}]}"#, &["5", "7"], &["4", "8"]),
        (r##"{"$ref": "#/$defs/a", "$defs": {"a": {"type": "boolean"}}}"##, &["true"], &["1"]),
        (
            r#"{"type": "string", "format": "password", "uniqueItems": false, "x-note": 1, "title": "t"}"#,
            &[r#""a""#],
            &["1"],
        ),
        (r#"{"oneOf": [{"type": "integer"}, {"type": "string"}]}"#, &["1", r#""a""#], &["null"]),
        (r#"{"type": "string"}"#, &[r#""\u00e9\ud83d\ude00""#], &[r#""\ud83d""#, r#""\x""#]),
        ("true", &["1", "[]", r#"{"a":{}}"#], &["tru", "[1"]),
        (r#"{}"#, &["1", "[]", r#"{"a":{}}"#], &["x"]),
        (r#"{"type": "object"}"#, &["{\n  \"a\": [1,\n    2]\n}"], &["[]"]),
    ];
    for (json, good, bad) in cases {
        let grammar = compile(&DEMO, &schema(json)).unwrap_or_else(|error| panic!("{json}: {error}"));
        for text in *good {
            assert!(takes(&grammar, text), "{json} must take {text}");
        }
        for text in *bad {
            assert!(!takes(&grammar, text), "{json} must not take {text}");
        }
    }
}

#[test]
fn one_of_needs_options_that_exclude_each_other() {
    let shapes = r##"{"oneOf": [{"$ref": "#/$defs/dot"}, {"$ref": "#/$defs/disc"}], "$defs": {
        "dot": {"type": "object", "properties": {"kind": {"const": "dot"}}, "required": ["kind"], "additionalProperties": false},
        "disc": {"type": "object", "properties": {"kind": {"const": "disc"}, "r": {"type": "integer"}},
            "required": ["kind", "r"], "additionalProperties": false}}}"##;
    let grammar = compile(&DEMO, &schema(shapes)).unwrap();
    assert!(takes(&grammar, r#"{"kind": "disc", "r": 3}"#) && takes(&grammar, r#"{"kind": "dot"}"#));
    assert!(!takes(&grammar, r#"{"kind": "dot", "r": 3}"#));
    for overlapping in [
        r#"{"oneOf": [{"type": "integer"}, {"type": "number"}]}"#,
        r#"{"oneOf": [{"type": "string"}, {"const": "a"}]}"#,
        r#"{"oneOf": [{"properties": {"k": {"const": "a"}}}, {"properties": {"k": {"const": "b"}}}]}"#,
        r#"{"oneOf": [{}, {"type": "integer"}]}"#,
    ] {
        assert!(refusal(&schema(overlapping)).contains("`oneOf` is not supported where options may overlap"));
    }
}

#[test]
fn a_recursive_schema_is_a_tree() {
    let tree = r##"{"type": "object", "properties": {"value": {"type": "integer"},
        "children": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}},
        "required": ["value", "children"], "additionalProperties": false}"##;
    let grammar = compile(&DEMO, &schema(tree)).unwrap();
    assert!(takes(
        &grammar,
        r#"{"value": 1, "children": [{"value": 2, "children": []}, {"value": 3, "children": []}]}"#
    ));
    assert!(!takes(&grammar, r#"{"value": 1, "children": [{"value": 2}]}"#));
    fn check(value: &Value) {
        assert!(value["value"].is_i64() || value["value"].is_u64() || value["value"].is_number());
        let children = value["children"].as_array().unwrap();
        assert!(children.len() <= 2);
        children.iter().for_each(check);
    }
    for seed in 0..10 {
        check(&serde_json::from_str(&text(&grammar, seed)).unwrap());
    }
}

#[test]
fn properties_come_in_the_order_of_the_schema() {
    let grammar = compile(
        &DEMO,
        &schema(
            r#"{"properties": {"b": {"type": "null"}, "a": {"type": "null"}},
        "type": "object", "required": ["a", "b"]}"#,
        ),
    )
    .unwrap();
    assert!(takes(&grammar, r#"{"b": null, "a": null}"#));
    assert!(!takes(&grammar, r#"{"a": null, "b": null}"#));
}

#[test]
fn a_keyword_that_cannot_be_enforced_is_named() {
    for (keyword, value) in [
        ("not", "{}"),
        ("if", "{}"),
        ("uniqueItems", "true"),
        ("contains", "{}"),
        ("propertyNames", "{}"),
        ("dependentRequired", "{}"),
        ("unevaluatedProperties", "false"),
        ("$dynamicRef", "\"#a\""),
    ] {
        // In the schema itself, within another, and behind a reference.
        for json in [
            format!(r#"{{"{keyword}": {value}}}"#),
            format!(
                r#"{{"type": "object", "properties": {{"p": {{"type": "array", "items": {{"{keyword}": {value}}}}}}}}}"#
            ),
            format!(r##"{{"$ref": "#/x/y", "x": {{"y": {{"{keyword}": {value}}}}}}}"##),
        ] {
            let error = compile(&DEMO, &schema(&json)).unwrap_err();
            assert!(
                matches!(&error, GrammarError::Keyword { keyword: named, .. } if named == keyword),
                "{json}: {error}"
            );
        }
    }
    let error = refusal(&schema(r#"{"type": "string", "format": "iban"}"#));
    assert!(error.contains("format: iban"), "{error}");
}

#[test]
fn a_property_may_be_called_like_a_keyword() {
    let grammar = compile(
        &DEMO,
        &schema(
            r#"{"type": "object", "properties": {"not": {"type": "integer"}, "$ref": {"type": "null"}},
        "required": ["not", "$ref"]}"#,
        ),
    )
    .unwrap();
    assert!(takes(&grammar, r#"{"not": 1, "$ref": null}"#));
}

#[test]
fn the_request_cannot_reach_the_options_of_the_library() {
    let grammar =
        compile(&DEMO, &schema(r#"{"type": "integer", "x-guidance": {"lenient": true, "nonsense": 1}}"#)).unwrap();
    assert!(takes(&grammar, "1"));
}
