//! What the quantizers promise.

use rocmforge_quant::{GgmlType, dequantize, quantize};

use crate::rng::Rng;
use crate::samples::{ROW_LEN, nmse, source};

/// Types this crate writes.
fn writable() -> impl Iterator<Item = GgmlType> {
    GgmlType::ALL.iter().copied().filter(|ty| ty.spec().quantize.is_some())
}

/// Types this crate writes in blocks with a shared scale.
fn searched() -> impl Iterator<Item = GgmlType> {
    writable().filter(|ty| ty.is_quantized())
}

fn blocks(ty: GgmlType, x: &[f32], row_len: usize, importance: Option<&[f32]>) -> Vec<u8> {
    // Not zero, so that a byte that is not written shows.
    let mut blocks = vec![0x5a; ty.row_bytes(x.len()).unwrap()];
    quantize(ty, x, row_len, importance, &mut blocks).unwrap();
    blocks
}

fn values(ty: GgmlType, blocks: &[u8]) -> Vec<f32> {
    let mut y = vec![f32::NAN; blocks.len() / ty.block_bytes() * ty.block_elems()];
    dequantize(ty, blocks, &mut y).unwrap();
    y
}

/// `x`, one row, written and read again.
fn round_trip(ty: GgmlType, x: &[f32]) -> Vec<f32> {
    values(ty, &blocks(ty, x, x.len(), None))
}

#[test]
fn errors_stay_within_the_bound_of_each_row() {
    let source = source();
    for ty in writable() {
        let measured = nmse(&source, &values(ty, &blocks(ty, &source, ROW_LEN, None)));
        let bound = ty.spec().max_nmse;
        println!("{ty:8} {measured:.4e} of {bound:.3e}");
        assert!(measured <= bound, "{ty}: {measured:.4e}");
    }
}

#[test]
fn errors_stay_within_the_bound_for_other_weights() {
    let mut rng = Rng::new(1);
    for ty in searched() {
        for deviation in [1.0, 0.01] {
            let x: Vec<f32> = (0..4096).map(|_| rng.normal() * deviation).collect();
            let measured = nmse(&x, &round_trip(ty, &x));
            assert!(measured <= ty.spec().max_nmse, "{ty} at {deviation}: {measured:.4e}");
        }
    }
}

#[test]
fn rows_and_calls_do_not_influence_each_other() {
    let source = source();
    let importance: Vec<f32> = (0..ROW_LEN).map(|i| 0.5 + (i % 7) as f32).collect();
    for ty in writable() {
        for importance in [None, Some(importance.as_slice())] {
            let together = blocks(ty, &source, ROW_LEN, importance);
            let apart: Vec<u8> = source.chunks(ROW_LEN).flat_map(|row| blocks(ty, row, ROW_LEN, importance)).collect();
            assert!(together == apart, "{ty}");
            assert!(together == blocks(ty, &source, ROW_LEN, importance), "{ty}");
        }
    }
}

#[test]
fn importance_moves_the_error_to_where_it_matters_less() {
    let source = source();
    let importance: Vec<f32> = (0..ROW_LEN).map(|i| if i % 5 == 0 { 20.0 } else { 0.5 }).collect();
    let weighted = |y: &[f32]| -> f64 {
        let square = |(i, (a, b)): (usize, (&f32, &f32))| f64::from(importance[i % ROW_LEN]) * f64::from(a - b).powi(2);
        source.iter().zip(y).enumerate().map(square).sum()
    };
    // Q8_0 takes its scale from the peak, whatever the importance.
    for ty in searched().filter(|&ty| ty != GgmlType::Q8_0) {
        let without = weighted(&values(ty, &blocks(ty, &source, ROW_LEN, None)));
        let with = weighted(&values(ty, &blocks(ty, &source, ROW_LEN, Some(&importance))));
        assert!(with < without * 0.995, "{ty}: {with:.4e} with, {without:.4e} without");
    }
}

#[test]
fn equal_importance_changes_nothing() {
    let source = source();
    for ty in writable() {
        let with = |level| blocks(ty, &source, ROW_LEN, Some(&vec![level; ROW_LEN]));
        let expected = blocks(ty, &source, ROW_LEN, None);
        assert!(expected == with(1.0) && expected == with(4.0), "{ty}");
        // The weights are not exactly one here, which may tip ties.
        let error = nmse(&source, &values(ty, &expected));
        for level in [0.0, 1e-30, 0.3, 1e30] {
            let found = nmse(&source, &values(ty, &with(level)));
            assert!(found <= error * 1.01, "{ty} at {level}: {found:.3e}");
        }
    }
}

