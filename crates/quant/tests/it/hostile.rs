//! Bytes and lengths that no honest file has.

use rocmforge_quant::{GgmlType, QuantError, dequantize, quantize};

use crate::rng::Rng;

#[test]
fn any_bytes_decode() {
    let mut rng = Rng::new(7);
    for &ty in GgmlType::ALL {
        let (elems, bytes) = (ty.block_elems() * 64, ty.block_bytes() * 64);
        let mut out = vec![0.0; elems];
        for fill in [0x00, 0xff, 0x7f, 0x80, 0x7c, 0xfc] {
            dequantize(ty, &vec![fill; bytes], &mut out).unwrap();
        }
        for _ in 0..100 {
            let noise: Vec<u8> = (0..bytes).map(|_| rng.bits() as u8).collect();
            dequantize(ty, &noise, &mut out).unwrap();
        }
    }
}

#[test]
fn every_value_of_a_block_is_written() {
    for &ty in GgmlType::ALL {
        let mut out = vec![f32::NAN; ty.block_elems() * 2];
        dequantize(ty, &vec![0; ty.block_bytes() * 2], &mut out).unwrap();
        assert!(out.iter().all(|v| *v == 0.0), "{ty}");
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    for &ty in GgmlType::ALL {
        let (elems, bytes) = (ty.block_elems(), ty.block_bytes());
        let mut out = vec![0.0; 2 * elems];
        for found in [0, bytes, 2 * bytes - 1, 2 * bytes + 1, 3 * bytes] {
            let expected = QuantError::ByteLength { ty, elems: 2 * elems, expected: 2 * bytes, found };
            assert_eq!(dequantize(ty, &vec![0; found], &mut out), Err(expected));
        }
        if elems > 1 {
            let partial = QuantError::PartialBlock { ty, elems: elems + 1, block_elems: elems };
            assert_eq!(dequantize(ty, &vec![0; bytes], &mut out[..elems + 1]), Err(partial));
        }
        dequantize(ty, &[], &mut []).unwrap();
    }
}

#[test]
fn rows_that_do_not_fit_are_refused() {
    let ty = GgmlType::Q4_0;
    let (x, mut out) = (vec![1.0; 96], vec![0; 54]);
    for (row_len, error) in [
        (0, QuantError::PartialRow { ty, elems: 96, row_len: 0 }),
        (64, QuantError::PartialRow { ty, elems: 96, row_len: 64 }),
        (192, QuantError::PartialRow { ty, elems: 96, row_len: 192 }),
        (48, QuantError::PartialBlock { ty, elems: 48, block_elems: 32 }),
    ] {
        assert_eq!(quantize(ty, &x, row_len, None, &mut out), Err(error));
    }
    let importance = vec![1.0; 95];
    let error = QuantError::ImportanceLength { ty, expected: 96, found: 95 };
    assert_eq!(quantize(ty, &x, 96, Some(&importance), &mut out), Err(error));
    let error = QuantError::ByteLength { ty, elems: 96, expected: 54, found: 53 };
    assert_eq!(quantize(ty, &x, 96, None, &mut out[..53]), Err(error));
    quantize(ty, &[], 0, None, &mut []).unwrap();
    quantize(ty, &x, 32, None, &mut out).unwrap();
}

#[test]
fn values_without_a_place_are_refused_and_nothing_is_written() {
    for &ty in GgmlType::ALL.iter().filter(|ty| ty.is_quantized() && ty.spec().quantize.is_some()) {
        let elems = ty.block_elems() * 3;
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut x = vec![0.5; elems];
            x[elems - 2] = value;
            let mut out = vec![0x5a; ty.row_bytes(elems).unwrap()];
            match quantize(ty, &x, elems, None, &mut out) {
                Err(QuantError::NotFinite { ty: found, index, .. }) => assert_eq!((found, index), (ty, elems - 2)),
                other => panic!("{ty}: {other:?}"),
            }
            assert!(out.iter().all(|b| *b == 0x5a), "{ty}");
        }
        for value in [f32::NAN, f32::INFINITY, -1.0] {
            let mut importance = vec![0.5; elems];
            importance[3] = value;
            let mut out = vec![0; ty.row_bytes(elems).unwrap()];
            match quantize(ty, &vec![0.5; elems], elems, Some(&importance), &mut out) {
                Err(QuantError::BadImportance { column: 3, .. }) => {}
                other => panic!("{ty}: {other:?}"),
            }
        }
    }
}

#[test]
fn plain_floats_keep_what_has_no_number() {
    let x = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -0.0];
    for ty in [GgmlType::F32, GgmlType::F16, GgmlType::BF16, GgmlType::F64] {
        let mut blocks = vec![0; ty.row_bytes(x.len()).unwrap()];
        quantize(ty, &x, x.len(), None, &mut blocks).unwrap();
        let mut y = [0.0; 6];
        dequantize(ty, &blocks, &mut y).unwrap();
        assert!(y[0].is_nan(), "{ty}");
        assert_eq!((y[1], y[2]), (f32::INFINITY, f32::NEG_INFINITY), "{ty}");
        assert!(y[3].is_finite() && y[3] >= 65504.0 && y[4] == -y[3], "{ty}: {y:?}");
        assert!(y[5] == 0.0 && y[5].is_sign_negative(), "{ty}");
    }
}

#[test]
fn types_without_a_quantizer_say_so() {
    for &ty in GgmlType::ALL.iter().filter(|ty| ty.spec().quantize.is_none()) {
        let x = vec![0.0; ty.block_elems()];
        let mut out = vec![0; ty.block_bytes()];
        assert_eq!(quantize(ty, &x, x.len(), None, &mut out), Err(QuantError::NoQuantizer { ty }));
    }
}
