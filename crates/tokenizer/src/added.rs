//! Tokens that are matched in the text before anything else: control tokens, when the caller asks for them, and
//! user-defined tokens, always.

use std::ops::Range;

use aho_corasick::{AhoCorasick, Input, MatchKind};

use crate::TokenId;
use crate::error::TokenizerError;
use crate::vocab::{TokenType, Vocab};

/// A stretch of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fragment {
    /// Ordinary text.
    Text(Range<usize>),
    /// A token's text.
    Token(TokenId),
}

/// Whether a token takes the white space beside it along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Strip {
    pub left: bool,
    pub right: bool,
}

/// The matcher of such tokens.
#[derive(Debug)]
pub(crate) struct AddedTokens {
    all: Matcher,
    /// Without control tokens.
    always: Matcher,
}

#[derive(Debug, Default)]
struct Matcher {
    automaton: Option<AhoCorasick>,
    tokens: Vec<(TokenId, Strip)>,
}

impl Matcher {
    fn new<'a>(tokens: impl Iterator<Item = (TokenId, &'a [u8], Strip)>) -> Result<Self, TokenizerError> {
        let (texts, tokens): (Vec<_>, Vec<_>) =
            tokens.filter(|(_, text, _)| !text.is_empty()).map(|(id, text, strip)| (text, (id, strip))).unzip();
        if texts.is_empty() {
            return Ok(Self::default());
        }
        let automaton = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&texts);
        let automaton = automaton.map_err(|error| TokenizerError::BadPattern {
            pattern: format!("the texts of {} special tokens", texts.len()),
            reason: error.to_string(),
        })?;
        Ok(Self { automaton: Some(automaton), tokens })
    }
}

impl AddedTokens {
    /// Takes the control, unknown and user-defined tokens of the vocabulary.
    pub(crate) fn new(vocab: &Vocab, strip: impl Fn(TokenId) -> Strip) -> Result<Self, TokenizerError> {
        let of = |wanted: fn(TokenType) -> bool| {
            let tokens = vocab.iter().filter(move |(id, text, ty)| {
                // Where a text is listed twice, the first token has it.
                wanted(*ty) && std::str::from_utf8(text).is_ok() && vocab.id(text) == Some(*id)
            });
            Matcher::new(tokens.map(|(id, text, _)| (id, text, strip(id))))
        };
        Ok(Self {
            all: of(|ty| matches!(ty, TokenType::Control | TokenType::Unknown | TokenType::UserDefined))?,
            always: of(|ty| ty == TokenType::UserDefined)?,
        })
    }

    /// Cuts `text` at these tokens. In the ranges of `literal`, and everywhere without `parse_special`, control tokens
    /// stay text; none is matched across the border of such a range either.
    ///
    /// The ranges are sorted, apart, and on character boundaries.
    pub(crate) fn split(&self, text: &str, parse_special: bool, literal: &[Range<usize>]) -> Vec<Fragment> {
        let mut out = Splitter { text, out: Vec::new(), pending: 0 };
        let mut at = 0;
        let matcher = if parse_special { &self.all } else { &self.always };
        for range in literal {
            out.scan(matcher, at..range.start);
            out.scan(&self.always, range.clone());
            at = range.end;
        }
        out.scan(matcher, at..text.len());
        out.flush(text.len());
        out.out
    }
}

struct Splitter<'a> {
    text: &'a str,
    out: Vec<Fragment>,
    /// Where text begins that is not in `out` yet.
    pending: usize,
}

impl Splitter<'_> {
    fn scan(&mut self, matcher: &Matcher, range: Range<usize>) {
        let Some(automaton) = matcher.automaton.as_ref().filter(|_| !range.is_empty()) else { return };
        let input = Input::new(self.text).range(range.clone());
        for found in automaton.find_iter(input) {
            let (id, strip) = matcher.tokens[found.pattern().as_usize()];
            let mut end = found.start();
            if strip.left {
                let before = &self.text[self.pending..end];
                end = self.pending + before.trim_end_matches(|c: char| c.is_ascii_whitespace()).len();
            }
            self.flush(end);
            self.out.push(Fragment::Token(id));
            self.pending = found.end();
            if strip.right {
                let behind = &self.text[self.pending..range.end];
                self.pending = range.end - behind.trim_start_matches(|c: char| c.is_ascii_whitespace()).len();
            }
        }
    }

    fn flush(&mut self, end: usize) {
        if self.pending < end {
            self.out.push(Fragment::Text(self.pending..end));
        }
        self.pending = end.max(self.pending);
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init, reason = "a list of one range is meant")]
mod tests {
    use super::*;
    use crate::vocab::Writing;

    fn tokens() -> AddedTokens {
        let texts: Vec<Box<[u8]>> = ["x", "<|a|>", "<|ab|>", "  ", "<m>"].iter().map(|t| t.as_bytes().into()).collect();
        let types =
            vec![TokenType::Normal, TokenType::Control, TokenType::Control, TokenType::UserDefined, TokenType::Control];
        let vocab = Vocab::new(&texts, types, Writing::Marked).unwrap();
        AddedTokens::new(&vocab, |id| Strip { left: id == 4, right: id == 2 }).unwrap()
    }

    fn check(parse: bool, literal: &[Range<usize>], text: &str, expected: &str) {
        let show = |f: Fragment| match f {
            Fragment::Text(range) => format!("[{}]", &text[range]),
            Fragment::Token(id) => id.to_string(),
        };
        let got: Vec<_> = tokens().split(text, parse, literal).into_iter().map(show).collect();
        assert_eq!(got.join(""), expected, "{text:?}");
    }

    #[test]
    fn control_tokens_only_when_asked() {
        check(true, &[], "x<|a|>y<|ab|>", "[x]1[y]2");
        check(false, &[], "x<|a|>y", "[x<|a|>y]");
        check(false, &[], "a  b", "[a]3[b]");
        check(true, &[], "", "");
        check(true, &[], "<|ab|> \n x <m>", "2[x]4");
    }

    #[test]
    fn literal_ranges_stay_text() {
        let text = "<|a|><|a|><|a|>";
        check(true, &[5..10], text, "1[<|a|>]1");
        check(true, &[0..2], text, "[<|a|>]11");
        check(true, &[0..5, 5..10], text, "[<|a|><|a|>]1");
    }
}
