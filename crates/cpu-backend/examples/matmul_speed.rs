//! Speed of the matrix products: bytes of weights a second for one token, multiply-accumulates
//! a second for some and for many.
//!
//! `cargo run --release -p rocmforge-cpu-backend --example matmul_speed -- [threads] [types...]`

use rocmforge_cpu_backend::Pool;
use rocmforge_cpu_backend::matmul::{Activations, Isa, Job, MatmulError, PackedMatrix, matmul, matmul_many};
use rocmforge_quant::GgmlType;
use std::hint::black_box;
use std::time::Instant;

const SHAPES: [(usize, usize); 4] = [(4864, 896), (896, 4864), (8192, 2048), (2048, 8192)];
const PROMPT: usize = 128;
/// Tokens of steps in which several sequences decode.
const BATCHES: [usize; 7] = [2, 4, 6, 8, 12, 16, 32];

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
        for model in MODELS.iter().filter(|m| m.hidden.is_multiple_of(ty.block_elems())) {
            model_speed(&pool, ty, model)?;
        }
    }
    Ok(())
}

/// All products of one model: of `layers` times query, key and value, output, gate and up, down,
/// and of the head.
struct Model {
    hidden: usize,
    kv: usize,
    ffn: usize,
    layers: usize,
    vocab: usize,
}

/// Shapes of a model of half a billion weights and of one of 1.2 billion.
const MODELS: [Model; 2] = [
    Model { hidden: 896, kv: 128, ffn: 4864, layers: 24, vocab: 151_936 },
    Model { hidden: 2048, kv: 512, ffn: 8192, layers: 16, vocab: 128_256 },
];

/// Tokens a second if a model were its products alone.
fn model_speed(pool: &Pool, ty: GgmlType, m: &Model) -> Result<(), Box<dyn std::error::Error>> {
    let pack = |rows: usize, cols: usize| -> Result<PackedMatrix, Box<dyn std::error::Error>> {
        let len = ty.row_bytes(rows * cols).ok_or("not whole blocks")?;
        let bytes: Vec<u8> = (0..len).map(|i| (i * 37 % 41) as u8).collect();
        Ok(PackedMatrix::pack_with(pool, ty, rows, cols, &bytes)?)
    };
    let shapes = [
        (m.hidden, m.hidden),
        (m.kv, m.hidden),
        (m.kv, m.hidden),
        (m.hidden, m.hidden),
        (m.ffn, m.hidden),
        (m.ffn, m.hidden),
        (m.hidden, m.ffn),
    ];
    let layers = (0..m.layers)
        .map(|_| shapes.iter().map(|&(rows, cols)| pack(rows, cols)).collect::<Result<Vec<_>, _>>())
        .collect::<Result<Vec<_>, _>>()?;
    let head = pack(m.vocab, m.hidden)?;
    let x: Vec<f32> = (0..PROMPT * m.ffn).map(|i| (i * 31 % 97) as f32 * 0.01 - 0.48).collect();
    let mut buffer = Activations::new();
    let mut outs: Vec<Vec<f32>> = shapes.iter().map(|(rows, _)| vec![0.0; PROMPT * rows]).collect();
    let mut logits = vec![0.0; m.vocab];
    let mut step = |tokens: usize| -> Result<(), MatmulError> {
        for layer in &layers {
            for part in [0..3, 3..4, 4..6, 6..7] {
                let cols = layer[part.start].cols();
                let input = buffer.quantize(pool, &x[..tokens * cols], tokens, cols)?;
                let outs = outs[part.clone()].iter_mut();
                let mut jobs: Vec<Job> = layer[part]
                    .iter()
                    .zip(outs)
                    .map(|(w, out)| Job::new(w, None, &mut out[..tokens * w.rows()]))
                    .collect();
                matmul_many(pool, &mut jobs, &input)?;
            }
        }
        let last = buffer.quantize(pool, &x[..m.hidden], 1, m.hidden)?;
        matmul(pool, &head, &last, None, &mut logits)
    };
    let one = best_of(8, || step(1))?;
    let many = best_of(4, || step(PROMPT))?;
    println!(
        "{:8} hidden {:4}: pp{PROMPT} {:7.1} tokens/s, tg {:6.1} tokens/s",
        ty.name(),
        m.hidden,
        PROMPT as f64 / many,
        1.0 / one
    );
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
    let mut batches = Vec::new();
    for tokens in BATCHES {
        let some = buffer.quantize(pool, &x[..tokens * cols], tokens, cols)?;
        let out = &mut out[..tokens * rows];
        let seconds = best_of(3, || all.iter().try_for_each(|w| matmul(pool, w, &some, None, out)))?;
        batches.push(format!("{tokens}: {:.0}", (copies * tokens * rows * cols) as f64 / seconds / 1e9));
    }
    let many = buffer.quantize(pool, &x, PROMPT, cols)?;
    let prefill = best_of(7, || matmul(pool, &all[0], &many, None, &mut out))?;
    println!(
        "{:8} [{rows:5}, {cols:4}]  decode {:6.1} GB/s  GMAC/s of tokens {}, prefill {:7.1}  pack {:5.2} GB/s",
        ty.name(),
        (copies * len) as f64 / decode / 1e9,
        batches.join(", "),
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
