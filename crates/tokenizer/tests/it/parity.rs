//! Ids equal to those of the models' own tokenizers.

use std::path::Path;
use std::sync::Arc;

use rocmforge_tokenizer::{Detokenizer, EncodeOptions, Tokenizer, TokenizerKind};

use crate::{PLAIN, data, load, read};

const SEPARATOR: &str = "\n__ggml_vocab_test__\n";

/// Every text of `<vocab>.inp`, each ended by the separator, gives the line of `<vocab>.out`.
fn check_listed(vocab: &Path) -> Tokenizer {
    let tokenizer = load(vocab);
    let beside = |extension: &str| {
        String::from_utf8(read(&vocab.with_extension(format!("gguf.{extension}")))).expect("test data is UTF-8")
    };
    let (texts, lines) = (beside("inp"), beside("out"));
    let texts: Vec<&str> = texts.split_terminator(SEPARATOR).collect();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(texts.len(), lines.len(), "{}", vocab.display());
    for (text, line) in texts.iter().zip(lines) {
        let expected: Vec<u32> = line.split_whitespace().map(|id| id.parse().expect("an id")).collect();
        let got = tokenizer.encode(text, PLAIN).unwrap();
        assert_eq!(got, expected, "{}: {text:?}", vocab.display());
        if tokenizer.kind() != TokenizerKind::WordPiece {
            assert_eq!(tokenizer.decode(&got, true), *text, "{}", vocab.display());
        }
    }
    tokenizer
}

#[test]
fn gpt_2_listed_texts() {
    assert_eq!(check_listed(&data("gpt-2.gguf")).kind(), TokenizerKind::Bpe);
}

#[test]
fn qwen2_listed_texts() {
    check_listed(&data("qwen2.gguf"));
}

#[test]
fn bert_bge_listed_texts() {
    assert_eq!(check_listed(&data("bert-bge.gguf")).kind(), TokenizerKind::WordPiece);
}

/// Vocabularies whose licences keep them out of this repository.
#[test]
fn listed_texts_of_other_vocabularies() {
    let Some(folder) = std::env::var_os("ROCMFORGE_TEST_VOCABS") else {
        eprintln!("skipped: ROCMFORGE_TEST_VOCABS does not name a folder of *.gguf with *.gguf.inp and *.gguf.out");
        return;
    };
    let mut checked = 0;
    for entry in std::fs::read_dir(&folder).expect("ROCMFORGE_TEST_VOCABS is a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "gguf") && path.with_extension("gguf.out").exists() {
            check_listed(&path);
            checked += 1;
        }
    }
    assert!(checked > 0, "{}: no vocabulary with its .inp and .out", Path::new(&folder).display());
}

/// Texts of `corpus.tsv` and the column of each vocabulary.
fn check_corpus(vocab: &str, column: usize) {
    let tokenizer = load(&data(vocab));
    let table = String::from_utf8(read(&data("corpus.tsv"))).expect("test data is UTF-8");
    let mut texts = 0;
    for line in table.lines() {
        let mut cells = line.split('\t');
        let text: String = serde_json::from_str(cells.next().expect("a text")).expect("a JSON string");
        let ids = cells.nth(column).expect("a column of ids");
        let expected: Vec<u32> = ids.split_whitespace().map(|id| id.parse().expect("an id")).collect();
        assert_eq!(tokenizer.encode(&text, PLAIN).unwrap(), expected, "{vocab}: {text:?}");
        texts += 1;
    }
    assert_eq!(texts, 1000);
}

#[test]
fn gpt_2_corpus() {
    check_corpus("gpt-2.gguf", 0);
}

#[test]
fn qwen2_corpus() {
    check_corpus("qwen2.gguf", 1);
}

#[test]
fn bert_bge_corpus() {
    check_corpus("bert-bge.gguf", 2);
}

#[test]
fn sentencepiece_corpus() {
    check_corpus("small-bpe-scores.gguf", 3);
}

#[test]
fn unigram_corpus() {
    check_corpus("small-unigram.gguf", 4);
}

#[test]
fn chat_markers_of_qwen2() {
    let tokenizer = load(&data("qwen2.gguf"));
    let prompt = "<|im_start|>user\nHi<|im_end|>\n";
    let parse = EncodeOptions { add_special: true, parse_special: true };
    assert_eq!(tokenizer.encode(prompt, parse).unwrap(), [151644, 872, 198, 13048, 151645, 198]);
    assert_eq!(tokenizer.stop_tokens(), [151643, 151645]);
    assert_eq!(tokenizer.eot(), Some(151645));
    assert!(!tokenizer.add_bos());
    assert!(tokenizer.is_special(151644));
    assert_eq!(tokenizer.decode(&[151644, 872, 198], true), "user\n");
    assert_eq!(tokenizer.decode(&[151644, 872, 198], false), "<|im_start|>user\n");
}

#[test]
fn texts_stand_between_the_tokens_that_the_model_expects() {
    let add = EncodeOptions { add_special: true, parse_special: false };
    let bert = load(&data("bert-bge.gguf"));
    assert_eq!(bert.encode("hello", add).unwrap(), [101, 7592, 102]);
    assert_eq!(bert.decode(&[101, 7592, 2088, 102], true), "hello world");
    let spm = load(&data("small-bpe-scores.gguf"));
    assert!(spm.add_bos() && !spm.add_eos());
    assert_eq!(spm.encode("", add).unwrap(), [1]);
    let unigram = load(&data("small-unigram.gguf"));
    assert_eq!(unigram.encode("", add).unwrap(), [2]);
}

#[test]
fn sentencepiece_texts_come_back_whole_and_in_pieces() {
    let tokenizer = Arc::new(load(&data("small-bpe-scores.gguf")));
    let table = String::from_utf8(read(&data("corpus.tsv"))).expect("test data is UTF-8");
    for line in table.lines() {
        let text: String = serde_json::from_str(line.split('\t').next().expect("a text")).expect("a JSON string");
        // The vocabulary has no way to tell U+2581 from a space.
        if text.contains('\u{2581}') {
            continue;
        }
        let ids = tokenizer.encode(&text, PLAIN).unwrap();
        assert_eq!(tokenizer.decode(&ids, true), text);
        let mut stream = Detokenizer::new(Arc::clone(&tokenizer), true);
        let mut streamed = String::new();
        for &id in &ids {
            streamed.push_str(stream.push(id));
            assert!(stream.held() < 4);
        }
        streamed.push_str(stream.flush());
        assert_eq!(streamed, text);
        // Behind a prompt, the space that encoding puts before a text is one the model means.
        let mut stream = Detokenizer::new(Arc::clone(&tokenizer), true).continuing();
        let continued: String = ids.iter().map(|&id| stream.push(id).to_owned()).collect();
        if !text.is_empty() {
            assert_eq!(continued + stream.flush(), format!(" {text}"));
        }
    }
}

#[test]
fn streams_of_any_ids_are_what_decode_says() {
    let tokenizer = Arc::new(load(&data("gpt-2.gguf")));
    let mut state = 11_u64;
    for _ in 0..200 {
        let ids: Vec<u32> = (0..40)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Low ids are single bytes, which break characters in all ways.
                (state >> 33) as u32 % if state & (1 << 40) == 0 { 256 } else { 60_000 }
            })
            .collect();
        let mut stream = Detokenizer::new(Arc::clone(&tokenizer), false);
        let mut text = String::new();
        for &id in &ids {
            text.push_str(stream.push(id));
        }
        text.push_str(stream.flush());
        assert_eq!(text, tokenizer.decode(&ids, false));
    }
}
