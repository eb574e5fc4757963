//! The embedding: rows by token, scaled.

use rocmforge_hip_backend::ops::{Embed, EmbedCall};
use rocmforge_quant::GgmlType;

use crate::matrix::{Matrix, at_least};
use crate::rig::{Rig, on_each_device};

/// Looks up tokens with a scale, into a buffer that is one row longer.
fn look_up(rig: &Rig, matrix: &Matrix, tokens: &[u32], scale: f32) -> Vec<f32> {
    let embed = Embed::load(&rig.kernels, matrix.ty).expect("the kernel loads");
    let uploaded = matrix.upload(rig);
    let (given, out) = (rig.buffer(tokens), rig.room::<f32>((tokens.len() + 1) * matrix.cols));
    let call = EmbedCall {
        table: uploaded.planes(),
        rows: matrix.rows,
        cols: matrix.cols,
        tokens: given.ptr(),
        count: tokens.len(),
        scale,
        out: out.ptr(),
    };
    embed.run(&rig.stream, &call).expect("the kernel starts");
    rig.read(&out)
}

fn check(ty: GgmlType, cols: usize, scale: f32) {
    on_each_device(|rig| {
        let matrix = Matrix::new(ty, 50, at_least(ty, cols), 11);
        let tokens = [49, 0, 7, 7, 31];
        let found = look_up(rig, &matrix, &tokens, scale);
        let (written, behind) = found.split_at(tokens.len() * matrix.cols);
        for (&token, row) in tokens.iter().zip(written.chunks(matrix.cols)) {
            let expected: Vec<f32> = matrix.row(token as usize).iter().map(|v| scale * v).collect();
            assert_eq!(row, expected, "{ty}, {cols} columns, token {token}");
        }
        assert!(behind.iter().all(|v| v.is_nan()), "{ty}: written behind the end");
    });
}

#[test]
fn rows_are_looked_up_and_scaled() {
    for (ty, cols) in [(GgmlType::Q4_K, 2560), (GgmlType::Q8_0, 32), (GgmlType::Q6_K, 768), (GgmlType::Q4_0, 4128)] {
        check(ty, cols, 1.0);
        check(ty, cols, 59.866_65);
    }
}

#[test]
fn float_tables_may_have_any_width() {
    for ty in [GgmlType::F32, GgmlType::F16, GgmlType::BF16] {
        for cols in [1, 7, 257] {
            check(ty, cols, 0.5);
        }
    }
}

#[test]
fn a_token_that_is_not_there_is_the_last_one() {
    on_each_device(|rig| {
        let matrix = Matrix::new(GgmlType::F16, 5, 8, 1);
        let found = look_up(rig, &matrix, &[5, u32::MAX], 1.0);
        assert_eq!(found[..8], *matrix.row(4));
        assert_eq!(found[8..16], *matrix.row(4));
    });
}

#[test]
fn no_tokens_are_no_launch() {
    on_each_device(|rig| {
        let matrix = Matrix::new(GgmlType::F16, 5, 8, 1);
        assert!(look_up(rig, &matrix, &[], 1.0).iter().all(|v| v.is_nan()));
    });
}
