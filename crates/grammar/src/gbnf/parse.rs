//! From text to rules.

use std::collections::HashMap;

use super::{Node, Options, Rules, invalid};
use crate::limits::within;
use crate::{GrammarError, Limits};

pub(super) fn parse(text: &str, limits: &Limits) -> Result<Rules, GrammarError> {
    let mut parser = Parser { text, at: 0, limits, numbers: HashMap::new(), names: Vec::new(), nodes: 0 };
    let mut bodies: Vec<Option<Options>> = Vec::new();
    parser.space(true);
    while parser.at < text.len() {
        let (number, body) = parser.rule()?;
        bodies.resize_with(parser.names.len(), || None);
        if bodies[number].replace(body).is_some() {
            return Err(parser.error(&format!("rule `{}` is there twice", parser.names[number])));
        }
        parser.space(true);
    }
    bodies.resize_with(parser.names.len(), || None);
    let Some(&root) = parser.numbers.get("root") else {
        return Err(invalid("there is no rule `root`".to_owned()));
    };
    let names = parser.names;
    let bodies = bodies
        .into_iter()
        .zip(&names)
        .map(|(body, name)| body.ok_or_else(|| invalid(format!("rule `{name}` is not defined"))))
        .collect::<Result<_, _>>()?;
    Ok(Rules { names, bodies, start: vec![Node::Rule(root)] })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    limits: &'a Limits,
    numbers: HashMap<String, usize>,
    names: Vec<String>,
    nodes: usize,
}

/// Deepest nesting of groups.
const MOST_DEPTH: usize = 64;

