//! Templates and the texts that Jinja2, set up as transformers does it, makes of them.

use std::path::{Path, PathBuf};

use rocmforge_chat::{ChatError, ChatTemplate, Message, RenderInput, SpecialTokens};
use serde_json::{Map, Value};

/// Every template of a folder against its `expected.json`; the names of those that differ.
fn check_folder(folder: &Path) -> (usize, Vec<String>) {
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect(name);
    let expected: Value = serde_json::from_str(&read("expected.json")).expect("JSON");
    let special: SpecialTokens = serde_json::from_value(expected["special"].clone()).expect("special tokens");
    let (mut count, mut wrong) = (0, Vec::new());
    for (name, cases) in expected["expected"].as_object().expect("templates") {
        let source = read(&format!("{name}.jinja"));
        let template = match ChatTemplate::parse(&source) {
            Ok(template) => template,
            Err(error) => {
                count += 1;
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        for (case, wanted) in cases.as_object().expect("cases") {
            count += 1;
            let found = render_case(&template, &expected["cases"][case], &special);
            if let Some(difference) = difference(wanted, &found) {
                wrong.push(format!("{name}, {case}: {difference}"));
            }
        }
    }
    (count, wrong)
}

fn render_case(template: &ChatTemplate, case: &Value, special: &SpecialTokens) -> Result<String, ChatError> {
    let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).expect("messages");
    let extra: Map<String, Value> = case["extra"].as_object().cloned().unwrap_or_default();
    let mut input = RenderInput::new(&messages, special);
    input.tools = case["tools"].as_array().map(Vec::as_slice);
    input.documents = case["documents"].as_array().map(Vec::as_slice);
    input.add_generation_prompt = case["add_generation_prompt"].as_bool().unwrap_or(true);
    input.extra = &extra;
    let seconds = case["now"].as_u64().unwrap_or(0);
    input.now = Some(std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds));
    template.render(&input)
}

fn difference(wanted: &Value, found: &Result<String, ChatError>) -> Option<String> {
    match (wanted["text"].as_str(), found) {
        (Some(text), Ok(found)) if text == found => None,
        (Some(text), Ok(found)) => {
            let at = text.bytes().zip(found.bytes()).take_while(|(a, b)| a == b).count();
            let around = |t: &str| {
                let from = at.saturating_sub(30);
                String::from_utf8_lossy(&t.as_bytes()[from..t.len().min(at + 60)]).into_owned()
            };
            Some(format!("byte {at}: wanted {:?}, found {:?}", around(text), around(found)))
        }
        (Some(_), Err(error)) => Some(format!("error: {error}")),
        // Python's error says what kind it is: the template's own refusal, or a failure.
        (None, Err(ChatError::Raised { message, .. })) => {
            let refused = wanted["error"] == "TemplateError";
            let same = wanted["message"].as_str().is_none_or(|m| m == message);
            (!refused || !same).then(|| format!("refused with {message:?}, wanted {wanted}"))
        }
        (None, Err(ChatError::Render { .. })) if wanted["error"] != "TemplateError" => None,
        (None, Err(error)) => Some(format!("wanted {wanted}, found the error {error}")),
        (None, Ok(found)) => Some(format!("wanted {wanted}, found {found:?}")),
    }
}

