//! From a constraint to what the grammar library compiles.

use llguidance::api::{GrammarWithLexer, TopLevelGrammar};
use serde_json::{Value, json};

use crate::{GrammarError, GrammarVocab, Limits, Spec};
use crate::lark;
use crate::schema;

/// The library's form of a constraint. The first grammar is where a text starts; it names the others.
pub(crate) fn source(vocab: &GrammarVocab, spec: &Spec, limits: &Limits) -> Result<TopLevelGrammar, GrammarError> {
    let grammars = match spec {
        Spec::JsonObject => vec![json_grammar(json!({"type": "object"}))],
        Spec::JsonSchema(schema) => vec![json_grammar(schema::prepare(schema, limits)?)],
        Spec::Regex(regex) => vec![lark_grammar(lark::regex(regex)?)],
        Spec::Choice(choices) => vec![lark_grammar(lark::choice(choices)?)],
        Spec::Lark(text) => vec![lark_grammar(lark::checked(text, limits)?)],
        Spec::Gbnf(_) | Spec::Tools(_) | Spec::After { .. } => {
            let _ = vocab;
            return Err(GrammarError::Invalid { kind: spec.kind(), message: "not yet compiled".to_owned() });
        }
    };
    Ok(TopLevelGrammar { grammars, max_tokens: None })
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
    schema.insert("x-guidance".to_owned(), json!({"whitespace_pattern": WHITESPACE}));
    GrammarWithLexer { json_schema: Some(Value::Object(schema)), ..GrammarWithLexer::default() }
}

/// White space between two tokens of JSON. Without an end to it, a weak model may write nothing else.
const WHITESPACE: &str = r"[\x20\x0A\x0D\x09]{1,80}";
