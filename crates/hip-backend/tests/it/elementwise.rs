//! Gates, forms and maps against f64.

use rocmforge_cpu_backend::elementwise as cpu;
use rocmforge_hip_backend::driver::{DevicePtr, HipError};
use rocmforge_hip_backend::ops::{ExpertSumCall, FormPtrs, Gate, GateCall, Maps};
use rocmforge_program::Activation;

use crate::forms::{FormBuffers, check_forms, check_q8};
use crate::rig::{Noise, on_each_device};

const WIDTHS: [usize; 14] = [1, 2, 31, 32, 33, 63, 65, 255, 257, 1000, 4096, 4097, 14336, 17000];

const ALL: [Activation; 7] = [
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluErf,
    Activation::Relu,
    Activation::ReluSquared,
    Activation::Sigmoid,
    Activation::SwigluClamped { alpha: 1.702, limit: 7.0 },
];

fn erfc(x: f64) -> f64 {
    let a = x.abs();
    let tail = if a < 2.5 {
        let (mut term, mut sum) = (a, a);
        for n in 1..60 {
            term *= -a * a / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        1.0 - 2.0 / std::f64::consts::PI.sqrt() * sum
    } else {
        let fraction = (1..=60).rev().fold(0.0, |tail, n| f64::from(n) / 2.0 / (a + tail));
        (-a * a).exp() / std::f64::consts::PI.sqrt() / (a + fraction)
    };
    if x < 0.0 { 2.0 - tail } else { tail }
}

fn exact(activation: Activation, g: f32, up: Option<f32>) -> f64 {
    let g = f64::from(g);
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let y = match activation {
        Activation::Silu => g * sigmoid(g),
        Activation::Gelu => g * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (g + 0.044_715 * g.powi(3))),
        Activation::GeluErf => 0.5 * g * erfc(-g / std::f64::consts::SQRT_2),
        Activation::Relu => g.max(0.0),
        Activation::ReluSquared => g.max(0.0).powi(2),
        Activation::Sigmoid => sigmoid(g),
        Activation::SwigluClamped { alpha, limit } => {
            let g = g.min(f64::from(limit));
            let up = up.map_or(1.0, |u| f64::from(u.clamp(-limit, limit)) + 1.0);
            return g * sigmoid(f64::from(alpha) * g) * up;
        }
    };
    y * up.map_or(1.0, f64::from)
}

/// Relative error allowed; the cubic argument of GELU and the sum `up + 1` magnify roundings.
fn bound(activation: Activation, g: f32, up: Option<f32>) -> f64 {
    match activation {
        Activation::Gelu if g < -3.0 => 2e-5,
        Activation::Gelu if g < -1.0 => 3e-6,
        Activation::SwigluClamped { .. } => 3e-6 / f64::from(up.map_or(1.0, |u| (u + 1.0).abs().clamp(0.1, 1.0))),
        _ => 1e-6,
    }
}

#[test]
fn gates_of_awkward_widths_in_all_forms() {
    on_each_device(|rig| {
        let gate = Gate::load(&rig.kernels).expect("the kernels load");
        for cols in WIDTHS {
            let rows = if cols < 100 { 5 } else { 2 };
            let mut noise = Noise::new(cols as u64);
            let (g, u) = (noise.f32s(rows * cols, 12.0, 0.0), noise.f32s(rows * cols, 10.0, 0.0));
            let (gates, ups) = (rig.buffer(&g), rig.buffer(&u));
            for (i, activation) in ALL.into_iter().enumerate() {
                let (spread, with_up) = ((i + cols) % 3 == 0, (i + cols) % 4 != 0);
                let what = format!("{activation:?} {rows}x{cols} spread {spread} up {with_up}");
                let up = if with_up { ups.ptr() } else { DevicePtr::NULL };
                let run = |out: FormPtrs| {
                    let call =
                        GateCall { gate: gates.ptr(), spread, up, activation: Some(activation), out, rows, cols };
                    gate.run(&rig.stream, &call).expect("the gate is enqueued");
                };
                let wide = FormBuffers::new(rig, rows, cols);
                run(wide.all());
                let found: Vec<f32> = rig.read(&wide.f32);
                for (at, y) in found.iter().enumerate() {
                    let x = if spread { g[at / cols] } else { g[at] };
                    let up = with_up.then_some(u[at]);
                    let e = exact(activation, x, up);
                    let error = (f64::from(*y) - e).abs();
                    assert!(error <= bound(activation, x, up) * e.abs() + 1e-35, "{what}: {x} gives {y}, exact {e}");
                }
                check_forms(rig, &wide, &found, cols, &what);
                let flat = FormBuffers::new(rig, rows, cols);
                run(flat.flat());
                assert_eq!(rig.read::<f32>(&flat.f32), found, "{what}: by rows and flat");
                if cols.is_multiple_of(32) {
                    check_q8(rig, &flat, &found, &what);
                }
            }
        }
    });
}

