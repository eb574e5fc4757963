//! BERT's WordPiece: words, cut greedily into the longest tokens.

use std::sync::LazyLock;

use regex_syntax::hir::{Class, HirKind};
use unicode_normalization::UnicodeNormalization;

use crate::TokenId;
use crate::hash::Map;
use crate::vocab::{MARK, Vocab};

/// Words of more characters are unknown, as in BERT's own tokenizer.
const MAX_WORD_CHARS: usize = 100;

/// How BERT's normalizer is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Folding {
    /// Letters become lower case.
    pub lowercase: bool,
    /// Accents are taken off letters.
    pub strip_accents: bool,
}

/// A WordPiece tokenizer over a vocabulary in which a token that begins a word begins with U+2581.
#[derive(Debug)]
pub(crate) struct WordPiece {
    /// Tokens that begin a word, without their mark.
    beginnings: Map<Box<[u8]>, TokenId>,
    /// Tokens that continue one.
    continuations: Map<Box<[u8]>, TokenId>,
    longest: usize,
    folding: Folding,
    unknown: TokenId,
}

impl WordPiece {
    /// Takes the vocabulary's text tokens.
    pub(crate) fn new(vocab: &Vocab, folding: Folding, unknown: TokenId) -> Self {
        let mut model =
            Self { beginnings: Map::default(), continuations: Map::default(), longest: 0, folding, unknown };
        for (id, text, _) in vocab.iter().filter(|(_, _, ty)| ty.is_text()) {
            model.longest = model.longest.max(text.len());
            let (tokens, text) = match text.strip_prefix(MARK.as_bytes()) {
                Some(text) => (&mut model.beginnings, text),
                None => (&mut model.continuations, text),
            };
            tokens.entry(text.into()).or_insert(id);
        }
        model
    }

    /// Appends the tokens of `text`.
    pub(crate) fn encode(&self, text: &str, out: &mut Vec<TokenId>) {
        let mut word = String::new();
        let mut folded = String::new();
        let mut flush = |word: &mut String| {
            if !word.is_empty() {
                self.word(word, out);
                word.clear();
            }
        };
        for c in text.chars().filter(|&c| !is_dropped(c)) {
            if c.is_whitespace() {
                flush(&mut word);
                continue;
            }
            // Punctuation is what folding leaves: an accent may have stood on a sign.
            folded.clear();
            self.fold(c, &mut folded);
            let apart = is_ideograph(c);
            for c in folded.chars() {
                let alone = apart || is_punctuation(c);
                if alone {
                    flush(&mut word);
                }
                word.push(c);
                if alone {
                    flush(&mut word);
                }
            }
        }
        flush(&mut word);
    }

    fn fold(&self, c: char, word: &mut String) {
        if c.is_ascii() {
            word.push(if self.folding.lowercase { c.to_ascii_lowercase() } else { c });
            return;
        }
        let lower = |c: char, word: &mut String| {
            if self.folding.lowercase { word.extend(c.to_lowercase()) } else { word.push(c) }
        };
        if self.folding.strip_accents {
            std::iter::once(c).nfd().filter(|&c| !MARKS.contains(c)).for_each(|c| lower(c, word));
        } else {
            lower(c, word);
        }
    }

    /// Cuts one word; if some part of it is no token, the whole word is unknown.
    fn word(&self, word: &str, out: &mut Vec<TokenId>) {
        let first = out.len();
        let mut at = 0;
        if word.chars().count() <= MAX_WORD_CHARS {
            while at < word.len() {
                let tokens = if at == 0 { &self.beginnings } else { &self.continuations };
                let Some((id, length)) = self.longest_token(tokens, &word[at..]) else { break };
                out.push(id);
                at += length;
            }
        }
        if at < word.len() {
            out.truncate(first);
            out.push(self.unknown);
        }
    }

