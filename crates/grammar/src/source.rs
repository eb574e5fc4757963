//! From a constraint to what the grammar library compiles.

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::{Value, json};

use crate::lark::{self, Mark, free_text};
use crate::{GrammarError, GrammarVocab, Limits, Spec, gbnf, schema, tools};

/// The library's form of a constraint. The first grammar is where a text starts; it names the others.
pub(crate) fn source(vocab: &GrammarVocab, spec: &Spec, limits: &Limits) -> Result<TopLevelGrammar, GrammarError> {
    let grammars = match spec {
        Spec::JsonObject => vec![json_grammar(json!({"type": "object"}))],
        Spec::JsonSchema(schema) => vec![json_grammar(schema::prepare(schema, limits)?)],
        Spec::Regex(regex) => vec![lark_grammar(lark::regex(regex, limits)?)],
        Spec::Choice(choices) => vec![lark_grammar(lark::choice(choices)?)],
        Spec::Lark(text) => vec![lark_grammar(lark::checked(text, limits)?)],
        Spec::Gbnf(text) => vec![lark_grammar(gbnf::to_lark(text, limits)?)],
        Spec::Tools(tools) => tools::grammars(vocab, tools, limits)?,
        Spec::After { mark, then } => {
            let mut then = source(vocab, then, limits)?.grammars;
            if let Some(first) = then.first_mut() {
                first.name = Some("then".to_owned());
            }
            let text = format!("start: before /\\n{{0,2}}/ @then\n{}", free_text(&Mark::new(vocab, mark)));
            then.insert(0, lark_grammar(text));
            then
        }
    };
    Ok(TopLevelGrammar { grammars, max_tokens: None })
}

/// A grammar that others can name, as `@name`.
pub(crate) fn named(name: &str, grammar: GrammarWithLexer) -> GrammarWithLexer {
    GrammarWithLexer { name: Some(name.to_owned()), ..grammar }
}

pub(crate) fn lark_grammar(text: String) -> GrammarWithLexer {
    GrammarWithLexer { lark_grammar: Some(text), ..GrammarWithLexer::default() }
}

/// A grammar of JSON, with the project's choices about how JSON may be written.
pub(crate) fn json_grammar(schema: Value) -> GrammarWithLexer {
    let mut schema = match schema {
        Value::Object(fields) => fields,
        Value::Bool(true) => serde_json::Map::new(),
        other => return GrammarWithLexer { json_schema: Some(other), ..GrammarWithLexer::default() },
    };
    schema.insert(
        "x-guidance".to_owned(),
        json!({"whitespace_pattern": WHITESPACE, "coerce_one_of": true, "json_allow_general_unicode_escapes": true}),
    );
    GrammarWithLexer { json_schema: Some(Value::Object(schema)), ..GrammarWithLexer::default() }
}

/// White space between two tokens of JSON. Without an end to it, a weak model may write nothing else.
const WHITESPACE: &str = r"[\x20\x0A\x0D\x09]{1,20}";
