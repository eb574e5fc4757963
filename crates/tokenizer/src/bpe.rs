//! Tokenizers that merge neighbours: byte-level BPE, BPE over marked characters, and SentencePiece's BPE.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::TokenId;
use crate::byte_level;
use crate::error::TokenizerError;
use crate::hash::Map;
use crate::merge::{Join, Merges, RAW, Scratch, Symbol};
use crate::pretoken::PreTokenizer;
use crate::vocab::{MARK, Vocab};

/// Where words begin and end.
#[derive(Debug)]
pub(crate) enum Words {
    /// Cut by the model's patterns.
    Pattern(PreTokenizer),
    /// Cut before each run of marks: right when no token has a mark behind another character, so that no merge can
    /// cross such a cut.
    Marks,
    /// The text is one word.
    Whole,
}

/// Which symbol a word's parts are before any merge.
#[derive(Debug)]
enum Parts {
    Bytes(Box<[Symbol; 256]>),
    Chars { ascii: Box<[Symbol; 128]>, others: Map<char, Symbol> },
}

/// What becomes of a part that is no token.
#[derive(Debug)]
pub(crate) enum Fallback {
    /// Nothing: the vocabulary has no way to say it.
    Drop,
    /// The byte tokens of its UTF-8 form.
    Bytes(Box<[TokenId; 256]>),
    /// The unknown token, once for each run.
    Unknown(TokenId),
}

/// When a word that is a token as a whole is taken without merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortcut {
    /// Always: the model's tokenizer ignores merges then.
    Always,
    /// When the merges lead there anyway; found out once for each token.
    IfMergesAgree { lines_always: bool },
}

/// What is known of a token's merges.
mod known {
    pub(super) const NOTHING: u8 = 0;
    pub(super) const AGREES: u8 = 1;
    pub(super) const DIFFERS: u8 = 2;
}

/// A merging tokenizer.
#[derive(Debug)]
pub(crate) struct Bpe {
    words: Words,
    parts: Parts,
    merges: Merges,
    /// Tokens by the text that words have.
    tokens: Map<Box<[u8]>, TokenId>,
    /// One of [`known`] for each token. Learned while encoding; every thread would learn the same.
    agreement: Box<[AtomicU8]>,
    shortcut: Shortcut,
    fallback: Fallback,
}

impl Bpe {
    /// Byte-level BPE.
    pub(crate) fn byte_level(vocab: &Vocab, merges: Merges, words: Words, shortcut: Shortcut) -> Self {
        let mut parts = Box::new([0; 256]);
        for byte in 0..=255_u8 {
            let mut utf8 = [0; 4];
            let text = byte_level::char_of(byte).encode_utf8(&mut utf8);
            parts[usize::from(byte)] = vocab.id(text.as_bytes()).unwrap_or(RAW | u32::from(byte));
        }
        let tokens = vocab.iter().filter(|(_, _, ty)| ty.is_text()).filter_map(|(id, text, _)| {
            let bytes = byte_level::decode(std::str::from_utf8(text).ok()?)?;
            Some((bytes.into_boxed_slice(), id))
        });
        Self {
            words,
            parts: Parts::Bytes(parts),
            merges,
            tokens: first_of_each(tokens),
            agreement: unknown_agreement(vocab),
            shortcut,
            fallback: Fallback::Drop,
        }
    }

    /// BPE over characters, with spaces written as marks.
    pub(crate) fn marked(vocab: &Vocab, merges: Merges, words: Words, shortcut: Shortcut, fallback: Fallback) -> Self {
        let mut ascii = Box::new(std::array::from_fn(|c| RAW | c as u32));
        let mut others = Map::default();
        for (id, c) in single_chars(vocab) {
            match ascii.get_mut(c as usize) {
                Some(slot) if *slot & RAW != 0 => *slot = id,
                Some(_) => {}
                None => {
                    others.entry(c).or_insert(id);
                }
            }
        }
        let tokens = vocab.iter().filter(|(_, _, ty)| ty.is_text()).map(|(id, text, _)| (text.into(), id));
        Self {
            words,
            parts: Parts::Chars { ascii, others },
            merges,
            tokens: first_of_each(tokens),
            agreement: unknown_agreement(vocab),
            shortcut,
            fallback,
        }
    }

