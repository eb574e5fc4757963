//! Expressions: Jinja2's grammar in, calls of counted functions out.

use super::PREFIX;
use super::lexer::Tok;
use super::lower::Parser;
use crate::error::ChatError;
use crate::py;

/// A lowered expression.
pub(super) struct Code {
    pub text: String,
    /// Can be the base of a postfix, and any operand, without parentheses.
    pub atomic: bool,
    /// Height of its tree, which is the recursion that the engine's compiler needs.
    pub depth: usize,
}

/// Binary operators by how tightly they bind, with the function each becomes.
/// Comparison, `and`, `or` and `not` are looser and have rules of their own.
const BINARY: &[(&str, u8, &str)] = &[
    ("+", 1, "add"),
    ("-", 1, "sub"),
    ("~", 2, "concat"),
    ("*", 3, "mul"),
    ("/", 3, "div"),
    ("//", 3, "floordiv"),
    ("%", 3, "mod"),
    ("**", 4, "pow"),
];

const COMPARE: &[&str] = &["==", "!=", "<", "<=", ">", ">="];

/// Arguments that the engine takes in one call.
const MOST_OPERANDS: usize = 2000;

type Lowering = Result<Code, ChatError>;

impl Parser<'_> {
    fn code(&self, text: String, atomic: bool, depth: usize) -> Lowering {
        let limit = self.limits.nesting * 2;
        if depth > limit {
            return Err(self.too_deep());
        }
        Ok(Code { text, atomic, depth })
    }

    /// A call of one of this crate's operator functions.
    fn op_call(&self, function: &str, args: &[Code]) -> Lowering {
        if args.len() > MOST_OPERANDS {
            let line = Some(self.line());
            let what = "operands or items of one expression";
            return Err(ChatError::limit(what, MOST_OPERANDS as u64, line));
        }
        let depth = args.iter().map(|a| a.depth).max().unwrap_or(0) + 1;
        let args: Vec<&str> = args.iter().map(|a| a.text.as_str()).collect();
        self.code(format!("{PREFIX}{function}({})", args.join(", ")), true, depth)
    }

    /// Enters one level of recursion of this parser itself.
    pub(super) fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, ChatError>) -> Result<T, ChatError> {
        self.depth += 1;
        if self.depth > self.limits.nesting {
            return Err(self.too_deep());
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Any expression, `a if b else c` included.
    pub(super) fn expression(&mut self) -> Lowering {
        self.nested(|p| {
            let mut value = p.or()?;
            while p.skip_name("if") {
                let condition = p.or()?;
                let other = match p.skip_name("else") {
                    true => Some(p.expression()?),
                    false => None,
                };
                let depth = value.depth.max(condition.depth).max(other.as_ref().map_or(0, |o| o.depth));
                let (value_text, condition_text) = (operand(value), operand(condition));
                let text = match other {
                    Some(o) => format!("{value_text} if {condition_text} else {}", operand(o)),
                    None => format!("{value_text} if {condition_text}"),
                };
                value = p.code(text, false, depth + 1)?;
            }
            Ok(value)
        })
    }

    /// An expression without a trailing `if`, as loops take it.
    pub(super) fn or(&mut self) -> Lowering {
        self.chain("or", |p| p.chain("and", Self::not))
    }

    fn chain(&mut self, word: &str, mut part: impl FnMut(&mut Self) -> Lowering) -> Lowering {
        let mut left = part(self)?;
        while self.skip_name(word) {
            let right = part(self)?;
            let depth = left.depth.max(right.depth) + 1;
            left = self.code(format!("({} {word} {})", operand(left), operand(right)), true, depth)?;
        }
        Ok(left)
    }

    fn not(&mut self) -> Lowering {
        let mut count = 0;
        while self.peek_name("not") {
            self.bump();
            count += 1;
        }
        let value = self.compare()?;
        match count {
            0 => Ok(value),
            // Any more of them only say yes and no again.
            _ => {
                let depth = value.depth + 2;
                let word = if count % 2 == 1 { "not" } else { "not not" };
                self.code(format!("({word} {})", operand(value)), true, depth)
            }
        }
    }

    fn compare(&mut self) -> Lowering {
        let first = self.binary(1)?;
        let mut parts = vec![first];
        loop {
            let op = match self.peek() {
                Some(Tok::Op(op)) if COMPARE.contains(op) => *op,
                Some(Tok::Name(n)) if n == "in" => "in",
                Some(Tok::Name(n)) if n == "not" && self.peek_second_name("in") => {
                    self.bump();
                    "not in"
                }
                _ => break,
            };
            self.bump();
            parts.push(self.code(format!("\"{op}\""), true, 1)?);
            parts.push(self.binary(1)?);
        }
        match parts.len() {
            1 => Ok(parts.remove(0)),
            _ => self.op_call("compare", &parts),
        }
    }

    /// Left-associative operators that bind at least as tightly as `level`. A run of one
    /// operator becomes one call with many arguments, so that long sums stay flat.
    fn binary(&mut self, level: u8) -> Lowering {
        let mut left = self.unary(true)?;
        while let Some(&(op, tightness, function)) = self.peek_binary(level) {
            let mut args = vec![left];
            while self.skip_op(op) {
                args.push(self.binary(tightness + 1)?);
            }
            left = self.op_call(function, &args)?;
        }
        Ok(left)
    }

    fn peek_binary(&self, level: u8) -> Option<&'static (&'static str, u8, &'static str)> {
        let Some(Tok::Op(found)) = self.peek() else {
            return None;
        };
        BINARY.iter().find(|(op, l, _)| op == found && *l >= level)
    }

    fn unary(&mut self, with_filter: bool) -> Lowering {
        let sign = match self.peek() {
            Some(Tok::Op("-")) => Some("neg"),
            Some(Tok::Op("+")) => Some("pos"),
            _ => None,
        };
        let mut value = match sign {
            Some(function) => {
                self.bump();
                let inner = self.nested(|p| p.unary(false))?;
                self.op_call(function, &[inner])?
            }
            None => self.primary()?,
        };
        value = self.postfix(value)?;
        if with_filter {
            value = self.filters_and_tests(value)?;
        }
        Ok(value)
    }

    pub(super) fn primary(&mut self) -> Lowering {
        let Some(token) = self.bump() else {
            return self.fail("expected an expression, found the end of the template");
        };
        match token {
            Tok::Name(name) => self.name(&name),
            Tok::Str(mut text) => {
                while let Some(Tok::Str(more)) = self.peek() {
                    text.push_str(more);
                    self.bump();
                }
                self.code(quote(&text), true, 1)
            }
            Tok::Int(value) => self.code(value.to_string(), true, 1),
            Tok::Float(value) => self.code(float_literal(value), true, 1),
            Tok::Op("(") => {
                let inner = self.tuple(true, true)?;
                self.expect_op(")")?;
                Ok(inner)
            }
            Tok::Op("[") => {
                let items = self.items("]")?;
                self.op_call("list", &items)
            }
            Tok::Op("{") => self.dict(),
            other => self.fail(format!("expected an expression, found {}", other.describe())),
        }
    }

    fn name(&mut self, name: &str) -> Lowering {
        match name {
            "true" | "True" => self.code("true".into(), true, 1),
            "false" | "False" => self.code("false".into(), true, 1),
            "none" | "None" => self.code("none".into(), true, 1),
            "in" | "if" | "else" | "and" | "or" | "is" | "not" => {
                self.fail(format!("expected an expression, found `{name}`"))
            }
            _ => {
                self.check_name(name)?;
                self.names.insert(name.to_owned());
                self.code(name.to_owned(), true, 1)
            }
        }
    }

    /// `a` or `a, b, …`; with `empty_allowed` also nothing at all.
    pub(super) fn tuple(&mut self, conditional: bool, empty_allowed: bool) -> Lowering {
        let mut items = Vec::new();
        let mut is_tuple = false;
        while !self.at_tuple_end() {
            items.push(match conditional {
                true => self.expression()?,
                false => self.nested(Self::or)?,
            });
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
        }
        match (items.len(), is_tuple) {
            (1, false) => Ok(items.remove(0)),
            (0, false) if !empty_allowed => {
                self.fail(format!("expected an expression, found {}", self.describe_next()))
            }
            _ => self.op_call("tuple", &items),
        }
    }

    fn at_tuple_end(&self) -> bool {
        match self.peek() {
            None | Some(Tok::VarEnd | Tok::BlockEnd | Tok::Op(")")) => true,
            Some(Tok::Name(name)) => name == "recursive",
            _ => false,
        }
    }

    fn items(&mut self, close: &'static str) -> Result<Vec<Code>, ChatError> {
        let mut items = Vec::new();
        while !self.skip_op(close) {
            items.push(self.expression()?);
            if !self.skip_op(",") {
                self.expect_op(close)?;
                break;
            }
        }
        Ok(items)
    }

    fn dict(&mut self) -> Lowering {
        let mut pairs = Vec::new();
        while !self.skip_op("}") {
            pairs.push(self.expression()?);
            self.expect_op(":")?;
            pairs.push(self.expression()?);
            if !self.skip_op(",") {
                self.expect_op("}")?;
                break;
            }
        }
        self.op_call("dict", &pairs)
    }

    fn postfix(&mut self, mut value: Code) -> Lowering {
        loop {
            value = match self.peek() {
                Some(Tok::Op(".")) => {
                    self.bump();
                    self.attribute(value)?
                }
                Some(Tok::Op("[")) => {
                    self.bump();
                    self.subscript(value)?
                }
                Some(Tok::Op("(")) => self.call(value, None)?,
                _ => return Ok(value),
            };
        }
    }

    fn attribute(&mut self, value: Code) -> Lowering {
        let name = match self.bump() {
            Some(Tok::Name(name)) => name,
            Some(Tok::Int(index)) => {
                let index = self.code(index.to_string(), true, 1)?;
                return self.op_call("item", &[value, index]);
            }
            _ => return self.fail("expected a name or a number after `.`"),
        };
        if matches!(self.peek(), Some(Tok::Op("("))) {
            return self.call(value, Some(&name));
        }
        if py::methods::is_name(&name) || name.starts_with('_') {
            let name = self.code(quote(&name), true, 1)?;
            return self.op_call("attr", &[value, name]);
        }
        let depth = value.depth + 1;
        self.code(format!("{}[{}]", operand(value), quote(&name)), true, depth)
    }

    fn subscript(&mut self, value: Code) -> Lowering {
        let mut keys = Vec::new();
        while !self.skip_op("]") {
            if !keys.is_empty() {
                self.expect_op(",")?;
            }
            match self.slice()? {
                Slice::Key(key) => keys.push(key),
                Slice::Range(bounds) => {
                    self.expect_op("]")?;
                    let [start, stop, step] = bounds;
                    return self.op_call("slice", &[value, start, stop, step]);
                }
            }
        }
        let key = match keys.len() {
            1 => keys.remove(0),
            _ => self.op_call("tuple", &keys)?,
        };
        self.op_call("item", &[value, key])
    }

    fn slice(&mut self) -> Result<Slice, ChatError> {
        let none = |p: &Self| p.code("none".into(), true, 1);
        let start = match self.peek() {
            Some(Tok::Op(":")) => none(self)?,
            _ => {
                let key = self.expression()?;
                if !matches!(self.peek(), Some(Tok::Op(":"))) {
                    return Ok(Slice::Key(key));
                }
                key
            }
        };
        self.expect_op(":")?;
        let bound = |p: &mut Self| match p.peek() {
            Some(Tok::Op(":" | "]" | ",")) => none(p),
            _ => p.expression(),
        };
        let stop = bound(self)?;
        let step = match self.skip_op(":") {
            true => bound(self)?,
            false => none(self)?,
        };
        Ok(Slice::Range([start, stop, step]))
    }

    /// `value(args)`, or `value.method(args)`.
    fn call(&mut self, value: Code, method: Option<&str>) -> Lowering {
        self.expect_op("(")?;
        let (args, args_depth) = self.call_args()?;
        let depth = value.depth.max(args_depth) + 1;
        let comma = if args.is_empty() { "" } else { ", " };
        let is_name = value.text.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric());
        let text = match method {
            Some(name) => format!("{PREFIX}call({}, {}{comma}{args})", value.text, quote(name)),
            None if value.text == "loop" => format!("loop({PREFIX}iter({args}))"),
            None if is_name => format!("{}({args})", value.text),
            None => format!("{PREFIX}invoke({}{comma}{args})", value.text),
        };
        self.code(text, true, depth)
    }

    /// Arguments up to the closing parenthesis, and the height of the tallest.
    fn call_args(&mut self) -> Result<(String, usize), ChatError> {
        let (mut parts, mut depth, mut keywords) = (Vec::new(), 0, false);
        while !self.skip_op(")") {
            if let Some(Tok::Op(star @ ("*" | "**"))) = self.peek() {
                return self.fail(format!("`{star}` arguments are not supported"));
            }
            let mut prefix = String::new();
            if let (Some(Tok::Name(name)), Some(Tok::Op("="))) = (self.peek(), self.peek_second()) {
                let name = name.clone();
                self.check_name(&name)?;
                self.bump();
                self.bump();
                prefix = format!("{name}=");
                keywords = true;
            } else if keywords {
                return self.fail("positional argument after a named one");
            }
            let value = self.expression()?;
            depth = depth.max(value.depth);
            parts.push(prefix + &operand(value));
            if !self.skip_op(",") {
                self.expect_op(")")?;
                break;
            }
        }
        Ok((parts.join(", "), depth))
    }

    fn filters_and_tests(&mut self, mut value: Code) -> Lowering {
        loop {
            value = match self.peek() {
                Some(Tok::Op("|")) => self.filters(value)?,
                Some(Tok::Name(n)) if n == "is" => {
                    self.bump();
                    self.test(value)?
                }
                Some(Tok::Op("(")) => self.call(value, None)?,
                _ => return Ok(value),
            };
        }
    }

    /// A run of filters, which needs no parentheses within itself.
    fn filters(&mut self, value: Code) -> Lowering {
        let mut depth = value.depth;
        let mut text = operand(value);
        while self.skip_op("|") {
            let (filter, args_depth) = self.filter()?;
            depth = depth.max(args_depth) + 1;
            text.push('|');
            text.push_str(&filter);
        }
        self.code(text, false, depth)
    }

    /// The name and arguments of a filter; the bar was read.
    pub(super) fn filter(&mut self) -> Result<(String, usize), ChatError> {
        let name = self.expect_any_name("a filter")?;
        if !py::filters::exists(&name) {
            return self.fail(format!("no filter named `{name}`"));
        }
        if !self.skip_op("(") {
            return Ok((name, 0));
        }
        let (args, depth) = self.call_args()?;
        Ok((format!("{name}({args})"), depth))
    }

    fn test(&mut self, value: Code) -> Lowering {
        let negated = self.skip_name("not");
        let name = self.expect_any_name("a test")?;
        if !py::tests::exists(&name) {
            return self.fail(format!("no test named `{name}`"));
        }
        let name = quote(&name);
        let (args, args_depth) = match self.peek() {
            Some(Tok::Op("(")) => {
                self.bump();
                self.call_args()?
            }
            Some(Tok::Name(n)) if matches!(n.as_str(), "else" | "or" | "and") => (String::new(), 0),
            Some(Tok::Name(n)) if n == "is" => {
                return self.fail("tests cannot be chained with `is`");
            }
            // Jinja2 would read these as the test's argument and then fail.
            Some(Tok::Name(n)) if matches!(n.as_str(), "if" | "in" | "not") => (String::new(), 0),
            Some(Tok::Name(_) | Tok::Str(_) | Tok::Int(_) | Tok::Float(_) | Tok::Op("[" | "{")) => {
                let arg = self.nested(|p| {
                    let arg = p.primary()?;
                    p.postfix(arg)
                })?;
                let depth = arg.depth;
                (operand(arg), depth)
            }
            _ => (String::new(), 0),
        };
        let depth = value.depth.max(args_depth) + 1;
        let comma = if args.is_empty() { "" } else { ", " };
        let text = format!("{PREFIX}test({}, {name}{comma}{args})", value.text);
        match negated {
            true => self.code(format!("(not {text})"), true, depth + 1),
            false => self.code(text, true, depth),
        }
    }
}

enum Slice {
    Key(Code),
    Range([Code; 3]),
}

/// The text of an expression where an operand is wanted.
pub(super) fn operand(code: Code) -> String {
    match code.atomic {
        true => code.text,
        false => format!("({})", code.text),
    }
}

/// A string literal of the engine.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A float literal that the engine reads back as the same float.
fn float_literal(value: f64) -> String {
    let text = format!("{value:?}");
    match text.contains('.') {
        true => text,
        false => text.replacen('e', ".0e", 1),
    }
}