    fn longest_token(&self, tokens: &Map<Box<[u8]>, TokenId>, rest: &str) -> Option<(TokenId, usize)> {
        (1..=rest.len().min(self.longest))
            .rev()
            .filter(|&end| rest.is_char_boundary(end))
            .find_map(|end| Some((*tokens.get(&rest.as_bytes()[..end])?, end)))
    }
}

/// Characters that BERT's normalizer removes: controls, formats, and those that stand for nothing.
fn is_dropped(c: char) -> bool {
    match c {
        '\t' | '\n' | '\r' => false,
        '\0' | '\u{FFFD}' => true,
        c if c.is_ascii() => c.is_ascii_control(),
        c => OTHERS.contains(c),
    }
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || (!c.is_ascii() && PUNCTUATION.contains(c))
}

/// The ideographs that BERT takes one by one.
fn is_ideograph(c: char) -> bool {
    matches!(u32::from(c),
        0x4E00..=0x9FFF | 0x3400..=0x4DBF | 0x20000..=0x2A6DF | 0x2A700..=0x2B73F | 0x2B740..=0x2B81F
        // The published tokenizer begins this block at 2B920, not at 2B820; its models learned from that.
        | 0x2B920..=0x2CEAF | 0xF900..=0xFAFF | 0x2F800..=0x2FA1F)
}

static MARKS: LazyLock<CharSet> = LazyLock::new(|| CharSet::of(r"\p{Mn}"));
static PUNCTUATION: LazyLock<CharSet> = LazyLock::new(|| CharSet::of(r"\p{P}"));
static OTHERS: LazyLock<CharSet> = LazyLock::new(|| CharSet::of(r"[\p{Cc}\p{Cf}\p{Co}]"));

/// A sorted list of ranges.
struct CharSet(Vec<(char, char)>);

impl CharSet {
    /// The characters of a class such as `\p{P}`; none if it is not a class, which the tests below rule out.
    fn of(class: &str) -> Self {
        let ranges = match regex_syntax::parse(class).map(|hir| hir.into_kind()) {
            Ok(HirKind::Class(Class::Unicode(class))) => class.iter().map(|r| (r.start(), r.end())).collect(),
            _ => Vec::new(),
        };
        Self(ranges)
    }

    fn contains(&self, c: char) -> bool {
        let at = self.0.partition_point(|&(_, end)| end < c);
        self.0.get(at).is_some_and(|&(start, _)| start <= c)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::{TokenType, Writing};

    fn ids(text: &str) -> Vec<TokenId> {
        let pieces = ["[UNK]", "▁un", "aff", "able", "▁!", "▁cafe", "▁漢", "▁字", "s", "▁a"];
        let texts: Vec<Box<[u8]>> = pieces.iter().map(|t| t.as_bytes().into()).collect();
        let mut types = vec![TokenType::Normal; pieces.len()];
        types[0] = TokenType::Control;
        let vocab = Vocab::new(&texts, types, Writing::Marked).unwrap();
        let model = WordPiece::new(&vocab, Folding { lowercase: true, strip_accents: true }, 0);
        let mut out = Vec::new();
        model.encode(text, &mut out);
        out
    }

    #[test]
    fn words_are_cut_greedily() {
        assert_eq!(ids("UNaffable!"), [1, 2, 3, 4]);
        assert_eq!(ids("un aff"), [1, 0]);
        assert_eq!(ids("Cafés 漢字"), [5, 8, 6, 7]);
        assert_eq!(ids("a\u{ad}\u{0}\u{FFFD} a"), [9, 9]);
        assert_eq!(ids("[UNK]"), [0, 0, 0]);
        assert_eq!(ids("▁un"), [0]);
        assert_eq!(ids(&"a".repeat(101)), [0]);
    }

    #[test]
    fn classes_are_classes() {
        assert!(MARKS.contains('\u{301}') && !MARKS.contains('e'));
        assert!(PUNCTUATION.contains('。') && !PUNCTUATION.contains('字'));
        assert!(OTHERS.contains('\u{200b}') && OTHERS.contains('\u{e000}') && !OTHERS.contains('é'));
    }
}
