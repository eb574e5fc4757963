//! Answers, taken apart the same way however they are cut.

use rocmforge_chat::{CALL_FORMATS, ChatTemplate, OutputEvent, OutputFormat, OutputParser, ToolCall};

const THINK: (&str, &str) = ("<think>", "</think>");
/// A call longer than this is passed on as text.
const MOST_CALL_BYTES: usize = 1 << 20;

fn format(name: &str) -> OutputFormat {
    OutputFormat { reasoning: Some(THINK), calls: OutputFormat::call_format(name) }
}

/// Events of pieces, with neighbours of one kind joined.
fn parse<'p>(format: &OutputFormat, prompt: &str, pieces: impl Iterator<Item = &'p str>) -> Vec<OutputEvent> {
    let mut parser = OutputParser::new(format.clone(), prompt);
    let mut events: Vec<OutputEvent> = pieces.flat_map(|p| parser.push(p)).collect();
    events.extend(parser.finish());
    let mut joined: Vec<OutputEvent> = Vec::new();
    for event in events {
        match (joined.last_mut(), event) {
            (Some(OutputEvent::Text(a)), OutputEvent::Text(b)) => a.push_str(&b),
            (Some(OutputEvent::Reasoning(a)), OutputEvent::Reasoning(b)) => a.push_str(&b),
            (_, event) => joined.push(event),
        }
    }
    joined
}

/// The events of a text, which must be the same however it is cut.
fn check(format: &OutputFormat, prompt: &str, text: &str, expected: &[OutputEvent]) {
    let whole = parse(format, prompt, std::iter::once(text));
    assert_eq!(whole, expected, "{text:?}");
    let cuts: Vec<usize> = (0..=text.len()).filter(|&i| text.is_char_boundary(i)).collect();
    for size in 1..8 {
        let bounds: Vec<usize> = cuts.iter().copied().step_by(size).collect();
        let last = *bounds.last().expect("one bound");
        let pieces = bounds.windows(2).map(|w| &text[w[0]..w[1]]);
        let pieces = pieces.chain(std::iter::once(&text[last..]));
        assert_eq!(parse(format, prompt, pieces), expected, "{text:?} in pieces of {size}");
    }
    for &cut in &cuts {
        let pieces = [&text[..cut], &text[cut..]];
        assert_eq!(parse(format, prompt, pieces.into_iter()), expected, "{text:?} cut at {cut}");
    }
}

fn text(text: &str) -> OutputEvent {
    OutputEvent::Text(text.into())
}

fn thought(text: &str) -> OutputEvent {
    OutputEvent::Reasoning(text.into())
}

fn call(name: &str, arguments: &str) -> OutputEvent {
    call_with(name, arguments, None)
}

fn call_with(name: &str, arguments: &str, id: Option<&str>) -> OutputEvent {
    OutputEvent::ToolCall(ToolCall { name: name.into(), arguments: arguments.into(), id: id.map(str::to_owned) })
}

#[test]
fn plain_text_is_passed_on_at_once() {
    let mut parser = OutputParser::new(format("hermes"), "");
    assert_eq!(parser.push("Hello "), [text("Hello ")]);
    assert_eq!(parser.push("a < b <to"), [text("a < b ")]);
    assert_eq!(parser.push("n>"), [text("<ton>")]);
    assert_eq!(parser.finish(), []);
    check(&OutputFormat::PLAIN, "<think>", "<think>é</think> <tool_call>", &[text("<think>é</think> <tool_call>")]);
}

#[test]
fn reasoning() {
    let f = format("hermes");
    check(&f, "", "<think>\nhm, é\n\nso\n</think>\n\nYes.", &[thought("hm, é\n\nso"), text("Yes.")]);
    check(&f, "…<think>\n", "hm\n</think>\n\nYes.\n", &[thought("hm"), text("Yes.\n")]);
    check(&f, "", "<think>\n\n</think>\n\nYes", &[text("Yes")]);
    check(&f, "", "<think>never ends </thin", &[thought("never ends </thin")]);
    check(&f, "", "a </think> b", &[text("a </think> b")]);
}

