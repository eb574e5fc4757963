//! Calls of tools, read back by the parser of the same formats.

use std::sync::{Arc, LazyLock};

use rocmforge_chat::{OutputEvent, OutputFormat, OutputParser};
use rocmforge_gguf_loader::{Array, Metadata};
use rocmforge_grammar::{GrammarVocab, Limits, Spec, Tool, ToolChoice, Tools};
use rocmforge_tokenizer::Tokenizer;
use serde_json::{Value, json};

use crate::walk::{Random, allowed, takes, text};
use crate::{DEMO, QWEN2, compile, refusal};

fn tools(format: &str, choice: ToolChoice, parallel: bool) -> Spec {
    let weather = json!({"type": "object", "properties": {
        "city": {"enum": ["Paris", "東京"]}, "days": {"$ref": "#/$defs/days"}},
        "required": ["city"], "additionalProperties": false,
        "$defs": {"days": {"type": "integer", "minimum": 1, "maximum": 9}}});
    Spec::Tools(Tools {
        format: OutputFormat::call_format(format).unwrap(),
        tools: vec![
            Tool { name: "weather".to_owned(), parameters: weather },
            Tool {
                name: "now".to_owned(),
                parameters: json!({"type": "object", "properties": {}, "additionalProperties": false}),
            },
        ],
        choice,
        parallel,
    })
}

/// The calls in a text, and the text around them.
fn read(format: &str, text: &str) -> (Vec<(String, Value)>, String) {
    let format = OutputFormat { reasoning: None, calls: OutputFormat::call_format(format) };
    let mut parser = OutputParser::new(format, "");
    let mut events = parser.push(text);
    events.extend(parser.finish());
    let (mut calls, mut rest) = (Vec::new(), String::new());
    for event in events {
        match event {
            OutputEvent::ToolCall(call) => calls.push((call.name, serde_json::from_str(&call.arguments).unwrap())),
            OutputEvent::Text(text) => rest.push_str(&text),
            other => panic!("{other:?}"),
        }
    }
    (calls, rest)
}

fn is_right(name: &str, arguments: &Value) -> bool {
    let fields = arguments.as_object().unwrap();
    match name {
        "now" => fields.is_empty(),
        "weather" => {
            let city = fields["city"] == "Paris" || fields["city"] == "東京";
            city && fields.get("days").is_none_or(|days| (1..=9).contains(&days.as_i64().unwrap()))
        }
        _ => false,
    }
}

#[test]
fn forced_calls_are_calls_and_nothing_else() {
    for format in ["hermes", "mistral", "llama3"] {
        for (vocab, seeds) in [(&*DEMO, 8), (&*QWEN2, 1)] {
            for parallel in [false, true] {
                let grammar = compile(vocab, &tools(format, ToolChoice::Any, parallel)).unwrap();
                for seed in 0..seeds {
                    let text = text(&grammar, seed);
                    let (calls, rest) = read(format, &text);
                    assert!(rest.trim().is_empty() && !calls.is_empty(), "{format}: {text:?} has {rest:?}");
                    assert!(parallel || calls.len() == 1, "{format}: {text:?}");
                    assert!(calls.iter().all(|(name, arguments)| is_right(name, arguments)), "{format}: {text:?}");
                }
            }
        }
    }
}

#[test]
fn a_named_tool_is_the_one_that_is_called() {
    for format in ["hermes", "mistral", "llama3"] {
        let grammar = compile(&DEMO, &tools(format, ToolChoice::Named("now".to_owned()), false)).unwrap();
        for seed in 0..4 {
            let (calls, _) = read(format, &text(&grammar, seed));
            assert_eq!(calls, [("now".to_owned(), json!({}))]);
        }
    }
}

#[test]
fn the_usual_writing_of_each_format_is_allowed() {
    let weather = r#"{"name": "weather", "arguments": {"city": "Paris"}}"#;
    let hermes = compile(&QWEN2, &tools("hermes", ToolChoice::Auto, true)).unwrap();
    let call = format!("<tool_call>\n{weather}\n</tool_call>");
    assert!(takes(&hermes, &call));
    assert!(takes(&hermes, &format!("Let me look.\n\n{call}\n{call}")));
    assert!(takes(&hermes, "Just text with < and <tool and 日本."));
    assert!(!takes(&hermes, "text <tool_call> and no call"));
    assert!(!takes(&hermes, &call.replace("Paris", "London")));
    let one = compile(&QWEN2, &tools("hermes", ToolChoice::Auto, false)).unwrap();
    assert!(takes(&one, &call) && takes(&one, "text") && !takes(&one, &format!("{call}\n{call}")));
    let forced = compile(&QWEN2, &tools("hermes", ToolChoice::Any, true)).unwrap();
    assert!(takes(&forced, &format!("{call}\n{call}")) && !takes(&forced, "text"));

    let mistral = compile(&DEMO, &tools("mistral", ToolChoice::Auto, true)).unwrap();
    assert!(takes(&mistral, &format!("[TOOL_CALLS][{weather}, {weather}]")) && takes(&mistral, "text"));

    let llama = compile(&DEMO, &tools("llama3", ToolChoice::Auto, true)).unwrap();
    let bare = weather.replace("arguments", "parameters");
    assert!(takes(&llama, &bare) && takes(&llama, &format!("{bare}; {bare}")) && takes(&llama, "It is {warm}."));
    assert!(!takes(&llama, "{\"a\": 1}") && !takes(&llama, "  {"));
}

