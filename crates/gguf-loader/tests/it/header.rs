//! Magic, version, counts and keys.

use rocmforge_gguf_loader::{Gguf, GgufError, GgufWarning, Limits};

use crate::assert_error;
use crate::build::{File, Raw, U8, U32, entry, pair, readable, refused, text_pair};

#[test]
fn sound_file_gives_back_what_was_put_in() {
    for version in [2, 3] {
        let gguf = File { version, ..File::sound() }.parse().unwrap();
        assert_eq!((gguf.version(), gguf.alignment()), (version, 32));
        assert_eq!(gguf.architecture().unwrap(), "llama");
        assert_eq!(
            gguf.metadata().iter().map(|(key, _)| key).collect::<Vec<_>>(),
            ["general.architecture", "llama.block_count"]
        );
        let tensor = gguf.tensor("b.weight").unwrap();
        assert_eq!((tensor.shape(), tensor.elements(), tensor.size), (vec![2, 4], 8, 32));
        assert_eq!(gguf.data(tensor), (32..64).collect::<Vec<u8>>());
        assert_eq!(gguf.tensor("c.weight"), None);
        assert_eq!(gguf.warnings(), []);
    }
}

#[test]
fn foreign_tensor_info_gets_no_bytes() {
    let gguf = File::sound().parse().unwrap();
    let mut foreign = gguf.tensors()[0].clone();
    foreign.offset = u64::MAX - 3;
    assert!(gguf.data(&foreign).is_empty());
    foreign.part = 9;
    assert!(gguf.data(&foreign).is_empty());
}

#[test]
fn m1_empty() {
    assert_error!(refused([]), GgufError::Truncated { offset: 0, needed: 4, have: 0, .. });
}

#[test]
fn m2_only_magic() {
    assert_error!(refused(b"GGUF"), GgufError::Truncated { offset: 4, needed: 4, have: 0, .. });
}

#[test]
fn m3_magic() {
    for magic in [b"FUGG", b"ggml", b"gguf", b"\x1b[2J"] {
        let file = File { magic: *magic, ..File::sound() };
        assert_error!(file.refused(), GgufError::BadMagic { found } if found == *magic);
    }
}

#[test]
fn m4_version() {
    for version in [0, 1, 4, u32::MAX] {
        let file = File { version, ..File::sound() };
        assert_error!(file.refused(), GgufError::UnsupportedVersion { found } if found == version);
    }
}

#[test]
fn m5_big_endian() {
    for version in [0x0200_0000, 0x0300_0000] {
        let file = File { version, ..File::sound() };
        assert_error!(file.refused(), GgufError::WrongEndian { found } if found == version);
    }
}

/// Where a cut falls inside announced bytes, the file is the same as one that claims too much
/// (`m18`, `m22`), and so is the answer.
#[test]
fn m6_cut_anywhere() {
    let file = File::sound().with_pair(text_pair("general.name", "x"));
    let (whole, header) = (file.bytes(), file.header().len());
    let first_entry = header - file.entries.concat().len();
    let first_pair = first_entry - file.pairs.concat().len();
    for len in 0..header {
        let error = refused(&whole[..len]);
        let (GgufError::Truncated { subject, .. } | GgufError::LenExceedsFile { subject, .. }) = &error else {
            panic!("cut at {len}: {error:?}");
        };
        let expected: &[&str] = match len {
            0..4 => &["magic"],
            4..8 => &["version"],
            8..16 => &["tensor count"],
            16..24 => &["key count"],
            _ if len < first_pair + 60 => &["tensor count", "key count", "key"],
            _ if len < first_entry => &["tensor count", "key"],
            _ => &["tensor count", "name of tensor number", "tensor `"],
        };
        assert!(expected.iter().any(|start| subject.starts_with(start)), "cut at {len}: {error}");
    }
    for len in header..whole.len() {
        assert_error!(refused(&whole[..len]), GgufError::OffsetOutOfFile { .. });
    }
}

#[test]
fn m8_trailing_bytes() {
    let mut file = File::sound();
    let end = file.bytes().len() as u64;
    file.data.extend([0xAB; 17]);
    assert_eq!(file.warnings(), [GgufWarning::TrailingBytes { part: 0, offset: end, bytes: 17 }]);
}

#[test]
fn last_padding_may_be_there_or_not() {
    let mut file = File::with_entries([entry("a", &[1], 0, 0)], 4);
    assert_eq!(file.warnings(), []);
    file.data.resize(32, 0);
    assert_eq!(file.warnings(), []);
}

#[test]
fn m10_key_count() {
    for found in [1 << 32, 1 << 63, u64::MAX] {
        let file = File { key_count: Some(found), ..File::sound() };
        assert_error!(file.refused(), GgufError::CountTooLarge { found: f, most, offset: 16, .. } if f == found && most < 30);
    }
}

#[test]
fn m11_tensor_count() {
    for found in [1 << 32, 1 << 63, u64::MAX] {
        let file = File { tensor_count: Some(found), ..File::sound() };
        assert_error!(file.refused(), GgufError::CountTooLarge { found: f, most, offset: 8, .. } if f == found && most < 30);
    }
}

