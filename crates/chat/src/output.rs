//! The other direction: a model's text, as it streams, taken apart into reasoning,
//! answer and tool calls. One table of formats; the parser knows only its rows.

use serde_json::Value;

use crate::template::ChatTemplate;

/// How a model marks its reasoning and its tool calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputFormat {
    /// What opens and closes reasoning.
    pub reasoning: Option<(&'static str, &'static str)>,
    /// How tool calls are written.
    pub calls: Option<&'static CallFormat>,
}

/// How one family writes its tool calls.
#[derive(Debug, PartialEq, Eq)]
pub struct CallFormat {
    /// Name of the format.
    pub name: &'static str,
    /// The mark before a call. `None`: an answer that starts with an object is a call.
    pub open: Option<&'static str>,
    /// The mark after a call, if there is one.
    pub close: Option<&'static str>,
    /// What may stand between a function's name and its arguments, where the call
    /// is not one JSON value.
    pub named: Option<&'static str>,
    /// The key of the arguments in a call that is an object.
    pub arguments: &'static str,
    /// Whether one mark stands before a list of all calls.
    pub list: bool,
    /// What tells the format from a chat template's source.
    tell: &'static [&'static str],
}

/// The formats that are known. A call is an object with `name` and `arguments` or
/// `parameters`, or a list of such objects.
pub static CALL_FORMATS: &[CallFormat] = &[
    // Hermes, Qwen 2.5 and 3, Granite 4 and most models tuned on their data.
    CallFormat {
        name: "hermes",
        open: Some("<tool_call>"),
        close: Some("</tool_call>"),
        named: None,
        arguments: "arguments",
        list: false,
        tell: &["<tool_call>", "\"arguments\""],
    },
    // Mistral: a list of calls, or since version 11 of its tokenizer `name[ARGS]{…}`.
    CallFormat {
        name: "mistral",
        open: Some("[TOOL_CALLS]"),
        close: None,
        named: Some("[ARGS]"),
        arguments: "arguments",
        list: true,
        tell: &["[TOOL_CALLS]"],
    },
    // Llama 3.1 and later: the bare object, sometimes after a mark that is a special token.
    CallFormat {
        name: "llama3",
        open: None,
        close: None,
        named: None,
        arguments: "parameters",
        list: false,
        tell: &["<|start_header_id|>", "\"parameters\""],
    },
];

/// The one pair of marks for reasoning that models agree on.
const THINK: (&str, &str) = ("<think>", "</think>");

impl OutputFormat {
    /// Plain text: nothing is marked.
    pub const PLAIN: OutputFormat = OutputFormat { reasoning: None, calls: None };

    /// All marks, which are control tokens of some models.
    pub fn marks(&self) -> impl Iterator<Item = &'static str> {
        let reasoning = self.reasoning.map(|(open, close)| [Some(open), Some(close)]);
        let calls = self.calls.map(|calls| [calls.open, calls.close]);
        [reasoning, calls].into_iter().flatten().flatten().flatten()
    }

    /// The row of [`CALL_FORMATS`] of this name.
    pub fn call_format(name: &str) -> Option<&'static CallFormat> {
        CALL_FORMATS.iter().find(|format| format.name == name)
    }
}

impl ChatTemplate {
    /// The format of the answers to this template's prompts, told by the marks with
    /// which the template writes earlier answers.
    pub fn output_format(&self) -> OutputFormat {
        let has = |mark: &&str| {
            // In a string of the template a quote may be escaped.
            self.source().contains(*mark) || self.source().contains(&mark.replace('"', "\\\""))
        };
        OutputFormat {
            reasoning: has(&THINK.1).then_some(THINK),
            calls: CALL_FORMATS.iter().find(|f| f.tell.iter().all(has)),
        }
    }
}

/// A piece of a model's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputEvent {
    /// Text of the answer.
    Text(String),
    /// Text of the reasoning before it.
    Reasoning(String),
    /// A complete call of a tool.
    ToolCall(ToolCall),
}

/// A call that the model wants made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// The function's name.
    pub name: String,
    /// Its arguments, as the text of a JSON object.
    pub arguments: String,
    /// The call's id, where the model gave one.
    pub id: Option<String>,
}

/// Bytes of one call; what is longer is passed on as text.
const MOST_CALL_BYTES: usize = 1 << 20;

/// Takes an answer apart while it streams.
///
/// A mark may arrive in pieces: what could be the start of one is held back until
/// it is clear. What looks like a call and is none comes out as the text it is, so
/// nothing is lost. The events do not depend on how the text was cut.
#[derive(Debug)]
pub struct OutputParser {
    format: OutputFormat,
    state: State,
    /// Text that was received and not decided on.
    pending: String,
    /// The next text or reasoning loses the space before it.
    at_space: bool,
    /// Only calls and space have come; a bare object can still be a call.
    at_start: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Text,
    Reasoning,
    /// Inside of a call: the scan of `pending` so far.
    Call(Scan),
    /// After a call, where its closing mark may follow.
    Close,
}

/// Where the end of a JSON value is, found in one pass however it is cut.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Scan {
    /// Bytes that were looked at.
    at: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    started: bool,
}

