//! Norms against f64.

use rocmforge_hip_backend::driver::{DevicePtr, HipError};
use rocmforge_hip_backend::ops::{FormPtrs, Norm, NormCall};
use rocmforge_program::NormKind;

use crate::forms::{FormBuffers, check_forms};
use crate::rig::{Noise, Rig, on_each_device};

const WIDTHS: [usize; 16] = [1, 2, 31, 32, 33, 63, 65, 255, 257, 1000, 2080, 4096, 4097, 8224, 14336, 16416];

struct Case<'a> {
    kind: NormKind,
    x: &'a [f32],
    add: Option<&'a [f32]>,
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
    cols: usize,
    group: usize,
}

const EPS: f32 = 1e-5;

fn exact(case: &Case<'_>) -> Vec<f64> {
    let sum: Vec<f64> =
        (0..case.x.len()).map(|i| f64::from(case.add.map_or(case.x[i], |add| case.x[i] + add[i]))).collect();
    let mut out = Vec::with_capacity(sum.len());
    for (g, group) in sum.chunks(case.group).enumerate() {
        let n = case.group as f64;
        let mean = if case.kind == NormKind::Layer { group.iter().sum::<f64>() / n } else { 0.0 };
        let variance = group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
        for (i, x) in group.iter().enumerate() {
            let at = |w: &[f32]| f64::from(w[(g * case.group + i) % case.cols % w.len()]);
            let y = (x - mean) / (variance + f64::from(EPS)).sqrt();
            out.push(y * case.weight.map_or(1.0, at) + case.bias.map_or(0.0, at));
        }
    }
    out
}

/// Runs a case with all forms that it can have, and compares.
fn check(rig: &Rig, norm: &Norm, case: &Case<'_>) {
    let Case { kind, cols, group, .. } = *case;
    let rows = case.x.len() / cols;
    let what = format!("{kind:?} {rows} rows of {cols} in groups of {group}, add {}", case.add.is_some());
    let optional = |values: Option<&[f32]>| values.map(|v| rig.buffer(v));
    let (x, add) = (rig.buffer(case.x), optional(case.add));
    let (weight, bias) = (optional(case.weight), optional(case.bias));
    let at = |buffer: &Option<rocmforge_hip_backend::driver::Buffer>| {
        buffer.as_ref().map_or(DevicePtr::NULL, |buffer| buffer.ptr())
    };
    let sum = rig.room::<f32>(case.x.len());
    let out = FormBuffers::new(rig, rows, cols);
    let whole = group == cols;
    let call = NormCall {
        add: at(&add),
        sum: if add.is_some() { sum.ptr() } else { DevicePtr::NULL },
        weight: at(&weight),
        weight_len: case.weight.map_or(0, <[f32]>::len),
        bias: at(&bias),
        bias_len: case.bias.map_or(0, <[f32]>::len),
        group,
        ..NormCall::of(kind, x.ptr(), if whole { out.all() } else { out.f32_only() }, rows, cols, EPS)
    };
    norm.run(&rig.stream, &call).expect("the norm is enqueued");
    let expected = exact(case);
    let found: Vec<f32> = rig.read(&out.f32);
    let scale = expected.iter().fold(1.0f64, |m, y| m.max(y.abs()));
    for (i, (y, e)) in found.iter().zip(&expected).enumerate() {
        let error = (f64::from(*y) - e).abs();
        assert!(error <= 1e-6 * e.abs() + 5e-7 * scale, "{what}: element {i} is {y}, exact {e}");
    }
    if let Some(add) = case.add {
        let exact: Vec<f32> = case.x.iter().zip(add).map(|(a, b)| a + b).collect();
        assert_eq!(rig.read::<f32>(&sum), exact, "{what}: the sum");
    }
    if whole {
        check_forms(rig, &out, &found, cols, &what);
    }
}

fn inputs(rows: usize, cols: usize, seed: u64) -> (Vec<f32>, Vec<f32>, Vec<f32>, Vec<f32>) {
    let mut noise = Noise::new(seed);
    let mut x = noise.f32s(rows * cols, 3.0, 1.5);
    // An outlier in a place of its own in each row, so that each lane gets its turn over the widths.
    for row in 0..rows {
        x[row * cols + (row * 37 + cols / 3) % cols] = 250.0;
    }
    (x, noise.f32s(rows * cols, 1.0, 0.0), noise.f32s(cols, 1.0, 0.5), noise.f32s(cols, 0.5, 0.0))
}

#[test]
fn whole_rows_of_awkward_widths_in_all_forms() {
    on_each_device(|rig| {
        let norm = Norm::load(&rig.kernels).expect("the kernels load");
        for cols in WIDTHS {
            let (x, add, weight, bias) = inputs(3, cols, cols as u64);
            for kind in [NormKind::Rms, NormKind::Layer] {
                for add in [None, Some(&add[..])] {
                    let (weight, bias) = (Some(&weight[..]), Some(&bias[..]).filter(|_| kind == NormKind::Layer));
                    check(rig, &norm, &Case { kind, x: &x, add, weight, bias, cols, group: cols });
                }
            }
            check(
                rig,
                &norm,
                &Case { kind: NormKind::Rms, x: &x, add: None, weight: None, bias: None, cols, group: cols },
            );
        }
    });
}

