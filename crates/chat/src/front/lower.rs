//! Blocks: Jinja2's statements in, the same statements over lowered expressions out.

use std::collections::BTreeSet;

use super::PREFIX;
use super::expr::{operand, quote};
use super::lexer::{Tok, Token, tokenize};
use crate::error::ChatError;
use crate::limits::Limits;

/// A template that was read, checked and written again for the engine.
#[derive(Debug)]
pub(crate) struct Lowered {
    /// What the engine compiles; line numbers are those of the source.
    pub program: String,
    /// Every name the template reads.
    pub names: BTreeSet<String>,
}

/// Reads `source` and lowers it.
pub(crate) fn lower(source: &str, limits: &Limits) -> Result<Lowered, ChatError> {
    if source.len() > limits.source_bytes {
        return Err(ChatError::limit("template size in bytes", limits.source_bytes as u64, None));
    }
    let tokens = tokenize(source)?;
    let mut parser = Parser {
        tokens: &tokens,
        at: 0,
        limits,
        depth: 0,
        names: BTreeSet::new(),
        out: String::new(),
        out_line: 1,
        open: Vec::new(),
    };
    parser.template()?;
    Ok(Lowered { program: parser.out, names: parser.names })
}

/// A block that waits for its end.
#[derive(Clone, Copy, PartialEq)]
enum Block {
    If {
        has_else: bool,
        branches: usize,
    },
    For {
        has_else: bool,
    },
    /// Its output is captured: `macro`, `call`, `filter`, `set`.
    Capture(&'static str),
    /// `with`, `block`, `generation`: a scope.
    Scope(&'static str),
}

pub(super) struct Parser<'t> {
    tokens: &'t [Token],
    at: usize,
    pub limits: &'t Limits,
    /// Recursion of the expression parser.
    pub depth: usize,
    pub names: BTreeSet<String>,
    out: String,
    out_line: usize,
    open: Vec<(Block, usize)>,
}

/// Parts of Jinja that need other template files, which a model file has not.
const NEEDS_FILES: &[&str] = &["include", "import", "from", "extends"];

impl Parser<'_> {
    pub(super) fn peek(&self) -> Option<&Tok> {
        self.tokens.get(self.at).map(|t| &t.kind)
    }

    pub(super) fn peek_second(&self) -> Option<&Tok> {
        self.tokens.get(self.at + 1).map(|t| &t.kind)
    }

