//! Damaged vocabularies and texts made to be slow. The names give the case of the project's list of hostile input.

use rocmforge_gguf_loader::{Array, Metadata};
use rocmforge_tokenizer::{EncodeOptions, Tokenizer, TokenizerError};

use crate::{PLAIN, data, load};

/// A small byte-level vocabulary: all bytes, two merges, three added tokens.
fn bpe() -> Metadata {
    let mut texts: Vec<String> = printable_bytes();
    texts.extend(["ab", "abab", "<|im_start|>", "<|im_end|>", "<tool>"].map(str::to_owned));
    let mut types = vec![1_i32; texts.len()];
    let added = texts.len() - 3;
    types[added..].copy_from_slice(&[3, 3, 4]);
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.ggml.model", "gpt2");
    metadata.insert("tokenizer.ggml.pre", "gpt-2");
    metadata.insert("tokenizer.ggml.tokens", texts.iter().collect::<Array>());
    metadata.insert("tokenizer.ggml.token_type", types);
    metadata.insert("tokenizer.ggml.merges", ["a b", "ab ab"].iter().collect::<Array>());
    metadata
}

/// GPT-2's byte alphabet.
fn printable_bytes() -> Vec<String> {
    let mut next = 256;
    let chars = (0..=255_u8).map(|byte| {
        let prints = matches!(byte, b'!'..=b'~' | 0xA1..=0xAC | 0xAE..);
        let code = if prints { u32::from(byte) } else { (next, next += 1).0 };
        char::from_u32(code).expect("a character").to_string()
    });
    chars.collect()
}

/// A small SentencePiece vocabulary with all byte tokens.
fn spm() -> Metadata {
    let mut texts: Vec<String> = ["<unk>", "<s>", "</s>", "▁", "a", "b", "ab", "▁ab"].map(str::to_owned).to_vec();
    let mut types = vec![2, 3, 3, 1, 1, 1, 1, 1];
    texts.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    types.resize(texts.len(), 6_i32);
    let mut metadata = Metadata::default();
    metadata.insert("tokenizer.ggml.model", "llama");
    metadata.insert("tokenizer.ggml.scores", (0..texts.len()).map(|id| -(id as f32)).collect::<Vec<_>>());
    metadata.insert("tokenizer.ggml.tokens", texts.iter().collect::<Array>());
    metadata.insert("tokenizer.ggml.token_type", types);
    metadata
}

fn refuse(mut metadata: Metadata, change: impl FnOnce(&mut Metadata)) -> TokenizerError {
    Tokenizer::from_gguf(&metadata).expect("the vocabulary is sound before it is damaged");
    change(&mut metadata);
    let error = Tokenizer::from_gguf(&metadata).map(|_| ()).expect_err("a damaged vocabulary was taken");
    assert!(!error.to_string().is_empty());
    error
}

#[test]
fn m31_lists_of_the_wrong_type() {
    for key in ["tokenizer.ggml.scores", "tokenizer.ggml.token_type"] {
        let error = refuse(spm(), |m| m.insert(key, vec![1_u8; 264]));
        assert!(matches!(&error, TokenizerError::WrongType { key: k, .. } if k == key), "{error}");
    }
    assert!(matches!(refuse(bpe(), |m| m.insert("tokenizer.ggml.merges", 1_u32)), TokenizerError::Metadata(_)));
}

#[test]
fn m88_no_tokens_or_too_few() {
    let error = refuse(bpe(), |m| m.insert("tokenizer.ggml.tokens", Vec::<&str>::new().into_iter().collect::<Array>()));
    assert!(matches!(error, TokenizerError::EmptyVocabulary { .. }), "{error}");
    let error = refuse(bpe(), |m| _ = m.remove("tokenizer.ggml.tokens"));
    assert!(matches!(error, TokenizerError::MissingKey { .. }), "{error}");
    let error = refuse(spm(), |m| {
        m.insert("tokenizer.ggml.tokens", ["a"].iter().collect::<Array>());
        m.insert("tokenizer.ggml.token_type", vec![1_i32]);
        m.insert("tokenizer.ggml.scores", vec![0_f32]);
        m.insert("tokenizer.ggml.bos_token_id", 1_u32);
    });
    assert!(matches!(error, TokenizerError::TokenIdOutOfRange { id: 1, vocab: 1, .. }), "{error}");
}

