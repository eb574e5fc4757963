//! The choice of experts, held against the CPU's.

use rocmforge_cpu_backend::elementwise::{RouteScratch, route};
use rocmforge_hip_backend::driver::DevicePtr;
use rocmforge_hip_backend::ops::{Route, RouteCall};
use rocmforge_program::{RouteSpec, Scoring};

use crate::rig::{Noise, Rig, on_each_device};

fn check(rig: &Rig, kernels: &Route, spec: &RouteSpec, scores: &[f32], bias: Option<&[f32]>) {
    let rows = scores.len() / spec.experts;
    let count = rows * spec.chosen;
    let (mut ids, mut weights) = (vec![9.0; count], vec![9.0; count]);
    let mut scratch = RouteScratch::new(spec.experts, spec.groups, spec.chosen);
    route(spec, scores, bias, &mut scratch, &mut ids, &mut weights);

    let (input, bias) = (rig.buffer(scores), bias.map(|b| rig.buffer(b)));
    let (found_ids, found_weights) = (rig.room::<f32>(count), rig.room::<f32>(count));
    let call = RouteCall {
        spec: *spec,
        scores: input.ptr(),
        bias: bias.as_ref().map_or(DevicePtr::NULL, |b| b.ptr()),
        ids: found_ids.ptr(),
        weights: found_weights.ptr(),
        rows,
    };
    kernels.run(&rig.stream, &call).expect("the choice is enqueued");
    assert_eq!(rig.read::<f32>(&found_ids), ids, "{spec:?}");
    for (found, weight) in rig.read::<f32>(&found_weights).iter().zip(&weights) {
        let same = found.is_nan() && weight.is_nan();
        assert!(same || (found - weight).abs() <= 2e-7 * weight.abs(), "{spec:?}: {found} and {weight}");
    }
}

const SCORINGS: [Scoring; 3] = [Scoring::Softmax, Scoring::Sigmoid, Scoring::SoftmaxChosen];

fn spec(experts: usize, chosen: usize, scoring: Scoring) -> RouteSpec {
    RouteSpec { experts, chosen, scoring, normalize: false, scale: 1.0, groups: 1, groups_chosen: 1 }
}

#[test]
fn choices_are_the_cpus() {
    on_each_device(|rig| {
        let kernels = Route::load(&rig.kernels).expect("the kernels load");
        let sizes = [(1, 1), (4, 2), (8, 2), (31, 5), (64, 6), (65, 8), (128, 8), (255, 16), (256, 8), (512, 10)];
        for (experts, chosen) in sizes {
            let scores = Noise::new(experts as u64).f32s(7 * experts, 6.0, 0.0);
            let bias = Noise::new(1).f32s(experts, 0.3, 0.0);
            for (i, scoring) in SCORINGS.into_iter().enumerate() {
                let mut spec = spec(experts, chosen, scoring);
                (spec.normalize, spec.scale) = ((i + experts) % 2 == 0, 2.5);
                check(rig, &kernels, &spec, &scores, None);
                check(rig, &kernels, &spec, &scores, Some(&bias));
            }
        }
    });
}

#[test]
fn groups_ties_and_extremes() {
    on_each_device(|rig| {
        let kernels = Route::load(&rig.kernels).expect("the kernels load");
        for (experts, groups, groups_chosen) in [(256, 8, 4), (64, 64, 3), (12, 3, 1), (512, 16, 2), (160, 8, 3)] {
            for scoring in SCORINGS {
                let mut spec = spec(experts, 8.min(experts), scoring);
                (spec.groups, spec.groups_chosen, spec.normalize) = (groups, groups_chosen, true);
                // Few values, so that experts and groups tie.
                let few: Vec<f32> = (0..5 * experts).map(|i| ((i * 7919) % 5) as f32 / 2.0).collect();
                check(rig, &kernels, &spec, &few, None);
                check(rig, &kernels, &spec, &Noise::new(9).f32s(5 * experts, 3.0, 0.0), Some(&few[..experts]));
            }
        }
        for scoring in SCORINGS {
            let spec = spec(40, 4, scoring);
            let mut scores = vec![1.0; 40 * 4];
            scores[40..80].fill(-1e4);
            scores[77] = 1e4;
            scores[80..120].fill(f32::NEG_INFINITY);
            scores[101] = 0.0;
            (120..160).for_each(|i| scores[i] = (i as f32) * 1e-7);
            check(rig, &kernels, &spec, &scores, None);
        }
    });
}

#[test]
fn a_nan_ends_nothing_and_a_router_too_large_is_refused() {
    on_each_device(|rig| {
        let kernels = Route::load(&rig.kernels).expect("the kernels load");
        check(rig, &kernels, &spec(4, 2, Scoring::Softmax), &[f32::NAN; 4], None);
        let buffer = rig.room::<f32>(2048);
        let at = buffer.ptr();
        let call = |spec| RouteCall { spec, scores: at, bias: DevicePtr::NULL, ids: at, weights: at, rows: 1 };
        for wrong in [spec(513, 2, Scoring::Softmax), spec(64, 33, Scoring::Softmax)] {
            assert!(!Route::supports(&wrong));
            kernels.run(&rig.stream, &call(wrong)).expect_err("too large");
        }
    });
}