    pub(super) fn bump(&mut self) -> Option<Tok> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token.kind.clone())
    }

    pub(super) fn peek_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Tok::Name(n)) if n == name)
    }

    pub(super) fn peek_second_name(&self, name: &str) -> bool {
        matches!(self.peek_second(), Some(Tok::Name(n)) if n == name)
    }

    pub(super) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.peek_name(name);
        self.at += usize::from(found);
        found
    }

    pub(super) fn skip_op(&mut self, op: &str) -> bool {
        let found = matches!(self.peek(), Some(Tok::Op(o)) if *o == op);
        self.at += usize::from(found);
        found
    }

    pub(super) fn expect_op(&mut self, op: &'static str) -> Result<(), ChatError> {
        match self.skip_op(op) {
            true => Ok(()),
            false => self.fail(format!("expected `{op}`, found {}", self.describe_next())),
        }
    }

    pub(super) fn expect_any_name(&mut self, what: &str) -> Result<String, ChatError> {
        match self.peek() {
            Some(Tok::Name(name)) => {
                let name = name.clone();
                self.at += 1;
                Ok(name)
            }
            _ => self.fail(format!("expected the name of {what}, found {}", self.describe_next())),
        }
    }

    pub(super) fn describe_next(&self) -> String {
        self.peek().map_or("the end of the template".into(), Tok::describe)
    }

    /// Line of the token that was read last or, before the first, of the first.
    pub(super) fn line(&self) -> usize {
        let at = self.at.saturating_sub(1).min(self.tokens.len().max(1) - 1);
        self.tokens.get(at).map_or(1, |t| t.line)
    }

    pub(super) fn fail<T>(&self, message: impl Into<String>) -> Result<T, ChatError> {
        Err(ChatError::syntax(self.line(), message))
    }

    pub(super) fn too_deep(&self) -> ChatError {
        ChatError::limit("nesting of the template", self.limits.nesting as u64, Some(self.line()))
    }

    /// Names that the engine can hold and that do not reach the operators.
    pub(super) fn check_name(&self, name: &str) -> Result<(), ChatError> {
        if name.starts_with(PREFIX) {
            return self.fail(format!("name `{name}`: the prefix {PREFIX} is reserved"));
        }
        if !name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric()) {
            return self.fail(format!("name `{name}`: only ASCII names are supported"));
        }
        Ok(())
    }

    fn template(&mut self) -> Result<(), ChatError> {
        while let Some(token) = self.bump() {
            match token {
                Tok::Data(text) => {
                    self.open_tag("{{");
                    self.out.push_str(&quote(&text));
                    self.out.push_str("}}");
                }
                Tok::VarBegin => {
                    let line = self.line();
                    let value = self.tuple(true, false)?;
                    self.sync(line, "{{");
                    self.out.push_str(&operand(value));
                    self.out.push_str("}}");
                    self.expect_end(Tok::VarEnd)?;
                }
                Tok::BlockBegin => {
                    let line = self.line();
                    let statement = self.statement()?;
                    self.expect_end(Tok::BlockEnd)?;
                    if let Some(statement) = statement {
                        self.sync(line, "{%");
                        self.out.push_str(&statement);
                        self.out.push_str("%}");
                    }
                }
                other => return self.fail(format!("unexpected {}", other.describe())),
            }
        }
        match self.open.last() {
            None => Ok(()),
            Some((block, line)) => Err(ChatError::syntax(*line, format!("`{}` without its end", block.word()))),
        }
    }

    fn open_tag(&mut self, tag: &str) {
        self.sync(self.line(), tag);
    }

    /// Opens a tag such that what follows is on `line`.
    fn sync(&mut self, line: usize, tag: &str) {
        self.out.push_str(tag);
        // A minus is the engine's whitespace control, a brace would be its tag.
        self.out.push(' ');
        for _ in self.out_line..line {
            self.out.push('\n');
        }
        self.out_line = self.out_line.max(line);
    }

    fn expect_end(&mut self, end: Tok) -> Result<(), ChatError> {
        if self.peek() == Some(&end) {
            self.at += 1;
            return Ok(());
        }
        self.fail(format!("expected {}, found {}", end.describe(), self.describe_next()))
    }

    fn push_block(&mut self, block: Block) -> Result<(), ChatError> {
        let line = self.line();
        self.open.push((block, line));
        self.check_nesting()
    }

    /// An `elif` is one level deeper for the compiler, so branches count too.
    fn check_nesting(&self) -> Result<(), ChatError> {
        let levels: usize = self
            .open
            .iter()
            .map(|(b, _)| match b {
                Block::If { branches, .. } => *branches,
                _ => 1,
            })
            .sum();
        match levels > self.limits.nesting {
            true => Err(self.too_deep()),
            false => Ok(()),
        }
    }

    /// One statement, up to but without its `%}`. `None` where nothing is left of it.
    fn statement(&mut self) -> Result<Option<String>, ChatError> {
        let word = self.expect_any_name("a statement")?;
        let text = match word.as_str() {
            "if" => {
                let condition = self.tuple(false, false)?;
                self.push_block(Block::If { has_else: false, branches: 1 })?;
                format!("if {}", operand(condition))
            }
            "elif" => self.elif()?,
            "else" => self.else_()?,
            "for" => self.for_()?,
            "set" => self.set()?,
            "macro" => self.macro_()?,
            "call" => self.call_block()?,
            "filter" => {
                let filters = self.filter_chain()?;
                self.push_block(Block::Capture("filter"))?;
                format!("filter {filters}")
            }
            "with" => self.with()?,
            "block" => {
                self.expect_any_name("a block")?;
                self.push_block(Block::Scope("block"))?;
                "with".into()
            }
            // Marks the assistant's text for training; the text itself is as without it.
            "generation" => {
                self.push_block(Block::Scope("generation"))?;
                "with".into()
            }
            "break" | "continue" => self.loop_control(&word)?,
            _ if word.starts_with("end") => self.end(&word)?,
            _ if NEEDS_FILES.contains(&word.as_str()) => {
                return self.fail(format!("`{word}` needs other template files, and there are none"));
            }
            _ => return self.fail(format!("unknown statement `{word}`")),
        };
        Ok(Some(text))
    }

    fn elif(&mut self) -> Result<String, ChatError> {
        match self.open.last_mut() {
            Some((Block::If { has_else, branches }, _)) if !*has_else => *branches += 1,
            _ => return self.fail("`elif` outside of an `if`"),
        }
        self.check_nesting()?;
        let condition = self.tuple(false, false)?;
        Ok(format!("elif {}", operand(condition)))
    }

    fn else_(&mut self) -> Result<String, ChatError> {
        match self.open.last_mut() {
            Some((Block::If { has_else, .. } | Block::For { has_else }, _)) if !*has_else => {
                *has_else = true;
                Ok("else".into())
            }
            _ => self.fail("`else` outside of an `if` or a `for`"),
        }
    }

    fn end(&mut self, word: &str) -> Result<String, ChatError> {
        let Some((block, line)) = self.open.pop() else {
            return self.fail(format!("`{word}` closes nothing"));
        };
        if word.strip_prefix("end") != Some(block.word()) {
            return self.fail(format!("expected `end{}` for the block of line {line}, found `{word}`", block.word()));
        }
        if block.word() == "block" || block.word() == "macro" {
            // The name may be repeated.
            if matches!(self.peek(), Some(Tok::Name(_))) {
                self.at += 1;
            }
        }
        Ok(match block {
            Block::Scope(_) => "endwith".into(),
            _ => word.to_owned(),
        })
    }

    /// The engine can only jump out of a loop's own body and of conditions in it.
    fn loop_control(&mut self, word: &str) -> Result<String, ChatError> {
        for (block, _) in self.open.iter().rev() {
            match block {
                Block::For { has_else: false } => return Ok(word.to_owned()),
                Block::If { .. } => {}
                Block::For { has_else: true } => break,
                Block::Capture(inside) | Block::Scope(inside) => {
                    return self.fail(format!("`{word}` cannot leave a `{inside}`"));
                }
            }
        }
        self.fail(format!("`{word}` outside of a loop"))
    }

    fn for_(&mut self) -> Result<String, ChatError> {
        let target = self.target()?;
        if !self.skip_name("in") {
            return self.fail(format!("expected `in`, found {}", self.describe_next()));
        }
        let over = self.tuple(false, false)?;
        let mut text = format!("for {target} in {PREFIX}iter({})", over.text);
        if self.skip_name("if") {
            let condition = self.expression()?;
            text.push_str(&format!(" if {}", operand(condition)));
        }
        if self.skip_name("recursive") {
            text.push_str(" recursive");
        }
        self.push_block(Block::For { has_else: false })?;
        Ok(text)
    }

    /// What is assigned to: a name, or names to unpack into.
    fn target(&mut self) -> Result<String, ChatError> {
        let parenthesised = self.skip_op("(");
        let mut names = Vec::new();
        let mut is_tuple = false;
        loop {
            names.push(match matches!(self.peek(), Some(Tok::Op("("))) {
                true => self.nested(Self::target)?,
                false => self.target_name()?,
            });
            if !self.skip_op(",") {
                break;
            }
            is_tuple = true;
            if !matches!(self.peek(), Some(Tok::Name(n)) if n != "in") && !matches!(self.peek(), Some(Tok::Op("("))) {
                break;
            }
        }
        if parenthesised {
            self.expect_op(")")?;
        }
        match (is_tuple, names.len()) {
            (false, 1) => Ok(names.remove(0)),
            (_, 1) => Ok(format!("({},)", names[0])),
            _ => Ok(format!("({})", names.join(", "))),
        }
    }

    fn target_name(&mut self) -> Result<String, ChatError> {
        let name = self.expect_any_name("a variable")?;
        self.check_name(&name)?;
        match name.as_str() {
            "true" | "True" | "false" | "False" | "none" | "None" | "loop" | "not" | "in" | "is" | "and" | "or"
            | "if" | "else" => self.fail(format!("cannot assign to `{name}`")),
            _ => Ok(name),
        }
    }

    fn set(&mut self) -> Result<String, ChatError> {
        if let (Some(Tok::Name(space)), Some(Tok::Op("."))) = (self.peek(), self.peek_second()) {
            let space = space.clone();
            self.at += 2;
            return self.set_attribute(&space);
        }
        let target = self.target()?;
        if self.skip_op("=") {
            let value = self.tuple(true, false)?;
            return Ok(format!("set {target} = {}", operand(value)));
        }
        let mut text = format!("set {target}");
        if self.skip_op("|") {
            text.push('|');
            text.push_str(&self.filter_chain()?);
        }
        self.push_block(Block::Capture("set"))?;
        Ok(text)
    }

    fn set_attribute(&mut self, space: &str) -> Result<String, ChatError> {
        self.check_name(space)?;
        let name = self.expect_any_name("an attribute")?;
        if !self.skip_op("=") {
            return self.fail(format!("expected `=`, found {}", self.describe_next()));
        }
        let value = self.tuple(true, false)?;
        Ok(format!("do {PREFIX}set({space}, {}, {})", quote(&name), value.text))
    }

    fn filter_chain(&mut self) -> Result<String, ChatError> {
        let mut filters = vec![self.filter()?.0];
        while self.skip_op("|") {
            filters.push(self.filter()?.0);
            if filters.len() > self.limits.nesting {
                return Err(self.too_deep());
            }
        }
        Ok(filters.join("|"))
    }

    /// The parameters of a macro or of a call block, in their parentheses.
    fn parameters(&mut self) -> Result<String, ChatError> {
        self.expect_op("(")?;
        let mut parameters = Vec::new();
        while !self.skip_op(")") {
            let mut parameter = self.target_name()?;
            if self.skip_op("=") {
                let default = self.expression()?;
                parameter.push_str(&format!("={}", operand(default)));
            }
            parameters.push(parameter);
            if !self.skip_op(",") {
                self.expect_op(")")?;
                break;
            }
        }
        Ok(parameters.join(", "))
    }

    fn macro_(&mut self) -> Result<String, ChatError> {
        let name = self.target_name()?;
        let parameters = self.parameters()?;
        self.push_block(Block::Capture("macro"))?;
        Ok(format!("macro {name}({parameters})"))
    }

    fn call_block(&mut self) -> Result<String, ChatError> {
        let parameters = match self.peek() {
            Some(Tok::Op("(")) => format!("({})", self.parameters()?),
            _ => String::new(),
        };
        let called = self.expression()?;
        let plain = called.text.split_once('(').is_some_and(|(name, _)| !name.starts_with(PREFIX) && name != "loop");
        if !plain || !called.text.ends_with(')') {
            return self.fail("expected the call of a macro after `call`");
        }
        self.push_block(Block::Capture("call"))?;
        Ok(format!("call{parameters} {}", called.text))
    }

    fn with(&mut self) -> Result<String, ChatError> {
        let mut assignments = Vec::new();
        while !matches!(self.peek(), Some(Tok::BlockEnd)) {
            if !assignments.is_empty() {
                self.expect_op(",")?;
            }
            let name = self.target_name()?;
            self.expect_op("=")?;
            let value = self.expression()?;
            assignments.push(format!("{name}={}", operand(value)));
        }
        self.push_block(Block::Scope("with"))?;
        Ok(format!("with {}", assignments.join(", ")))
    }
}

impl Block {
    fn word(self) -> &'static str {
        match self {
            Block::If { .. } => "if",
            Block::For { .. } => "for",
            Block::Capture(word) | Block::Scope(word) => word,
        }
    }
}
