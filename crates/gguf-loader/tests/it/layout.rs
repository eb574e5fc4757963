//! Alignment, offsets, overlap: where tensors lie in the file.

use rocmforge_gguf_loader::{GgufError, GgufWarning};

use crate::assert_error;
use crate::build::{File, T_F32, T_Q4_0, U32, entry, pair};

fn aligned(alignment: u32) -> File {
    File {
        pairs: vec![pair("general.alignment", U32, alignment.to_le_bytes())],
        entries: vec![entry("t", &[8], T_F32, 0)],
        alignment: (alignment as usize).clamp(8, 1 << 20),
        data: vec![7; 32],
        ..File::default()
    }
}

fn refused_alignment(alignments: &[u32]) {
    for alignment in alignments {
        let error = aligned(*alignment).refused();
        assert_error!(
            error,
            GgufError::BadAlignment { found, min: 8, max: 1_048_576, offset: Some(24) } if found == u64::from(*alignment)
        );
    }
}

#[test]
fn m53_alignment_zero() {
    refused_alignment(&[0]);
}

#[test]
fn m54_alignment_not_a_power_of_two() {
    refused_alignment(&[3, 13, 48, u32::MAX]);
}

#[test]
fn m55_alignment_out_of_range() {
    refused_alignment(&[1, 2, 4, 1 << 21, 1 << 31]);
    for alignment in [8, 16, 64, 4096, 1 << 20] {
        let gguf = aligned(alignment).parse().unwrap();
        assert_eq!(gguf.alignment(), u64::from(alignment));
        assert_eq!(gguf.data(&gguf.tensors()[0]), [7; 32]);
    }
}

fn at(offset: u64, data_len: usize) -> GgufError {
    File::with_entries([entry("t", &[8], T_F32, offset)], data_len).refused()
}

#[test]
fn m56_misaligned_offset() {
    for offset in [1, 16, 33, u64::MAX] {
        assert_error!(at(offset, 4096), GgufError::OffsetMisaligned { found, alignment: 32, .. } if found == offset);
    }
}

#[test]
fn m57_offset_past_the_end() {
    for offset in [64, 4096, 1 << 40] {
        assert_error!(at(offset, 64), GgufError::OffsetOutOfFile { size: 32, .. });
    }
}

#[test]
fn m58_end_past_the_end() {
    let past = |elements| File::with_entries([entry("t", &[elements], 24, 0)], 64).refused();
    for elements in [65, 64 + (1 << 30)] {
        assert_error!(past(elements), GgufError::OffsetOutOfFile { size, end, .. } if size == elements && end == 64 + 64);
    }
}

#[test]
fn m59_sum_of_offset_and_size_wraps() {
    assert_error!(at(u64::MAX - 31, 64), GgufError::OffsetOutOfFile { offset, .. } if offset > u128::from(u64::MAX));
}

#[test]
fn m60_two_tensors_at_one_offset() {
    let file = File::with_entries([entry("a", &[8], T_F32, 0), entry("b", &[16], T_F32, 0)], 64);
    assert_error!(file.refused(), GgufError::Overlap { start, end, .. } if end - start == 32);
}

#[test]
fn m61_overlap_by_one_block() {
    // 64 blocks of 18 bytes, and a second tensor that begins one aligned step too early.
    let file = File::with_entries([entry("a", &[2048], T_Q4_0, 0), entry("b", &[32], T_Q4_0, 1120)], 2048);
    assert_error!(
        file.refused(),
        GgufError::Overlap { first, second, start, end } if first == "a" && second == "b" && end - start == 18
    );
}

#[test]
fn m62_gap_is_accepted_with_a_warning() {
    let file = File::with_entries([entry("a", &[8], T_F32, 32), entry("b", &[8], T_F32, 128)], 160);
    assert_eq!(file.warnings(), [GgufWarning::Gaps { part: 0, count: 2, bytes: 32 + 64 }]);
}

#[test]
fn m63_any_order_is_accepted() {
    let mut file = File::with_entries([entry("a", &[8], T_F32, 32), entry("b", &[8], T_F32, 0)], 0);
    file.data = (0..64).collect();
    let gguf = file.parse().unwrap();
    assert_eq!(gguf.warnings(), []);
    assert_eq!(gguf.tensors().iter().map(|tensor| tensor.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(gguf.data(&gguf.tensors()[0])[0], 32);
}

#[test]
fn m64_data_section_past_the_end() {
    let mut file = aligned(4096);
    file.data = vec![];
    assert_error!(file.refused(), GgufError::OffsetOutOfFile { offset: 4096, end, .. } if end < 4096);
}

#[test]
fn m65_last_tensor_short_by_a_byte() {
    let mut file = File::sound();
    file.data.pop();
    assert_error!(file.refused(), GgufError::OffsetOutOfFile { name, .. } if name == "b.weight");
}
