//! Forms of answers that cannot be, or that would cost too much.

use serde_json::{Value, json};

use crate::harness::{Harness, Reply};

fn constrained(server: &Harness, name: &str, value: Value) -> Reply {
    let mut body = json!({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 4});
    body[name] = value;
    server.post("/v1/chat/completions", &body)
}

/// A schema and what wraps it.
fn schema(server: &Harness, schema: Value) -> Reply {
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": schema}});
    constrained(server, "response_format", format)
}

#[test]
fn h44_expressions_that_explode_are_refused_or_cheap() {
    let mut server = Harness::start();
    for regex in ["(a+)+$", "((a{0,100}){0,100}){0,100}"] {
        let reply = constrained(&server, "guided_regex", regex.into());
        assert!([200, 400].contains(&reply.status), "{regex}: {}", reply.text());
    }
    for regex in ["(".repeat(100_000), "((".to_owned(), "a{1000000000}".to_owned(), "(?<=a)b".to_owned()] {
        constrained(&server, "guided_regex", regex.into()).assert_error(400);
    }
    server.assert_alive_and_level();
}

#[test]
fn h45_grammars_that_explode_are_refused() {
    let mut server = Harness::start();
    let chain: String = (0..5000).map(|i| format!("r{i} ::= r{}\n", i + 1)).collect();
    for grammar in [
        format!("root ::= {}\"a\"{}", "(".repeat(60_000), ")".repeat(60_000)),
        "root ::= \"a\"{0,1000000000}".to_owned(),
        format!("root ::= r0\n{chain}r5000 ::= \"a\""),
        "root ::= missing".to_owned(),
        "root ::= ".to_owned() + &"\"a\" | ".repeat(20_000),
    ] {
        let reply = constrained(&server, "guided_grammar", grammar.clone().into());
        assert_eq!(reply.status, 400, "{}", &grammar[..40.min(grammar.len())]);
        reply.assert_error(400);
    }
    // Left recursion is refused or costs nothing.
    let reply = constrained(&server, "guided_grammar", "root ::= root \"a\" | \"b\"".into());
    assert!([200, 400].contains(&reply.status), "{}", reply.text());
    server.assert_alive_and_level();
}

#[test]
fn h46_schemas_that_are_none_are_refused() {
    let mut server = Harness::start();
    let values: Vec<Value> = (0..200_000).map(|i| json!(i)).collect();
    for bad in [
        json!({"type": "bogus"}),
        json!({"type": "string", "pattern": "("}),
        json!({"$ref": "#"}),
        json!({"$ref": "http://example.com/schema"}),
        json!({"enum": values}),
        json!({"type": "array", "minItems": 1_000_000_000}),
    ] {
        let shown: String = bad.to_string().chars().take(80).collect();
        let reply = schema(&server, bad);
        assert_eq!(reply.status, 400, "{shown}: {}", reply.text());
        reply.assert_error(400);
    }
    let deep = format!("{}{{}}{}", "{\"items\":".repeat(10_000), "}".repeat(10_000));
    let body = format!(r#"{{"messages":[{{"role":"user","content":"Hello"}}],"guided_json":{deep}}}"#);
    server.post_with("/v1/chat/completions", "", body.as_bytes()).assert_error(400);
    constrained(&server, "guided_json", deep.into()).assert_error(400);
    server.assert_alive_and_level();
}

#[test]
fn h47_a_form_that_is_not_understood_is_never_left_out() {
    let mut server = Harness::start();
    constrained(&server, "response_format", json!({"type": "yaml"})).assert_error(400);
    constrained(&server, "response_format", json!({})).assert_error(400);
    constrained(&server, "guided_grammar", "start: nothing_here".into()).assert_error(400);
    constrained(&server, "structured_outputs", json!({"structural_tag": "x"})).assert_error(400);
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": {"type": "bogus"}}});
    let body = json!({
        "messages": [{"role": "user", "content": "Hello"}], "tools": [tool], "tool_choice": "required", "max_tokens": 4
    });
    server.post("/v1/chat/completions", &body).assert_error(400);
    server.assert_alive_and_level();
}

#[test]
fn h48_many_different_forms_do_not_pile_up() {
    let mut server = Harness::start();
    for i in 0..100 {
        let reply = schema(&server, json!({"type": "object", "properties": {format!("p{i}"): {"type": "integer"}}}));
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert!(server.state.generator.grammar_cache_bytes() <= server.state.generator.options().grammar_cache_bytes);
    server.assert_alive_and_level();
}