    /// Appends the tokens of `text`.
    pub(crate) fn encode(&self, text: &str, out: &mut Vec<TokenId>) {
        let mut scratch = Scratch::default();
        let first = out.len();
        match &self.words {
            Words::Pattern(cutter) => cutter.split(text, |word| self.word(word, first, &mut scratch, out)),
            Words::Marks => each_marked_word(text, |word| self.word(word, first, &mut scratch, out)),
            Words::Whole => self.word(text, first, &mut scratch, out),
        }
    }

    fn word(&self, word: &str, first: usize, scratch: &mut Scratch, out: &mut Vec<TokenId>) {
        let whole = self.tokens.get(word.as_bytes()).copied();
        if let Some(id) = whole {
            let state = self.agreement[id as usize].load(Ordering::Relaxed);
            if state == known::AGREES || self.always_whole(word) {
                out.push(id);
                return;
            }
        }
        self.parts_of(word, &mut scratch.symbols);
        self.merges.run(scratch);
        if let Some(id) = whole {
            let state = if scratch.symbols == [id] { known::AGREES } else { known::DIFFERS };
            self.agreement[id as usize].store(state, Ordering::Relaxed);
        }
        for &symbol in &scratch.symbols {
            if symbol & RAW == 0 {
                out.push(symbol);
            } else {
                self.fall_back(symbol & !RAW, first, out);
            }
        }
    }

    fn always_whole(&self, word: &str) -> bool {
        match self.shortcut {
            Shortcut::Always => true,
            Shortcut::IfMergesAgree { lines_always } => lines_always && word.bytes().all(|b| b == b'\n'),
        }
    }

    fn parts_of(&self, word: &str, symbols: &mut Vec<Symbol>) {
        symbols.clear();
        match &self.parts {
            Parts::Bytes(table) => symbols.extend(word.bytes().map(|byte| table[usize::from(byte)])),
            Parts::Chars { ascii, others } => symbols.extend(word.chars().map(|c| match ascii.get(c as usize) {
                Some(&symbol) => symbol,
                None => others.get(&c).copied().unwrap_or(RAW | c as u32),
            })),
        }
    }

    /// Says a character that is no token in another way.
    fn fall_back(&self, raw: u32, first: usize, out: &mut Vec<TokenId>) {
        match &self.fallback {
            Fallback::Drop => {}
            Fallback::Bytes(tokens) => {
                let mut utf8 = [0; 4];
                let c = char::from_u32(raw).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend(c.encode_utf8(&mut utf8).bytes().map(|byte| tokens[usize::from(byte)]));
            }
            Fallback::Unknown(id) => {
                if out.get(first..).and_then(<[_]>::last) != Some(id) {
                    out.push(*id);
                }
            }
        }
    }
}

fn unknown_agreement(vocab: &Vocab) -> Box<[AtomicU8]> {
    (0..vocab.len()).map(|_| AtomicU8::new(known::NOTHING)).collect()
}

fn first_of_each(tokens: impl Iterator<Item = (Box<[u8]>, TokenId)>) -> Map<Box<[u8]>, TokenId> {
    let mut map = Map::default();
    for (text, id) in tokens {
        map.entry(text).or_insert(id);
    }
    map
}

/// Text tokens of one character.
fn single_chars(vocab: &Vocab) -> impl Iterator<Item = (TokenId, char)> {
    vocab.iter().filter(|(_, _, ty)| ty.is_text()).filter_map(|(id, text, _)| {
        let mut chars = std::str::from_utf8(text).ok()?.chars();
        let c = chars.next()?;
        chars.next().is_none().then_some((id, c))
    })
}

/// Calls `emit` with the words of a marked text: each a run of marks with what follows it.
fn each_marked_word(text: &str, mut emit: impl FnMut(&str)) {
    let mut start = 0;
    let mut at = 0;
    while let Some(found) = text[at..].find(MARK) {
        let mark = at + found;
        if found > 0 && mark > start {
            emit(&text[start..mark]);
            start = mark;
        }
        at = mark + MARK.len();
    }
    if start < text.len() {
        emit(&text[start..]);
    }
}