/// Files of several shapes whose counts are off by one: none may come out as a model.
#[test]
fn m12_key_count_off_by_one() {
    let mut shapes = vec![File::sound(), File { entries: vec![], data: vec![], ..File::sound() }];
    for value in [text_pair("z", "text"), pair("z", U8, [1]), pair("general.alignment", U32, 64_u32.to_le_bytes())] {
        shapes.push(File { alignment: 64, ..File::sound().with_pair(value) });
    }
    for file in shapes {
        let count = file.pairs.len() as u64;
        for wrong in [count - 1, count + 1] {
            File { key_count: Some(wrong), ..file.clone() }.refused();
        }
    }
}

#[test]
fn m13_tensor_count_off_by_one() {
    for pad in 0..40 {
        // Names of every length, so that the header ends at every place relative to the alignment.
        let file = File::sound().with_pair(text_pair("pad", "x".repeat(pad)));
        for wrong in [1, 3] {
            File { tensor_count: Some(wrong), ..file.clone() }.refused();
        }
    }
    let early = File { tensor_count: Some(1), ..File::sound() }.refused();
    assert_error!(early, GgufError::TrailingBytes { subject: "tensor count", found, .. } if found == b"b.weight");
}

#[test]
fn m14_count_times_entry_wraps() {
    // At 13 bytes a pair and 24 a tensor, these products come out small when they wrap.
    for found in [u64::MAX / 13 + 1, u64::MAX / 24 + 1, 1 << 60, 1 << 61] {
        assert_error!(File { key_count: Some(found), ..File::sound() }.refused(), GgufError::CountTooLarge { .. });
        assert_error!(File { tensor_count: Some(found), ..File::sound() }.refused(), GgufError::CountTooLarge { .. });
    }
}

fn many_keys(count: u32) -> Vec<u8> {
    let mut raw = Raw::new().bytes("GGUF").u32(3).u64(0).u64(count.into());
    for index in 0..count {
        raw = raw.text(format!("{index:x}")).u32(U8).bytes([0]);
    }
    raw.0
}

#[test]
fn m15_many_keys() {
    let start = std::time::Instant::now();
    let bytes = many_keys(700_000);
    assert_error!(refused(&bytes), GgufError::LimitExceeded { found: 700_000, limit: 65_536, .. });

    // With the limit lifted the same file parses, in a time that only a linear algorithm reaches.
    let mut limits = Limits::default();
    limits.keys = u64::MAX;
    assert_eq!(Gguf::parse_with(&bytes, &limits).unwrap().metadata().len(), 700_000);
    assert!(start.elapsed().as_secs() < 30);
}

#[test]
fn m16_nothing_inside() {
    let gguf = File::default().parse().unwrap();
    assert_error!(readable(gguf.architecture().unwrap_err()), GgufError::MissingKey { key } if key == "general.architecture");
}

#[test]
fn m17_key_length_max() {
    let file = File::sound().with_pair(Raw::new().u64(u64::MAX).bytes([b'k'; 40]).0);
    assert_error!(file.refused(), GgufError::LenExceedsFile { claimed: u64::MAX, .. });
}

#[test]
fn m18_key_length_one_too_many() {
    let mut file = File { entries: vec![], data: vec![], ..File::sound() };
    file.pairs.push(Raw::new().u64(41).bytes([b'k'; 40]).0);
    assert_error!(file.refused(), GgufError::LenExceedsFile { claimed: 41, most: 40, subject, .. } if subject == "key number 2");
}

#[test]
fn m19_empty_key() {
    let file = File::sound().with_pair(pair("", U8, [1]));
    assert_error!(file.refused(), GgufError::BadKey { index: 2, key, .. } if key.is_empty());
}

#[test]
fn m20_long_key() {
    assert!(File::sound().with_pair(pair("k".repeat(65_535), U8, [1])).parse().is_ok());
    let file = File::sound().with_pair(pair("k".repeat(65_536), U8, [1]));
    assert_error!(file.refused(), GgufError::BadKey { key, .. } if key.len() == 65_536);
}

#[test]
fn m21_unprintable_key() {
    for key in [b"a\0b".as_slice(), b"a\nb", b"\x1b[31mred", b"\xff\xfe", b"\x7f", "\u{85}".as_bytes()] {
        let error = File::sound().with_pair(pair(key, U8, [1])).refused();
        let escaped = key.escape_ascii().to_string();
        assert!(error.to_string().contains(&escaped), "{error}");
        assert_error!(error, GgufError::BadKey { key: found, .. } if found == key);
    }
}

#[test]
fn m34_architecture_absent_or_of_another_type() {
    let absent = File { pairs: vec![], ..File::sound() }.parse().unwrap();
    assert_error!(absent.architecture(), Err(GgufError::MissingKey { .. }));
    let number = File { pairs: vec![pair("general.architecture", U8, [1])], ..File::sound() }.parse().unwrap();
    assert_error!(number.architecture(), Err(GgufError::WrongType { expected: "string", found, .. }) if found == "u8 1");
}

#[test]
fn m35_duplicate_key() {
    let file = File::sound().with_pair(pair("llama.block_count", U32, 2_u32.to_le_bytes()));
    let (first, second) = (24 + file.pairs[0].len(), 24 + file.pairs[0].len() + file.pairs[1].len());
    assert_error!(
        file.refused(),
        GgufError::DuplicateKey { key, first: f, second: s }
            if key == "llama.block_count" && (f, s) == (first as u64, second as u64)
    );
}

#[test]
fn m36_duplicate_key_of_another_type() {
    let file = File::sound().with_pair(text_pair("llama.block_count", "two"));
    assert_error!(file.refused(), GgufError::DuplicateKey { .. });
}
