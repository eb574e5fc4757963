//! Tokens, with Jinja2's rules for whitespace around tags
//! (`trim_blocks` and `lstrip_blocks` on, one trailing newline dropped).

use crate::error::ChatError;
use crate::py::text::is_space;

/// One token and the line it starts on.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub kind: Tok,
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tok {
    Data(String),
    VarBegin,
    VarEnd,
    BlockBegin,
    BlockEnd,
    Name(String),
    Str(String),
    Int(i128),
    Float(f64),
    Op(&'static str),
}

impl Tok {
    /// How an error message calls this token.
    pub fn describe(&self) -> String {
        match self {
            Tok::Data(_) => "template text".into(),
            Tok::VarBegin => "`{{`".into(),
            Tok::VarEnd => "`}}`".into(),
            Tok::BlockBegin => "`{%`".into(),
            Tok::BlockEnd => "`%}`".into(),
            Tok::Name(n) => format!("`{n}`"),
            Tok::Str(_) => "a string".into(),
            Tok::Int(i) => format!("`{i}`"),
            Tok::Float(f) => format!("`{f}`"),
            Tok::Op(o) => format!("`{o}`"),
        }
    }
}

/// Longest first, so that a prefix never wins.
const OPERATORS: &[&str] = &[
    "**", "//", "==", "!=", ">=", "<=", "+", "-", "*", "/", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".",
    ":", "|", ",", ";",
];

/// Reads a whole template.
pub(crate) fn tokenize(source: &str) -> Result<Vec<Token>, ChatError> {
    let mut text = source.replace("\r\n", "\n").replace('\r', "\n");
    if text.ends_with('\n') {
        text.pop();
    }
    let mut lexer = Lexer { src: &text, pos: 0, line: 1, at_line_start: true, tokens: Vec::new() };
    lexer.root()?;
    Ok(lexer.tokens)
}

struct Lexer<'s> {
    src: &'s str,
    pos: usize,
    line: usize,
    /// The last tag ended in a newline (or nothing was read yet), which is what
    /// lets `lstrip_blocks` strip a first line.
    at_line_start: bool,
    tokens: Vec<Token>,
}

/// Which tag opens at a position.
enum Opening {
    Comment,
    Block,
    Variable,
}

