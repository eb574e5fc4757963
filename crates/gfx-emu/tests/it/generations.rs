//! The same kernels, compiled for several targets, have the same results.

use bytemuck::{Pod, Zeroable};
use gfx_emu::abi::Dispatch;
use gfx_emu::launch::{Options, launch};
use gfx_emu::memory::Memory;
use gfx_emu::program::Program;

/// Runs a kernel of an object to its end.
fn run(target: &str, object: &[u8], kernel: &str, dispatch: &Dispatch, arguments: &[u8], memory: &Memory) {
    let program = Program::load(object, target).unwrap();
    let kernel = program.kernel(kernel).unwrap();
    if let Err(error) = launch(&program, kernel, dispatch, arguments, memory, &Options::default()) {
        panic!("{target}: {error}");
    }
}

/// Numbers that repeat late, between -1 and 1.
fn numbers(count: usize, seed: u32) -> Vec<f32> {
    let of = |i: usize| (i as u32).wrapping_add(seed).wrapping_mul(2_654_435_761) >> 20;
    (0..count).map(|i| of(i) as f32 / 2048.0 - 1.0).collect()
}

macro_rules! objects {
    ($name:literal, $($target:literal),*) => {
        [$(($target, include_bytes!(concat!("../kernels/", $name, ".", $target, ".co")).as_slice())),*]
    };
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Matvec {
    weights: u64,
    scales: u64,
    vector: u64,
    vector_scales: u64,
    out: u64,
    rows: u32,
    blocks: u32,
}

#[test]
fn a_product_of_quantised_blocks_is_the_same_bit_by_bit() {
    const ROWS: u32 = 19;
    const BLOCKS: u32 = 37;
    let results = objects!("matvec", "gfx1100", "gfx1201").map(|(target, object)| {
        let memory = Memory::new();
        let words = |count: u32| (0..count).map(|i| i.wrapping_mul(2_654_435_761)).collect::<Vec<u32>>();
        let arguments = Matvec {
            weights: memory.allocate_from(&words(ROWS * BLOCKS * 4), "weights"),
            scales: memory.allocate_from(&numbers((ROWS * BLOCKS) as usize, 1), "scales"),
            vector: memory.allocate_from(&words(BLOCKS * 8), "vector"),
            vector_scales: memory.allocate_from(&numbers(BLOCKS as usize, 2), "scales of the vector"),
            out: memory.allocate(4 * ROWS as usize, "out"),
            rows: ROWS,
            blocks: BLOCKS,
        };
        let dispatch = Dispatch { grid: [ROWS.div_ceil(8), 1, 1], block: [256, 1, 1], dynamic_lds: 0 };
        run(target, object, "matvec", &dispatch, bytemuck::bytes_of(&arguments), &memory);
        memory.read::<u32>(arguments.out, ROWS as usize).unwrap()
    });
    assert!(results[0].iter().any(|bits| f32::from_bits(*bits).abs() > 1.0));
    assert!(results.iter().all(|result| *result == results[0]), "{results:?}");
}

#[test]
fn ids_of_a_grid_in_three_dimensions_are_where_each_target_has_them() {
    let (grid, block) = ([3, 2, 2], [5u32, 3, 2]);
    let total = 3 * 2 * 2 * 5 * 3 * 2;
    for (target, object) in objects!("several", "gfx1030", "gfx1100", "gfx1201") {
        let memory = Memory::new();
        let out = memory.allocate(4 * total, "out");
        run(target, object, "indices", &Dispatch { grid, block, dynamic_lds: 0 }, bytemuck::bytes_of(&out), &memory);
        let found = memory.read::<u32>(out, total).unwrap();
        for (at, value) in found.into_iter().enumerate() {
            let at = at as u32;
            let [x, y, z] = [at % 15, at / 15 % 6, at / 90];
            let group = (z / 2 * 2 + y / 3) * 3 + x / 5;
            let item = (z % 2 * 3 + y % 3) * 5 + x % 5;
            assert_eq!(value, 1000 * group + item, "{target} at {x} {y} {z}");
        }
    }
}

#[test]
fn barriers_order_lds_on_each_target() {
    const COUNT: u32 = 128;
    for (target, object) in objects!("several", "gfx1030", "gfx1100", "gfx1201") {
        let memory = Memory::new();
        let x: Vec<u32> = (0..COUNT).map(|i| 3 * i + 1).collect();
        let addresses = [memory.allocate(4 * COUNT as usize, "y"), memory.allocate_from(&x, "x")];
        let dispatch = Dispatch { grid: [1, 1, 1], block: [COUNT, 1, 1], dynamic_lds: 4 * COUNT };
        run(target, object, "reverse", &dispatch, bytemuck::bytes_of(&addresses), &memory);
        let sum: u32 = x[..32].iter().sum();
        let expected: Vec<u32> = x.iter().rev().map(|x| x + sum).collect();
        assert_eq!(memory.read::<u32>(addresses[0], COUNT as usize).unwrap(), expected, "{target}");
    }
}

const ONE_WAVE: Dispatch = Dispatch { grid: [1, 1, 1], block: [32, 1, 1], dynamic_lds: 0 };

#[test]
fn bytes_and_halves_of_registers_are_operands() {
    let x: Vec<u32> = (0..32u32).map(|i| i.wrapping_mul(2_654_435_761) ^ 0x80ff_7f01).collect();
    let expected: Vec<f32> = x
        .iter()
        .map(|word| {
            let places = (1..).zip(word.to_le_bytes());
            places.map(|(place, byte)| place as f32 * f32::from(byte as i8)).sum::<f32>() - (word >> 16) as f32
        })
        .collect();
    for (target, object) in objects!("parts", "gfx1030", "gfx1100", "gfx1201") {
        let memory = Memory::new();
        let addresses = [memory.allocate(4 * 32, "y"), memory.allocate_from(&x, "x")];
        run(target, object, "bytes", &ONE_WAVE, bytemuck::bytes_of(&addresses), &memory);
        assert_eq!(memory.read::<f32>(addresses[0], 32).unwrap(), expected, "{target}");
    }
}

#[test]
fn each_lane_has_private_memory() {
    let x: Vec<u32> = (0..16).map(|i| 1000 * i).collect();
    let order: Vec<u32> = (0..32).map(|i| 7 * i + 3).collect();
    let expected: Vec<u32> = (0..32).zip(&order).map(|(lane, at)| 1000 * (at % 96 % 16) + lane).collect();
    for (target, object) in objects!("parts", "gfx1030", "gfx1100", "gfx1201") {
        let memory = Memory::new();
        let addresses =
            [memory.allocate(4 * 32, "y"), memory.allocate_from(&x, "x"), memory.allocate_from(&order, "order")];
        run(target, object, "permuted", &ONE_WAVE, bytemuck::bytes_of(&addresses), &memory);
        assert_eq!(memory.read::<u32>(addresses[0], 32).unwrap(), expected, "{target}");
    }
}

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Gemm {
    a: u64,
    b: u64,
    c: u64,
    n: u32,
    k: u32,
}

#[test]
fn matrix_instructions_multiply_what_f64_does() {
    const M: usize = 32;
    const N: usize = 48;
    const K: usize = 80;
    /// Unit roundoff of an f32.
    const ROUNDOFF: f64 = 1.0 / 16_777_216.0;
    type Bits = fn(f32) -> (u16, f64);
    let f16: Bits = |x| (half::f16::from_f32(x).to_bits(), half::f16::from_f32(x).to_f64());
    let bf16: Bits = |x| (half::bf16::from_f32(x).to_bits(), half::bf16::from_f32(x).to_f64());
    for (target, object) in objects!("gemm", "gfx1100", "gfx1201") {
        for (kernel, bits) in [("gemm_f16", f16), ("gemm_bf16", bf16)] {
            let (a, a64): (Vec<u16>, Vec<f64>) = numbers(M * K, 3).into_iter().map(bits).unzip();
            let (b, b64): (Vec<u16>, Vec<f64>) = numbers(N * K, 4).into_iter().map(bits).unzip();
            let memory = Memory::new();
            let (a, b) = (memory.allocate_from(&a, "a"), memory.allocate_from(&b, "b"));
            let arguments = Gemm { a, b, c: memory.allocate(4 * M * N, "c"), n: N as u32, k: K as u32 };
            let dispatch = Dispatch { grid: [N as u32 / 16, M as u32 / 16, 1], block: [32, 1, 1], dynamic_lds: 0 };
            run(target, object, kernel, &dispatch, bytemuck::bytes_of(&arguments), &memory);
            for (at, found) in memory.read::<f32>(arguments.c, M * N).unwrap().into_iter().enumerate() {
                let products = || (0..K).map(|k| a64[at / N * K + k] * b64[at % N * K + k]);
                let (exact, magnitude): (f64, f64) = (products().sum(), products().map(f64::abs).sum());
                let error = (f64::from(found) - exact).abs();
                assert!(error <= K as f64 * ROUNDOFF * magnitude, "{target} {kernel} {at}: {found}, not {exact}");
            }
        }
    }
}
