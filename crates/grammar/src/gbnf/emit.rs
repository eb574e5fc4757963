//! From rules to the library's language.

use std::fmt::Write as _;

use super::shape::Shape;
use super::{Node, Options, Rules};
use crate::lark::{escape, literal};

pub(super) fn emit(rules: &Rules, shape: &Shape) -> String {
    let mut writer = Writer { shape, terminals: 0, text: String::new() };
    let root = writer.name(rules.root);
    writer.line("start", &root);
    for (rule, body) in rules.bodies.iter().enumerate().filter(|(rule, _)| shape.is_used[*rule]) {
        let written = if shape.is_regular[rule] { regular_options(body) } else { writer.options(body) };
        writer.line(&writer.name(rule), &written);
    }
    writer.text
}

struct Writer<'a> {
    shape: &'a Shape,
    /// Terminals that were made of parts of rules.
    terminals: usize,
    text: String,
}

impl Writer<'_> {
    /// The name of a rule: terminals are upper case.
    fn name(&self, rule: usize) -> String {
        if self.shape.is_regular[rule] { format!("R{rule}") } else { format!("r{rule}") }
    }

    fn line(&mut self, name: &str, body: &str) {
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "{name}: {body}");
    }

    fn options(&mut self, options: &Options) -> String {
        let written: Vec<String> = options.iter().map(|sequence| self.sequence(sequence)).collect();
        written.join(" | ")
    }

    /// A sequence, with the longest regular parts as one terminal each.
    fn sequence(&mut self, nodes: &[Node]) -> String {
        let mut parts = Vec::new();
        let shape = self.shape;
        for part in nodes.chunk_by(|a, b| shape.is_regular_node(a) && shape.is_regular_node(b)) {
            let is_terminal = part.iter().all(|node| shape.is_regular_node(node));
            if is_terminal {
                self.terminals += 1;
                let name = format!("T{}", self.terminals);
                self.line(&name, &regular_sequence(part));
                parts.push(name);
            } else {
                parts.extend(part.iter().map(|node| self.node(node)));
            }
        }
        if parts.is_empty() { "\"\"".to_owned() } else { parts.join(" ") }
    }

    /// A node that recurs.
    fn node(&mut self, node: &Node) -> String {
        match node {
            Node::Rule(rule) => self.name(*rule),
            Node::Group(options) => format!("({})", self.options(options)),
            Node::Repeat { node, min, max } => repeat(&self.node(node), *min, *max),
            Node::Text(_) | Node::Class { .. } | Node::Any => regular_node(node),
        }
    }
}

fn regular_options(options: &Options) -> String {
    let written: Vec<String> = options.iter().map(|sequence| regular_sequence(sequence)).collect();
    written.join(" | ")
}

fn regular_sequence(nodes: &[Node]) -> String {
    if nodes.is_empty() {
        return "\"\"".to_owned();
    }
    nodes.iter().map(regular_node).collect::<Vec<_>>().join(" ")
}

fn regular_node(node: &Node) -> String {
    match node {
        Node::Text(text) => literal(text),
        Node::Class { negated, ranges } => class(*negated, ranges),
        Node::Any => "/(?s:.)/".to_owned(),
        Node::Rule(rule) => format!("R{rule}"),
        Node::Group(options) => format!("({})", regular_options(options)),
        Node::Repeat { node, min, max } => repeat(&regular_node(node), *min, *max),
    }
}

fn class(negated: bool, ranges: &[(char, char)]) -> String {
    let mut regex = if negated { "/[^".to_owned() } else { "/[".to_owned() };
    for (first, last) in ranges {
        escape(*first, &mut regex);
        regex.push('-');
        escape(*last, &mut regex);
    }
    regex.push_str("]/");
    regex
}

fn repeat(node: &str, min: u32, max: Option<u32>) -> String {
    match (min, max) {
        (_, Some(0)) => "\"\"".to_owned(),
        (0, None) => format!("({node})*"),
        (1, None) => format!("({node})+"),
        (min, None) => format!("({node}){{{min},}}"),
        (min, Some(max)) => format!("({node}){{{min},{max}}}"),
    }
}
