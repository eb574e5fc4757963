//! Constraints made to do harm: each must be an error, or take little.

use std::thread;
use std::time::{Duration, Instant};

use rocmforge_grammar::{Grammar, GrammarError, Limits, Spec};
use serde_json::{Value, json};

use crate::walk::{Random, allowed};
use crate::{DEMO, QWEN2, compile, refusal, schema};

/// Far above what any case takes, far below what one without a bound would.
const LONG: Duration = Duration::from_secs(60);

/// Compiles, and if that works goes a random way for some tokens. Either may fail, with an error of one line.
fn survives(spec: &Spec) -> Result<(), GrammarError> {
    let start = Instant::now();
    let result = compile(&DEMO, spec).and_then(|grammar| wander(&grammar, 200));
    assert!(start.elapsed() < LONG, "{:?}", start.elapsed());
    if let Err(error) = &result {
        assert!(error.is_request_fault(), "{error:?}");
        assert!(!error.to_string().contains('\n'));
    }
    result
}

fn wander(grammar: &Grammar, tokens: usize) -> Result<(), GrammarError> {
    let mut words = vec![0; grammar.vocab().mask_words()];
    let (mut matcher, mut random) = (grammar.start(), Random(1));
    for _ in 0..tokens {
        matcher.mask(&mut words)?;
        let stops = grammar.vocab().tokenizer().stop_tokens();
        let ids: Vec<_> = allowed(&words).into_iter().filter(|id| !stops.contains(id)).collect();
        let Some(&id) = ids.get(random.below(ids.len().max(1))) else {
            return Ok(());
        };
        matcher.accept(id)?;
    }
    Ok(())
}

fn regex(text: &str) -> Spec {
    Spec::Regex(text.to_owned())
}

#[test]
fn h44_a_regex_that_backtracks_is_linear() {
    survives(&regex("(a+)+$")).unwrap();
    let grammar = compile(&DEMO, &regex("(a+)+$")).unwrap();
    let a = DEMO.tokenizer().token_to_id("a").unwrap();
    let mut matcher = grammar.start();
    for _ in 0..100_000 {
        matcher.accept(a).unwrap();
    }
    assert!(matcher.may_end());
}

#[test]
fn h44_nested_repetitions_are_bounded() {
    let _ = survives(&regex("((a{0,100}){0,100}){0,100}"));
    let _ = survives(&regex("(((((a|b|ab){0,100}c?){0,100}d?){0,100}e?){0,100}f?){0,100}"));
    let _ = survives(&regex(&format!("{}a{}", "(".repeat(60), "{0,9}){0,9}".repeat(60).trim_end_matches('x'))));
    let _ = survives(&regex("a{0,4294967295}b{1000000000}"));
    let _ = survives(&regex(&"(.*a.{0,200}b|.*c.{0,300}d)".repeat(20)));
    let _ = survives(&regex(r"\pL{0,500}\w{100,1000}(\PN\b|)?"));
}