#[test]
fn extremes_of_gates_are_finite_and_nan_shows() {
    on_each_device(|rig| {
        let gate = Gate::load(&rig.kernels).expect("the kernels load");
        for activation in ALL {
            let x = [1e4f32, -1e4, 200.0, -200.0, 0.0, -0.0, 1e-30, f32::NAN];
            let (input, out) = (rig.buffer(&x), rig.room::<f32>(x.len()));
            let call = GateCall {
                activation: Some(activation),
                ..GateCall::forms(input.ptr(), FormPtrs::f32(out.ptr()), 1, 8)
            };
            gate.run(&rig.stream, &call).expect("the gate is enqueued");
            let y: Vec<f32> = rig.read(&out);
            for (x, y) in x[..7].iter().zip(&y) {
                let e = exact(activation, *x, None);
                assert!((f64::from(*y) - e).abs() <= 1e-6 * e.abs() + 1e-35, "{activation:?} of {x} is {y}, exact {e}");
            }
            // The comparison with a limit settles on the limit or stays; all others show the NaN.
            let hides = matches!(activation, Activation::SwigluClamped { .. });
            assert!(y[7].is_nan() || hides, "{activation:?} of NaN is {}", y[7]);
        }
    });
}

#[test]
fn forms_alone_and_of_rows_that_are_hard() {
    on_each_device(|rig| {
        let gate = Gate::load(&rig.kernels).expect("the kernels load");
        for cols in [32, 96, 4096, 8192, 16384, 16416] {
            let rows = 6;
            let mut x = Noise::new(5).f32s(rows * cols, 1.0, 0.0);
            x[..cols].fill(0.0);
            x[cols..2 * cols].fill(0.7);
            x[2 * cols..3 * cols].iter_mut().for_each(|x| *x *= 1e4);
            x[3 * cols..4 * cols].iter_mut().for_each(|x| *x *= 1e-30);
            // Each lane of a group has the outlier once.
            (0..cols / 32).for_each(|g| x[4 * cols + g * 32 + g % 32] = -77.0);
            let input = rig.buffer(&x);
            let out = FormBuffers::new(rig, rows, cols);
            gate.run(&rig.stream, &GateCall::forms(input.ptr(), out.packed(), rows, cols)).expect("forms are enqueued");
            check_forms(rig, &out, &x, cols, &format!("forms of {cols}"));
        }
        let none = FormPtrs::default();
        gate.run(&rig.stream, &GateCall::forms(DevicePtr::NULL, none, 0, 7)).expect("nothing to do");
        let buffer = rig.room::<f32>(64);
        let q8 = FormPtrs { q8: buffer.ptr(), q8_scales: buffer.ptr(), ..FormPtrs::default() };
        let error = gate.run(&rig.stream, &GateCall::forms(buffer.ptr(), q8, 1, 33)).expect_err("no whole group");
        assert!(matches!(error, HipError::LengthMismatch { expected: 64, found: 33, .. }), "{error}");
    });
}

#[test]
fn a_nan_reaches_the_scales_of_its_group() {
    on_each_device(|rig| {
        let gate = Gate::load(&rig.kernels).expect("the kernels load");
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in [0, 5, 31, 63] {
                let mut x = vec![1.0f32; 96];
                x[at] = bad;
                let (input, codes, scales) = (rig.buffer(&x), rig.room::<i8>(96), rig.room::<[f32; 2]>(3));
                let out = FormPtrs { q8: codes.ptr(), q8_scales: scales.ptr(), ..FormPtrs::default() };
                gate.run(&rig.stream, &GateCall::forms(input.ptr(), out, 1, 96)).expect("forms are enqueued");
                for (g, [d, _]) in rig.read::<[f32; 2]>(&scales).into_iter().enumerate() {
                    assert_eq!(d.is_finite(), g != at / 32, "{bad} at {at}: scale {d} of group {g}");
                }
            }
        }
    });
}

