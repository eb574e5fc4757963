//! Models in several files.

use std::path::Path;

use rocmforge_gguf_loader::{Gguf, GgufError, GgufWarning, split_names, split_paths};

use crate::assert_error;
use crate::build::{File, I32, T_F32, U16, U32, entry, pair, readable, refused, text_pair};

fn split_keys(no: u16, count: u16, tensors: i32) -> Vec<Vec<u8>> {
    vec![
        pair("split.no", U16, no.to_le_bytes()),
        pair("split.count", U16, count.to_le_bytes()),
        pair("split.tensors.count", I32, tensors.to_le_bytes()),
    ]
}

/// Part `no` of `count`, with one tensor `t<no>`; the first has the model's metadata.
fn part(no: u16, count: u16) -> File {
    let mut pairs = split_keys(no, count, count.into());
    if no == 0 {
        pairs.push(text_pair("general.architecture", "llama"));
    }
    File { pairs, entries: vec![entry(format!("t{no}"), &[8], T_F32, 0)], data: vec![no as u8; 32], ..File::default() }
}

fn set(count: u16) -> Vec<File> {
    (0..count).map(|no| part(no, count)).collect()
}

fn parse(files: &[File]) -> Result<Gguf<Vec<u8>>, GgufError> {
    Gguf::parse_split(files.iter().map(File::bytes).collect())
}

fn refused_set(files: &[File]) -> GgufError {
    readable(parse(files).expect_err("the set must be refused"))
}

/// The error behind the number of the part.
fn in_part(error: &GgufError) -> (usize, &GgufError) {
    match error {
        GgufError::InPart { part, .. } => (*part, error.root()),
        other => panic!("not in a part: {other:?}"),
    }
}

#[test]
fn parts_make_one_model() {
    let gguf = parse(&set(3)).unwrap();
    assert_eq!(gguf.parts().len(), 3);
    assert_eq!(gguf.architecture().unwrap(), "llama");
    for no in 0..3_u8 {
        let tensor = gguf.tensor(&format!("t{no}")).unwrap();
        assert_eq!(tensor.part, usize::from(no));
        assert_eq!(gguf.data(tensor), [no; 32]);
    }
    assert_eq!(gguf.warnings(), []);
}

#[test]
fn first_part_may_have_no_tensors() {
    let mut files = set(2);
    files[0] = File { pairs: split_keys(0, 2, 1), entries: vec![], data: vec![], ..File::default() };
    files[1].pairs = split_keys(1, 2, 1);
    assert_eq!(parse(&files).unwrap().tensors().len(), 1);
}

#[test]
fn keys_of_later_parts_are_counted() {
    let mut files = set(2);
    files[1].pairs.push(text_pair("general.name", "unread"));
    let gguf = parse(&files).unwrap();
    assert_eq!(gguf.warnings(), [GgufWarning::IgnoredKeys { part: 1, count: 1 }]);
}

#[test]
fn a_part_alone_says_so() {
    assert_error!(part(1, 3).refused(), GgufError::PartOfSplit { no: 1, count: 3 });
}

/// Merging tools leave a count of 0, splitting ones may write 1 of 1.
#[test]
fn a_whole_file_may_carry_split_keys() {
    for count in [0, 1] {
        assert!(part(0, count).parse().is_ok());
    }
}

#[test]
fn m9_joined_parts() {
    let joined = [part(0, 2).bytes(), part(1, 2).bytes()].concat();
    let first = part(0, 2).bytes().len() as u64;
    assert_error!(refused(&joined), GgufError::InconsistentSplit { offset } if offset == first);
    let error = Gguf::parse_split(vec![joined]).unwrap_err();
    assert_error!(in_part(&error), (0, GgufError::InconsistentSplit { .. }));
}

#[test]
fn m9_joined_parts_without_tensors_or_padding() {
    let empty = File { entries: vec![], data: vec![], ..part(0, 2) }.bytes();
    assert_error!(refused([empty, part(1, 2).bytes()].concat()), GgufError::InconsistentSplit { .. });
    let mut short = part(0, 2);
    short.entries = vec![entry("t0", &[3], T_F32, 0)];
    short.data.truncate(12);
    assert_error!(refused([short.bytes(), part(1, 2).bytes()].concat()), GgufError::InconsistentSplit { .. });
}