#[test]
fn h44_a_thousand_million_repetitions_of_a_regex_are_refused_wherever_it_stands() {
    let lark = |text: &str| Spec::Lark(text.to_owned());
    for spec in [
        regex("a{1000000000}"),
        regex("(b|(a{2,1000000000}c)*)"),
        regex("a{1000000000,}"),
        schema(r#"{"type": "string", "pattern": "^a{1000000000}$"}"#),
        schema(r#"{"type": "object", "properties": {"p": {"type": "string", "pattern": "a{0,1000000000}"}}}"#),
        schema(r#"{"type": "object", "patternProperties": {"^a{1000000000}$": {"type": "string"}}}"#),
        lark("start: /a{1000000000}/"),
        lark("start: \"//\" T // a comment\nT: /\\/b/ /a {1000000000}/x"),
        lark("start: \"a\"{0,1000000000}"),
        lark("start: (\"a\" b)~0..1000000000\nb: \"(\" b? \")\""),
        lark("start: \"a\" %json {\"type\": \"string\", \"pattern\": \"a{1000000000}\"}"),
        Spec::After { mark: "</think>".to_owned(), then: Box::new(regex("a{1000000000}")) },
    ] {
        let told = refusal(&spec);
        assert!(told.contains("repetition: 1000000000 is above the limit"), "{spec:?}: {told}");
    }
}

#[test]
fn what_only_looks_like_a_repetition_is_no_count() {
    let lark = |text: &str| compile(&DEMO, &Spec::Lark(text.to_owned()));
    for text in [
        "start: \"a{1000000000}\"",
        "start: \"a\" // {1000000000}",
        "start: \"a\" # /a{1000000000}/",
        r"start: /a\{1000000000\}/",
        r"start: /[{]1000000000[}]/",
        "start: %json {\"const\": \"a{1000000000}\"}",
        "start: \"a\"{2,3} \"b\"~2..3",
    ] {
        lark(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    compile(&DEMO, &regex(r"a\{1000000000\}")).unwrap();
}

#[test]
fn h44_a_hundred_thousand_parentheses_are_refused() {
    let nested = |count: usize| regex(&format!("{}a{}", "(".repeat(count), ")".repeat(count)));
    assert!(refusal(&nested(100_000)).contains("bytes of the grammar"));
    assert!(refusal(&nested(30_000)).contains("nest"));
    let _ = survives(&regex(&"(a)".repeat(20_000)));
    let _ = survives(&regex(&"(a|".repeat(10_000)));
}

#[test]
fn h45_sixty_thousand_groups_are_refused() {
    let gbnf = |text: String| refusal(&Spec::Gbnf(text));
    assert!(gbnf(format!("root ::= {}", "(\"a\")".repeat(60_000))).contains("bytes of the grammar"));
    assert!(
        gbnf(format!("root ::= {}\"a\"{}", "(".repeat(20_000), ")".repeat(20_000))).contains("depth of the grammar")
    );
    let _ = survives(&Spec::Gbnf(format!("root ::= {}", "(\"a\")".repeat(10_000))));
    let _ = survives(&Spec::Gbnf(format!("root ::= \"x\" ({})", "\"a\"|".repeat(10_000))));
}

#[test]
fn h45_left_recursion_is_refused() {
    assert!(refusal(&Spec::Gbnf("root ::= root \"a\" | \"a\"".to_owned())).contains("left recursion"));
    assert!(refusal(&Spec::Gbnf("root ::= a\na ::= b\nb ::= a | \"x\"".to_owned())).contains("left recursion"));
    let _ = survives(&Spec::Lark("start: start \"a\" | \"a\"".to_owned()));
    let _ = survives(&Spec::Lark("start: a\na: b\nb: a".to_owned()));
    let _ = survives(&Spec::Lark("start: (start*)* | \"a\"?".to_owned()));
}

#[test]
fn h45_a_chain_of_five_thousand_rules_is_refused() {
    let chain = |count: usize| {
        let rules: String = (0..count).map(|rule| format!("r{rule}::=r{}\n", rule + 1)).collect();
        Spec::Gbnf(format!("root::=r0\n{rules}r{count}::=\"a\""))
    };
    assert!(refusal(&chain(5_000)).contains("limit"));
    survives(&chain(900)).unwrap();
    let lark: String = (0..5_000).map(|rule| format!("r{rule}:r{}\n", rule + 1)).collect();
    let _ = survives(&Spec::Lark(format!("start:r0\n{lark}r5000:\"a\"")));
    // Each rule twice the one before.
    let doubling: String = (0..500).map(|rule| format!("r{rule}::=r{0} r{0}\n", rule + 1)).collect();
    assert!(refusal(&Spec::Gbnf(format!("root::=r0\n{doubling}r500::=\"a\""))).contains("symbols of the grammar"));
    let doubling: String = (0..200).map(|rule| format!("r{rule}::=r{0} r{0} | \"(\" root \")\"\n", rule + 1)).collect();
    let _ = survives(&Spec::Gbnf(format!("root::=\"x\" r0\n{doubling}r200::=\"a\"")));
    let doubling: String = (0..60).map(|rule| format!("A{rule}: A{0} A{0}\n", rule + 1)).collect();
    let _ = survives(&Spec::Lark(format!("start: A0\n{doubling}A60: \"a\"")));
}

#[test]
fn h45_a_thousand_million_repetitions_are_refused() {
    assert!(refusal(&Spec::Gbnf("root ::= \"a\"{0,1000000000}".to_owned())).contains("repetition"));
    assert!(refusal(&Spec::Gbnf("root ::= \"a\"{99999999999999999999}".to_owned())).contains("repetition"));
    let _ = survives(&Spec::Gbnf("root ::= (\"a\" root? \"b\"){0,100000}".to_owned()));
    let _ = survives(&Spec::Gbnf("root ::= ((((\"a\"{0,1000}){0,1000}){0,1000}))".to_owned()));
    let _ = survives(&Spec::Lark("start: (\"a\" b)~0..1000000000\nb: \"(\" b? \")\"".to_owned()));
}

#[test]
fn h46_a_bad_type_or_pattern_is_refused() {
    refusal(&schema(r#"{"type": "nonsense"}"#));
    refusal(&schema(r#"{"type": 1}"#));
    refusal(&schema(r#"{"type": "string", "pattern": "(["}"#));
    refusal(&schema(r#"{"type": "string", "pattern": 1}"#));
    refusal(&schema(r#"{"properties": 1}"#));
    refusal(&schema(r#"{"required": "a"}"#));
    refusal(&schema(r#"{"enum": 1}"#));
    refusal(&schema("[]"));
    refusal(&schema("1"));
    refusal(&schema("false"));
    let _ = survives(&schema(r#"{"type": "string", "pattern": "((a{0,100}){0,100}){0,100}"}"#));
    let _ =
        survives(&schema(r#"{"type": "string", "pattern": "(a|aa)+(b|bb)+$", "minLength": 1000, "maxLength": 2000}"#));
}

#[test]
fn h46_cyclic_references_without_end_and_remote_ones_are_refused() {
    for cycle in [
        r##"{"$ref": "#"}"##,
        r##"{"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}"##,
        r##"{"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}"##,
        r##"{"type": "array", "items": {"$ref": "#"}, "minItems": 1}"##,
        r##"{"anyOf": [{"$ref": "#"}, {"type": "array", "prefixItems": [{"$ref": "#"}], "minItems": 1}]}"##,
        r##"{"allOf": [{"$ref": "#"}, {"type": "integer"}]}"##,
    ] {
        assert!(refusal(&schema(cycle)).contains("no value fulfils it"), "{cycle}");
    }
    for remote in ["http://localhost/x", "file:///etc/passwd", "other.json#/a", "#name", "#/$defs/a~1b", "#/"] {
        let text = refusal(&Spec::JsonSchema(json!({"$ref": remote})));
        assert!(text.contains("`$ref` is not supported but to a place in the same document"), "{text}");
    }
    assert!(refusal(&schema(r##"{"$ref": "#/$defs/none"}"##)).contains("nothing at"));
    // Recursive sets that must be intersected.
    let _ = survives(&schema(
        r##"{"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/b"}], "$defs": {
            "a": {"type": "object", "properties": {"c": {"$ref": "#/$defs/a"}}},
            "b": {"type": "object", "properties": {"c": {"$ref": "#/$defs/b"}}}}}"##,
    ));
}

/// A schema within `depth` others.
fn nested(depth: usize) -> Value {
    (0..depth).fold(json!({"type": "integer"}), |schema, _| {
        let fields = [("type".to_owned(), json!("array")), ("items".to_owned(), schema)];
        Value::Object(fields.into_iter().collect())
    })
}

#[test]
fn h46_a_depth_of_ten_thousand_is_refused() {
    // Such a value needs some stack to be dropped; the check must do with little.
    let spec = Spec::JsonSchema(nested(10_000));
    let check = || assert!(refusal(&spec).contains("depth of the JSON schema"));
    thread::scope(|scope| {
        thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, check).unwrap().join().unwrap();
    });
    thread::Builder::new().stack_size(64 << 20).spawn(move || drop(spec)).unwrap().join().unwrap();
    survives(&Spec::JsonSchema(nested(60))).unwrap();
}

#[test]
fn h46_an_enum_of_a_million_and_a_thousand_million_items_are_refused() {
    let items: Vec<Value> = (0..1_000_000).map(Value::from).collect();
    assert!(refusal(&Spec::JsonSchema(json!({"enum": items}))).contains("limit"));
    let some: Vec<Value> = (0..5_000).map(|item| format!("item {item}").into()).collect();
    survives(&Spec::JsonSchema(json!({"enum": some}))).unwrap();
    for keyword in ["minItems", "maxItems", "minLength", "maxLength", "minProperties"] {
        let text = refusal(&Spec::JsonSchema(json!({keyword: 1_000_000_000})));
        assert!(text.starts_with(keyword), "{text}");
    }
    let _ =
        survives(&schema(r#"{"type": "array", "minItems": 100000, "items": {"type": "array", "minItems": 100000}}"#));
    let _ = survives(&schema(r#"{"type": "string", "minLength": 99999, "maxLength": 100000}"#));
}

#[test]
fn h46_wide_schemas_are_bounded() {
    let properties = |count: usize| -> Value {
        let fields: serde_json::Map<_, _> =
            (0..count).map(|name| (format!("property{name}"), json!({"type": ["string", "integer"]}))).collect();
        json!({"type": "object", "properties": fields})
    };
    assert!(refusal(&Spec::JsonSchema(properties(5_000))).contains("properties"));
    survives(&Spec::JsonSchema(properties(900))).unwrap();
    let options: Vec<Value> =
        (0..150).map(|at| json!({"type": "object", "properties": {format!("p{at}"): {"type": "integer"}}})).collect();
    let _ = survives(&Spec::JsonSchema(json!({"anyOf": options})));
    let _ = survives(&Spec::JsonSchema(json!({"allOf": [{"anyOf": options}, {"anyOf": options}, {"anyOf": options}]})));
    let patterns: serde_json::Map<_, _> = (0..32).map(|at| (format!("^(a|b){{{at},50}}x{at}$"), json!({}))).collect();
    let _ = survives(&Spec::JsonSchema(json!({"patternProperties": patterns})));
}

#[test]
fn h47_what_does_not_compile_is_never_free_text() {
    for spec in [
        regex("("),
        regex("[b-a]"),
        Spec::Gbnf("root".to_owned()),
        Spec::Lark("this is no grammar".to_owned()),
        Spec::Lark(String::new()),
        Spec::Lark("start: @other".to_owned()),
        Spec::Lark("start: %json {\"type\": \"nonsense\"}".to_owned()),
        Spec::Lark("start: <nonsense>".to_owned()),
        Spec::Choice(vec![]),
        schema("null"),
        schema(r#"{"type": "integer", "minimum": 3, "maximum": 2}"#),
        Spec::After { mark: "m".into(), then: Box::new(Spec::After { mark: "m".into(), then: Box::new(regex("a")) }) },
    ] {
        refusal(&spec);
    }
}

#[test]
fn h48_the_largest_constraints_fit_their_bounds() {
    // A deep tree of large objects, at the limits of a schema.
    let leaf: serde_json::Map<_, _> =
        (0..300).map(|at| (format!("k{at}"), json!({"type": "string", "maxLength": at}))).collect();
    let tree = (0..20).fold(
        json!({"type": "object", "properties": leaf}),
        |inner, _| json!({"type": "object", "properties": {"a": inner, "b": {"type": "integer"}}, "required": ["a"]}),
    );
    survives(&Spec::JsonSchema(tree)).unwrap();
    let grammar = compile(&QWEN2, &Spec::JsonObject).unwrap();
    wander(&grammar, 100).unwrap();
    assert!(grammar.bytes() < 64 << 20, "{}", grammar.bytes());
    let long = "x".repeat(30_000);
    survives(&Spec::Choice(vec![long.clone(), format!("{long}y")])).unwrap();
}

#[test]
fn a_worn_out_lexer_ends_a_sequence_and_not_the_constraint() {
    // Which of 2^16 states it is in depends on the last letters.
    let spec = regex("(a|b)*a(a|b){15}");
    let limits = Limits { lexer_states: 300, ..Limits::default() };
    let grammar = Grammar::compile(&DEMO, &spec, &limits).unwrap();
    for _ in 0..3 {
        let error = wander(&grammar, 3000).unwrap_err();
        assert!(matches!(error, GrammarError::TooComplex(_)), "{error}");
    }
    wander(&grammar, 2).unwrap();
}

#[test]
fn random_bytes_in_every_language_are_refused_or_cheap() {
    let mut random = Random(7);
    let pieces = [
        "root", " ::= ", "start", ": ", "\"a\"", "|", "(", ")", "[", "]", "{", "}", "*", "+", "?", "\n", "\\", "a",
        "^", ",", "1", "..", "~", "/x/", "%json", "@", "<[3]>", "&", "-", "$", "(?i)", "\\p{L}", "日", ".", "é", "#",
    ];
    for _ in 0..400 {
        let text: String = (0..random.below(24)).map(|_| pieces[random.below(pieces.len())]).collect();
        for spec in [
            Spec::Regex(text.clone()),
            Spec::Gbnf(format!("root ::= {text}")),
            Spec::Gbnf(text.clone()),
            Spec::Lark(format!("start: {text}")),
            Spec::Choice(vec![text.clone(), text]),
        ] {
            if let Ok(grammar) = compile(&DEMO, &spec) {
                let _ = wander(&grammar, 8);
            }
        }
    }
}
