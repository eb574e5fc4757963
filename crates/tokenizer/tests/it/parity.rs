//! Ids equal to those of the models' own tokenizers.

use std::path::Path;

use rocmforge_tokenizer::{Tokenizer, TokenizerKind};

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
