//! Value types, strings, arrays, and the typed reads of metadata.

use std::time::{Duration, Instant};

use rocmforge_gguf_loader::{Array, Gguf, GgufError, Limits, Metadata, Value, ValueKind};

use crate::assert_error;
use crate::build::{
    ARRAY, BOOL, F32, File, I32, Raw, STRING, U8, U16, U32, U64, array_pair, entry, pair, readable, refused, text_pair,
};

/// A file without tensors and with this one pair behind the sound ones.
fn only(pair: Vec<u8>) -> File {
    File { entries: vec![], data: vec![], ..File::sound() }.with_pair(pair)
}

fn metadata(pair: Vec<u8>) -> Metadata {
    only(pair).parse().unwrap().metadata().clone()
}

#[test]
fn kinds_have_the_numbers_of_the_format() {
    for id in 0..13 {
        assert_eq!(ValueKind::from_id(id).unwrap().id(), id);
    }
    assert_eq!(ValueKind::from_id(13), None);
    assert_eq!(ValueKind::from_id(9).unwrap().name(), "array");
}

#[test]
fn m22_string_length() {
    for claimed in [1 << 63, 1 << 31, 11] {
        let file = only(pair("s", STRING, Raw::new().u64(claimed).bytes([b'x'; 10]).0));
        assert_error!(
            file.refused(),
            GgufError::LenExceedsFile { claimed: c, most: 10, subject, .. } if c == claimed && subject == "key `s`"
        );
    }
}

#[test]
fn m22_string_limit() {
    let file = only(text_pair("s", vec![b'x'; 1000]));
    let mut limits = Limits::default();
    limits.string_bytes = 999;
    let error = Gguf::parse_with(file.bytes(), &limits).unwrap_err();
    assert_error!(error, GgufError::LimitExceeded { found: 1000, limit: 999, .. });
}

#[test]
fn m23_bad_utf8_text() {
    let file = only(text_pair("tokenizer.chat_template", b"ab\xff"));
    let last = file.bytes().len() as u64 - 1;
    assert_error!(file.refused(), GgufError::BadUtf8 { offset, key } if offset == last && key == "tokenizer.chat_template");
}

#[test]
fn m23_tokens_keep_their_bytes() {
    let elements = Raw::new().text(b"\xff\xfe").text("").0;
    let metadata = metadata(array_pair("tokenizer.ggml.tokens", STRING, 2, elements));
    let tokens = metadata.require_strings("tokenizer.ggml.tokens").unwrap();
    assert_eq!(tokens, [Box::from(b"\xff\xfe".as_slice()), Box::from(b"".as_slice())]);
}

#[test]
fn m24_token_too_long() {
    let long = Raw::new().text(vec![b'x'; (1 << 20) + 1]).0;
    assert_error!(only(array_pair("t", STRING, 1, long)).refused(), GgufError::LimitExceeded { found: 1_048_577, .. });
    let claimed = Raw::new().u64((1 << 31) + 5).bytes([0; 64]).0;
    assert_error!(
        only(array_pair("t", STRING, 1, claimed)).refused(),
        GgufError::LimitExceeded { found: 0x8000_0005, .. }
    );
}

#[test]
fn m25_unknown_value_type() {
    for kind in [13, 255, u32::MAX] {
        assert_error!(
            only(pair("k", kind, [0; 16])).refused(),
            GgufError::UnknownValueType { found, key, .. } if found == kind && key == "k"
        );
    }
}

#[test]
fn m26_bool_byte() {
    for byte in [2, 127, 255] {
        assert_error!(only(pair("b", BOOL, [byte])).refused(), GgufError::WrongType { offset: Some(_), .. });
        assert_error!(
            only(array_pair("b", BOOL, 2, [1, byte])).refused(),
            GgufError::WrongType { offset: Some(_), .. }
        );
    }
    assert_eq!(metadata(pair("b", BOOL, [1])).get_bool("b").unwrap(), Some(true));
    assert_eq!(metadata(array_pair("b", BOOL, 2, [0, 1])).get_bools("b").unwrap(), Some([false, true].as_slice()));
}

