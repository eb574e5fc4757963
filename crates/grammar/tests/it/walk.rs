//! Texts made of random allowed tokens.

use rocmforge_chat::CALL_FORMATS;
use rocmforge_grammar::{Grammar, GrammarVocab};
use rocmforge_tokenizer::TokenId;

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// The ids that a mask allows.
pub fn allowed(words: &[u32]) -> Vec<TokenId> {
    let bits = |word: u32| (0..32).filter(move |bit| word >> bit & 1 == 1);
    words.iter().enumerate().flat_map(|(at, word)| bits(*word).map(move |bit| at as u32 * 32 + bit)).collect()
}

/// Tokens after which the walk looks for the way out.
const WANDER: usize = 40;

/// Tokens at which it must have found it.
const MOST: usize = 2000;

/// A text made of random allowed tokens, up to an end token. Along the way it checks that a mask allows no control
/// token but the end, that what it does not allow is refused and changes nothing, and that the end is allowed when it
/// says so.
pub fn walk(grammar: &Grammar, seed: u64) -> Vec<u8> {
    let vocab = grammar.vocab();
    let tokenizer = vocab.tokenizer();
    let mut random = Random(seed);
    let mut matcher = grammar.start();
    let mut words = vec![u32::MAX; vocab.mask_words()];
    let mut text = Vec::new();
    let is_control = |id: &TokenId| {
        let is_end = tokenizer.stop_tokens().contains(id) || is_mark(tokenizer.token_bytes(*id));
        tokenizer.is_special(*id) && !is_end
    };
    let controls: Vec<_> = (0..vocab.vocab_size() as TokenId).filter(is_control).collect();
    for step in 0..MOST {
        matcher.mask(&mut words).unwrap_or_else(|error| panic!("{error} after {}", String::from_utf8_lossy(&text)));
        let tokens = allowed(&words);
        assert!(!tokens.is_empty(), "a dead end after {}", String::from_utf8_lossy(&text));
        let stops = tokenizer.stop_tokens();
        let ends: Vec<_> = tokens.iter().copied().filter(|id| stops.contains(id)).collect();
        assert!(ends.is_empty() || ends == stops, "all ends or none");
        assert_eq!(!ends.is_empty(), matcher.may_end(), "after {}", String::from_utf8_lossy(&text));
        for id in &controls {
            assert!(words[*id as usize / 32] >> (id % 32) & 1 == 0, "control token {id} is allowed");
        }
        check_refusal(&mut matcher, &words, &mut random, vocab);
        let token = match ends.is_empty() {
            false if tokens.len() == ends.len() || step >= WANDER || random.below(4) == 0 => {
                ends[random.below(ends.len())]
            }
            _ if step >= WANDER => closing(vocab, &tokens, &mut random),
            _ => tokens[random.below(tokens.len())],
        };
        matcher.accept(token).unwrap_or_else(|error| panic!("{error}, but the mask allows it"));
        if stops.contains(&token) {
            assert!(matcher.is_finished());
            matcher.mask(&mut words).unwrap();
            assert!(allowed(&words).is_empty(), "nothing follows the end");
            return text;
        }
        text.extend_from_slice(tokenizer.token_bytes(token));
    }
    panic!("no end: {}", String::from_utf8_lossy(&text));
}

/// Whether a token is a mark of the calls of tools.
fn is_mark(text: &[u8]) -> bool {
    CALL_FORMATS.iter().flat_map(|format| [format.open, format.close]).flatten().any(|mark| mark.as_bytes() == text)
}

/// Tries a token that the mask does not allow; where the text is forced, other spellings of it may still be taken.
fn check_refusal(matcher: &mut rocmforge_grammar::Matcher, words: &[u32], random: &mut Random, vocab: &GrammarVocab) {
    let id = random.below(vocab.vocab_size()) as TokenId;
    let is_forced = words.iter().map(|word| word.count_ones()).sum::<u32>() == 1;
    let is_allowed = words[id as usize / 32] >> (id % 32) & 1 == 1;
    if !is_forced && !is_allowed {
        assert!(matcher.accept(id).is_err(), "token {id} is not in the mask");
    }
}

/// A token that leads to the end of most texts: quotes, brackets, and else what is short.
fn closing(vocab: &GrammarVocab, tokens: &[TokenId], random: &mut Random) -> TokenId {
    let bytes = |id: &TokenId| vocab.tokenizer().token_bytes(*id);
    let rank = |id: &TokenId| match bytes(id) {
        b"}" | b"]" | b")" => 0,
        b"\"" => 1,
        text if text.contains(&b'"') && text.len() < 4 => 2,
        text => 2 + text.len(),
    };
    let best = tokens.iter().map(rank).min().unwrap();
    let best: Vec<_> = tokens.iter().copied().filter(|id| rank(id) <= best + random.below(2)).collect();
    best.get(random.below(best.len().max(1))).copied().unwrap_or(tokens[0])
}

/// The text of a walk, which must be UTF-8.
pub fn text(grammar: &Grammar, seed: u64) -> String {
    String::from_utf8(walk(grammar, seed)).expect("UTF-8")
}

/// Whether a text, in the tokens of the model's own tokenizer, can be written and ended.
pub fn takes(grammar: &Grammar, text: &str) -> bool {
    let options = rocmforge_tokenizer::EncodeOptions { add_special: false, parse_special: false };
    let tokenizer = grammar.vocab().tokenizer();
    let ids = tokenizer.encode(text, options).unwrap();
    takes_ids(grammar, &ids)
}

pub fn takes_ids(grammar: &Grammar, ids: &[TokenId]) -> bool {
    let mut matcher = grammar.start();
    ids.iter().all(|id| matcher.accept(*id).is_ok()) && matcher.may_end()
}
