//! Every type against an f64 product of what [`rocmforge_quant`] decodes, and every path against
//! every other, bit for bit.

use super::*;
use activations::{Line, stride};
use rocmforge_quant::{GgmlType, dequantize};

/// xorshift64*: enough for tests, the same everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn byte(&mut self) -> u8 {
        (self.next() >> 33) as u8
    }

    /// In -1..1.
    fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 23) as f32 - 1.0
    }

    fn floats(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.float()).collect()
    }
}

/// Where a block has numbers that decide its magnitude, and how they are stored.
fn scales(ty: GgmlType) -> &'static [usize] {
    match ty {
        GgmlType::Q4_1 | GgmlType::Q5_1 | GgmlType::Q4_K | GgmlType::Q5_K => &[0, 2],
        GgmlType::Q2_K => &[80, 82],
        GgmlType::Q3_K => &[108],
        GgmlType::Q6_K => &[208],
        GgmlType::TQ1_0 => &[52],
        GgmlType::TQ2_0 => &[64],
        GgmlType::MXFP4 | GgmlType::NVFP4 | GgmlType::IQ1_M => &[],
        _ => &[0],
    }
}

/// Random weights whose decoded values are of ordinary size.
fn weights(ty: GgmlType, rows: usize, cols: usize, random: &mut Random) -> Vec<u8> {
    let n = rows * cols;
    match ty {
        GgmlType::F32 => random.floats(n).iter().flat_map(|v| v.to_le_bytes()).collect(),
        GgmlType::F64 => random.floats(n).iter().flat_map(|v| f64::from(*v).to_le_bytes()).collect(),
        GgmlType::F16 => random.floats(n).iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect(),
        GgmlType::BF16 => random.floats(n).iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
        _ => {
            let mut bytes: Vec<u8> = (0..ty.row_bytes(n).unwrap()).map(|_| random.byte()).collect();
            for block in bytes.chunks_exact_mut(ty.block_bytes()) {
                for &at in if ty.is_quantized() { scales(ty) } else { &[] } {
                    let scale = half::f16::from_f32(random.float() * 0.01);
                    block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
                }
                match ty {
                    GgmlType::MXFP4 => block[0] = 120 + block[0] % 8,
                    GgmlType::NVFP4 => block[..4].iter_mut().for_each(|b| *b = 0x20 + *b % 0x20),
                    // The scale is spread over the top nibbles of four words.
                    GgmlType::IQ1_M => block[55] = block[55] & 15 | 0x20,
                    _ => {}
                }
            }
            bytes
        }
    }
}

/// The input as the kernels see it, in f64.
fn seen(x: &Input<'_>, w: &PackedMatrix) -> Vec<f64> {
    let dequantized = |lines: &[Line]| -> Vec<f64> {
        let rows = lines.chunks_exact(stride(x.cols));
        rows.flat_map(|row| row[..x.cols / 32].iter().flat_map(|line| line.dequantized())).collect()
    };
    let (Some(lines), true) = (x.lines, w.input_form() > Form::Floats) else {
        return x.x.iter().map(|&v| f64::from(v)).collect();
    };
    match x.fine.filter(|_| w.input_form() == Form::Fine) {
        Some(fine) => dequantized(lines).iter().zip(dequantized(fine)).map(|(a, b)| a + b).collect(),
        None => dequantized(lines),
    }
}

/// Compares a product with the f64 product, relative to the sum of magnitudes.
fn check_case(ty: GgmlType, rows: usize, cols: usize, tokens: usize, isa: Isa, pool: &Pool) {
    let mut random = Random((rows * 1_000_003 + cols * 101 + tokens) as u64 | 1);
    let bytes = weights(ty, rows, cols, &mut random);
    let (x, bias) = (random.floats(tokens * cols), random.floats(rows));
    let mut decoded = vec![0.0; rows * cols];
    dequantize(ty, &bytes, &mut decoded).unwrap();
    let w = PackedMatrix::pack(ty, rows, cols, &bytes).unwrap();
    let mut buffer = Activations::new();
    let input = buffer.quantize_with(pool, isa, &x, tokens, cols).unwrap();
    let mut out = vec![f32::NAN; tokens * rows];
    matmul(pool, &w, &input, Some(&bias), &mut out).unwrap();
    let seen = seen(&input, &w);
    for t in 0..tokens {
        for r in 0..rows {
            let (mut sum, mut size) = (f64::from(bias[r]), 1.0);
            for k in 0..cols {
                let product = f64::from(decoded[r * cols + k]) * seen[t * cols + k];
                sum += product;
                size += product.abs();
            }
            let got = f64::from(out[t * rows + r]);
            assert!(
                (got - sum).abs() <= 2e-6 * size,
                "{ty} [{rows}, {cols}] token {t} of {tokens}, row {r}, {}: {got} is not {sum}",
                isa.name()
            );
        }
    }
}

