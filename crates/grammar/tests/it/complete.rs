//! Masks allow every token that leads to a valid text, checked by brute force.

use rocmforge_grammar::{Grammar, GrammarVocab, Spec};
use rocmforge_tokenizer::TokenId;

use crate::walk::{Random, allowed};
use crate::{DEMO, SPM, compile, schema};

/// Whether some valid text starts with these bytes, told by other means than the matcher.
type IsPrefix = dyn Fn(&[u8]) -> bool;

/// Compares masks with brute force along some random ways. Where one token is forced, it must be one of the right
/// ones.
fn check(grammar: &Grammar, vocab: &GrammarVocab, is_prefix: &IsPrefix) {
    let tokenizer = vocab.tokenizer();
    let ids = 0..vocab.vocab_size() as TokenId;
    let mut words = vec![0; vocab.mask_words()];
    for seed in 0..4 {
        let mut random = Random(seed);
        let (mut matcher, mut text) = (grammar.start(), Vec::new());
        for _ in 0..12 {
            matcher.mask(&mut words).unwrap();
            let masked: Vec<_> =
                allowed(&words).into_iter().filter(|id| !tokenizer.stop_tokens().contains(id)).collect();
            let right = ids.clone().filter(|id| {
                let bytes = tokenizer.token_bytes(*id);
                !bytes.is_empty() && !tokenizer.is_special(*id) && is_prefix(&[&text, bytes].concat())
            });
            let right: Vec<_> = right.collect();
            let shown = String::from_utf8_lossy(&text).into_owned();
            let show = |ids: &[TokenId]| {
                ids.iter()
                    .map(|id| String::from_utf8_lossy(tokenizer.token_bytes(*id)).into_owned())
                    .collect::<Vec<_>>()
            };
            match masked.as_slice() {
                [one] => assert!(right.contains(one), "{:?} after {shown:?}", show(&masked)),
                _ => {
                    let missing: Vec<_> = right.iter().copied().filter(|id| !masked.contains(id)).collect();
                    let wrong: Vec<_> = masked.iter().copied().filter(|id| !right.contains(id)).collect();
                    assert!(missing.is_empty(), "after {shown:?} these are missing: {:?}", show(&missing));
                    assert!(wrong.is_empty(), "after {shown:?} these are wrong: {:?}", show(&wrong));
                }
            }
            let Some(&token) = masked.get(random.below(masked.len().max(1))) else {
                break;
            };
            matcher.accept(token).unwrap();
            text.extend_from_slice(tokenizer.token_bytes(token));
        }
    }
}

/// Whether one of some texts starts with these bytes.
fn starts_one_of(texts: &[&str], bytes: &[u8]) -> bool {
    texts.iter().any(|text| text.as_bytes().starts_with(bytes))
}

#[test]
fn every_spelling_of_a_choice_is_allowed() {
    static CHOICES: [&str; 6] = ["the cat sat", "the dog sat", "then", "日本語", "日曜日", "💥 x"];
    for vocab in [&*DEMO, &*SPM] {
        let grammar = compile(vocab, &Spec::Choice(CHOICES.map(str::to_owned).to_vec())).unwrap();
        check(&grammar, vocab, &|bytes| starts_one_of(&CHOICES, bytes));
    }
}

/// Valid UTF-8 so far: the last character may be cut.
fn is_utf8_prefix(bytes: &[u8]) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    }
}

#[test]
fn every_token_of_text_is_allowed_where_any_text_is() {
    for vocab in [&*DEMO, &*SPM] {
        let grammar = compile(vocab, &Spec::Regex("(?s:.*)".to_owned())).unwrap();
        check(&grammar, vocab, &is_utf8_prefix);
    }
}

#[test]
fn every_character_but_one_is_allowed_in_any_cut() {
    for vocab in [&*DEMO, &*SPM] {
        let grammar = compile(vocab, &Spec::Regex("[^é日]*".to_owned())).unwrap();
        let is_prefix = |bytes: &[u8]| {
            is_utf8_prefix(bytes)
                && !bytes.windows(2).any(|b| b == "é".as_bytes())
                && !bytes.windows(3).any(|b| b == "日".as_bytes())
        };
        check(&grammar, vocab, &is_prefix);
    }
}

/// Whether `bytes` starts a text of `{"a":<integer>}` with short white space between its parts.
fn starts_small_object(bytes: &[u8]) -> bool {
    /// Where each part of the text stands.
    #[derive(Clone, Copy, PartialEq)]
    enum At {
        Start,
        Open,
        Key(usize),
        Colon,
        Value,
        Minus,
        Zero,
        Digits,
        Close,
        End,
    }
    let mut at = At::Start;
    for &byte in bytes {
        let space = b" \n\r\t".contains(&byte);
        at = match (at, byte) {
            (At::Start, b'{') => At::Open,
            (At::Open | At::Colon | At::Value | At::Close, _) if space => at,
            (At::Open, b'"') => At::Key(1),
            (At::Key(1), b'a') => At::Key(2),
            (At::Key(2), b'"') => At::Colon,
            (At::Colon, b':') => At::Value,
            (At::Value, b'-') => At::Minus,
            (At::Value | At::Minus, b'0') => At::Zero,
            (At::Value | At::Minus, b'1'..=b'9') | (At::Digits, b'0'..=b'9') => At::Digits,
            (At::Zero | At::Digits, _) if space => At::Close,
            (At::Zero | At::Digits | At::Close, b'}') => At::End,
            _ => return false,
        };
    }
    true
}

#[test]
fn every_token_that_continues_a_json_object_is_allowed() {
    let grammar = compile(
        &DEMO,
        &schema(
            r#"{"type": "object", "properties": {"a": {"type": "integer"}},
        "required": ["a"], "additionalProperties": false}"#,
        ),
    )
    .unwrap();
    check(&grammar, &DEMO, &starts_small_object);
}