#[test]
fn m27_nested_array() {
    for depth in [1, 2, 10_000] {
        let levels = (0..depth).fold(Raw::new(), |raw, _| raw.u32(ARRAY).u64(1));
        let file = only(pair("n", ARRAY, levels.u32(U8).u64(1).bytes([1]).0));
        assert_error!(file.refused(), GgufError::NestedArray { key, .. } if key == "n");
    }
}

#[test]
fn m28_array_size_wraps() {
    for kind in [U64, STRING] {
        assert_error!(
            only(array_pair("a", kind, 1 << 61, [0; 64])).refused(),
            GgufError::LenExceedsFile { claimed: 0x2000_0000_0000_0000, most: 8, .. }
        );
    }
}

#[test]
fn m29_array_longer_than_file() {
    for (kind, size) in [(U8, 1), (U16, 2), (BOOL, 1), (F32, 4), (U64, 8), (STRING, 8)] {
        let error = only(array_pair("a", kind, 64 / size + 1, [0; 64])).refused();
        assert_error!(error, GgufError::LenExceedsFile { most, .. } if most == 64 / size);
        assert!(only(array_pair("a", kind, 64 / size, [0; 64])).parse().is_ok());
    }
}

#[test]
fn m29_string_array_ends_early() {
    // Counts and lengths are plausible each, and only their sum is not.
    let elements = Raw::new().text("abcdefgh").u64(9).bytes("too few").0;
    assert_error!(only(array_pair("a", STRING, 2, elements)).refused(), GgufError::LenExceedsFile { claimed: 9, .. });
}

#[test]
fn m29_array_limit() {
    let mut limits = Limits::default();
    limits.array_elements = 63;
    for (kind, count) in [(U8, 64), (STRING, 64)] {
        let bytes = only(array_pair("a", kind, count, [0; 512])).bytes();
        assert_error!(Gguf::parse_with(bytes, &limits), Err(GgufError::LimitExceeded { found: 64, limit: 63, .. }));
    }
}

#[test]
fn m30_unknown_element_type() {
    assert_error!(only(array_pair("a", 13, 1, [0; 8])).refused(), GgufError::UnknownValueType { found: 13, .. });
}

#[test]
fn m31_arrays_of_the_wrong_element_type() {
    let metadata = metadata(array_pair("t", U8, 3, [1, 2, 3]));
    for error in [metadata.get_f32s("t").unwrap_err(), metadata.get_i32s("t").unwrap_err()] {
        assert_error!(readable(error), GgufError::WrongType { found, offset: Some(_), .. } if found == "array of 3 u8");
    }
}

#[test]
fn m32_alignment_type() {
    let wrong = [
        pair("general.alignment", I32, 32_i32.to_le_bytes()),
        text_pair("general.alignment", "32"),
        array_pair("general.alignment", U32, 1, 32_u32.to_le_bytes()),
    ];
    for pair in wrong {
        assert_error!(
            only(pair).refused(),
            GgufError::WrongType { key, expected: "u32", .. } if key == "general.alignment"
        );
    }
}

#[test]
fn m33_count_type() {
    let wrong = [
        text_pair("n", "2"),
        pair("n", F32, 2_f32.to_le_bytes()),
        array_pair("n", U32, 1, 2_u32.to_le_bytes()),
        pair("n", I32, (-2_i32).to_le_bytes()),
        pair("n", U64, (1_u64 << 32).to_le_bytes()),
    ];
    for pair in wrong {
        let metadata = metadata(pair);
        assert_error!(metadata.require_u32("n"), Err(GgufError::WrongType { expected: "u32", .. }));
    }
    for pair in [pair("n", I32, 2_i32.to_le_bytes()), pair("n", U64, 2_u64.to_le_bytes()), pair("n", U8, [2])] {
        assert_eq!(metadata(pair).require_u32("n").unwrap(), 2);
    }
}