fn columns(ty: GgmlType) -> Vec<usize> {
    match ty.block_elems() {
        1 => vec![1, 2, 31, 33, 255, 257, 600],
        32 => vec![32, 64, 96, 512, 544, 1056],
        n => vec![n, 2 * n, 5 * n],
    }
}

#[test]
fn every_type_agrees_with_its_decoded_form_on_every_path() {
    let pool = Pool::new(2).unwrap();
    for ty in GgmlType::ALL.iter().copied() {
        if matches!(ty, GgmlType::I16 | GgmlType::I32 | GgmlType::I64) {
            // Sums of numbers this large say nothing about f32 kernels; I8 covers the path.
            continue;
        }
        for isa in Isa::available() {
            for (i, cols) in columns(ty).into_iter().enumerate() {
                let rows = [1, 15, 16, 17, 33, 48][i % 6];
                for tokens in [1, 2, 3, 5, 8, 9, 17, 33] {
                    check_case(ty, rows, cols, tokens, isa, &pool);
                }
            }
        }
    }
}

#[test]
fn long_rows_and_many_rows_agree() {
    let pool = Pool::new(2).unwrap();
    for ty in [GgmlType::Q4_0, GgmlType::Q6_K, GgmlType::Q4_K, GgmlType::F16, GgmlType::IQ2_S] {
        check_case(ty, 130, 4096, 26, Isa::best(), &pool);
        check_case(ty, 700, 1024, 1, Isa::best(), &pool);
        check_case(ty, 33, 1280, 261, Isa::best(), &pool);
    }
}

/// Multiplies all tokens of `x` in calls of `per_call` tokens.
fn in_calls(pool: &Pool, isa: Isa, w: &PackedMatrix, x: &[f32], per_call: usize) -> Vec<u32> {
    let mut buffer = Activations::new();
    let mut all = Vec::new();
    for x in x.chunks(per_call * w.cols()) {
        let tokens = x.len() / w.cols();
        let input = buffer.quantize_with(pool, isa, x, tokens, w.cols()).unwrap();
        let mut out = vec![0.0; tokens * w.rows()];
        matmul(pool, w, &input, None, &mut out).unwrap();
        all.extend(out.iter().map(|v| v.to_bits()));
    }
    all
}

#[test]
fn results_do_not_depend_on_neighbours_threads_or_instructions() {
    let pools = [Pool::new(1).unwrap(), Pool::new(3).unwrap()];
    for ty in GgmlType::ALL.iter().copied() {
        let (rows, tokens) = (83, 31);
        let cols = if ty.block_elems() == 1 { 807 } else { 1024 + 2 * ty.block_elems() };
        let mut random = Random(u64::from(ty.id()) + 7);
        let bytes = weights(ty, rows, cols, &mut random);
        let x = random.floats(tokens * cols);
        let w = PackedMatrix::pack(ty, rows, cols, &bytes).unwrap();
        let expected = in_calls(&pools[0], Isa::SCALAR, &w, &x, 1);
        for isa in Isa::available() {
            for pool in &pools {
                for per_call in [1, 2, 3, 4, 5, 6, 7, 13, 31] {
                    let got = in_calls(pool, isa, &w, &x, per_call);
                    let (isa, n) = (isa.name(), pool.threads());
                    assert!(got == expected, "{ty}: {isa}, {n} threads, {per_call} tokens a call");
                }
            }
        }
    }
}

