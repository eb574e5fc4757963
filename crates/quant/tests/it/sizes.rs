//! Numbers, names and sizes against literals, which come from the file format.

use std::str::FromStr;

use rocmforge_quant::{GgmlType, QuantError};

/// `(id, name, values in a block, bytes in a block)`.
const FORMAT: [(u32, &str, usize, usize); 33] = [
    (0, "F32", 1, 4),
    (1, "F16", 1, 2),
    (2, "Q4_0", 32, 18),
    (3, "Q4_1", 32, 20),
    (6, "Q5_0", 32, 22),
    (7, "Q5_1", 32, 24),
    (8, "Q8_0", 32, 34),
    (10, "Q2_K", 256, 84),
    (11, "Q3_K", 256, 110),
    (12, "Q4_K", 256, 144),
    (13, "Q5_K", 256, 176),
    (14, "Q6_K", 256, 210),
    (16, "IQ2_XXS", 256, 66),
    (17, "IQ2_XS", 256, 74),
    (18, "IQ3_XXS", 256, 98),
    (19, "IQ1_S", 256, 50),
    (20, "IQ4_NL", 32, 18),
    (21, "IQ3_S", 256, 110),
    (22, "IQ2_S", 256, 82),
    (23, "IQ4_XS", 256, 136),
    (24, "I8", 1, 1),
    (25, "I16", 1, 2),
    (26, "I32", 1, 4),
    (27, "I64", 1, 8),
    (28, "F64", 1, 8),
    (29, "IQ1_M", 256, 56),
    (30, "BF16", 1, 2),
    (34, "TQ1_0", 256, 54),
    (35, "TQ2_0", 256, 66),
    (39, "MXFP4", 32, 17),
    (40, "NVFP4", 64, 36),
    (41, "Q1_0", 128, 18),
    (42, "Q2_0", 64, 18),
];

#[test]
fn the_table_is_the_file_format() {
    assert_eq!(GgmlType::ALL.len(), FORMAT.len());
    for (&ty, (id, name, elems, bytes)) in GgmlType::ALL.iter().zip(FORMAT) {
        assert_eq!((ty.id(), ty.name(), ty.block_elems(), ty.block_bytes()), (id, name, elems, bytes));
        let spec = ty.spec();
        assert_eq!((spec.ty, spec.name), (ty, name));
        assert_eq!((spec.block_elems, spec.block_bytes), (elems, bytes));
        assert_eq!(ty.is_quantized(), elems > 1, "{ty}");
        assert!(!spec.doc.is_empty(), "{ty}");
        assert_eq!(ty.to_string(), name);
    }
    assert_eq!(GgmlType::Q6_K.spec().bits_per_weight(), 6.5625);
}

#[test]
fn numbers_lead_to_their_types_and_to_nothing_else() {
    for id in (0..1 << 16).chain(u32::MAX - 1000..=u32::MAX) {
        let expected = FORMAT.iter().find(|row| row.0 == id).map(|row| row.1);
        assert_eq!(GgmlType::from_id(id).map(GgmlType::name), expected, "{id}");
    }
}

#[test]
fn names_are_read_in_any_case() {
    for &ty in GgmlType::ALL {
        for name in [ty.name().to_owned(), ty.name().to_lowercase()] {
            assert_eq!(GgmlType::from_str(&name), Ok(ty));
        }
    }
    for name in ["", "Q4", "Q4_K ", "Q4_K_M", "Q8_K", "\u{212a}"] {
        let error = GgmlType::from_str(name).unwrap_err();
        assert_eq!(error, QuantError::UnknownName { name: name.to_owned() });
        assert!(error.to_string().contains("IQ2_XXS"), "{error}");
    }
}

#[test]
fn row_bytes_wants_whole_blocks_and_room() {
    assert_eq!(GgmlType::Q4_K.row_bytes(4096), Some(16 * 144));
    assert_eq!(GgmlType::Q4_K.row_bytes(0), Some(0));
    assert_eq!(GgmlType::Q4_K.row_bytes(4096 + 128), None);
    assert_eq!(GgmlType::F16.row_bytes(3), Some(6));
    assert_eq!(GgmlType::F64.row_bytes(usize::MAX / 8), Some(usize::MAX / 8 * 8));
    assert_eq!(GgmlType::F64.row_bytes(usize::MAX / 8 + 1), None);
    assert_eq!(GgmlType::Q8_0.row_bytes(usize::MAX - 31), None);
}
