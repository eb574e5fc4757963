//! Vocabularies of all kinds.

use std::sync::Arc;

use rocmforge_gguf_loader::{Array, Metadata};
use rocmforge_grammar::{GrammarError, GrammarVocab, Spec};
use rocmforge_tokenizer::Tokenizer;

use crate::walk::{allowed, takes_ids, text};
use crate::{QWEN2, compile};

/// A SentencePiece vocabulary: `<unk>`, `<s>`, `</s>`, the bytes, and these.
fn sentencepiece(more: &[&str]) -> Arc<Tokenizer> {
    let bytes: Vec<String> = (0..=255).map(|byte| format!("<0x{byte:02X}>")).collect();
    let tokens =
        ["<unk>", "<s>", "</s>"].into_iter().chain(bytes.iter().map(String::as_str)).chain(more.iter().copied());
    let tokens: Vec<&str> = tokens.collect();
    let types = (0..tokens.len()).map(|id| match id {
        0 => 2,
        1 | 2 => 3,
        3..259 => 6,
        _ => 1,
    });
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.ggml.model", "llama");
    metadata.insert("tokenizer.ggml.scores", tokens.iter().enumerate().map(|(id, _)| -(id as f32)).collect::<Vec<_>>());
    metadata.insert("tokenizer.ggml.token_type", types.collect::<Vec<i32>>());
    metadata.insert("tokenizer.ggml.tokens", tokens.iter().collect::<Array>());
    Arc::new(Tokenizer::from_gguf(&metadata).unwrap())
}

#[test]
fn two_tokens_of_the_same_bytes_are_both_allowed() {
    let vocab = GrammarVocab::new(&sentencepiece(&["a", "b", "ab"])).unwrap();
    let grammar = compile(&vocab, &Spec::Regex("[ab]+".to_owned())).unwrap();
    let mut words = vec![0; vocab.mask_words()];
    grammar.start().mask(&mut words).unwrap();
    // The bytes of `a` and `b`, and the tokens.
    assert_eq!(allowed(&words), [3 + 0x61, 3 + 0x62, 259, 260, 261]);
    assert!(takes_ids(&grammar, &[3 + 0x61, 260]));
}

#[test]
fn a_character_split_over_tokens_is_one_character() {
    let vocab = GrammarVocab::new(&sentencepiece(&["日"])).unwrap();
    let grammar = compile(&vocab, &Spec::Regex("[日月]".to_owned())).unwrap();
    let byte = |byte: u8| 3 + u32::from(byte);
    let sun: Vec<u32> = "日".bytes().map(byte).collect();
    assert!(takes_ids(&grammar, &sun) && takes_ids(&grammar, &[259]));
    assert!(!takes_ids(&grammar, &sun[..2]), "a text does not end within a character");
    let mut matcher = grammar.start();
    matcher.accept(byte(0xE6)).unwrap();
    assert_eq!(matcher.accept(byte(0x61)), Err(GrammarError::Refused { token: byte(0x61) }));
    matcher.accept(byte(0x97)).unwrap();
}

#[test]
fn the_space_before_a_text_is_not_forced_into_it() {
    let vocab = GrammarVocab::new(&sentencepiece(&["▁", "h", "i", "hi", "▁hi"])).unwrap();
    let grammar = compile(&vocab, &Spec::Choice(vec!["hi".to_owned()])).unwrap();
    assert_eq!(text(&grammar, 0), "hi");
    let mut words = vec![0; vocab.mask_words()];
    grammar.start().mask(&mut words).unwrap();
    assert_eq!(allowed(&words), [262], "`hi` is one token");
}

#[test]
fn control_tokens_are_no_text() {
    let vocab = &*QWEN2;
    let tokenizer = vocab.tokenizer();
    let end = tokenizer.token_to_id("<|im_end|>").unwrap();
    let start = tokenizer.token_to_id("<|im_start|>").unwrap();
    let grammar = compile(vocab, &Spec::Choice(vec!["<|im_start|>".to_owned(), "<|im_end|>!".to_owned()])).unwrap();
    assert!(grammar.start().accept(start).is_err() && grammar.start().accept(end).is_err());
    for seed in 0..4 {
        assert!(["<|im_start|>", "<|im_end|>!"].contains(&text(&grammar, seed).as_str()));
    }
}

#[test]
fn every_end_ends_and_nothing_follows_it() {
    let grammar = compile(&QWEN2, &Spec::Choice(vec!["a".to_owned()])).unwrap();
    let stops = QWEN2.tokenizer().stop_tokens();
    assert!(stops.len() > 1);
    for &stop in stops {
        let mut matcher = grammar.start();
        assert!(!matcher.is_finished() && !matcher.may_end());
        assert_eq!(matcher.accept(stop), Err(GrammarError::Refused { token: stop }));
        matcher.accept(QWEN2.tokenizer().token_to_id("a").unwrap()).unwrap();
        assert!(matcher.is_finished() && matcher.may_end());
        matcher.accept(stop).unwrap();
        assert!(matcher.is_finished());
        assert_eq!(matcher.accept(stop), Err(GrammarError::Refused { token: stop }));
    }
}

#[test]
fn a_clone_goes_its_own_way() {
    let grammar = compile(&QWEN2, &Spec::Choice(vec!["ab".to_owned(), "cd".to_owned()])).unwrap();
    let id = |text| QWEN2.tokenizer().token_to_id(text).unwrap();
    let mut one = grammar.start();
    let mut other = one.clone();
    one.accept(id("a")).unwrap();
    other.accept(id("c")).unwrap();
    assert!(one.accept(id("d")).is_err() && other.accept(id("b")).is_err());
    assert!(one.accept(id("b")).is_ok() && other.accept(id("d")).is_ok());
}

#[test]
fn masks_may_be_longer_but_not_shorter_than_the_vocabulary() {
    let grammar = compile(&QWEN2, &Spec::JsonObject).unwrap();
    let words = QWEN2.mask_words();
    assert_eq!(
        grammar.start().mask(&mut vec![0; words - 1]),
        Err(GrammarError::MaskLength { expected: words, found: words - 1 })
    );
    let mut long = vec![u32::MAX; words + 3];
    grammar.start().mask(&mut long).unwrap();
    assert!(allowed(&long).iter().all(|id| (*id as usize) < QWEN2.vocab_size()));
    assert!(grammar.start().accept(u32::MAX).is_err());
}

#[test]
fn a_vocabulary_with_too_many_places_is_an_error() {
    let texts: Vec<String> = (0..6000).map(|number| format!("{number:04}{}", "x".repeat(990))).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let error = GrammarVocab::new(&sentencepiece(&texts)).unwrap_err();
    assert!(matches!(error, GrammarError::Vocabulary(_)), "{error}");
    // One very long token is left out.
    let long = "y".repeat(1010);
    let vocab = GrammarVocab::new(&sentencepiece(&[&long, "y"])).unwrap();
    let grammar = compile(&vocab, &Spec::Regex("y+".to_owned())).unwrap();
    assert!(takes_ids(&grammar, &[260, 260]));
}
