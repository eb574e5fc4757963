//! Grammars in llama.cpp's GBNF, turned into the library's language.
//!
//! What does not recur becomes terminals: regular expressions, as long as possible. The library's lexer lets a
//! terminal take all it can, so that they are cut where that would lose texts. Then the grammar allows exactly the
//! texts that it describes. Only terminals beyond some size are not looked at, and may lose texts that would need
//! them to end early; they never allow more.

mod automaton;
mod cfg;
mod emit;
mod exact;
mod parse;
mod shape;

use crate::{GrammarError, Limits};

/// The grammar in the library's language.
pub(crate) fn to_lark(text: &str, limits: &Limits) -> Result<String, GrammarError> {
    let rules = parse::parse(text, limits)?;
    let shape = shape::shape(&rules, limits)?;
    let productions = exact::productions(&rules, &shape);
    Ok(emit::emit(&rules, &shape.is_regular, &productions))
}

/// The rules of a grammar, by number.
#[derive(Debug)]
struct Rules {
    names: Vec<String>,
    bodies: Vec<Options>,
    /// The root rule, as the one node where a text starts.
    start: Vec<Node>,
}

/// Alternatives, each a sequence.
type Options = Vec<Vec<Node>>;

#[derive(Debug)]
enum Node {
    /// These characters.
    Text(String),
    /// One character within, or outside of, ranges.
    Class { negated: bool, ranges: Vec<(char, char)> },
    /// One character.
    Any,
    /// A rule.
    Rule(usize),
    /// One of some alternatives.
    Group(Options),
    /// A node as often as it says.
    Repeat { node: Box<Node>, min: u32, max: Option<u32> },
}

fn invalid(message: String) -> GrammarError {
    GrammarError::Invalid { kind: "GBNF grammar", message }
}
