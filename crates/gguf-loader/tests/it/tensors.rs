//! Names, dimensions, types and sizes of tensors.

use rocmforge_gguf_loader::{GgmlType, GgufError};

use crate::assert_error;
use crate::build::{File, Raw, T_F32, T_Q4_0, T_Q4_K, entry};

fn one(entry: Vec<u8>) -> File {
    File::with_entries([entry], 4096)
}

#[test]
fn m38_name_too_long() {
    assert!(one(entry("n".repeat(63), &[8], T_F32, 0)).parse().is_ok());
    for len in [64, 200] {
        let file = one(entry("n".repeat(len), &[8], T_F32, 0));
        assert_error!(file.refused(), GgufError::BadName { index: 0, name, .. } if name.len() == len);
    }
}

#[test]
fn m39_unprintable_name() {
    for name in [b"a\0".as_slice(), b"\xc3\x28", b"\x1b]0;title\x07", b""] {
        let file = one(entry(name, &[8], T_F32, 0));
        assert_error!(file.refused(), GgufError::BadName { name: found, .. } if found == name);
    }
}

#[test]
fn name_length_exceeds_file() {
    let file = one(Raw::new().u64(u64::MAX).bytes([b'n'; 60]).0);
    assert_error!(file.refused(), GgufError::LenExceedsFile { claimed: u64::MAX, .. });
}

#[test]
fn m40_duplicate_tensor() {
    let names = ["x", "twice", "y", "twice"];
    let entries = names.iter().zip(0_u64..).map(|(name, index)| entry(name, &[8], T_F32, 32 * index));
    let file = File::with_entries(entries, 128);
    assert_error!(file.refused(), GgufError::DuplicateTensor { name, first: 1, second: 3 } if name == "twice");
}

#[test]
fn m41_dimension_count() {
    for count in [0, 5, u32::MAX] {
        let file = one(Raw::new().text("t").u32(count).bytes([1; 60]).0);
        assert_error!(file.refused(), GgufError::BadDims { found, name, .. } if found == u64::from(count) && name == "t");
    }
}

#[test]
fn m42_zero_dimension() {
    for position in 0..4 {
        let mut dims = [2; 4];
        dims[position] = 0;
        let file = one(entry("t", &dims, T_F32, 0));
        assert_error!(file.refused(), GgufError::BadDims { found: 0, .. });
    }
}

#[test]
fn m43_dimension_with_the_top_bit() {
    for dim in [1 << 63, u64::MAX] {
        assert_error!(one(entry("t", &[dim], T_F32, 0)).refused(), GgufError::BadDims { found, .. } if found == dim);
    }
}

#[test]
fn m44_product_too_large() {
    let side = (1 << 42) + 1;
    for dims in [vec![side, side], vec![1 << 32, 1 << 31], vec![2, 1 << 62]] {
        let file = one(entry("t", &dims, T_F32, 0));
        assert_error!(file.refused(), GgufError::SizeOverflow { dims: found, .. } if found == dims);
    }
}

#[test]
fn m45_product_wraps_to_zero() {
    for dims in [vec![1 << 32, 1 << 32], vec![1 << 16; 4]] {
        assert_error!(one(entry("t", &dims, T_F32, 0)).refused(), GgufError::SizeOverflow { .. });
    }
}

#[test]
fn m46_elements_fit_bytes_do_not() {
    for (ty, dims) in [(T_F32, [1 << 62]), (28, [1 << 60]), (27, [(1 << 61) + 1])] {
        assert_error!(one(entry("t", &dims, ty, 0)).refused(), GgufError::SizeOverflow { .. });
    }
}

#[test]
fn m47_sum_of_sizes_wraps() {
    let entries = (0..5).map(|index| entry(format!("t{index}"), &[1 << 60], T_F32, 0));
    let file = File::with_entries(entries, 64);
    assert_error!(
        file.refused(),
        GgufError::SizeOverflow { name, total: 0x4000_0000_0000_0000, .. } if name == "t1"
    );
}

#[test]
fn m48_sum_and_padding_wrap() {
    // 2^63 - 1 bytes pass on their own; their padding does not.
    assert_error!(one(entry("t", &[(1 << 63) - 1], 24, 0)).refused(), GgufError::SizeOverflow { total: 0, .. });
    // 2^63 - 32 bytes need none, and are then found to be outside of the file.
    assert_error!(one(entry("t", &[(1 << 63) - 32], 24, 0)).refused(), GgufError::OffsetOutOfFile { .. });
}

#[test]
fn m50_partial_block() {
    for (ty, row, block_elems) in [(T_Q4_0, 33, 32), (T_Q4_0, 31, 32), (T_Q4_K, 224, 256), (T_Q4_K, 32, 256)] {
        let file = one(entry("t", &[row, 8], ty, 0));
        assert_error!(
            file.refused(),
            GgufError::NotBlockMultiple { found, block, .. } if (found, block) == (row, block_elems)
        );
    }
}

#[test]
fn m51_unknown_type() {
    for ty in [4, 5, 99, 1 << 31, u32::MAX] {
        let file = one(entry("t", &[32], ty, 0));
        assert_error!(file.refused(), GgufError::UnknownTensorType { found, .. } if found == ty);
    }
}

#[test]
fn m52_unsupported_types_come_together() {
    let entries = (0..30_u32).map(|index| {
        let ty = if index % 3 == 0 { 31 } else { T_F32 };
        entry(format!("t{index}"), &[8], ty, 32 * u64::from(index))
    });
    let error = File::with_entries(entries, 960).refused();
    assert!(error.to_string().ends_with("`t21` (Q4_0_4_4) and 2 more"), "{error}");
    assert_error!(error, GgufError::UnsupportedType { tensors } if tensors.len() == 10);
}

/// Every type of the table has the size that the table says, in a file.
#[test]
fn sizes_follow_the_type_table() {
    let mut seen = 0;
    for id in 0..64 {
        let Some(ty) = GgmlType::from_id(id) else { continue };
        let row = 2 * ty.block_elems() as u64;
        let file = one(entry("t", &[row, 3], id, 0));
        assert_eq!(file.parse().unwrap().tensors()[0].size, 6 * ty.block_bytes() as u64, "{}", ty.name());
        seen += 1;
    }
    assert!(seen >= 27);
}