fn assert_all(folder: &Path, at_least: usize) {
    let (count, wrong) = check_folder(folder);
    assert!(count >= at_least, "{count} cases in {}", folder.display());
    assert!(wrong.is_empty(), "{} of {count} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Templates of published models, which cannot be part of this repository. A folder with
/// them and their `expected.json` is named by `ROCMFORGE_TEST_TEMPLATES`.
#[test]
fn published_templates_render_as_transformers_does() {
    match std::env::var_os("ROCMFORGE_TEST_TEMPLATES") {
        Some(folder) => assert_all(&PathBuf::from(folder), 50),
        None => eprintln!("skipped: ROCMFORGE_TEST_TEMPLATES names no folder of templates"),
    }
}

/// Templates written for this crate; `tests/make_expected.py` made the texts with Jinja2.
#[test]
fn own_templates_render_as_jinja2_does() {
    assert_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/data"), 40);
}

/// Small pieces of Jinja, one feature each, with what Jinja2 makes of them.
#[test]
fn snippets_render_as_in_jinja2() {
    let text = include_str!("data/snippets.expected.json");
    let expected: Value = serde_json::from_str(text).expect("JSON");
    let special = SpecialTokens::new().with("bos_token", "<s>").with("eos_token", "</s>");
    let snippets = expected["expected"].as_array().expect("snippets");
    assert!(snippets.len() > 200);
    let mut wrong = Vec::new();
    for snippet in snippets {
        let source = snippet[0].as_str().expect("source");
        let found =
            ChatTemplate::parse(source).and_then(|template| render_case(&template, &expected["case"], &special));
        let wanted = &snippet[1];
        let differs = match (&found, wanted["error"].as_str()) {
            // Python finds some of these only when it compiles or runs the template.
            (Err(ChatError::Syntax { .. }), Some(error)) => {
                !(error.ends_with("SyntaxError") || error == "TemplateAssertionError" || source.contains("include"))
            }
            // The sandbox has a limit of its own for ranges.
            (Err(ChatError::Limit { .. }), Some("OverflowError")) => false,
            _ => {
                if let Some(difference) = difference(wanted, &found) {
                    wrong.push(format!("{source:?}: {difference}"));
                }
                continue;
            }
        };
        if differs {
            wrong.push(format!("{source:?}: wanted {wanted}, found {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {} differ:\n{}", wrong.len(), snippets.len(), wrong.join("\n"));
}

/// The template of the bundled model gives the prompts that it was trained on.
#[test]
fn demo_template_gives_the_demo_prompts() {
    let template = ChatTemplate::parse(include_str!("data/demo.jinja")).expect("valid");
    let special = SpecialTokens::new().with("eos_token", "<|im_end|>");
    let render = |messages: &[Message], tools: Option<&[Value]>| {
        let mut input = RenderInput::new(messages, &special);
        input.tools = tools;
        template.render(&input).expect("text")
    };
    assert_eq!(
        render(&[Message::user("What is paged attention?")], None),
        "<|im_start|>user\nWhat is paged attention?<|im_end|>\n<|im_start|>assistant\n"
    );
    assert_eq!(
        render(
            &[Message::user("What is 5 + 9?"), Message::assistant("5 + 9 = 14."), Message::user("What is 14 - 6?"),],
            None
        ),
        "<|im_start|>user\nWhat is 5 + 9?<|im_end|>\n<|im_start|>assistant\n5 + 9 = 14.<|im_end|>\n\
         <|im_start|>user\nWhat is 14 - 6?<|im_end|>\n<|im_start|>assistant\n"
    );
    let tool = |name: &str, description: &str| {
        serde_json::json!({"type": "function", "function": {"name": name, "description": description,
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}})
    };
    let tools = [tool("get_weather", "Weather of a city"), tool("get_time", "Local time of a city")];
    assert_eq!(
        render(&[Message::user("What is the weather in Oslo?")], Some(&tools)),
        "<|im_start|>system\nYou may call these tools. Tools:\n\
         {\"type\": \"function\", \"function\": {\"name\": \"get_weather\", \"description\": \"Weather of a city\", \
         \"parameters\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\"}}, \"required\": [\"city\"]}}}\n\
         {\"type\": \"function\", \"function\": {\"name\": \"get_time\", \"description\": \"Local time of a city\", \
         \"parameters\": {\"type\": \"object\", \"properties\": {\"city\": {\"type\": \"string\"}}, \"required\": [\"city\"]}}}\n\
         To call one, answer with <tool_call>{\"name\": ..., \"arguments\": ...}</tool_call>.<|im_end|>\n\
         <|im_start|>user\nWhat is the weather in Oslo?<|im_end|>\n<|im_start|>assistant\n"
    );
    let format = template.output_format();
    assert_eq!(format.calls.map(|calls| calls.name), Some("hermes"));
}
