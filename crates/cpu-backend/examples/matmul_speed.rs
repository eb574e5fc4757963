//! Speed of the matrix products: bytes of weights a second for one token, multiply-accumulates
//! a second for many.
//!
//! `cargo run --release -p rocmforge-cpu-backend --example matmul_speed -- [threads] [types...]`

use rocmforge_cpu_backend::Pool;
use rocmforge_cpu_backend::matmul::{Activations, Isa, PackedMatrix, matmul};
use rocmforge_quant::GgmlType;
use std::hint::black_box;
use std::time::Instant;

const SHAPES: [(usize, usize); 4] = [(4864, 896), (896, 4864), (8192, 2048), (2048, 8192)];
const PROMPT: usize = 128;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let threads = args.next().map_or(Ok(2), |n| n.parse())?;
    let mut types = args.map(|name| name.parse()).collect::<Result<Vec<GgmlType>, _>>()?;
    if types.is_empty() {
        types = GgmlType::ALL.iter().copied().filter(|ty| ty.is_quantized()).collect();
        types.extend([GgmlType::F32, GgmlType::F16, GgmlType::BF16]);
    }
    let pool = Pool::new(threads)?;
    println!("{threads} threads, {}, plain read {:.1} GB/s", Isa::best().name(), read_speed(&pool));
    for ty in types {
        for (rows, cols) in SHAPES.into_iter().filter(|(_, cols)| cols.is_multiple_of(ty.block_elems())) {
            report(&pool, ty, rows, cols)?;
        }
    }
    Ok(())
}

fn report(pool: &Pool, ty: GgmlType, rows: usize, cols: usize) -> Result<(), Box<dyn std::error::Error>> {
    let len = ty.row_bytes(rows * cols).ok_or("not whole blocks")?;
    // Small numbers in every field a scale could be in, and enough copies that none is in a cache.
    let bytes: Vec<u8> = (0..len).map(|i| (i * 37 % 41) as u8).collect();
    let copies = (160 << 20) / len + 1;
    let start = Instant::now();
    let all: Vec<PackedMatrix> =
        (0..copies).map(|_| PackedMatrix::pack_with(pool, ty, rows, cols, &bytes)).collect::<Result<_, _>>()?;
    let pack = (copies * len) as f64 / start.elapsed().as_secs_f64();
    let mut buffer = Activations::new();
    let x: Vec<f32> = (0..PROMPT * cols).map(|i| (i * 31 % 97) as f32 * 0.01 - 0.48).collect();
    let mut out = vec![0.0; PROMPT * rows];

    let one = buffer.quantize(pool, &x[..cols], 1, cols)?;
    let decode = best_of(5, || all.iter().try_for_each(|w| matmul(pool, w, &one, None, &mut out[..rows])))?;
    let many = buffer.quantize(pool, &x, PROMPT, cols)?;
    let prefill = best_of(7, || matmul(pool, &all[0], &many, None, &mut out))?;
    println!(
        "{:8} [{rows:5}, {cols:4}]  decode {:6.1} GB/s  prefill {:7.1} GMAC/s  pack {:5.2} GB/s",
        ty.name(),
        (copies * len) as f64 / decode / 1e9,
        (PROMPT * rows * cols) as f64 / prefill / 1e9,
        pack / 1e9,
    );
    Ok(())
}

/// Seconds of the fastest of some runs: others may use the machine too.
fn best_of<E>(n: usize, mut run: impl FnMut() -> Result<(), E>) -> Result<f64, E> {
    let mut best = f64::INFINITY;
    for _ in 0..n {
        let start = Instant::now();
        run()?;
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(best)
}

/// GB/s of a sum over memory on all threads.
fn read_speed(pool: &Pool) -> f64 {
    let data = vec![1u64; 40 << 20];
    let once = || -> Result<(), std::convert::Infallible> {
        pool.for_each_chunk(data.len(), 1 << 16, |range| {
            let mut sums = [0u64; 64];
            for part in data[range].chunks_exact(64) {
                for (sum, v) in sums.iter_mut().zip(part) {
                    *sum ^= v;
                }
            }
            black_box(sums);
        });
        Ok(())
    };
    let Ok(seconds) = best_of(5, once);
    (data.len() * 8) as f64 / seconds / 1e9
}