impl<'s> Lexer<'s> {
    fn root(&mut self) -> Result<(), ChatError> {
        while self.pos < self.src.len() {
            let Some((at, opening)) = self.next_opening() else {
                let rest = self.rest().to_owned();
                self.data(&rest);
                break;
            };
            let data = &self.src[self.pos..at];
            let sign = self.src[at + 2..].chars().next();
            let kept = self.strip_before(data, sign, matches!(opening, Opening::Variable));
            let data_newlines = count_newlines(data);
            self.data(kept);
            self.line += data_newlines;
            self.pos = at + 2;
            if matches!(sign, Some('-' | '+')) {
                self.pos += 1;
            }
            match opening {
                Opening::Comment => self.comment()?,
                Opening::Variable => self.tag(Tok::VarBegin, Tok::VarEnd)?,
                Opening::Block => {
                    if !self.raw()? {
                        self.tag(Tok::BlockBegin, Tok::BlockEnd)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn rest(&self) -> &'s str {
        &self.src[self.pos..]
    }

    fn next_opening(&self) -> Option<(usize, Opening)> {
        let bytes = self.src.as_bytes();
        let mut at = self.pos;
        while at + 1 < bytes.len() {
            if bytes[at] == b'{' {
                let opening = match bytes[at + 1] {
                    b'#' => Some(Opening::Comment),
                    b'%' => Some(Opening::Block),
                    b'{' => Some(Opening::Variable),
                    _ => None,
                };
                if let Some(opening) = opening {
                    return Some((at, opening));
                }
            }
            at += 1;
        }
        None
    }

    /// Text before a tag, after `-`, `+` and `lstrip_blocks` had their say.
    fn strip_before<'d>(&self, data: &'d str, sign: Option<char>, variable: bool) -> &'d str {
        if sign == Some('-') {
            return data.trim_end_matches(is_space);
        }
        if sign == Some('+') || variable {
            return data;
        }
        let line_at = data.rfind('\n').map_or(0, |i| i + 1);
        if (line_at > 0 || self.at_line_start) && data[line_at..].chars().all(is_space) {
            return &data[..line_at];
        }
        data
    }

    fn data(&mut self, text: &str) {
        if !text.is_empty() {
            self.push(Tok::Data(text.to_owned()));
        }
    }

    fn push(&mut self, kind: Tok) {
        self.tokens.push(Token { kind, line: self.line });
    }

    fn error<T>(&self, message: impl Into<String>) -> Result<T, ChatError> {
        Err(ChatError::syntax(self.line, message))
    }

    fn skip(&mut self, bytes: usize) {
        let skipped = &self.src[self.pos..self.pos + bytes];
        self.line += count_newlines(skipped);
        self.at_line_start = skipped.ends_with('\n');
        self.pos += bytes;
    }

    /// If the closing delimiter (`}}`, `%}`, `#}`) with its sign starts `text`, the bytes
    /// it takes, with the whitespace it swallows.
    fn closing(text: &str, delimiter: &str, trim_newline: bool) -> Option<usize> {
        if let Some(after) = text.strip_prefix('-').and_then(|t| t.strip_prefix(delimiter)) {
            let spaces = after.len() - after.trim_start_matches(is_space).len();
            return Some(1 + delimiter.len() + spaces);
        }
        let plus = text.strip_prefix('+').is_some_and(|t| t.starts_with(delimiter));
        if plus && delimiter != "}}" {
            return Some(1 + delimiter.len());
        }
        let after = text.strip_prefix(delimiter)?;
        Some(delimiter.len() + usize::from(trim_newline && after.starts_with('\n')))
    }

    fn comment(&mut self) -> Result<(), ChatError> {
        let text = self.rest();
        let Some(end) = text.find("#}") else {
            return self.error("comment without its closing `#}`");
        };
        let signed = end > 0 && matches!(text.as_bytes()[end - 1], b'-' | b'+');
        let start = end - usize::from(signed);
        let length = Self::closing(&text[start..], "#}", true).unwrap_or(2);
        self.skip(start + length);
        Ok(())
    }

    /// `{% raw %} … {% endraw %}`; true if there was one.
    fn raw(&mut self) -> Result<bool, ChatError> {
        let text = self.rest();
        let inner = text.trim_start_matches(is_space);
        let Some(after) = inner.strip_prefix("raw") else {
            return Ok(false);
        };
        let after = after.trim_start_matches(is_space);
        if !(after.starts_with("%}") || after.starts_with("-%}")) {
            return Ok(false);
        }
        let close = Self::closing(after, "%}", false).unwrap_or(2);
        self.skip(text.len() - after.len() + close);
        let body = self.rest();
        let mut from = 0;
        while let Some(found) = body[from..].find("{%") {
            let at = from + found;
            let tag = &body[at + 2..];
            let sign = tag.chars().next();
            let name = tag.trim_start_matches(['-', '+']).trim_start_matches(is_space);
            if let Some(rest) = name.strip_prefix("endraw") {
                let rest = rest.trim_start_matches(is_space);
                if let Some(close) = Self::closing(rest, "%}", true) {
                    let kept = self.strip_before(&body[..at], sign, false);
                    self.data(kept);
                    self.skip(body.len() - rest.len() + close);
                    return Ok(true);
                }
            }
            from = at + 2;
        }
        self.error("`raw` without its `endraw`")
    }

    /// The inside of a `{{ }}` or `{% %}`.
    fn tag(&mut self, begin: Tok, end: Tok) -> Result<(), ChatError> {
        let delimiter = if end == Tok::VarEnd { "}}" } else { "%}" };
        self.push(begin);
        let opened = self.line;
        let mut brackets: Vec<&'static str> = Vec::new();
        loop {
            let text = self.rest();
            let closing = Self::closing(text, delimiter, delimiter == "%}");
            if let (true, Some(length)) = (brackets.is_empty(), closing) {
                self.push(end);
                self.skip(length);
                return Ok(());
            }
            let Some(c) = text.chars().next() else {
                return Err(ChatError::syntax(opened, format!("tag without its closing `{delimiter}`")));
            };
            if is_space(c) {
                self.skip(c.len_utf8());
            } else if c.is_ascii_digit() {
                self.number()?;
            } else if c == '_' || c.is_alphabetic() {
                self.name();
            } else if c == '"' || c == '\'' {
                self.string(c)?;
            } else {
                self.operator(&mut brackets)?;
            }
        }
    }

    fn name(&mut self) {
        let text = self.rest();
        let end = text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len());
        self.push(Tok::Name(text[..end].to_owned()));
        self.skip(end);
    }

    fn operator(&mut self, brackets: &mut Vec<&'static str>) -> Result<(), ChatError> {
        let text = self.rest();
        let Some(op) = OPERATORS.iter().copied().find(|op| text.starts_with(op)) else {
            let c = text.chars().next().unwrap_or(' ');
            return self.error(format!("unexpected character {c:?}"));
        };
        match op {
            "(" => brackets.push(")"),
            "[" => brackets.push("]"),
            "{" => brackets.push("}"),
            ")" | "]" | "}" if brackets.pop() != Some(op) => {
                return self.error(format!("`{op}` closes nothing"));
            }
            _ => {}
        }
        self.push(Tok::Op(op));
        self.skip(op.len());
        Ok(())
    }

    fn number(&mut self) -> Result<(), ChatError> {
        let text = self.rest();
        let digits = |t: &str| t.find(|c: char| c != '_' && !c.is_ascii_digit()).unwrap_or(t.len());
        let radix = match text.as_bytes() {
            [b'0', b'x' | b'X', ..] => Some(16),
            [b'0', b'o' | b'O', ..] => Some(8),
            [b'0', b'b' | b'B', ..] => Some(2),
            _ => None,
        };
        if let Some(radix) = radix {
            let end = text[2..].find(|c: char| c != '_' && !c.is_digit(radix)).map_or(text.len(), |e| e + 2);
            let value = i128::from_str_radix(&text[2..end].replace('_', ""), radix);
            return self.push_int(value.ok(), end);
        }
        let whole = digits(text);
        let mut end = whole;
        let tail = &text[end..];
        if tail.starts_with('.') && tail[1..].starts_with(|c: char| c.is_ascii_digit()) {
            end += 1 + digits(&tail[1..]);
        }
        let tail = &text[end..];
        if tail.starts_with(['e', 'E']) {
            let signed = usize::from(tail[1..].starts_with(['+', '-']));
            let exponent = &tail[1 + signed..];
            if exponent.starts_with(|c: char| c.is_ascii_digit()) {
                end += 1 + signed + digits(exponent);
            }
        }
        let literal = text[..end].replace('_', "");
        if end == whole {
            return self.push_int(literal.parse().ok(), end);
        }
        match literal.parse::<f64>() {
            Ok(value) if value.is_finite() => self.push(Tok::Float(value)),
            _ => return self.error(format!("number `{literal}` is out of range")),
        }
        self.skip(end);
        Ok(())
    }

    fn push_int(&mut self, value: Option<i128>, length: usize) -> Result<(), ChatError> {
        let Some(value) = value else {
            return self.error("whole number is out of range or has no digits");
        };
        self.push(Tok::Int(value));
        self.skip(length);
        Ok(())
    }

    fn string(&mut self, quote: char) -> Result<(), ChatError> {
        let text = self.rest();
        let mut out = String::new();
        let mut chars = text.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            if c == quote {
                self.push(Tok::Str(out));
                self.skip(at + 1);
                return Ok(());
            }
            if c != '\\' {
                out.push(c);
                continue;
            }
            let Some((_, escape)) = chars.next() else {
                break;
            };
            let mut digits = |count: usize, radix: u32, first: Option<char>| {
                let mut value = first.and_then(|c| c.to_digit(radix)).unwrap_or(0);
                for _ in 0..count {
                    let mut ahead = chars.clone();
                    match ahead.next().and_then(|(_, c)| c.to_digit(radix)) {
                        Some(digit) => value = value.wrapping_mul(radix) + digit,
                        None if radix == 8 => break,
                        None => return None,
                    }
                    chars = ahead;
                }
                char::from_u32(value)
            };
            let decoded = match escape {
                'n' => Some('\n'),
                't' => Some('\t'),
                'r' => Some('\r'),
                'a' => Some('\x07'),
                'b' => Some('\x08'),
                'f' => Some('\x0c'),
                'v' => Some('\x0b'),
                '\\' | '\'' | '"' => Some(escape),
                '\n' => continue,
                'x' => digits(2, 16, None),
                'u' => digits(4, 16, None),
                'U' => digits(8, 16, None),
                '0'..='7' => digits(2, 8, Some(escape)),
                other => {
                    out.push('\\');
                    Some(other)
                }
            };
            match decoded {
                Some(c) => out.push(c),
                None => return self.error(format!("bad escape `\\{escape}` in a string")),
            }
        }
        self.error("string without its closing quote")
    }
}

fn count_newlines(text: &str) -> usize {
    text.bytes().filter(|&b| b == b'\n').count()
}
