//! SentencePiece's Unigram model: of all ways to cut a text into tokens, the one with the highest sum of scores.

use crate::TokenId;
use crate::charsmap::Charsmap;
use crate::hash::Map;
use crate::vocab::{MARK, TokenType, Vocab};

/// How much worse than the worst token an unknown character is; SentencePiece's constant.
const UNKNOWN_PENALTY: f64 = 10.0;

/// How the text is made ready.
#[derive(Debug, Default)]
pub(crate) struct Normalizer {
    /// Replacements, usually NFKC.
    pub charsmap: Charsmap,
    /// A space goes before the first word.
    pub add_prefix: bool,
    /// Runs of spaces become one, and those at the ends vanish.
    pub merge_spaces: bool,
}

/// A Unigram tokenizer.
#[derive(Debug)]
pub(crate) struct Unigram {
    normalizer: Normalizer,
    trie: Trie,
    scores: Vec<f64>,
    unknown: TokenId,
    unknown_score: f64,
}

/// Token texts by their bytes.
#[derive(Debug)]
struct Trie {
    /// Node after each first byte; 0 for none.
    roots: Box<[u32; 256]>,
    edges: Map<u64, u32>,
    tokens: Vec<Option<TokenId>>,
}

impl Trie {
    fn new() -> Self {
        Self { roots: Box::new([0; 256]), edges: Map::default(), tokens: vec![None] }
    }

    fn insert(&mut self, text: &[u8], id: TokenId) {
        let Some((&first, rest)) = text.split_first() else { return };
        let mut fresh = self.tokens.len() as u32;
        let root = &mut self.roots[usize::from(first)];
        if *root == 0 {
            *root = fresh;
            self.tokens.push(None);
            fresh += 1;
        }
        let mut node = *root;
        for &byte in rest {
            node = *self.edges.entry(edge(node, byte)).or_insert(fresh);
            if node == fresh {
                self.tokens.push(None);
                fresh += 1;
            }
        }
        self.tokens[node as usize].get_or_insert(id);
    }

    /// The tokens that `text` begins with, shortest first, with their lengths.
    fn prefixes<'a>(&'a self, text: &'a [u8]) -> impl Iterator<Item = (TokenId, usize)> + 'a {
        let mut node = 0;
        text.iter()
            .enumerate()
            .map_while(move |(at, &byte)| {
                node = if at == 0 { self.roots[usize::from(byte)] } else { *self.edges.get(&edge(node, byte))? };
                (node != 0).then(|| self.tokens[node as usize].map(|id| (id, at + 1)))
            })
            .flatten()
    }
}

fn edge(node: u32, byte: u8) -> u64 {
    u64::from(node) << 8 | u64::from(byte)
}

/// The best way to reach one place in the text.
#[derive(Debug, Clone, Copy)]
struct Best {
    score: f64,
    token: TokenId,
    /// Length of that token in bytes.
    length: u32,
}

impl Unigram {
    /// Builds the trie. `unknown` stands for characters that no token covers.
    pub(crate) fn new(vocab: &Vocab, scores: &[f32], unknown: TokenId, normalizer: Normalizer) -> Self {
        let mut trie = Trie::new();
        let mut worst = f64::MAX;
        let mut own = vec![0.0; vocab.len()];
        for (id, text, ty) in vocab.iter() {
            let score = scores.get(id as usize).map_or(0.0, |&s| f64::from(s));
            if ty.is_text() {
                trie.insert(text, id);
            }
            if ty == TokenType::Normal {
                worst = worst.min(score);
            }
            // A user-defined token always wins over what it is made of.
            own[id as usize] = if ty == TokenType::UserDefined { 0.0 } else { score };
        }
        let worst = if worst == f64::MAX { 0.0 } else { worst };
        Self { normalizer, trie, scores: own, unknown, unknown_score: worst - UNKNOWN_PENALTY }
    }

    /// Appends the tokens of `text`.
    pub(crate) fn encode(&self, text: &str, out: &mut Vec<TokenId>) {
        let text = self.normalizer.run(text);
        let best = self.best_paths(&text);
        let first = out.len();
        let mut end = text.len();
        let mut after_unknown = false;
        while end > 0 {
            let step = best[end];
            let is_unknown = step.token == self.unknown;
            if !(is_unknown && after_unknown) {
                out.push(step.token);
            }
            after_unknown = is_unknown;
            end -= step.length as usize;
        }
        out[first..].reverse();
    }

