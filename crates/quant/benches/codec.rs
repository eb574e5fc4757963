//! Values per second of every quantizer and dequantizer, on one core.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rocmforge_quant::{GgmlType, dequantize, quantize};

const ROW_LEN: usize = 4096;

/// Sums of uniform numbers, close enough to the shape of weights.
fn weights() -> Vec<f32> {
    let mut state = 1u64;
    let mut uniform = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..ROW_LEN).map(|_| (0..6).map(|_| uniform()).sum::<f32>() * 0.03).collect()
}

fn codecs(c: &mut Criterion) {
    let x = weights();
    let mut y = vec![0.0; ROW_LEN];
    for &ty in GgmlType::ALL {
        let mut group = c.benchmark_group(ty.name());
        group.throughput(Throughput::Elements(ROW_LEN as u64)).sample_size(20);
        let mut blocks = vec![0; ty.row_bytes(ROW_LEN).unwrap_or(0)];
        if ty.spec().quantize.is_some() {
            group.bench_function("quantize", |b| {
                b.iter(|| quantize(ty, std::hint::black_box(&x), ROW_LEN, None, &mut blocks));
            });
        }
        group.bench_function("dequantize", |b| {
            b.iter(|| dequantize(ty, std::hint::black_box(&blocks), &mut y));
        });
    }
}

criterion_group!(benches, codecs);
criterion_main!(benches);
