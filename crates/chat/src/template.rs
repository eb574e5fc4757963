//! A template that is ready to render.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as _;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{SystemTime, UNIX_EPOCH};

use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind};

use crate::error::ChatError;
use crate::front;
use crate::limits::Limits;
use crate::message::{Message, RenderInput, SpecialTokens};
use crate::py::value::{self, Json};
use crate::py::{Fault, WORK_NAME, Work, WorkSeed, functions, text, work};

/// A chat template: Jinja source, read and checked once, rendered many times.
///
/// Rendering does what `apply_chat_template` of transformers does with the same
/// source, within [`Limits`]. A template is plain data: it can be shared between
/// threads, and renderings do not see each other.
#[derive(Clone)]
pub struct ChatTemplate {
    source: String,
    names: BTreeSet<String>,
    limits: Limits,
    engine: Environment<'static>,
}

impl std::fmt::Debug for ChatTemplate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatTemplate")
            .field("source", &self.source)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The engine knows the template under this name.
const NAME: &str = "chat template";

impl ChatTemplate {
    /// Reads a template with the default [`Limits`].
    ///
    /// # Errors
    /// [`ChatError::Syntax`] with the line, or [`ChatError::Limit`] for a source that
    /// is too long or nested too deeply.
    pub fn parse(source: &str) -> Result<Self, ChatError> {
        Self::parse_with(source, Limits::default())
    }

    /// Reads a template with other limits.
    ///
    /// # Errors
    /// As [`ChatTemplate::parse`].
    pub fn parse_with(source: &str, limits: Limits) -> Result<Self, ChatError> {
        let limits = limits.clamped();
        let lowered = front::lower(source, &limits)?;
        let mut engine = Environment::empty();
        engine.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        engine.set_fuel(Some(limits.steps));
        engine.set_recursion_limit(limits.call_depth);
        engine.set_debug(true);
        engine.set_formatter(|out, state, value| {
            let work = work(state);
            match value.as_str() {
                Some(text) => {
                    work.charge(text.len())?;
                    out.write_str(text)?;
                }
                None => out.write_str(&text::str_of(work, value)?)?,
            }
            Ok(())
        });
        functions::install(&mut engine);
        guarded(|| engine.add_template_owned(NAME, lowered.program))?.map_err(|error| syntax_error(&error, &limits))?;
        Ok(ChatTemplate { source: source.to_owned(), names: lowered.names, limits, engine })
    }

    /// The prompt's text for a conversation.
    ///
    /// # Errors
    /// [`ChatError::Raised`] where the template refuses the messages,
    /// [`ChatError::Render`] where Python would raise, [`ChatError::Limit`] where the
    /// rendering costs too much, [`ChatError::Input`] for JSON nested too deeply.
    pub fn render(&self, input: &RenderInput) -> Result<String, ChatError> {
        let variables = self.variables(input)?;
        let mut out = Capped { bytes: Vec::new(), limit: self.limits.output_bytes, over: false };
        let done = guarded(|| {
            let template = self.engine.get_template(NAME)?;
            template.render_captured_to(variables, &mut out).map(|_| ())
        })?;
        if out.over {
            let limit = self.limits.output_bytes as u64;
            return Err(ChatError::limit("length of the rendered text", limit, None));
        }
        done.map_err(|error| self.render_error(&error))?;
        String::from_utf8(out.bytes).map_err(|error| ChatError::Internal { message: error.to_string() })
    }

    /// The template's source, as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether the template looks at the tools of a request. One that does not
    /// would drop them without a word.
    pub fn supports_tools(&self) -> bool {
        self.names.contains("tools")
    }

    /// Whether a system message reaches the text. Some templates refuse it and some drop it.
    pub fn supports_system(&self) -> bool {
        const MARK: &str = "a system message to look for";
        let messages = [Message::system(MARK), Message::user("hello")];
        let special = SpecialTokens::new().with("bos_token", "").with("eos_token", "");
        self.render(&RenderInput::new(&messages, &special)).is_ok_and(|text| text.contains(MARK))
    }