#[test]
fn m37_array_of_the_wrong_length() {
    let mut metadata = Metadata::new();
    metadata.insert("heads", vec![4_u32, 2, 4]);
    metadata.insert("same", 8_u32);
    assert_eq!(metadata.get_u32_each("heads", 3).unwrap().unwrap(), [4, 2, 4]);
    assert_eq!(metadata.get_u32_each("same", 2).unwrap().unwrap(), [8, 8]);
    assert_eq!(metadata.get_u32_each("none", 2).unwrap(), None);
    assert_error!(metadata.get_u32_each("heads", 4), Err(GgufError::LengthMismatch { expected: 4, found: 3, .. }));
}

#[test]
fn m88_empty_token_list_is_readable_as_such() {
    let metadata = metadata(array_pair("tokenizer.ggml.tokens", STRING, 0, []));
    assert!(metadata.require_strings("tokenizer.ggml.tokens").unwrap().is_empty());
}

#[test]
fn m91_lengths_that_differ_and_odd_scores() {
    let mut metadata = Metadata::new();
    metadata.insert("tokens", ["a", "b"].iter().collect::<Array>());
    metadata.insert("scores", vec![f32::NAN]);
    let tokens = metadata.require_strings("tokens").unwrap().len();
    assert_error!(
        readable(metadata.check_len("scores", tokens).unwrap_err()),
        GgufError::LengthMismatch { expected: 2, found: 1, offset: None, .. }
    );
    assert!(metadata.require_f32s("scores").unwrap()[0].is_nan());
    metadata.check_len("absent", 2).unwrap();
}

#[test]
fn every_scalar_type_is_read() {
    let values: [(Value, Vec<u8>); 12] = [
        (Value::U8(200), vec![200]),
        (Value::I8(-3), vec![253]),
        (Value::U16(0x0102), vec![2, 1]),
        (Value::I16(-2), vec![254, 255]),
        (Value::U32(7), vec![7, 0, 0, 0]),
        (Value::I32(-1), vec![255; 4]),
        (Value::F32(1.5), 1.5_f32.to_le_bytes().into()),
        (Value::Bool(false), vec![0]),
        (Value::String("hé".into()), Raw::new().text("hé").0),
        (Value::U64(1 << 40), (1_u64 << 40).to_le_bytes().into()),
        (Value::I64(-5), (-5_i64).to_le_bytes().into()),
        (Value::F64(-0.25), (-0.25_f64).to_le_bytes().into()),
    ];
    for (value, bytes) in values {
        assert_eq!(metadata(pair("k", value.kind().id(), bytes)).get("k"), Some(&value));
    }
}

#[test]
fn numbers_are_read_by_value_and_never_guessed() {
    let mut metadata = Metadata::new();
    metadata.insert("eps", 1e-5_f64);
    metadata.insert("ids", vec![3_i64, 4]);
    metadata.insert("types", vec![1_u32, 6]);
    metadata.insert("map", vec![-1_i8, 1]);
    assert_eq!(metadata.get_f32("eps").unwrap(), Some(1e-5));
    assert_eq!(metadata.require_u32s("ids").unwrap(), [3, 4].as_slice());
    assert_eq!(metadata.require_i32s("types").unwrap(), [1, 6].as_slice());
    assert_eq!(metadata.get_bytes("map").unwrap().unwrap(), [255, 1].as_slice());
    assert_error!(metadata.get_u32s("map"), Err(GgufError::WrongType { .. }));
    assert_error!(metadata.get_f32("ids"), Err(GgufError::WrongType { .. }));
    assert_error!(metadata.require_bool("absent"), Err(GgufError::MissingKey { key }) if key == "absent");
}

#[test]
fn metadata_keeps_its_order_and_replaces_in_place() {
    let mut metadata = Metadata::new();
    for key in ["c", "a", "b"] {
        metadata.insert(key, 1_u32);
    }
    metadata.insert("a", "new");
    assert_eq!(metadata.remove("c"), Some(Value::U32(1)));
    let pairs: Vec<_> = metadata.iter().map(|(key, value)| (key, value.describe())).collect();
    assert_eq!(pairs, [("a", "string".into()), ("b", "u32".into())]);
}