#[test]
fn free_text_and_calls_mix_at_random() {
    for format in ["hermes", "mistral", "llama3"] {
        let grammar = compile(&DEMO, &tools(format, ToolChoice::Auto, true)).unwrap();
        for seed in 0..8 {
            let (calls, _) = read(format, &text(&grammar, seed));
            assert!(calls.iter().all(|(name, arguments)| is_right(name, arguments)));
        }
    }
}

/// A vocabulary with Mistral's marks as control tokens.
static MISTRAL: LazyLock<GrammarVocab> = LazyLock::new(|| {
    let bytes: Vec<String> = (0..=255).map(|byte| format!("<0x{byte:02X}>")).collect();
    let head = ["<unk>", "<s>", "</s>", "[TOOL_CALLS]", "[ARGS]"];
    let tokens: Vec<&str> = head.into_iter().chain(bytes.iter().map(String::as_str)).collect();
    let types: Vec<i32> = (0..tokens.len())
        .map(|id| {
            if id == 0 {
                2
            } else if id < 5 {
                3
            } else {
                6
            }
        })
        .collect();
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.ggml.model", "llama");
    metadata.insert("tokenizer.ggml.scores", vec![0.0_f32; tokens.len()]);
    metadata.insert("tokenizer.ggml.token_type", types);
    metadata.insert("tokenizer.ggml.tokens", tokens.iter().collect::<Array>());
    GrammarVocab::new(&Arc::new(Tokenizer::from_gguf(&metadata).unwrap())).unwrap()
});

#[test]
fn marks_that_are_control_tokens_are_written_as_those() {
    for choice in [ToolChoice::Any, ToolChoice::Auto] {
        for parallel in [false, true] {
            let grammar = compile(&MISTRAL, &tools("mistral", choice.clone(), parallel)).unwrap();
            let mut seen = 0;
            for seed in 0..12 {
                let mut random = Random(seed);
                let mut matcher = grammar.start();
                let mut words = vec![0; MISTRAL.mask_words()];
                let mut text = Vec::new();
                for _ in 0..400 {
                    matcher.mask(&mut words).unwrap();
                    let tokens = allowed(&words);
                    // The marks where they may be, then the end where it may be.
                    let token = tokens.iter().copied().find(|id| [3, 4].contains(id) && random.below(2) == 0);
                    let end = tokens.contains(&2) && random.below(3) == 0;
                    let token = if end { 2 } else { token.unwrap_or(tokens[random.below(tokens.len())]) };
                    matcher.accept(token).unwrap();
                    if token == 2 {
                        break;
                    }
                    text.extend_from_slice(MISTRAL.tokenizer().token_bytes(token));
                }
                let text = String::from_utf8_lossy(&text);
                if matcher.is_finished() && text.contains("[TOOL_CALLS]") {
                    let (calls, _) = read("mistral", &text);
                    assert!(!calls.is_empty(), "{text:?}");
                    assert!(parallel || calls.len() == 1);
                    assert!(calls.iter().all(|(name, arguments)| is_right(name, arguments)), "{text:?}");
                    seen += 1;
                }
            }
            assert!(seen > 0, "{choice:?} {parallel}");
        }
    }
}

#[test]
fn tools_that_cannot_be_called_are_refused() {
    let with = |change: &dyn Fn(&mut Tools)| {
        let Spec::Tools(mut tools) = tools("hermes", ToolChoice::Any, true) else { unreachable!() };
        change(&mut tools);
        refusal(&Spec::Tools(tools))
    };
    assert!(with(&|t| t.choice = ToolChoice::Named("nothing".to_owned())).contains("no tool `nothing`"));
    assert!(with(&|t| t.tools.clear()).contains("no tools"));
    assert!(with(&|t| t.tools[1].name = "weather".to_owned()).contains("twice"));
    assert!(with(&|t| t.tools[0].name = "a\"b".to_owned()).contains("cannot be the name"));
    assert!(with(&|t| t.tools[0].name = String::new()).contains("cannot be the name"));
    assert!(with(&|t| t.tools[0].name = "a".repeat(300)).contains("bytes of a tool's name"));
    assert!(with(&|t| t.tools[0].parameters = json!({"not": {}})).contains("`not`"));
    assert!(with(&|t| t.tools[0].parameters = json!("text")).contains("a schema must be"));
    let many = |t: &mut Tools| t.tools = vec![t.tools[0].clone(); 10_000];
    assert!(with(&many).contains(&format!("limit of {}", Limits::default().tools)));
}
