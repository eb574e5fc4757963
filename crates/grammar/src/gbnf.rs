//! Grammars in llama.cpp's GBNF, turned into the library's language.
//!
//! Rules that do not recur become terminals: regular expressions, which match exactly what the rules say. What is
//! recursive stays a rule, and the parts between its recursive references become terminals, as long as possible.
//! A terminal takes all it can: a recursive grammar in which a part must give characters back to what follows it
//! (`[a-z]* root? "z"`) allows fewer texts than it says, and never more.

mod emit;
mod parse;
mod shape;

use crate::{GrammarError, Limits};

/// The grammar in the library's language.
pub(crate) fn to_lark(text: &str, limits: &Limits) -> Result<String, GrammarError> {
    let rules = parse::parse(text, limits)?;
    let shape = shape::shape(&rules, limits)?;
    Ok(emit::emit(&rules, &shape))
}

/// The rules of a grammar, by number.
#[derive(Debug)]
struct Rules {
    names: Vec<String>,
    bodies: Vec<Options>,
    root: usize,
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