#[test]
fn m98_part_numbers() {
    assert_error!(part(2, 2).refused(), GgufError::BadSplit { subject, .. } if subject == "key `split.no`");
    assert_error!(part(0, 65_535).refused(), GgufError::BadSplit { subject, .. } if subject == "key `split.count`");

    let mut files = set(2);
    files.swap(0, 1);
    assert_error!(in_part(&refused_set(&files)), (0, GgufError::BadSplit { subject, .. }) if subject == "key `split.no`");
    for count in [0, 65_535] {
        let files = [part(0, count), part(1, count)];
        assert_error!(in_part(&refused_set(&files)), (0, GgufError::BadSplit { subject, .. }) if subject == "key `split.count`");
    }
    assert_error!(refused_set(&[]), GgufError::BadSplit { .. });
}

#[test]
fn m98_names_that_lead_elsewhere() {
    for prefix in ["../x", "..", "/etc/x", "a/../../x", "..\\x", "x\0", "x\n"] {
        let error = split_names(&format!("{prefix}-00001-of-00002.gguf")).unwrap_err();
        assert_error!(readable(error), GgufError::BadSplit { subject, .. } if subject == "file name");
    }
    for numbers in ["00000-of-00002", "00003-of-00002", "00001-of-00000", "00001-of-65535"] {
        assert_error!(split_names(&format!("x-{numbers}.gguf")), Err(GgufError::BadSplit { .. }));
    }
}

#[test]
fn names_of_all_parts_follow_from_one() {
    let names = split_names("my-model-q4-00002-of-00003.gguf").unwrap().unwrap();
    assert_eq!(
        names,
        ["my-model-q4-00001-of-00003.gguf", "my-model-q4-00002-of-00003.gguf", "my-model-q4-00003-of-00003.gguf"]
    );
    for whole in ["x.gguf", "x-00001-of-00002.bin", "x-1-of-2.gguf", "x-00001-of-0000b.gguf", "-of-.gguf", ""] {
        assert_eq!(split_names(whole).unwrap(), None, "{whole}");
    }
    let paths = split_paths("../models/x-00001-of-00002.gguf").unwrap().unwrap();
    assert_eq!(paths[1], Path::new("../models/x-00002-of-00002.gguf"));
    assert_eq!(split_paths("/").unwrap(), None);
}

#[test]
fn m99_sibling_missing() {
    let mut files = set(3);
    files.pop();
    assert_error!(
        in_part(&refused_set(&files)),
        (0, GgufError::BadSplit { subject, found, .. }) if subject == "key `split.count`" && found == "3"
    );
}

#[test]
fn m99_sibling_empty() {
    let bytes = vec![part(0, 2).bytes(), vec![]];
    let error = Gguf::parse_split(bytes).unwrap_err();
    assert_error!(in_part(&error), (1, GgufError::Truncated { offset: 0, .. }));
    assert!(error.to_string().starts_with("part 2: "), "{error}");
}

#[test]
fn m99_same_part_twice() {
    let files = [part(0, 2), part(0, 2)];
    assert_error!(in_part(&refused_set(&files)), (1, GgufError::BadSplit { subject, .. }) if subject == "key `split.no`");
}

#[test]
fn m99_sibling_of_another_model() {
    let strangers = [text_pair("general.architecture", "qwen3"), pair("general.alignment", U32, 32_u32.to_le_bytes())];
    for stranger in strangers {
        let mut files = set(2);
        files[1].pairs.push(stranger);
        assert_error!(in_part(&refused_set(&files)), (1, GgufError::BadSplit { subject, .. }) if subject.starts_with("key `general."));
    }
    let mut files = set(2);
    files[1].pairs = split_keys(1, 2, 9);
    assert_error!(in_part(&refused_set(&files)), (1, GgufError::BadSplit { expected, found, .. }) if expected == "2" && found == "9");
    files[1].pairs = split_keys(1, 3, 2);
    assert_error!(in_part(&refused_set(&files)), (1, GgufError::BadSplit { .. }));
    files[1].pairs = vec![];
    assert_error!(in_part(&refused_set(&files)), (1, GgufError::MissingKey { key }) if key == "split.count");
}

#[test]
fn m100_tensor_total() {
    let mut files = set(2);
    for (no, file) in files.iter_mut().enumerate() {
        file.pairs = split_keys(no as u16, 2, 3);
    }
    assert_error!(refused_set(&files), GgufError::BadSplit { found, .. } if found == "2");
}

#[test]
fn m100_one_tensor_in_two_parts() {
    let mut files = set(2);
    files[1].entries = files[0].entries.clone();
    assert_error!(refused_set(&files), GgufError::DuplicateTensor { name, first: 0, second: 1 } if name == "t0");
}