impl Parser<'_> {
    fn rule(&mut self) -> Result<(usize, Options), GrammarError> {
        let name = self.name();
        if name.is_empty() {
            return Err(self.error("expected the name of a rule"));
        }
        let number = self.number(&name)?;
        self.space(false);
        self.expect("::=")?;
        self.space(true);
        let body = self.options(0)?;
        match self.peek() {
            None | Some('\n' | '\r') => Ok((number, body)),
            Some(other) => Err(self.error(&format!("unexpected `{}`", other.escape_debug()))),
        }
    }

    fn options(&mut self, depth: usize) -> Result<Options, GrammarError> {
        let mut options = vec![self.sequence(depth)?];
        while self.skip_to_bar() {
            self.space(true);
            options.push(self.sequence(depth)?);
        }
        Ok(options)
    }

    /// Whether another alternative follows, maybe on the next line.
    fn skip_to_bar(&mut self) -> bool {
        let start = self.at;
        self.space(true);
        let is_bar = self.eat("|");
        if !is_bar {
            self.at = start;
        }
        is_bar
    }

    fn sequence(&mut self, depth: usize) -> Result<Vec<Node>, GrammarError> {
        let mut nodes = Vec::new();
        loop {
            self.space(depth > 0);
            let Some(node) = self.symbol(depth)? else {
                return Ok(nodes);
            };
            self.nodes += 1;
            within("symbols of the grammar", self.nodes, self.limits.grammar_symbols)?;
            nodes.push(self.repeated(node)?);
        }
    }

    fn symbol(&mut self, depth: usize) -> Result<Option<Node>, GrammarError> {
        Ok(Some(match self.peek() {
            Some('"') => self.literal()?,
            Some('[') => self.class()?,
            Some('.') => {
                self.at += 1;
                Node::Any
            }
            Some('(') => {
                within("depth of the grammar", depth + 1, MOST_DEPTH)?;
                self.at += 1;
                self.space(true);
                let options = self.options(depth + 1)?;
                self.space(true);
                self.expect(")")?;
                Node::Group(options)
            }
            Some('<' | '!') => return Err(self.error("tokens in a grammar are not supported")),
            Some(c) if is_word(c) => {
                let name = self.name();
                Node::Rule(self.number(&name)?)
            }
            _ => return Ok(None),
        }))
    }

    /// The node with the repetitions that follow it.
    fn repeated(&mut self, mut node: Node) -> Result<Node, GrammarError> {
        loop {
            let (min, max) = match self.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => self.counts()?,
                _ => return Ok(node),
            };
            self.at += 1;
            if matches!(node, Node::Repeat { node: ref inner, .. } if matches!(**inner, Node::Repeat { .. })) {
                return Err(self.error("a repetition of a repetition of a repetition"));
            }
            node = Node::Repeat { node: Box::new(node), min, max };
        }
    }

    /// `{m}`, `{m,}` or `{m,n}`, up to the closing brace.
    fn counts(&mut self) -> Result<(u32, Option<u32>), GrammarError> {
        self.at += 1;
        self.space(false);
        let min = self.count()?;
        self.space(false);
        let mut max = min;
        if self.eat(",") {
            self.space(false);
            max = self.count()?;
            self.space(false);
        } else if min.is_none() {
            return Err(self.error("expected a number"));
        }
        if self.peek() != Some('}') {
            return Err(self.error("expected `}`"));
        }
        let min = min.unwrap_or(0);
        match max {
            Some(max) if max < min => Err(self.error("a repetition with more at least than at most")),
            _ => Ok((min, max)),
        }
    }

    fn count(&mut self) -> Result<Option<u32>, GrammarError> {
        let digits = self.text[self.at..].bytes().take_while(u8::is_ascii_digit).count();
        let text = &self.text[self.at..self.at + digits];
        self.at += digits;
        if text.is_empty() {
            return Ok(None);
        }
        let count = text.parse().unwrap_or(u64::MAX);
        match u32::try_from(count) {
            Ok(small) if count <= self.limits.repeats => Ok(Some(small)),
            _ => Err(GrammarError::TooLarge { what: "repetition", limit: self.limits.repeats, found: count }),
        }
    }

    fn literal(&mut self) -> Result<Node, GrammarError> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n') => return Err(self.error("a text without end")),
                Some('"') => {
                    self.at += 1;
                    return Ok(Node::Text(text));
                }
                Some(_) => text.push(self.character()?),
            }
        }
    }

    fn class(&mut self) -> Result<Node, GrammarError> {
        self.at += 1;
        let negated = self.eat("^");
        let mut ranges = Vec::new();
        loop {
            match self.peek() {
                None | Some('\n') => return Err(self.error("a class of characters without end")),
                Some(']') => break,
                Some(_) => {}
            }
            let first = self.character()?;
            let has_last = self.text[self.at..].starts_with('-') && !self.text[self.at..].starts_with("-]");
            let last = match has_last {
                true => {
                    self.at += 1;
                    self.character()?
                }
                false => first,
            };
            if last < first {
                return Err(self.error("a range that ends before it starts"));
            }
            ranges.push((first, last));
        }
        self.at += 1;
        match (ranges.is_empty(), negated) {
            (true, true) => Ok(Node::Any),
            (true, false) => Err(self.error("an empty class of characters")),
            (false, _) => Ok(Node::Class { negated, ranges }),
        }
    }

    /// A character of a text or a class, escaped or not.
    fn character(&mut self) -> Result<char, GrammarError> {
        let Some(c) = self.peek() else {
            return Err(self.error("unexpected end"));
        };
        self.at += c.len_utf8();
        if c != '\\' {
            return Ok(c);
        }
        let Some(escaped) = self.peek() else {
            return Err(self.error("unexpected end"));
        };
        self.at += escaped.len_utf8();
        match escaped {
            'n' => Ok('\n'),
            'r' => Ok('\r'),
            't' => Ok('\t'),
            '\\' | '"' | '[' | ']' | '-' | '^' => Ok(escaped),
            'x' => self.hex(2),
            'u' => self.hex(4),
            'U' => self.hex(8),
            other => Err(self.error(&format!("unknown escape `\\{}`", other.escape_debug()))),
        }
    }

    fn hex(&mut self, digits: usize) -> Result<char, GrammarError> {
        let value = self.text.get(self.at..self.at + digits).and_then(|text| u32::from_str_radix(text, 16).ok());
        let c = value.and_then(char::from_u32).ok_or_else(|| self.error("not a character"))?;
        self.at += digits;
        Ok(c)
    }

    fn number(&mut self, name: &str) -> Result<usize, GrammarError> {
        if let Some(&number) = self.numbers.get(name) {
            return Ok(number);
        }
        let number = self.names.len();
        within("rules of the grammar", number + 1, self.limits.rules)?;
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Ok(number)
    }

    /// The name that starts here, empty if none does.
    fn name(&mut self) -> String {
        let length = self.text[self.at..].find(|c| !is_word(c)).unwrap_or(self.text.len() - self.at);
        let start = self.at;
        self.at += length;
        self.text[start..self.at].to_owned()
    }

    /// Skips white space and comments.
    fn space(&mut self, lines_too: bool) {
        while let Some(c) = self.peek() {
            match c {
                ' ' | '\t' => self.at += 1,
                '\n' | '\r' if lines_too => self.at += 1,
                '#' => self.at += self.text[self.at..].find(['\n', '\r']).unwrap_or(self.text.len() - self.at),
                _ => return,
            }
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn eat(&mut self, text: &str) -> bool {
        let is_next = self.text[self.at..].starts_with(text);
        if is_next {
            self.at += text.len();
        }
        is_next
    }

    fn expect(&mut self, text: &str) -> Result<(), GrammarError> {
        match self.eat(text) {
            true => Ok(()),
            false => Err(self.error(&format!("expected `{text}`"))),
        }
    }

    fn error(&self, message: &str) -> GrammarError {
        let line = self.text[..self.at].matches('\n').count() + 1;
        invalid(format!("line {line}: {message}"))
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        parse(text, &Limits::default()).unwrap_err().to_string()
    }

    #[test]
    fn errors_name_the_line_and_the_cause() {
        for (text, expected) in [
            ("root ::= \"a", "line 1: a text without end"),
            ("root ::= \"a\"\nroot ::= \"b\"", "line 2: rule `root` is there twice"),
            ("root ::= x", "rule `x` is not defined"),
            ("x ::= \"a\"", "there is no rule `root`"),
            ("root ::= [b-a]", "a range that ends before it starts"),
            ("root ::= (\"a\"", "expected `)`"),
            ("root ::= \"a\"{3,2}", "more at least than at most"),
            ("root ::= \"\\uD800\"", "not a character"),
            ("root = \"a\"", "expected `::=`"),
            ("root ::= <think>", "tokens in a grammar"),
            ("root ::= \"a\" ]", "unexpected `]`"),
        ] {
            assert!(error(text).contains(expected), "{text}: {}", error(text));
        }
    }
}