#[test]
fn sums_factors_caps_and_copies() {
    on_each_device(|rig| {
        let maps = Maps::load(&rig.kernels).expect("the kernels load");
        for count in [1, 2, 3, 31, 257, 1000, 1024, 4097, 14336] {
            let mut noise = Noise::new(count as u64);
            let (a, b) = (noise.f32s(count, 100.0, 0.0), noise.f32s(count, 10.0, 0.0));
            let (x, y) = (rig.buffer(&a), rig.buffer(&b));
            let out = rig.room::<f32>(count);
            maps.add(&rig.stream, x.ptr(), y.ptr(), out.ptr(), count).expect("enqueued");
            let sum: Vec<f32> = a.iter().zip(&b).map(|(a, b)| a + b).collect();
            assert_eq!(rig.read::<f32>(&out), sum);
            maps.add(&rig.stream, y.ptr(), x.ptr(), y.ptr(), count).expect("enqueued");
            assert_eq!(rig.read::<f32>(&y), sum, "in place");
            maps.scale(&rig.stream, x.ptr(), -0.3, out.ptr(), count).expect("enqueued");
            assert!(rig.read::<f32>(&out).iter().zip(&a).all(|(y, a)| *y == -0.3 * a));
            maps.softcap(&rig.stream, x.ptr(), 30.0, out.ptr(), count).expect("enqueued");
            for (y, a) in rig.read::<f32>(&out).iter().zip(&a) {
                let e = 30.0 * (f64::from(*a) / 30.0).tanh();
                assert!((f64::from(*y) - e).abs() <= 1e-6 * e.abs(), "cap of {a} is {y}, exact {e}");
            }
            maps.copy(&rig.stream, x.ptr(), out.ptr(), count).expect("enqueued");
            assert_eq!(rig.read::<f32>(&out), a);
        }
    });
}

#[test]
fn rows_are_chosen() {
    on_each_device(|rig| {
        let maps = Maps::load(&rig.kernels).expect("the kernels load");
        for cols in [1, 31, 64, 1000, 4097] {
            let x = Noise::new(2).f32s(9 * cols, 1.0, 0.0);
            let wanted = [8u32, 0, 3, 3];
            let (input, rows, out) = (rig.buffer(&x), rig.buffer(&wanted), rig.room::<f32>(4 * cols));
            maps.select_rows(&rig.stream, input.ptr(), rows.ptr(), out.ptr(), 4, cols).expect("enqueued");
            let expected: Vec<f32> = wanted.iter().flat_map(|&t| x[t as usize * cols..][..cols].to_vec()).collect();
            assert_eq!(rig.read::<f32>(&out), expected, "{cols}");
        }
    });
}

#[test]
fn experts_are_summed() {
    on_each_device(|rig| {
        let maps = Maps::load(&rig.kernels).expect("the kernels load");
        for (rows, chosen, cols) in [(1, 1, 1), (3, 2, 33), (2, 8, 1000), (1, 16, 4097), (5, 4, 2048)] {
            let mut noise = Noise::new(chosen as u64);
            let (x, w) = (noise.f32s(rows * chosen * cols, 3.0, 0.0), noise.f32s(rows * chosen, 0.5, 0.5));
            let residual = noise.f32s(rows * cols, 1.0, 0.0);
            let (inputs, weights) = (rig.buffer(&x), rig.buffer(&w));
            for add in [false, true] {
                // The residual's place is the result's.
                let out = if add { rig.buffer(&residual) } else { rig.room::<f32>(rows * cols) };
                let call = ExpertSumCall {
                    x: inputs.ptr(),
                    weights: weights.ptr(),
                    residual: if add { out.ptr() } else { DevicePtr::NULL },
                    out: out.ptr(),
                    rows,
                    cols,
                    chosen,
                };
                maps.expert_sum(&rig.stream, &call).expect("enqueued");
                let mut expected = vec![0.0; rows * cols];
                cpu::expert_sum(cpu::Isa::best(), chosen, cols, &w, &x, &mut expected);
                for (i, (y, e)) in rig.read::<f32>(&out).iter().zip(&expected).enumerate() {
                    let e = e + if add { residual[i] } else { 0.0 };
                    assert!((y - e).abs() <= 4e-6 * e.abs().max(3.0), "{rows} {chosen} {cols}: {i}: {y} and {e}");
                }
            }
        }
    });
}
