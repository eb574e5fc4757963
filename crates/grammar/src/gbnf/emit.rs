//! From productions to the library's language, and to regular expressions.

use std::fmt::Write as _;

use super::cfg::{Cfg, Item, Piece, Symbol};
use super::{Node, Options, Rules};
use crate::lark::{escape, literal};

/// The grammar, with the rules that do not recur as terminals that others name.
pub(super) fn emit(rules: &Rules, is_regular: &[bool], cfg: &Cfg<'_>) -> String {
    let mut text = String::new();
    let mut line = |name: String, body: String| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{name}: {body}");
    };
    line("start".to_owned(), "r0".to_owned());
    for (number, options) in cfg.rules.iter().enumerate() {
        let options: Vec<String> = options.iter().map(|sequence| joined(sequence.iter().map(item))).collect();
        line(format!("r{number}"), options.join(" | "));
    }
    for (number, piece) in cfg.terminals.iter().enumerate() {
        let body = match piece {
            Piece::Nodes(nodes) => sequence(nodes),
            Piece::Character(c) => literal(c.encode_utf8(&mut [0; 4])),
        };
        line(format!("T{number}"), body);
    }
    for (number, body) in rules.bodies.iter().enumerate().filter(|(rule, _)| is_regular[*rule]) {
        line(format!("R{number}"), options(body));
    }
    text
}

fn item(item: &Item) -> String {
    let name = match item.symbol {
        Symbol::Terminal(number) => format!("T{number}"),
        Symbol::Rule(number) => format!("r{number}"),
    };
    repeat(&name, item.min, item.max)
}

fn options(options: &Options) -> String {
    options.iter().map(|nodes| sequence(nodes)).collect::<Vec<_>>().join(" | ")
}

fn sequence(nodes: &[Node]) -> String {
    joined(nodes.iter().map(symbol))
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    if parts.is_empty() { "\"\"".to_owned() } else { parts.join(" ") }
}

fn symbol(node: &Node) -> String {
    match node {
        Node::Text(text) => literal(text),
        Node::Class { negated, ranges } => format!("/{}/", class(*negated, ranges)),
        Node::Any => "/(?s:.)/".to_owned(),
        Node::Rule(rule) => format!("R{rule}"),
        Node::Group(inner) => format!("({})", options(inner)),
        Node::Repeat { node, min, max } => repeat(&symbol(node), *min, *max),
    }
}

fn class(negated: bool, ranges: &[(char, char)]) -> String {
    let mut regex = if negated { "[^".to_owned() } else { "[".to_owned() };
    for (first, last) in ranges {
        escape(*first, &mut regex);
        regex.push('-');
        escape(*last, &mut regex);
    }
    regex.push(']');
    regex
}

fn repeat(node: &str, min: u32, max: Option<u32>) -> String {
    match (min, max) {
        (1, Some(1)) => node.to_owned(),
        (_, Some(0)) => "\"\"".to_owned(),
        (0, None) => format!("({node})*"),
        (1, None) => format!("({node})+"),
        (min, None) => format!("({node}){{{min},}}"),
        (min, Some(max)) => format!("({node}){{{min},{max}}}"),
    }
}

/// A piece as one regular expression; none when it has more than `most` bytes.
pub(super) fn regex_of(piece: Piece<'_>, rules: &Rules, most: usize) -> Option<String> {
    let mut regex = String::new();
    match piece {
        Piece::Character(c) => escape(c, &mut regex),
        Piece::Nodes(nodes) => write_sequence(nodes, rules, most, &mut regex)?,
    }
    Some(regex)
}

fn write_options(options: &Options, rules: &Rules, most: usize, regex: &mut String) -> Option<()> {
    regex.push_str("(?:");
    for (at, nodes) in options.iter().enumerate() {
        if at > 0 {
            regex.push('|');
        }
        write_sequence(nodes, rules, most, regex)?;
    }
    regex.push(')');
    Some(())
}

fn write_sequence(nodes: &[Node], rules: &Rules, most: usize, regex: &mut String) -> Option<()> {
    for node in nodes {
        match node {
            Node::Text(text) => text.chars().for_each(|c| escape(c, regex)),
            Node::Class { negated, ranges } => regex.push_str(&class(*negated, ranges)),
            Node::Any => regex.push_str("(?s:.)"),
            Node::Rule(rule) => write_options(&rules.bodies[*rule], rules, most, regex)?,
            Node::Group(options) => write_options(options, rules, most, regex)?,
            Node::Repeat { node, min, max } => {
                regex.push_str("(?:");
                write_sequence(std::slice::from_ref(node), rules, most, regex)?;
                let max = max.map_or(String::new(), |max| max.to_string());
                // Writing to a string does not fail.
                let _ = write!(regex, "){{{min},{max}}}");
            }
        }
        if regex.len() > most {
            return None;
        }
    }
    Some(())
}
