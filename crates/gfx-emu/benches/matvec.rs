//! How many instructions of waves a second are executed, on the kernel that inference spends its time in.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use gfx_emu::abi::Dispatch;
use gfx_emu::launch::{Options, launch};
use gfx_emu::memory::Memory;
use gfx_emu::program::Program;

const ROWS: u32 = 256;
const BLOCKS: u32 = 128;

/// The kernel's argument.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Args {
    weights: u64,
    scales: u64,
    vector: u64,
    vector_scales: u64,
    out: u64,
    rows: u32,
    blocks: u32,
}

fn matvec(criterion: &mut Criterion) {
    let program = Program::load(include_bytes!("../tests/kernels/matvec.gfx1100.co"), "gfx1100").expect("a program");
    let kernel = program.kernel("matvec").expect("the kernel");
    let memory = Memory::new();
    let words = |count: u32| (0..count).map(|i| i.wrapping_mul(2_654_435_761)).collect::<Vec<u32>>();
    let floats = |count: u32| (0..count).map(|i| (i % 7) as f32 * 0.125).collect::<Vec<f32>>();
    let args = Args {
        weights: memory.allocate_from(&words(ROWS * BLOCKS * 4), "weights"),
        scales: memory.allocate_from(&floats(ROWS * BLOCKS), "scales"),
        vector: memory.allocate_from(&words(BLOCKS * 8), "vector"),
        vector_scales: memory.allocate_from(&floats(BLOCKS), "scales of the vector"),
        out: memory.allocate(4 * ROWS as usize, "out"),
        rows: ROWS,
        blocks: BLOCKS,
    };
    let dispatch = Dispatch { grid: [ROWS / 8, 1, 1], block: [256, 1, 1], dynamic_lds: 0 };
    let run = |options: &Options| {
        launch(&program, kernel, &dispatch, bytemuck::bytes_of(&args), &memory, options).expect("a right kernel")
    };
    let mut group = criterion.benchmark_group("wave instructions");
    for threads in [1, 2] {
        let options = Options { threads, ..Options::default() };
        group.throughput(Throughput::Elements(run(&options).total()));
        group.bench_with_input(BenchmarkId::new("matvec", threads), &options, |bencher, options| {
            bencher.iter(|| run(options));
        });
    }
    group.finish();
}

criterion_group!(benches, matvec);
criterion_main!(benches);
