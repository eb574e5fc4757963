//! Every type of weights is decoded on the device as on the CPU, bit for bit.

use rocmforge_hip_backend::ops::{Embed, EmbedCall};
use rocmforge_quant::GgmlType;

use crate::matrix::{Matrix, at_least, random_byte, weight_types};
use crate::rig::{Noise, Rig, on_each_device};

/// All rows of the matrix, through the embedding.
fn decoded(rig: &Rig, matrix: &Matrix) -> Vec<f32> {
    let embed = Embed::load(&rig.kernels, matrix.ty).expect("the kernel loads");
    let uploaded = matrix.upload(rig);
    let tokens: Vec<u32> = (0..matrix.rows as u32).collect();
    let (tokens, out) = (rig.buffer(&tokens), rig.room::<f32>(matrix.rows * matrix.cols));
    let call = EmbedCall {
        table: uploaded.planes(),
        rows: matrix.rows,
        cols: matrix.cols,
        tokens: tokens.ptr(),
        count: matrix.rows,
        scale: 1.0,
        out: out.ptr(),
    };
    embed.run(&rig.stream, &call).expect("the kernel starts");
    rig.read(&out)
}

/// Decoding has nothing to do with the width of a wave, so one is enough.
fn is_wide(rig: &Rig) -> bool {
    rig.kernels.device().properties().wave_size == 64
}

fn check(matrix: &Matrix, rig: &Rig) {
    for (i, (found, &expected)) in decoded(rig, matrix).into_iter().zip(&matrix.values).enumerate() {
        // An infinite scale times a code, and times the code of zero taken away from it, is NaN where the CPU has
        // infinity; either is found by the check of a model's outputs.
        let same = if expected.is_finite() { found == expected } else { !found.is_finite() };
        let (row, col) = (i / matrix.cols, i % matrix.cols);
        assert!(same, "{} [{row}, {col}]: {found:e}, on the CPU {expected:e}", matrix.ty);
    }
}

/// Random bytes are blocks too: 1024 of them meet every point of every codebook, every scale and every sign.
#[test]
fn random_blocks_decode_to_the_same_numbers() {
    on_each_device(|rig| {
        for ty in weight_types().into_iter().filter(|_| !is_wide(rig)) {
            let (rows, cols) = (64, 4096);
            let mut noise = Noise::new(7 + u64::from(ty.id()));
            let bytes = rows * ty.row_bytes(cols).expect("whole blocks");
            let blocks = (0..bytes).map(|_| random_byte(&mut noise)).collect();
            check(&Matrix::of_blocks(ty, rows, cols, blocks), rig);
        }
    });
}

#[test]
fn the_smallest_matrices_decode_too() {
    on_each_device(|rig| {
        for ty in weight_types().into_iter().filter(|_| !is_wide(rig)) {
            for (rows, cols) in [(1, 1), (3, 1), (2, 96), (5, 288)] {
                check(&Matrix::new(ty, rows, at_least(ty, cols), 3), rig);
            }
        }
    });
}

#[test]
fn a_slice_of_rows_is_addressed_by_its_first_row() {
    on_each_device(|rig| {
        let matrix = Matrix::new(GgmlType::Q5_0, 9, 96, 5);
        let embed = Embed::load(&rig.kernels, matrix.ty).expect("the kernel loads");
        let uploaded = matrix.upload(rig);
        let (tokens, out) = (rig.buffer(&[1u32]), rig.room::<f32>(96));
        let call = EmbedCall {
            table: uploaded.planes_of_row(4),
            rows: 5,
            cols: 96,
            tokens: tokens.ptr(),
            count: 1,
            scale: 1.0,
            out: out.ptr(),
        };
        embed.run(&rig.stream, &call).expect("the kernel starts");
        assert_eq!(rig.read::<f32>(&out), matrix.row(5));
    });
}
