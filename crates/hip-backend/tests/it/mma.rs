//! Tiles on the matrix unit: `rf/mma.h`, whose layouts of lanes differ by target.

use half::{bf16, f16};
use rocmforge_hip_backend::ops::{MmaCheck, MmaCheckCall};

use crate::rig::{Noise, Rig, on_each_device};

/// `a` and `b` `[16, k]` of small integers, whose products and sums every unit has exactly.
fn check(rig: &Rig, is_bhalf: bool, code: fn(f32) -> u16, [a, b]: [&[f32]; 2], stride: usize) {
    let k = a.len() / 16;
    let codes = |x: &[f32]| rig.buffer(&x.iter().map(|&x| code(x)).collect::<Vec<_>>());
    let (a_there, b_there) = (codes(a), codes(b));
    let (c, row_sums) = (rig.room::<f32>(256), rig.room::<f32>(16));
    let call =
        MmaCheckCall { a: a_there.ptr(), b: b_there.ptr(), c: c.ptr(), row_sums: row_sums.ptr(), k, stride, is_bhalf };
    MmaCheck::load(&rig.kernels).expect("the kernels load").run(&rig.stream, &call).expect("the kernel starts");
    let (found, sums) = (rig.read::<f32>(&c), rig.read::<f32>(&row_sums));
    for m in 0..16 {
        let expected: Vec<f32> = (0..16).map(|n| (0..k).map(|i| a[m * k + i] * b[n * k + i]).sum()).collect();
        assert_eq!(found[m * 16..][..16], expected, "bfloat16: {is_bhalf}, k {k}, stride {stride}, row {m}");
        assert_eq!(sums[m], expected.iter().sum::<f32>(), "bfloat16: {is_bhalf}: the lanes of row {m} are others");
    }
}

fn both(rig: &Rig, a: &[f32], b: &[f32], stride: usize) {
    check(rig, false, |x| f16::from_f32(x).to_bits(), [a, b], stride);
    check(rig, true, |x| bf16::from_f32(x).to_bits(), [a, b], stride);
}

#[test]
fn every_element_comes_from_its_row_and_column() {
    on_each_device(|rig| {
        // One in each row of both, at places that differ: c is 1 where they agree.
        for shift in 0..16 {
            let mut a = vec![0.0; 256];
            let mut b = vec![0.0; 256];
            for i in 0..16 {
                a[i * 16 + (i * 3 + shift) % 16] = 1.0 + i as f32;
                b[i * 16 + (i * 5) % 16] = 1.0;
            }
            both(rig, &a, &b, 24);
        }
    });
}

#[test]
fn sums_over_several_tiles() {
    on_each_device(|rig| {
        let mut noise = Noise::new(1);
        let mut integers = |count: usize| (0..count).map(|_| (noise.unit() * 7.0).round() as f32).collect::<Vec<_>>();
        for (k, stride) in [(16, 16), (16, 40), (48, 72), (64, 136)] {
            let (a, b) = (integers(16 * k), integers(16 * k));
            both(rig, &a, &b, stride);
        }
    });
}