impl OutputParser {
    /// A parser for the answer to `prompt`, whose end tells whether the answer starts
    /// inside of the reasoning.
    pub fn new(format: OutputFormat, prompt: &str) -> Self {
        let thinking = format.reasoning.is_some_and(|(open, _)| prompt.trim_end().ends_with(open));
        OutputParser {
            format,
            state: if thinking { State::Reasoning } else { State::Text },
            pending: String::new(),
            at_space: thinking,
            at_start: true,
        }
    }

    /// Takes the next piece of the answer; what is decided by it comes back.
    pub fn push(&mut self, text: &str) -> Vec<OutputEvent> {
        self.pending.push_str(text);
        let mut events = Vec::new();
        while self.step(&mut events) {}
        events
    }

    /// The answer is over: decides on what was held back.
    pub fn finish(mut self) -> Vec<OutputEvent> {
        let mut events = Vec::new();
        let rest = std::mem::take(&mut self.pending);
        match self.state {
            State::Text => self.text(&rest, &mut events),
            State::Reasoning => self.reasoning(rest.trim_end(), &mut events),
            State::Call(_) => self.text(&self.with_mark(&rest), &mut events),
            State::Close => self.text(rest.trim_start(), &mut events),
        }
        events
    }

    /// One decision; false when more text is needed for the next.
    fn step(&mut self, events: &mut Vec<OutputEvent>) -> bool {
        match self.state {
            State::Text => self.step_text(events),
            State::Reasoning => self.step_reasoning(events),
            State::Call(scan) => self.step_call(scan, events),
            State::Close => self.step_close(),
        }
    }

    fn text(&mut self, text: &str, events: &mut Vec<OutputEvent>) {
        let text = if self.at_space { text.trim_start() } else { text };
        if text.is_empty() {
            return;
        }
        self.at_space = false;
        self.at_start &= text.trim().is_empty();
        events.push(OutputEvent::Text(text.to_owned()));
    }

    fn reasoning(&mut self, text: &str, events: &mut Vec<OutputEvent>) {
        let text = if self.at_space { text.trim_start() } else { text };
        if !text.is_empty() {
            self.at_space = false;
            events.push(OutputEvent::Reasoning(text.to_owned()));
        }
    }

    fn open_mark(&self) -> Option<&'static str> {
        self.format.calls.and_then(|calls| calls.open)
    }

    fn step_text(&mut self, events: &mut Vec<OutputEvent>) -> bool {
        let bare = self.at_start && self.format.calls.is_some_and(|calls| calls.open.is_none());
        let think = self.format.reasoning.map(|(open, _)| open);
        if bare {
            let inner = self.pending.trim_start();
            if inner.is_empty() {
                return false;
            }
            if inner.starts_with('{') {
                self.pending = inner.to_owned();
                self.state = State::Call(Scan::default());
                return true;
            }
        }
        let marks: Vec<&str> = think.into_iter().chain(self.open_mark()).collect();
        let first = marks.iter().filter_map(|mark| Some((self.pending.find(mark)?, *mark))).min();
        let Some((at, mark)) = first else {
            let keep = held_back(&self.pending, &marks);
            let ready: String = self.pending.drain(..self.pending.len() - keep).collect();
            self.text(&ready, events);
            return false;
        };
        let before: String = self.pending.drain(..at + mark.len()).collect();
        self.text(&before[..at], events);
        self.state = if Some(mark) == think {
            self.at_space = true;
            State::Reasoning
        } else {
            State::Call(Scan::default())
        };
        true
    }

    fn step_reasoning(&mut self, events: &mut Vec<OutputEvent>) -> bool {
        let close = self.format.reasoning.map_or(THINK.1, |(_, close)| close);
        if let Some(at) = self.pending.find(close) {
            let before: String = self.pending.drain(..at + close.len()).collect();
            self.reasoning(before[..at].trim_end(), events);
            self.at_space = true;
            self.state = State::Text;
            return true;
        }
        // Space is held back too: before the closing mark it belongs to the mark.
        let sure = self.pending.len() - held_back(&self.pending, &[close]);
        let sure = self.pending[..sure].trim_end().len();
        let ready: String = self.pending.drain(..sure).collect();
        self.reasoning(&ready, events);
        false
    }

    fn step_call(&mut self, mut scan: Scan, events: &mut Vec<OutputEvent>) -> bool {
        match scan.run(&self.pending, self.format.calls) {
            Found::More if self.pending.len() <= MOST_CALL_BYTES => {
                self.state = State::Call(scan);
                false
            }
            Found::Value { end } => {
                let body: String = self.pending.drain(..end).collect();
                match self.calls(&body) {
                    Some(calls) => {
                        events.extend(calls.into_iter().map(OutputEvent::ToolCall));
                        self.at_space = true;
                        self.state = State::Close;
                    }
                    None => self.give_up(body, events),
                }
                true
            }
            Found::More | Found::Nothing => {
                let body = std::mem::take(&mut self.pending);
                // The mark is text, and what follows it is looked at again.
                self.give_up(String::new(), events);
                self.pending = body;
                true
            }
        }
    }

    /// What was taken for a call is text.
    fn give_up(&mut self, body: String, events: &mut Vec<OutputEvent>) {
        let text = self.with_mark(&body);
        self.at_start = false;
        self.text(&text, events);
        self.state = State::Text;
    }

    fn with_mark(&self, body: &str) -> String {
        self.open_mark().unwrap_or_default().to_owned() + body
    }

    fn step_close(&mut self) -> bool {
        let close = self.format.calls.and_then(|calls| calls.close);
        let inner = self.pending.trim_start();
        // Between bare objects stands a semicolon.
        let close = close.unwrap_or(";");
        if inner.len() < close.len() && close.starts_with(inner) {
            return false;
        }
        self.pending = inner.strip_prefix(close).unwrap_or(inner).to_owned();
        self.state = State::Text;
        true
    }

    /// The calls that a complete body is, if it is any.
    fn calls(&self, body: &str) -> Option<Vec<ToolCall>> {
        let body = body.trim();
        if let Some(mark) = self.format.calls.and_then(|calls| calls.named)
            && let Some((name, arguments)) = body.split_once(mark)
            && !body.starts_with(['[', '{'])
        {
            serde_json::from_str::<serde_json::Map<String, Value>>(arguments).ok()?;
            return Some(vec![ToolCall {
                name: name.trim().to_owned(),
                arguments: arguments.trim().to_owned(),
                id: None,
            }]);
        }
        match serde_json::from_str(body).ok()? {
            Value::Array(calls) if !calls.is_empty() => calls.iter().map(tool_call).collect(),
            call => Some(vec![tool_call(&call)?]),
        }
    }
}