#[test]
fn m89_special_ids_outside_the_vocabulary() {
    for key in ["bos", "eos", "eot", "unknown", "padding"].map(|role| format!("tokenizer.ggml.{role}_token_id")) {
        let count = 264_i64;
        for id in [count, i64::from(u32::MAX), -1, i64::MAX] {
            let error = refuse(spm(), |m| m.insert(key.as_str(), id));
            match error {
                TokenizerError::TokenIdOutOfRange { key: k, id: found, vocab: 264 } => {
                    assert_eq!((k, found), (key.clone(), id));
                }
                other => panic!("{key} = {id}: {other}"),
            }
        }
    }
    let error = refuse(spm(), |m| m.insert("tokenizer.ggml.bos_token_id", "1"));
    assert!(matches!(error, TokenizerError::WrongType { .. }), "{error}");
}

#[test]
fn m90_texts_listed_twice_are_taken_and_the_first_is_used() {
    let mut metadata = spm();
    let texts = metadata.get_strings("tokenizer.ggml.tokens").unwrap().unwrap().to_vec();
    let mut twice = texts.clone();
    twice[5] = b"a".to_vec().into();
    metadata.insert("tokenizer.ggml.tokens", twice.iter().collect::<Array>());
    let tokenizer = Tokenizer::from_gguf(&metadata).unwrap();
    assert_eq!(tokenizer.token_to_id("a"), Some(4));
    assert_eq!(tokenizer.token_bytes(5), b"a");
    assert_eq!(tokenizer.encode("a", PLAIN).unwrap(), [3, 4]);
}

#[test]
fn m91_lists_of_the_wrong_length_and_values_outside_the_format() {
    let error = refuse(spm(), |m| m.insert("tokenizer.ggml.scores", vec![0_f32; 263]));
    assert!(matches!(error, TokenizerError::LengthMismatch { expected: 264, found: 263, .. }), "{error}");
    let error = refuse(spm(), |m| m.insert("tokenizer.ggml.token_type", vec![1_i32; 265]));
    assert!(matches!(error, TokenizerError::LengthMismatch { expected: 264, found: 265, .. }), "{error}");
    for bad in [7, -1] {
        let mut types = vec![1_i32; 264];
        types[9] = bad;
        let error = refuse(spm(), |m| m.insert("tokenizer.ggml.token_type", types));
        assert!(matches!(error, TokenizerError::BadTokenType { id: 9, .. }), "{error}");
    }
    let mut scores = vec![0_f32; 264];
    scores[7] = f32::NAN;
    let error = refuse(spm(), |m| m.insert("tokenizer.ggml.scores", scores));
    assert!(matches!(error, TokenizerError::BadScore { id: 7, .. }), "{error}");
    let error = refuse(spm(), |m| _ = m.remove("tokenizer.ggml.scores"));
    assert!(matches!(error, TokenizerError::MissingKey { .. }), "{error}");
}

#[test]
fn m92_damaged_byte_tokens() {
    for bad in ["<0x-1>", "<0xZZ>", "<0x1>", "", "x"] {
        let mut texts = spm().get_strings("tokenizer.ggml.tokens").unwrap().unwrap().to_vec();
        texts[40] = bad.as_bytes().into();
        let error = refuse(spm(), |m| m.insert("tokenizer.ggml.tokens", texts.iter().collect::<Array>()));
        assert!(matches!(&error, TokenizerError::BadByteToken { id: 40, text, .. } if text == bad), "{error}");
    }
    // One byte has no token any more.
    let mut texts = spm().get_strings("tokenizer.ggml.tokens").unwrap().unwrap().to_vec();
    texts[8 + 0x41] = b"<0x42>".to_vec().into();
    let error = refuse(spm(), |m| m.insert("tokenizer.ggml.tokens", texts.iter().collect::<Array>()));
    assert!(matches!(&error, TokenizerError::BadByteToken { id: 0x41, text, .. } if text == "<0x41>"), "{error}");
}