    /// The best way to reach each character boundary: Viterbi's algorithm over the trie.
    fn best_paths(&self, text: &str) -> Vec<Best> {
        let nowhere = Best { score: f64::NEG_INFINITY, token: self.unknown, length: 0 };
        let mut best = vec![nowhere; text.len() + 1];
        best[0].score = 0.0;
        for (at, c) in text.char_indices() {
            let here = best[at].score;
            let mut covered = false;
            for (token, length) in self.trie.prefixes(&text.as_bytes()[at..]) {
                covered |= length == c.len_utf8();
                offer(&mut best[at + length], here + self.scores[token as usize], token, length);
            }
            if !covered {
                let length = c.len_utf8();
                offer(&mut best[at + length], here + self.unknown_score, self.unknown, length);
            }
        }
        best
    }
}

fn offer(slot: &mut Best, score: f64, token: TokenId, length: usize) {
    if score > slot.score {
        *slot = Best { score, token, length: length as u32 };
    }
}

impl Normalizer {
    fn run(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len() + text.len() / 2 + MARK.len());
        // When spaces are merged, each word brings its own, and the first one is the prefix.
        if self.add_prefix && !self.merge_spaces && !text.is_empty() {
            out.push_str(MARK);
        }
        let mut in_word = false;
        let mut take = |piece: &str| {
            for c in piece.chars() {
                if c == ' ' {
                    in_word = false;
                    if !self.merge_spaces {
                        out.push_str(MARK);
                    }
                    continue;
                }
                if !in_word && self.merge_spaces && (self.add_prefix || !out.is_empty()) {
                    out.push_str(MARK);
                }
                in_word = true;
                out.push(c);
            }
        };
        let mut at = 0;
        while let Some(c) = text[at..].chars().next() {
            let (piece, length) =
                self.charsmap.longest(&text[at..]).unwrap_or((&text[at..at + c.len_utf8()], c.len_utf8()));
            take(piece);
            at += length;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::Writing;

    fn model(normalizer: Normalizer) -> Unigram {
        let pieces: [(&str, f32); 7] =
            [("<unk>", 0.0), ("▁", -3.0), ("a", -2.0), ("b", -2.5), ("ab", -3.0), ("▁ab", -4.0), ("ba", -4.6)];
        let texts: Vec<Box<[u8]>> = pieces.iter().map(|(t, _)| t.as_bytes().into()).collect();
        let mut types = vec![TokenType::Normal; 7];
        types[0] = TokenType::Unknown;
        let vocab = Vocab::new(&texts, types, Writing::Marked).unwrap();
        let scores: Vec<f32> = pieces.iter().map(|(_, s)| *s).collect();
        Unigram::new(&vocab, &scores, 0, normalizer)
    }

    fn check(normalizer: Normalizer, text: &str, ids: &[TokenId]) {
        let mut out = vec![99];
        model(normalizer).encode(text, &mut out);
        assert_eq!(out[1..], *ids, "{text:?}");
    }

    #[test]
    fn the_best_sum_wins_and_unknown_runs_are_one_token() {
        check(Normalizer::default(), "abab", &[4, 4]);
        check(Normalizer::default(), "bab", &[3, 4]);
        check(Normalizer::default(), "xyzab", &[0, 4]);
        check(Normalizer::default(), "", &[]);
        check(Normalizer { add_prefix: true, ..Normalizer::default() }, "ab", &[5]);
    }

    #[test]
    fn spaces_are_merged_when_the_model_says_so() {
        let run =
            |merge_spaces, text: &str| Normalizer { add_prefix: true, merge_spaces, ..Normalizer::default() }.run(text);
        assert_eq!(run(true, "  a   b "), "▁a▁b");
        assert_eq!(run(false, " a  b "), "▁▁a▁▁b▁");
        assert_eq!(run(true, "   "), "");
        assert_eq!(run(false, "  "), "▁▁▁");
    }
}