/// An object with a name and arguments; the latter are sometimes JSON within a string.
fn tool_call(call: &Value) -> Option<ToolCall> {
    let name = call.get("name")?.as_str()?;
    let arguments = call.get("arguments").or_else(|| call.get("parameters"))?;
    let arguments = match arguments {
        Value::Object(_) => arguments.to_string(),
        Value::String(text) => {
            serde_json::from_str::<serde_json::Map<String, Value>>(text).ok()?;
            text.clone()
        }
        _ => return None,
    };
    Some(ToolCall { name: name.to_owned(), arguments, id: call.get("id").and_then(Value::as_str).map(str::to_owned) })
}

enum Found {
    /// A complete value ends here.
    Value { end: usize },
    /// There is no value here.
    Nothing,
    /// It goes on.
    More,
}

/// Longest name of a function before its mark.
const MOST_NAME_BYTES: usize = 256;

impl Scan {
    /// Goes on where it stopped, with the text that came since.
    fn run(&mut self, text: &str, format: Option<&CallFormat>) -> Found {
        if !self.started {
            let inner = text.trim_start();
            self.at = text.len() - inner.len();
            let Some(first) = inner.chars().next() else {
                return Found::More;
            };
            if !matches!(first, '{' | '[') {
                match name_before(inner, format.and_then(|f| f.named)) {
                    Name::Of(bytes) => self.at += bytes,
                    Name::Unclear => return Found::More,
                    Name::None => return Found::Nothing,
                }
                if !text[self.at..].trim_start().starts_with('{') {
                    return match text[self.at..].trim_start().is_empty() {
                        true => Found::More,
                        false => Found::Nothing,
                    };
                }
            }
            self.started = true;
        }
        // All characters that matter are single bytes, and no byte of a longer one is like them.
        for (at, byte) in text.bytes().enumerate().skip(self.at) {
            match (self.in_string, byte) {
                (true, _) if self.escaped => self.escaped = false,
                (true, b'\\') => self.escaped = true,
                (_, b'"') => self.in_string = !self.in_string,
                (false, b'{' | b'[') => self.depth += 1,
                (false, b'}' | b']') => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            if self.depth == 0 && matches!(byte, b'}' | b']') && !self.in_string {
                return Found::Value { end: at + 1 };
            }
        }
        self.at = text.len();
        Found::More
    }
}

enum Name {
    /// A name and its mark, of so many bytes.
    Of(usize),
    Unclear,
    None,
}

/// A function's name that ends in `mark`.
fn name_before(text: &str, mark: Option<&str>) -> Name {
    let Some(mark) = mark else { return Name::None };
    if let Some(at) = text.find(mark) {
        let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
        return match at > 0 && at <= MOST_NAME_BYTES && text[..at].chars().all(plain) {
            true => Name::Of(at + mark.len()),
            false => Name::None,
        };
    }
    let name = &text[..text.len() - held_back(text, &[mark])];
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    match name.len() <= MOST_NAME_BYTES && name.chars().all(plain) {
        true => Name::Unclear,
        false => Name::None,
    }
}

/// Bytes at the end of `text` that could be the start of a mark.
fn held_back(text: &str, marks: &[&str]) -> usize {
    let longest = |mark: &&str| (1..mark.len()).rev().find(|&n| mark.is_char_boundary(n) && text.ends_with(&mark[..n]));
    marks.iter().filter_map(longest).max().unwrap_or(0)
}