#[test]
fn m93_damaged_merges() {
    for (bad, at) in [
        (vec!["a b", "ab"], 1),
        (vec!["a  b"], 0),
        (vec![""], 0),
        (vec![" "], 0),
        (vec!["a b c"], 0),
        (vec!["a b", "zz a"], 1),
        (vec!["a zz"], 0),
        (vec!["a b", "a b"], 1),
    ] {
        let error = refuse(bpe(), |m| m.insert("tokenizer.ggml.merges", bad.iter().collect::<Array>()));
        match error {
            TokenizerError::BadMerge { index, text, .. } => assert_eq!((index, text.as_str()), (at, bad[at])),
            other => panic!("{bad:?}: {other}"),
        }
    }
    // A rule whose result is no token never applies; vocabularies that were cut down have such.
    let mut cut_down = bpe();
    cut_down.insert("tokenizer.ggml.merges", ["b a", "a b"].iter().collect::<Array>());
    assert!(Tokenizer::from_gguf(&cut_down).is_ok());
    // Ten million rules: the first one that cannot be new ends it.
    let error = refuse(bpe(), |m| {
        m.insert("tokenizer.ggml.merges", std::iter::repeat_n("a b", 10_000_000).collect::<Array>());
    });
    assert!(matches!(error, TokenizerError::BadMerge { index: 1, .. }), "{error}");
    let error = refuse(bpe(), |m| _ = m.remove("tokenizer.ggml.merges"));
    assert!(matches!(&error, TokenizerError::MissingKey { key, .. } if key == "tokenizer.ggml.merges"), "{error}");
}

#[test]
fn m94_damaged_charsmap() {
    let unigram = || {
        let mut metadata = spm();
        metadata.insert("tokenizer.ggml.model", "t5");
        metadata
    };
    for bytes in [vec![7_u8], vec![255; 4], vec![8, 0, 0, 0, 0, 0xFC, 0xFF, 0x7F, 0, 0, 0, 0], vec![0xFF; 4096]] {
        let error = refuse(unigram(), |m| m.insert("tokenizer.ggml.precompiled_charsmap", bytes));
        assert!(matches!(error, TokenizerError::BadCharsmap { .. }), "{error}");
    }
}

#[test]
fn m95_a_beginning_is_asked_for_but_not_named() {
    let error = refuse(bpe(), |m| m.insert("tokenizer.ggml.add_bos_token", true));
    assert!(
        matches!(&error, TokenizerError::MissingKey { key, .. } if key == "tokenizer.ggml.bos_token_id"),
        "{error}"
    );
    let error = refuse(bpe(), |m| m.insert("tokenizer.ggml.add_eos_token", true));
    assert!(matches!(error, TokenizerError::MissingKey { .. }), "{error}");
}

#[test]
fn m96_unknown_algorithm_or_pre_tokenizer() {
    let error = refuse(bpe(), |m| m.insert("tokenizer.ggml.model", "rot13"));
    assert!(matches!(&error, TokenizerError::UnsupportedTokenizer { found, .. } if found == "rot13"), "{error}");
    let error = refuse(bpe(), |m| m.insert("tokenizer.ggml.pre", "gpt-7"));
    match error {
        TokenizerError::UnsupportedTokenizer { key, found, known } => {
            assert_eq!((key.as_str(), found.as_str()), ("tokenizer.ggml.pre", "gpt-7"));
            assert!(known.contains("qwen2") && known.contains("llama-bpe"), "{known}");
        }
        other => panic!("{other}"),
    }
    for none in ["none", "no_vocab"] {
        let error = refuse(bpe(), |m| m.insert("tokenizer.ggml.model", none));
        assert!(matches!(error, TokenizerError::NoVocabulary { .. }), "{error}");
    }
    let error = refuse(bpe(), |m| _ = m.remove("tokenizer.ggml.model"));
    assert!(matches!(error, TokenizerError::MissingKey { .. }), "{error}");
}

/// Runs on a stack of 256 KiB: what recursed over the text would not fit.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(256 << 10).spawn(work).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Processor time of this thread, which other work on the machine does not lengthen; where the system does not tell it,
/// the time of day has to do.
fn thread_time(began: std::time::Instant) -> std::time::Duration {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanos = told.and_then(|line| line.split_whitespace().next()?.parse().ok());
    nanos.map_or_else(|| began.elapsed(), std::time::Duration::from_nanos)
}