    fn variables(&self, input: &RenderInput) -> Result<Value, ChatError> {
        let mut variables: BTreeMap<String, Value> = BTreeMap::new();
        for (name, text) in input.special.iter() {
            variables.insert(name.to_owned(), Value::from(text));
        }
        let mut put = |name: &str, value: Option<Value>| match value {
            Some(value) => {
                variables.insert(name.to_owned(), value);
                Ok(())
            }
            None => Err(ChatError::Input { message: format!("`{name}` is nested more than 128 levels deep") }),
        };
        for (name, json) in input.extra {
            put(name, value::from_json(json))?;
        }
        let list = |values: Option<&[serde_json::Value]>| match values {
            Some(values) => value::from_json_list(values.iter().map(Json::Value)),
            None => Some(Value::from(())),
        };
        let messages = input.messages.iter().map(|m| Json::Map(m.fields()));
        put("messages", value::from_json_list(messages))?;
        put("tools", list(input.tools))?;
        put("documents", list(input.documents))?;
        let prompts = Value::from(input.add_generation_prompt);
        put("add_generation_prompt", Some(prompts))?;
        let seed = WorkSeed(Work::new(self.limits, unix_seconds(input.now)));
        variables.insert(WORK_NAME.to_owned(), Value::from_object(seed));
        Ok(Value::from(variables))
    }

    fn render_error(&self, error: &Error) -> ChatError {
        let line = error.line();
        match find_fault(error) {
            Some(Fault::Raised(message)) => return ChatError::Raised { message, line },
            Some(Fault::Limit { what, limit }) => return ChatError::limit(what, limit, line),
            None => {}
        }
        if error.kind() == ErrorKind::OutOfFuel {
            return ChatError::limit("number of steps", self.limits.steps, line);
        }
        if mentions(error, "recursion limit") {
            return ChatError::limit("depth of calls", self.limits.call_depth as u64, line);
        }
        ChatError::Render { message: describe(error), line }
    }
}

fn unix_seconds(now: Option<SystemTime>) -> i64 {
    let now = now.unwrap_or_else(SystemTime::now);
    match now.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
    }
}

/// Runs the engine such that a panic in it is an error of this template only:
/// template and messages are untrusted, and a server goes on.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, ChatError> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        ChatError::Internal { message: text.unwrap_or("the engine panicked").to_owned() }
    })
}

/// What is wrong with a template that the front end let through.
fn syntax_error(error: &Error, limits: &Limits) -> ChatError {
    if mentions(error, "recursion limit") {
        let limit = limits.nesting as u64;
        return ChatError::limit("nesting of the template", limit, error.line());
    }
    ChatError::syntax(error.line().unwrap_or(1), describe(error))
}

/// The engine's words without its prefix and position, which this crate's errors have already.
fn describe(error: &Error) -> String {
    match error.detail() {
        Some(detail) => detail.to_owned(),
        None => error.kind().to_string(),
    }
}

fn mentions(error: &Error, words: &str) -> bool {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.to_string().contains(words) {
            return true;
        }
        next = error.source();
    }
    false
}

fn find_fault(error: &Error) -> Option<Fault> {
    let mut next = error.source();
    while let Some(source) = next {
        if let Some(fault) = source.downcast_ref::<Fault>() {
            return Some(fault.clone());
        }
        next = source.source();
    }
    None
}

/// Output that ends where its limit is.
struct Capped {
    bytes: Vec<u8>,
    limit: usize,
    over: bool,
}

impl io::Write for &mut Capped {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.limit {
            self.over = true;
            return Err(io::Error::other("output limit"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_shared_between_threads() {
        fn shared<T: Send + Sync + Clone>(value: T) -> T {
            value
        }
        let template = shared(ChatTemplate::parse("{{ messages[0].content }}").expect("valid"));
        let special = SpecialTokens::new();
        std::thread::scope(|scope| {
            for i in 0..4 {
                let (template, special) = (&template, &special);
                scope.spawn(move || {
                    let messages = [Message::user(i.to_string())];
                    let text = template.render(&RenderInput::new(&messages, special));
                    assert_eq!(text, Ok(i.to_string()));
                });
            }
        });
    }

    #[test]
    fn support_is_told_by_what_the_template_does() {
        let check = |source: &str, tools: bool, system: bool| {
            let template = ChatTemplate::parse(source).expect("valid");
            assert_eq!(template.supports_tools(), tools, "{source}");
            assert_eq!(template.supports_system(), system, "{source}");
        };
        check("{{ bos_token + messages[0].content }}", false, true);
        check("{{ messages[1].content }}{{ tools }}", true, false);
        check("{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}", false, false);
    }

    #[test]
    fn an_engine_panic_is_an_error() {
        let caught = guarded(|| -> () { panic!("{}", "words") });
        let message = "words".to_owned();
        assert_eq!(caught, Err(ChatError::Internal { message }));
    }
}