/// Reads the list of merges: each two token texts with a space between.
pub(crate) fn parse_merges(vocab: &Vocab, list: &[Box<[u8]>]) -> Result<Merges, TokenizerError> {
    let mut merges = Merges::with_capacity(list.len());
    let mut joined = Vec::new();
    let mut unused = 0;
    for (index, rule) in list.iter().enumerate() {
        let bad = |why| TokenizerError::BadMerge { index, text: String::from_utf8_lossy(rule).into_owned(), why };
        let mut parts = rule.split(|&b| b == b' ');
        let (left, right) = match (parts.next(), parts.next(), parts.next()) {
            (Some(left), Some(right), None) if !left.is_empty() && !right.is_empty() => (left, right),
            _ => return Err(bad("expected two tokens with one space between them")),
        };
        joined.clear();
        joined.extend_from_slice(left);
        joined.extend_from_slice(right);
        let id = |text: &[u8], why| vocab.id(text).ok_or_else(|| bad(why));
        let left = id(left, "its left part is not in the vocabulary")?;
        let right = id(right, "its right part is not in the vocabulary")?;
        let Some(result) = vocab.id(&joined) else {
            // Nothing can be joined into it, so the rule never applies; vocabularies that were cut down have such.
            unused += 1;
            continue;
        };
        if !merges.insert(left, right, Join { rank: index as u32, id: result }) {
            return Err(bad("the same pair has a merge already"));
        }
    }
    if unused > 0 {
        tracing::warn!(
            "{unused} of {} merges give texts that are not in the vocabulary; they are left out",
            list.len()
        );
    }
    Ok(merges)
}

/// The longest token that joining by score may give, in bytes.
const MAX_JOINED_BYTES: usize = 1024;

/// The merges of a SentencePiece BPE model: any two neighbours whose joined text is a token, best score first.
///
/// Answers also whether words may be cut before marks.
///
/// # Errors
/// [`TokenizerError::TokenTooLong`], as the work for a token grows with the square of its length.
pub(crate) fn merges_by_score(vocab: &Vocab, scores: &[f32]) -> Result<(Merges, Words), TokenizerError> {
    let chars: Map<char, TokenId> = first_chars(vocab);
    let mut by_score: Vec<(TokenId, &str)> = vocab
        .iter()
        .filter(|(_, _, ty)| ty.is_text())
        .filter_map(|(id, text, _)| Some((id, std::str::from_utf8(text).ok()?)))
        .filter(|(_, text)| text.chars().nth(1).is_some())
        .collect();
    let score = |id: TokenId| scores.get(id as usize).copied().unwrap_or(0.0);
    by_score.sort_by(|(a, _), (b, _)| score(*b).total_cmp(&score(*a)));

    let mut merges = Merges::default();
    let mut rank = 0;
    let mut last = None;
    let mut cuttable = true;
    for (id, text) in by_score {
        // Tokens of one score have one rank: among them the place decides. Zero has two signs but one rank.
        let now = score(id) + 0.0;
        if last.is_some_and(|last| last != now) {
            rank += 1;
        }
        last = Some(now);
        if text.len() > MAX_JOINED_BYTES {
            return Err(TokenizerError::TokenTooLong { id: id as usize, bytes: text.len(), max: MAX_JOINED_BYTES });
        }
        cuttable &= !text.trim_start_matches(MARK).contains(MARK);
        for (at, _) in text.char_indices().skip(1) {
            let (left, right) = text.split_at(at);
            if let (Some(left), Some(right)) = (part(vocab, &chars, left), part(vocab, &chars, right)) {
                merges.insert(left, right, Join { rank, id });
            }
        }
    }
    Ok((merges, if cuttable { Words::Marks } else { Words::Whole }))
}

fn first_chars(vocab: &Vocab) -> Map<char, TokenId> {
    let mut chars = Map::default();
    for (id, c) in single_chars(vocab) {
        chars.entry(c).or_insert(id);
    }
    chars
}

/// The symbol that a part of a token's text is: a token, or a character that is none.
fn part(vocab: &Vocab, chars: &Map<char, TokenId>, text: &str) -> Option<Symbol> {
    let mut each = text.chars();
    if let (Some(c), None) = (each.next(), each.next()) {
        return Some(chars.get(&c).copied().unwrap_or(RAW | c as u32));
    }
    let id = vocab.id(text.as_bytes())?;
    vocab.token_type(id).is_some_and(|ty| ty.is_text()).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_words() {
        let words = |text: &str| {
            let mut out = Vec::new();
            each_marked_word(text, |word| out.push(word.to_owned()));
            out
        };
        assert_eq!(words("▁a▁▁b"), ["▁a", "▁▁b"]);
        assert_eq!(words("ab▁c▁"), ["ab", "▁c", "▁"]);
        assert_eq!(words("▁▁"), ["▁▁"]);
        assert!(words("").is_empty());
    }
}