#[test]
fn h41_long_runs_take_nearly_linear_time() {
    on_a_small_stack(|| {
        let began = std::time::Instant::now();
        for name in ["gpt-2.gguf", "bert-bge.gguf", "small-bpe-scores.gguf", "small-unigram.gguf"] {
            let tokenizer = load(&data(name));
            for unit in ["a", " ", ".", "字", "\n", "1", "\u{301}"] {
                let time = |bytes: usize| {
                    let text = unit.repeat(bytes / unit.len());
                    let start = thread_time(began);
                    tokenizer.encode(&text, PLAIN).unwrap();
                    thread_time(began) - start
                };
                // Eight times the text takes eight times as long; quadratic work would take 64 times as long.
                let linear = || {
                    let (small, large) = (time(32 << 10), time(256 << 10));
                    large < small.max(std::time::Duration::from_millis(5)) * 32
                };
                assert!(linear() || linear(), "{name}, {unit:?}: more than 32 times as long for 8 times the text");
            }
        }
    });
}

#[test]
fn h41_eight_mebibytes_of_one_letter_come_back() {
    on_a_small_stack(|| {
        let tokenizer = load(&data("gpt-2.gguf"));
        let text = "a".repeat(8 << 20);
        let ids = tokenizer.encode(&text, PLAIN).unwrap();
        assert!(ids.len() < text.len());
        assert!(tokenizer.decode(&ids, false) == text);
    });
}

#[test]
fn h42_special_text_in_user_content_stays_text() {
    let tokenizer = Tokenizer::from_gguf(&bpe()).unwrap();
    let parse = EncodeOptions { add_special: false, parse_special: true };
    let (start, end, tool) = (258, 259, 260);
    assert_eq!(tokenizer.encode("<|im_start|>", parse).unwrap(), [start]);
    let plain = tokenizer.encode("<|im_start|>", PLAIN).unwrap();
    assert!(!plain.contains(&start) && plain.len() > 1);
    assert_eq!(tokenizer.decode(&plain, true), "<|im_start|>");
    // User-defined tokens are text, and are matched always.
    assert_eq!(tokenizer.encode("<tool>", PLAIN).unwrap(), [tool]);
    // The template's own markers count, those in the user's words do not, nor one made of both.
    let prompt = "<|im_start|>x<|im_end|><|im_end|>";
    let ids = tokenizer.encode_with_literals(prompt, parse, &[12..23]).unwrap();
    assert_eq!((ids[0], ids.iter().filter(|&&id| id == end).count(), *ids.last().unwrap()), (start, 1, end));
    assert_eq!(tokenizer.decode(&ids, false), prompt);
    for bad in [vec![20..99], vec![4..8, 2..3]] {
        let error = tokenizer.encode_with_literals(prompt, parse, &bad).expect_err("a bad range was taken");
        assert!(matches!(error, TokenizerError::BadRange { .. }), "{error}");
    }
}

#[test]
fn any_bytes_as_metadata_values_do_not_panic() {
    let keys = ["model", "pre", "tokens", "scores", "token_type", "merges", "bos_token_id", "add_bos_token"];
    for base in [bpe(), spm()] {
        for key in keys.map(|key| format!("tokenizer.ggml.{key}")) {
            for change in 0..6 {
                let mut metadata = base.clone();
                match change {
                    0 => metadata.insert(key.as_str(), 3_u32),
                    1 => metadata.insert(key.as_str(), "\u{0}"),
                    2 => metadata.insert(key.as_str(), vec![f32::INFINITY; 264]),
                    3 => metadata.insert(key.as_str(), [[0xFF_u8; 3]; 264].iter().collect::<Array>()),
                    4 => metadata.insert(key.as_str(), vec![i32::MIN; 264]),
                    _ => metadata.insert(key.as_str(), false),
                }
                if let Ok(tokenizer) = Tokenizer::from_gguf(&metadata) {
                    let ids = tokenizer.encode("ab é \u{0}", PLAIN).unwrap();
                    tokenizer.decode(&ids, false);
                }
            }
        }
    }
}