#[test]
fn eight_bit_activations_cost_little_accuracy() {
    let pool = Pool::new(1).unwrap();
    let (rows, cols, tokens) = (64, 1024, 5);
    let mut random = Random(99);
    for ty in [GgmlType::Q4_0, GgmlType::Q8_0, GgmlType::Q6_K] {
        let bytes = weights(ty, rows, cols, &mut random);
        let mut decoded = vec![0.0; rows * cols];
        dequantize(ty, &bytes, &mut decoded).unwrap();
        let x = random.floats(tokens * cols);
        let w = PackedMatrix::pack(ty, rows, cols, &bytes).unwrap();
        let mut buffer = Activations::new();
        let mut out = vec![0.0; tokens * rows];
        matmul(&pool, &w, &buffer.quantize(&pool, &x, tokens, cols).unwrap(), None, &mut out).unwrap();
        let (mut error, mut size) = (0.0, 0.0);
        for (i, got) in out.iter().enumerate() {
            let (t, r) = (i / rows, i % rows);
            let row = &decoded[r * cols..(r + 1) * cols];
            let exact: f64 = row.iter().zip(&x[t * cols..]).map(|(w, x)| f64::from(w * x)).sum();
            error += (f64::from(*got) - exact).powi(2);
            size += exact.powi(2);
        }
        // Uniform values over 254 steps of their maximum: an error of 1/12 step^2 against a
        // variance of 1/3 is 1.5e-5 of the size; half as much again for chance.
        assert!(error / size < 2.5e-5, "{ty}: {}", error / size);
    }
}

#[test]
fn several_matrices_chosen_rows_and_packing_in_parallel_give_the_same() {
    let pool = Pool::new(2).unwrap();
    let (cols, tokens) = (256, 9);
    let mut random = Random(5);
    let x = random.floats(tokens * cols);
    let shapes = [(GgmlType::Q4_K, 40), (GgmlType::Q6_K, 17), (GgmlType::F16, 33), (GgmlType::IQ3_S, 20)];
    let stored: Vec<_> = shapes.map(|(ty, rows)| weights(ty, rows, cols, &mut random)).into();
    let packed: Vec<_> = shapes
        .iter()
        .zip(&stored)
        .map(|((ty, rows), bytes)| PackedMatrix::pack_with(&pool, *ty, *rows, cols, bytes).unwrap())
        .collect();
    let mut buffer = Activations::new();
    let input = buffer.quantize(&pool, &x, tokens, cols).unwrap();
    let alone: Vec<Vec<f32>> = shapes
        .iter()
        .zip(&stored)
        .map(|((ty, rows), bytes)| {
            let w = PackedMatrix::pack(*ty, *rows, cols, bytes).unwrap();
            let mut out = vec![0.0; tokens * rows];
            matmul(&pool, &w, &input, None, &mut out).unwrap();
            out
        })
        .collect();
    let mut together: Vec<Vec<f32>> = alone.iter().map(|out| vec![0.0; out.len()]).collect();
    let mut jobs: Vec<Job> = packed.iter().zip(&mut together).map(|(w, out)| Job::new(w, None, out)).collect();
    matmul_many(&pool, &mut jobs, &input).unwrap();
    assert_eq!(together, alone);

    let chosen = [8, 0, 3, 3, 7, 1];
    for (w, alone) in packed.iter().zip(&alone) {
        let mut out = vec![0.0; chosen.len() * w.rows()];
        matmul_rows(&pool, w, &input, &chosen, None, &mut out).unwrap();
        for (i, &row) in chosen.iter().enumerate() {
            let n = w.rows();
            assert_eq!(out[i * n..(i + 1) * n], alone[row as usize * n..(row as usize + 1) * n]);
        }
    }
}

#[test]
fn experts_give_what_each_gives_alone() {
    let pool = Pool::new(2).unwrap();
    let (cols, rows, tokens, k, n) = (96, 37, 11, 3, 7);
    let mut random = Random(11);
    let x = random.floats(tokens * cols);
    let biases = random.floats(n * rows);
    let experts: Vec<PackedMatrix> = (0..n)
        .map(|_| {
            let bytes = weights(GgmlType::MXFP4, rows, cols, &mut random);
            PackedMatrix::pack(GgmlType::MXFP4, rows, cols, &bytes).unwrap()
        })
        .collect();
    // Expert 4 gets none, expert 0 more than a decode kernel takes.
    let chosen: Vec<u32> = (0..tokens * k).map(|s| [0, 1, 2, 3, 5, 6, 0][s * 5 % 7]).collect();
    let mut routing = Routing::new();
    routing.route(&chosen, k, n).unwrap();
    let mut buffer = Activations::new();
    let input = buffer.quantize(&pool, &x, tokens, cols).unwrap();
    let mut out = vec![0.0; tokens * k * rows];
    matmul_experts(&pool, &experts, Some(&biases), &routing, Rows::Tokens, &input, &mut out).unwrap();
    let alone = |e: usize, row: usize| {
        let mut out = vec![0.0; rows];
        let bias = Some(&biases[e * rows..(e + 1) * rows]);
        matmul_rows(&pool, &experts[e], &input, &[row as u32], bias, &mut out).unwrap();
        out
    };
    for (s, &e) in chosen.iter().enumerate() {
        assert_eq!(out[s * rows..(s + 1) * rows], alone(e as usize, s / k), "slot {s}");
    }
    // One row for each slot: the slot's own.
    let few = [1, 6, 1, 1, 1, 1, 1];
    routing.route(&few, 1, n).unwrap();
    let mut out = vec![0.0; few.len() * rows];
    matmul_experts(&pool, &experts, Some(&biases), &routing, Rows::Slots, &input, &mut out).unwrap();
    for (s, &e) in few.iter().enumerate() {
        assert_eq!(out[s * rows..(s + 1) * rows], alone(e as usize, s), "slot {s}");
    }
}