#[test]
fn importance_of_any_size_is_harmless() {
    let mut rng = Rng::new(3);
    let x: Vec<f32> = (0..ROW_LEN).map(|_| rng.normal()).collect();
    for ty in searched() {
        let importance: Vec<f32> = (0..ROW_LEN).map(|i| [0.0, 1e-38, 1e38, 1.0][i % 4]).collect();
        let y = values(ty, &blocks(ty, &x, ROW_LEN, Some(&importance)));
        let measured = nmse(&x, &y);
        assert!(measured < 1.0, "{ty}: {measured:.3e}");
    }
}

#[test]
fn zeros_stay_zeros() {
    for ty in writable() {
        assert!(round_trip(ty, &[0.0; 256]).iter().all(|v| *v == 0.0), "{ty}");
        assert!(round_trip(ty, &[-0.0; 256]).iter().all(|v| *v == 0.0), "{ty}");
    }
}

/// Blocks with little or extreme variety.
fn odd_blocks() -> Vec<(&'static str, Vec<f32>)> {
    let mut rng = Rng::new(5);
    let mut noise = |scale: f32, offset: f32| -> Vec<f32> { (0..256).map(|_| rng.normal() * scale + offset).collect() };
    let at = |f: fn(usize) -> f32| -> Vec<f32> { (0..256).map(f).collect() };
    vec![
        ("noise far above zero", noise(0.01, 3.0)),
        ("noise far below zero", noise(0.01, -3.0)),
        ("large noise", noise(1000.0, 0.0)),
        ("constant", vec![0.37; 256]),
        ("negative constant", vec![-0.37; 256]),
        ("one spike", at(|i| if i == 77 { 4.0 } else { 0.0 })),
        ("one negative spike", at(|i| if i == 200 { -4.0 } else { 0.0 })),
        ("two values", at(|i| if i % 3 == 0 { 1.0 } else { -0.25 })),
        ("ramp", at(|i| i as f32 * 0.01)),
        ("falling ramp", at(|i| -0.5 - i as f32 * 0.01)),
        ("powers", at(|i| 0.9f32.powi(i as i32) * if i % 2 == 0 { 1.0 } else { -1.0 })),
        ("steps between groups", at(|i| [1e-3, 1.0, 1e-2, 0.1][i / 16 % 4] * (i % 5) as f32)),
    ]
}

#[test]
fn odd_blocks_are_never_worse_than_zeros() {
    for ty in searched() {
        for (name, x) in odd_blocks() {
            let measured = nmse(&x, &round_trip(ty, &x));
            // NaN fails this comparison too.
            assert!(measured < 1.0, "{ty}, {name}: {measured:.3e}");
        }
    }
}

#[test]
fn one_value_all_over_is_kept() {
    for ty in searched() {
        for value in [0.37, -0.37, 12.0, -1.0] {
            let x = [value; 256];
            let measured = nmse(&x, &round_trip(ty, &x));
            // A power-of-two scale with values 4 and 6 is off by up to a fifth; others have a
            // scale or a minimum for it, of at least 4 bits in NVFP4 and Q2_K.
            let bound = if ty == GgmlType::MXFP4 { 0.05 } else { 5e-3 };
            assert!(measured < bound, "{ty} of {value}: {measured:.3e}");
        }
    }
}

#[test]
fn extreme_magnitudes_give_finite_blocks() {
    let mut rng = Rng::new(11);
    for ty in searched() {
        for exponent in [-45, -38, -30, -20, -14, -10, -7, 4, 6, 9, 12, 20, 30, 38] {
            let size = 10f32.powi(exponent);
            let x: Vec<f32> = (0..256).map(|_| (rng.unit() * 2.0 - 1.0) * size).collect();
            // Half precision rounds scales of the smallest up to its own smallest number.
            let limit = (2.0 * size).max(1e-5);
            let worst = round_trip(ty, &x).into_iter().find(|v| v.is_nan() || v.abs() > limit);
            assert_eq!(worst, None, "{ty} at 1e{exponent}");
        }
        let mixed: Vec<f32> = (0..256).map(|i| if i == 9 { f32::MAX } else { 1e-3 }).collect();
        assert!(round_trip(ty, &mixed).iter().all(|v| v.is_finite()), "{ty}");
    }
}

#[test]
fn ternary_weights_survive() {
    let mut rng = Rng::new(13);
    let x: Vec<f32> = (0..1024).map(|_| (rng.bits() % 3) as f32 * 0.03125 - 0.03125).collect();
    for ty in [GgmlType::TQ1_0, GgmlType::TQ2_0, GgmlType::Q2_0] {
        assert_eq!(round_trip(ty, &x), x, "{ty}");
    }
}

#[test]
fn what_a_block_can_hold_survives() {
    let source = source();
    for ty in searched() {
        let once = round_trip(ty, &source);
        let twice = round_trip(ty, &once);
        let measured = nmse(&once, &twice);
        assert!(measured <= ty.spec().max_nmse * 0.1, "{ty}: {measured:.3e}");
    }
}
