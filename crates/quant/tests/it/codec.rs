//! What the quantizers promise.

use rocmforge_quant::{GgmlType, dequantize, quantize};

use crate::samples::{ROW_LEN, nmse, source};

/// Types this crate writes.
fn writable() -> impl Iterator<Item = GgmlType> {
    GgmlType::ALL.iter().copied().filter(|ty| ty.spec().quantize.is_some())
}

/// `x` written and read again.
fn round_trip(ty: GgmlType, x: &[f32], row_len: usize, importance: Option<&[f32]>) -> Vec<f32> {
    let mut blocks = vec![0x5a; ty.row_bytes(x.len()).unwrap()];
    quantize(ty, x, row_len, importance, &mut blocks).unwrap();
    let mut y = vec![f32::NAN; x.len()];
    dequantize(ty, &blocks, &mut y).unwrap();
    y
}

#[test]
fn errors_stay_within_the_bound_of_each_row() {
    let source = source();
    for ty in writable() {
        let measured = nmse(&source, &round_trip(ty, &source, ROW_LEN, None));
        println!(
            "{ty:8} {measured:.4e} of {:.3e} = {:.3}",
            ty.spec().max_nmse,
            measured / ty.spec().max_nmse.max(1e-30)
        );
        assert!(measured <= ty.spec().max_nmse, "{ty}: {measured:.4e}");
    }
}