/// A vocabulary's arrays hold no more than a small multiple of their bytes in the file, and a
/// file that only claims to be large costs nothing.
#[test]
fn memory_stays_in_proportion() {
    let peak = |bytes: &[u8]| {
        let info = allocation_counter::measure(|| drop(Gguf::parse(bytes)));
        info.bytes_max as f64 / bytes.len() as f64
    };
    let words = |len: usize| (0..100_000).fold(Raw::new(), |raw, _| raw.text(vec![b'x'; len])).0;
    for (what, pair) in [
        ("empty strings", array_pair("a", STRING, 100_000, words(0))),
        ("one-byte strings", array_pair("a", STRING, 100_000, words(1))),
        ("words", array_pair("a", STRING, 100_000, words(7))),
        ("bytes", array_pair("a", U8, 1_000_000, vec![0; 1_000_000])),
        ("bools", array_pair("a", BOOL, 1_000_000, vec![1; 1_000_000])),
        ("text", text_pair("a", vec![b'x'; 1_000_000])),
    ] {
        let ratio = peak(&only(pair).bytes());
        assert!(ratio < 2.5, "{what}: {ratio:.2} times the file");
    }
    // 60,000 strings of 8 bytes would be 1 MB of slots; the second has a length beyond the file.
    let lying = Raw::new().text("").u64(1 << 19).bytes(vec![0; 480_000]).0;
    let ratio = peak(&only(array_pair("a", STRING, 60_000, lying)).bytes());
    assert!(ratio < 0.05, "{ratio:.2} times a lying file");
}

/// Keys and tensors cost a fixed amount each, however short they are in the file; the limits on their
/// numbers make it a fixed amount in all.
#[test]
fn memory_of_the_smallest_entries_is_bounded() {
    let peak = |file: File| {
        let bytes = file.bytes();
        allocation_counter::measure(|| drop(Gguf::parse(bytes.as_slice()).unwrap())).bytes_max
    };
    let keys = (0..65_536).map(|key| pair(format!("{key:x}"), U8, [0])).collect();
    let keys = peak(File { pairs: keys, ..File::default() });
    assert!(keys < 65_536 * 120, "{keys}");
    let entries = (0..131_072_u64).map(|index| entry(format!("{index:x}"), &[1], 24, index * 32));
    let tensors = peak(File::with_entries(entries, 131_072 * 32));
    assert!(tensors < 131_072 * 120, "{tensors}");
    eprintln!("{} B a key, {} B a tensor", keys / 65_536, tensors / 131_072);
}

/// 150,000 tokens, scores, types and merges: the size of today's large vocabularies.
#[test]
fn large_vocabulary_is_read_at_once() {
    const COUNT: u64 = 150_000;
    let words = |suffix: &str| (0..COUNT).fold(Raw::new(), |raw, word| raw.text(format!("{word:x}{suffix}"))).0;
    let bytes = only(array_pair("tokens", STRING, COUNT, words("ing")))
        .with_pair(array_pair("merges", STRING, COUNT, words(" suffix")))
        .with_pair(array_pair("scores", F32, COUNT, vec![0; 4 * COUNT as usize]))
        .with_pair(array_pair("types", I32, COUNT, vec![0; 4 * COUNT as usize]))
        .bytes();
    let parse = |_| {
        let start = Instant::now();
        let gguf = Gguf::parse(bytes.as_slice()).unwrap();
        let elapsed = start.elapsed();
        assert_eq!(gguf.metadata().require_strings("merges").unwrap().len() as u64, COUNT);
        elapsed
    };
    // The best of a few, as other tests run at the same time; unoptimised code gets its allowance.
    let best = (0..5).map(parse).min().unwrap();
    let allowed = if cfg!(debug_assertions) { 1500 } else { 100 };
    assert!(best < Duration::from_millis(allowed), "{best:?}");
    eprintln!("{} bytes parsed in {best:?}", bytes.len());
}

#[test]
fn long_names_are_shortened_in_messages() {
    let error = only(pair("k".repeat(60_000), 99, [0; 8])).refused();
    assert!(error.to_string().len() < 300);
    assert!(error.to_string().contains("(60000 bytes)"));
    assert_error!(refused(b"GGUF"), GgufError::Truncated { .. });
}