#[test]
fn groups_have_weights_of_their_own_or_share_them() {
    on_each_device(|rig| {
        let norm = Norm::load(&rig.kernels).expect("the kernels load");
        for (cols, group) in [(192, 64), (1024, 128), (300, 100), (70, 7), (33, 1), (2000, 1000), (1536, 768)] {
            let (x, _, weight, bias) = inputs(5, cols, 7);
            for kind in [NormKind::Rms, NormKind::Layer] {
                for (weights, biases) in [(0, 0), (group, cols), (cols, group)] {
                    let of = |values: &'_ [f32], len: usize| (len > 0).then(|| values[..len].to_vec());
                    let (w, b) = (of(&weight, weights), of(&bias, biases));
                    let (weight, bias) = (w.as_deref(), b.as_deref());
                    check(rig, &norm, &Case { kind, x: &x, add: None, weight, bias, cols, group });
                }
            }
        }
    });
}

#[test]
fn outliers_reach_the_sum_from_every_lane() {
    on_each_device(|rig| {
        let norm = Norm::load(&rig.kernels).expect("the kernels load");
        for cols in [64, 260, 1030] {
            // Row i has its outlier in column i.
            let mut x = vec![0.01f32; cols * cols];
            (0..cols).for_each(|i| x[i * cols + i] = 1000.0);
            check(
                rig,
                &norm,
                &Case { kind: NormKind::Rms, x: &x, add: None, weight: None, bias: None, cols, group: cols },
            );
        }
    });
}

#[test]
fn extreme_rows_stay_finite_and_rows_do_not_depend_on_each_other() {
    on_each_device(|rig| {
        let norm = Norm::load(&rig.kernels).expect("the kernels load");
        let cols = 512;
        let mut x = vec![0.0f32; cols * 4];
        x[cols..2 * cols].fill(1e15);
        x[2 * cols..3 * cols].fill(-1e4);
        x[3 * cols..].copy_from_slice(&Noise::new(3).f32s(cols, 1e4, 0.0));
        let run = |x: &[f32], rows: usize| -> Vec<f32> {
            let (input, out) = (rig.buffer(x), rig.room::<f32>(x.len()));
            let call = NormCall::of(NormKind::Rms, input.ptr(), FormPtrs::f32(out.ptr()), rows, cols, 1e-6);
            norm.run(&rig.stream, &call).expect("the norm is enqueued");
            rig.read(&out)
        };
        let all = run(&x, 4);
        assert!(all[..cols].iter().all(|y| *y == 0.0), "zeros stay zeros");
        assert!(all[cols..2 * cols].iter().all(|y| (y - 1.0).abs() < 1e-6));
        assert!(all[2 * cols..3 * cols].iter().all(|y| (y + 1.0).abs() < 1e-6));
        assert_eq!(run(&x[3 * cols..], 1), all[3 * cols..], "alone as in a batch");
    });
}

#[test]
fn sums_and_results_may_take_the_place_of_inputs() {
    on_each_device(|rig| {
        let norm = Norm::load(&rig.kernels).expect("the kernels load");
        for cols in [96, 5000, 20000] {
            let (x, add, weight, _) = inputs(2, cols, 11);
            let case = Case {
                kind: NormKind::Rms,
                x: &x,
                add: Some(&add),
                weight: Some(&weight),
                bias: None,
                cols,
                group: cols,
            };
            let expected = exact(&case);
            let (a, b, w) = (rig.buffer(&x), rig.buffer(&add), rig.buffer(&weight));
            let call = NormCall {
                add: b.ptr(),
                sum: a.ptr(),
                weight: w.ptr(),
                weight_len: cols,
                ..NormCall::of(NormKind::Rms, a.ptr(), FormPtrs::f32(b.ptr()), 2, cols, EPS)
            };
            norm.run(&rig.stream, &call).expect("the norm is enqueued");
            let sum: Vec<f32> = x.iter().zip(&add).map(|(a, b)| a + b).collect();
            assert_eq!(rig.read::<f32>(&a), sum);
            for (y, e) in rig.read::<f32>(&b).iter().zip(&expected) {
                assert!((f64::from(*y) - e).abs() <= 2e-6 * e.abs().max(1.0), "{cols}: {y} exact {e}");
            }
        }
    });
}

#[test]
fn what_does_not_fit_is_refused() {
    on_each_device(|rig| {
        let norm = Norm::load(&rig.kernels).expect("the kernels load");
        let (x, out) = (rig.room::<f32>(64), rig.room::<f32>(64));
        let good = NormCall::of(NormKind::Rms, x.ptr(), FormPtrs::f32(out.ptr()), 1, 48, EPS);
        let packed = FormPtrs { q8: out.ptr(), q8_scales: out.ptr(), ..FormPtrs::default() };
        let bad = [
            NormCall { group: 5, ..good },
            NormCall { group: 0, ..good },
            NormCall { weight: x.ptr(), weight_len: 47, ..good },
            NormCall { out: packed, ..good },
            NormCall { out: packed, group: 16, ..good },
            NormCall { add: x.ptr(), group: 16, ..good },
        ];
        for call in bad {
            let error = norm.run(&rig.stream, &call).expect_err("it does not fit");
            assert!(matches!(error, HipError::LengthMismatch { .. }), "{error}");
        }
        norm.run(&rig.stream, &NormCall { rows: 0, ..good }).expect("nothing to do");
    });
}