#[test]
fn hermes_calls() {
    let f = format("hermes");
    check(
        &f,
        "",
        "Let me see.\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": \"}</tool_call>\\\"é\", \"a\": [1]}}\n</tool_call>\n<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>",
        &[text("Let me see.\n"), call("f", "{\"x\":\"}</tool_call>\\\"é\",\"a\":[1]}"), call("g", "{}")],
    );
    check(
        &f,
        "",
        "<think>a</think><tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"k\\\": 1}\"}</tool_call> Done.",
        &[thought("a"), call("f", "{\"k\": 1}"), text("Done.")],
    );
    // A missing closing mark loses nothing.
    check(&f, "", "<tool_call>{\"name\": \"f\", \"arguments\": {}}", &[call("f", "{}")]);
}

#[test]
fn what_is_no_call_is_text() {
    let f = format("hermes");
    for words in [
        "<tool_call>{\"name\": \"f\"}</tool_call>",
        "<tool_call>{\"name\": 1, \"arguments\": {}}</tool_call>",
        "<tool_call>{\"name\": \"f\", \"arguments\": [1]}</tool_call>",
        "<tool_call>{not json}</tool_call> x",
        "<tool_call>\nwords</tool_call>",
        "<tool_call>{\"name\": \"f\", \"argu",
        "<tool_call>",
        "<tool_call>[]</tool_call>",
        "<tool_call><tool_call>",
    ] {
        check(&f, "", words, &[text(words)]);
    }
    check(
        &f,
        "",
        "<tool_call>no <tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>",
        &[text("<tool_call>no "), call("f", "{}")],
    );
    let long = "<tool_call>{\"name\": \"f\", \"arguments\": {\"x\": \"".to_owned() + &"y".repeat(MOST_CALL_BYTES);
    let events = parse(&f, "", std::iter::once(long.as_str()));
    assert_eq!(events, [text(&long)]);
}

#[test]
fn mistral_calls() {
    let f = format("mistral");
    check(
        &f,
        "",
        "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": {\"a\": \"[]\"}, \"id\": \"abc123def\"}, {\"name\": \"g\", \"arguments\": {}}]",
        &[call_with("f", "{\"a\":\"[]\"}", Some("abc123def")), call("g", "{}")],
    );
    check(
        &f,
        "",
        "Sure.[TOOL_CALLS]get_x[ARGS]{\"a\": 1}[TOOL_CALLS]g.h[ARGS]{}",
        &[text("Sure."), call("get_x", "{\"a\": 1}"), call("g.h", "{}")],
    );
    for words in [
        "[TOOL_CALLS]",
        "[TOOL_CALLS] some words",
        "[TOOL_CALLS]name[ARGS]words",
        "[TOOL_CALLS]name[ARG",
        "[TOOL_CALLS][1]",
    ] {
        check(&f, "", words, &[text(words)]);
    }
}

#[test]
fn llama3_calls() {
    let f = format("llama3");
    check(&f, "", " \n{\"name\": \"f\", \"parameters\": {\"a\": 1}}", &[call("f", "{\"a\":1}")]);
    check(
        &f,
        "",
        "{\"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {}}",
        &[call("f", "{}"), call("g", "{}")],
    );
    for words in [
        "{\"answer\": 42}",
        "An object: {\"name\": \"f\", \"parameters\": {}}",
        "{\"answer\": 42} {\"name\": \"f\", \"parameters\": {}}",
        "{ not json",
    ] {
        check(&f, "", words, &[text(words)]);
    }
}

#[test]
fn the_format_is_told_by_the_template() {
    let of = |source: &str| {
        let template = ChatTemplate::parse(source).expect("valid");
        let format = template.output_format();
        (format.reasoning.is_some(), format.calls.map(|c| c.name))
    };
    assert_eq!(of("hello"), (false, None));
    assert_eq!(
        of("{{ '<tool_call>{\"name\": \"' ~ n ~ '\", \"arguments\": ' }}{{ '</think>' }}"),
        (true, Some("hermes"))
    );
    assert_eq!(of("{{ '[TOOL_CALLS]' }}"), (false, Some("mistral")));
    for (family, calls) in [("chatml", Some("hermes")), ("llama3", Some("llama3")), ("gemma", None)] {
        let template = ChatTemplate::builtin(family).expect(family);
        assert_eq!(template.output_format().calls.map(|c| c.name), calls, "{family}");
    }
}

#[test]
fn rows_have_their_own_names() {
    for (i, format) in CALL_FORMATS.iter().enumerate() {
        let first = CALL_FORMATS.iter().position(|f| f.name == format.name);
        assert_eq!(first, Some(i));
    }
}
