//! `tokenizer.json`, made here from vocabularies that are tested elsewhere.

use rocmforge_gguf_loader::Metadata;
use rocmforge_tokenizer::{EncodeOptions, Tokenizer, TokenizerError, TokenizerKind};
use serde_json::{Value, json};

use crate::{PLAIN, data, load, metadata, read};

fn strings(metadata: &Metadata, key: &str) -> Vec<String> {
    let list = metadata.get_strings(key).unwrap().expect("a list");
    list.iter().map(|text| String::from_utf8(text.to_vec()).expect("test data is UTF-8")).collect()
}

fn vocab(texts: &[String]) -> Value {
    Value::Object(texts.iter().enumerate().map(|(id, text)| (text.clone(), json!(id))).collect())
}

fn special(id: u32, text: &str) -> Value {
    json!({"id": id, "content": text, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": true})
}

fn build(file: &Value) -> Tokenizer {
    Tokenizer::from_json(file.to_string().as_bytes()).unwrap()
}

/// GPT-2 as `tokenizer.json`; `merges` as in old files (lines) or new ones (pairs).
fn gpt_2(pairs: bool) -> Value {
    let metadata = metadata(&data("gpt-2.gguf"));
    let merges: Vec<Value> = strings(&metadata, "tokenizer.ggml.merges")
        .into_iter()
        .map(|line| if pairs { json!(line.split(' ').collect::<Vec<_>>()) } else { json!(line) })
        .collect();
    json!({
        "version": "1.0",
        "added_tokens": [special(50256, "<|endoftext|>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
            "end_of_word_suffix": "", "fuse_unk": false, "vocab": vocab(&strings(&metadata, "tokenizer.ggml.tokens")),
            "merges": merges},
    })
}

/// Both tokenizers give the same ids and texts for every text of the corpus.
fn check_same(ours: &Tokenizer, reference: &Tokenizer) {
    let table = String::from_utf8(read(&data("corpus.tsv"))).expect("test data is UTF-8");
    for line in table.lines() {
        let text: String = serde_json::from_str(line.split('\t').next().expect("a text")).expect("a JSON string");
        let ids = reference.encode(&text, PLAIN).unwrap();
        assert_eq!(ours.encode(&text, PLAIN).unwrap(), ids, "{text:?}");
        assert_eq!(ours.decode(&ids, true), reference.decode(&ids, true), "{text:?}");
    }
}

#[test]
fn byte_level_bpe_runs_on_our_own_algorithm() {
    let reference = load(&data("gpt-2.gguf"));
    for pairs in [false, true] {
        let ours = build(&gpt_2(pairs));
        assert_eq!(ours.kind(), TokenizerKind::Bpe);
        assert_eq!(ours.stop_tokens(), [50256]);
        check_same(&ours, &reference);
    }
}

#[test]
fn a_part_that_we_lack_goes_to_the_library() {
    let reference = load(&data("gpt-2.gguf"));
    let mut file = gpt_2(true);
    // It changes nothing, but a normalizer that replaces is not ours.
    file["normalizer"] = json!({"type": "Replace", "pattern": {"String": "\u{10FFFF}"}, "content": ""});
    let library = build(&file);
    check_same(&library, &reference);
    let parse = EncodeOptions { add_special: false, parse_special: true };
    assert_eq!(library.encode("a<|endoftext|>", parse).unwrap(), [64, 50256]);
    assert_eq!(library.encode("a<|endoftext|>", PLAIN).unwrap(), reference.encode("a<|endoftext|>", PLAIN).unwrap());
}

#[test]
fn composed_characters_when_the_file_says_so() {
    let mut file = gpt_2(false);
    file["normalizer"] = json!({"type": "NFC"});
    let ours = build(&file);
    let composed = ours.encode("caf\u{e9}", PLAIN).unwrap();
    assert_eq!(ours.encode("cafe\u{301}", PLAIN).unwrap(), composed);
    assert_ne!(load(&data("gpt-2.gguf")).encode("cafe\u{301}", PLAIN).unwrap(), composed);
}

#[test]
fn bert_as_json() {
    let metadata = metadata(&data("bert-bge.gguf"));
    let texts: Vec<String> = strings(&metadata, "tokenizer.ggml.tokens")
        .into_iter()
        .map(|text| match text.strip_prefix('▁') {
            Some(word) => word.to_owned(),
            None if text.starts_with('[') && text.len() > 1 => text,
            None => format!("##{text}"),
        })
        .collect();
    let markers = [(0, "[PAD]"), (100, "[UNK]"), (101, "[CLS]"), (102, "[SEP]"), (103, "[MASK]")];
    let ours = build(&json!({
        "added_tokens": markers.map(|(id, text)| special(id, text)),
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
            "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [], "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [101], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [102], "tokens": ["[SEP]"]}}},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocab(&texts)},
    }));
    assert_eq!(ours.kind(), TokenizerKind::WordPiece);
    check_same(&ours, &load(&data("bert-bge.gguf")));
    let add = EncodeOptions { add_special: true, parse_special: false };
    assert_eq!(ours.encode("hello", add).unwrap(), [101, 7592, 102]);
}

#[test]
fn marked_bpe_with_byte_fallback_as_json() {
    let mut texts: Vec<String> = ["<unk>", "<s>", "▁", "h", "i", "hi", "▁hi"].map(str::to_owned).to_vec();
    texts.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    let ours = build(&json!({
        "added_tokens": [special(0, "<unk>"), special(1, "<s>")],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]},
        "pre_tokenizer": null,
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
        "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
            "vocab": vocab(&texts), "merges": [["h", "i"], ["▁", "hi"]]},
    }));
    let add = EncodeOptions { add_special: true, parse_special: false };
    let ids = ours.encode("hi é", add).unwrap();
    assert_eq!(ids, [1, 6, 2, 7 + 0xC3, 7 + 0xA9]);
    assert_eq!(ours.decode(&ids, true), "hi é");
    assert_eq!((ours.bos(), ours.add_bos(), ours.unk()), (Some(1), true, Some(0)));
    let config = json!({"eos_token": {"content": "<s>"}, "bos_token": "<s>"}).to_string();
    let ours = ours.with_config(config.as_bytes()).unwrap();
    assert_eq!((ours.eos(), ours.stop_tokens()), (Some(1), &[1][..]));
}

#[test]
fn damaged_files_are_errors() {
    let refuse = |file: &str| Tokenizer::from_json(file.as_bytes()).map(|_| ()).expect_err("a damaged file was taken");
    assert!(matches!(refuse("{"), TokenizerError::Json { .. }));
    assert!(matches!(refuse("{}"), TokenizerError::UnsupportedTokenizer { .. }));
    assert!(matches!(refuse(r#"{"model": {"type": "BPE"}}"#), TokenizerError::Json { .. }));
    assert!(matches!(refuse(r#"{"model": {"type": "BPE", "vocab": {}}}"#), TokenizerError::EmptyVocabulary { .. }));
    let huge = r#"{"model": {"type": "BPE", "vocab": {"a": 4000000000}, "merges": []}}"#;
    assert!(matches!(refuse(huge), TokenizerError::Json { .. }));
    let mut file = gpt_2(false);
    file["model"]["merges"][0] = json!("Ġ qqqqq");
    assert!(matches!(refuse(&file.to_string()), TokenizerError::BadMerge { index: 0, .. }));
    refuse(&"[".repeat(1 << 20));
}