/// Hostile files: any bytes are weights, and give numbers or NaN, never a fault.
#[test]
fn any_bytes_can_be_packed_and_multiplied() {
    let pool = Pool::new(2).unwrap();
    let mut random = Random(3);
    for ty in GgmlType::ALL.iter().copied() {
        let (rows, cols) = (19, 2 * ty.block_elems());
        let len = rows * ty.row_bytes(cols).unwrap();
        let noise: Vec<u8> = (0..len).map(|_| random.byte()).collect();
        for bytes in [vec![0xff; len], vec![0; len], vec![0x7c; len], noise] {
            let w = PackedMatrix::pack(ty, rows, cols, &bytes).unwrap();
            for isa in Isa::available() {
                let mut buffer = Activations::new();
                let x: Vec<f32> = (0..7 * cols).map(|i| if i == 0 { f32::NAN } else { 1.0 }).collect();
                let input = buffer.quantize_with(&pool, isa, &x, 7, cols).unwrap();
                let mut out = vec![0.0; 7 * rows];
                matmul(&pool, &w, &input, None, &mut out).unwrap();
                assert!(out[..rows].iter().all(|v| v.is_nan()), "{ty}: NaN in the input was lost");
            }
        }
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let pool = Pool::new(1).unwrap();
    let ty = GgmlType::Q4_0;
    let refused = |rows, cols, len: usize| PackedMatrix::pack(ty, rows, cols, &vec![0; len]).unwrap_err();
    assert!(matches!(refused(1, 33, 18), MatmulError::PartialBlock { cols: 33, block: 32, .. }));
    assert!(matches!(refused(1, 0, 0), MatmulError::PartialBlock { .. }));
    assert!(matches!(refused(2, 32, 18), MatmulError::Length { expected: 36, found: 18, .. }));
    assert!(matches!(refused(usize::MAX, 32, 18), MatmulError::TooLarge { .. }));

    let w = PackedMatrix::pack(ty, 2, 32, &[0; 36]).unwrap();
    let x = [1.0; 64];
    let mut buffer = Activations::new();
    assert!(matches!(buffer.quantize(&pool, &x, 1, 32), Err(MatmulError::Length { expected: 32, .. })));
    let mut out = [0.0; 4];
    let floats = Input::floats(&x, 2, 32).unwrap();
    assert_eq!(matmul(&pool, &w, &floats, None, &mut out), Err(MatmulError::NotQuantized { ty }));
    let input = buffer.quantize(&pool, &x, 2, 32).unwrap();
    assert!(matches!(matmul(&pool, &w, &input, None, &mut out[..3]), Err(MatmulError::Length { .. })));
    assert!(matches!(
        matmul(&pool, &w, &input, Some(&[0.0]), &mut out),
        Err(MatmulError::Length { what: "bias", expected: 2, found: 1 })
    ));
    let row = matmul_rows(&pool, &w, &input, &[2], None, &mut out[..2]);
    assert!(matches!(row, Err(MatmulError::OutOfRange { index: 2, len: 2, .. })));
    matmul(&pool, &w, &input, None, &mut out).unwrap();
    let wide = buffer.quantize(&pool, &x, 1, 64).unwrap();
    assert!(matches!(
        matmul(&pool, &w, &wide, None, &mut out[..2]),
        Err(MatmulError::Columns { expected: 32, found: 64 })
    ));
}
