//! How often regular expressions repeat: the library writes repetitions out only when it matches, so that a count
//! beyond the limit would compile, slowly, and fail at the first token.

use std::sync::LazyLock;

use regex_automata::meta::Regex;
use regex_syntax::ast::parse::ParserBuilder;
use regex_syntax::ast::{Ast, RepetitionKind, RepetitionRange, Visitor, visit};
use serde_json::Value;

use crate::{GrammarError, Limits};

/// Checks the repetitions of a regular expression. What does not parse is left to the library, which says why.
pub(crate) fn check_regex(regex: &str, flags: &str, limits: &Limits) -> Result<(), GrammarError> {
    let parsed = ParserBuilder::new().ignore_whitespace(flags.contains('x')).build().parse(regex);
    parsed.map_or(Ok(()), |ast| visit(&ast, Repeats { limits }))
}

struct Repeats<'a> {
    limits: &'a Limits,
}

impl Visitor for Repeats<'_> {
    type Output = ();
    type Err = GrammarError;

    fn finish(self) -> Result<(), GrammarError> {
        Ok(())
    }

    fn visit_pre(&mut self, ast: &Ast) -> Result<(), GrammarError> {
        let Ast::Repetition(repetition) = ast else { return Ok(()) };
        let RepetitionKind::Range(range) = &repetition.op.kind else { return Ok(()) };
        let (RepetitionRange::Exactly(most) | RepetitionRange::AtLeast(most) | RepetitionRange::Bounded(_, most)) =
            range;
        check_count(u64::from(*most), self.limits)
    }
}

fn check_count(found: u64, limits: &Limits) -> Result<(), GrammarError> {
    match found <= limits.repeats {
        true => Ok(()),
        false => Err(GrammarError::TooLarge { what: "repetition", limit: limits.repeats, found }),
    }
}

/// What of the library's grammar language can hold a count, and what only looks as if it did.
const LARK: [&str; 5] = [
    // Texts and comments.
    r#""(?:\\.|[^"\\\n])*"|(?:#|//)[^\n]*"#,
    // Regular expressions, with their flags.
    r"/((?:\\.|[^/\\])+)/([imslux]*)",
    // Repetitions: `{2,3}` and `~2..3`.
    r"[{~][\s,+]*([0-9]+)[\s,.+]*([0-9]*)",
    // JSON schemas and other JSON.
    r"%(?:json|llguidance|regex)",
    // Names and control tokens.
    r"[A-Za-z_][A-Za-z_0-9\-]*|<[^<>\s]+>",
];

static LARK_TOKENS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new_many(&LARK).ok());

/// Checks the repetitions of a grammar in the library's language.
pub(crate) fn check_lark(text: &str, limits: &Limits) -> Result<(), GrammarError> {
    let Some(tokens) = LARK_TOKENS.as_ref() else {
        return Err(GrammarError::Internal("the grammar's tokens".to_owned()));
    };
    let (mut captures, mut at) = (tokens.create_captures(), 0);
    loop {
        tokens.captures(regex_automata::Input::new(text).range(at..), &mut captures);
        let Some(token) = captures.get_match() else { return Ok(()) };
        let group = |index| captures.get_group(index).map_or("", |span| &text[span]);
        at = token.end();
        match token.pattern().as_usize() {
            1 => check_regex(group(1), group(2), limits)?,
            2 => {
                for count in [group(1), group(2)].into_iter().filter(|count| !count.is_empty()) {
                    check_count(count.parse().unwrap_or(u64::MAX), limits)?;
                }
            }
            3 => at += check_json_prefix(&text[at..], limits)?,
            _ => {}
        }
    }
}

/// Checks the JSON that a text begins with, and tells its length.
fn check_json_prefix(text: &str, limits: &Limits) -> Result<usize, GrammarError> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let Some(Ok(value)) = values.next() else { return Ok(0) };
    check_schema(&value, limits)?;
    Ok(values.byte_offset())
}

/// Checks the patterns of a JSON schema, whatever else is in it.
fn check_schema(schema: &Value, limits: &Limits) -> Result<(), GrammarError> {
    let mut open = vec![schema];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(items) => open.extend(items),
            Value::Object(fields) => {
                check_patterns(fields, limits)?;
                open.extend(fields.values());
            }
            _ => {}
        }
    }
    Ok(())
}

/// Checks `pattern` and the names of `patternProperties`.
pub(crate) fn check_patterns(fields: &serde_json::Map<String, Value>, limits: &Limits) -> Result<(), GrammarError> {
    if let Some(Value::String(pattern)) = fields.get("pattern") {
        check_regex(pattern, "", limits)?;
    }
    if let Some(Value::Object(patterns)) = fields.get("patternProperties") {
        patterns.keys().try_for_each(|pattern| check_regex(pattern, "", limits))?;
    }
    Ok(())
}
