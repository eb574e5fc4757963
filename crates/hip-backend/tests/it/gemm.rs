//! Matrix products of many rows, against sums in f64 of the weights as the CPU decodes them.

use half::{bf16, f16};
use rocmforge_hip_backend::driver::{Buffer, DevicePtr};
use rocmforge_hip_backend::ops::{
    ExpertGemmCall, Gemm, GemmCall, GemmForm, GemmInput, GemmPart, GroupLayout, GroupPairs,
};
use rocmforge_quant::GgmlType;

use crate::matrix::{Matrix, at_least, weight_types};
use crate::rig::{Noise, Rig, on_each_device};

/// Rows of x on the host and, in the form that a product wants, on the device.
struct Rows {
    count: usize,
    k: usize,
    values: Vec<f32>,
    form: GemmForm,
    data: Buffer,
    scales: Buffer,
}

impl Rows {
    fn new(rig: &Rig, form: GemmForm, k: usize, values: Vec<f32>) -> Self {
        let count = values.len() / k;
        let (data, scales) = match form {
            GemmForm::F32 => (rig.buffer(&values), Vec::new()),
            GemmForm::Bhalf => (rig.buffer(&padded(&values, k, |x, _| bf16::from_f32(x).to_bits())), Vec::new()),
            GemmForm::Half => {
                let scales: Vec<f32> = values.chunks_exact(k).map(half_scale).collect();
                let code = |x: f32, row: usize| f16::from_f32(x / scales[row]).to_bits();
                (rig.buffer(&padded(&values, k, code)), scales)
            }
        };
        Self { count, k, values, form, data, scales: rig.buffer(&scales) }
    }

    fn random(rig: &Rig, form: GemmForm, count: usize, k: usize, seed: u64) -> Self {
        let mut noise = Noise::new(seed);
        Self::new(rig, form, k, (0..count * k).map(|_| noise.normal() as f32).collect())
    }

    fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.k..][..self.k]
    }

    fn input(&self) -> GemmInput {
        match self.form {
            GemmForm::F32 => GemmInput::F32(self.data.ptr()),
            GemmForm::Bhalf => GemmInput::Bhalf(self.data.ptr()),
            GemmForm::Half => GemmInput::Half { values: self.data.ptr(), scales: self.scales.ptr() },
        }
    }
}

/// The power of two that brings the largest magnitude into (512, 1024].
fn half_scale(row: &[f32]) -> f32 {
    let top = row.iter().fold(0.0f32, |top, x| top.max(x.abs()));
    if top == 0.0 || !top.is_finite() { 1.0 } else { ((top.log2() - 10.0).ceil()).exp2() }
}

/// Codes of all rows, each filled up to whole groups of 32 with zeros.
fn padded(values: &[f32], k: usize, code: impl Fn(f32, usize) -> u16) -> Vec<u16> {
    let mut out = Vec::new();
    for (row, x) in values.chunks_exact(k).enumerate() {
        out.extend(x.iter().map(|&x| code(x, row)));
        out.resize((row + 1) * k.next_multiple_of(32), 0);
    }
    out
}

/// One matrix with its bias and its result.
struct Part {
    matrix: Matrix,
    bias: Option<Vec<f32>>,
    out_stride: usize,
}

impl Part {
    fn new(ty: GgmlType, rows: usize, k: usize, seed: u64) -> Self {
        let bias = Noise::new(seed + 1).f32s(rows, 4.0, 0.0);
        Self { matrix: Matrix::new(ty, rows, k, seed), bias: Some(bias), out_stride: rows }
    }
}

/// How far a sum may be off, as a fraction of `sqrt(Σ (w x)²)`: six times the standard deviation, for the largest among
/// some hundred thousand sums. Both factors are rounded to 11 bits (8 of bfloat16), which are 3e-4 (1.6e-3) together;
/// so is the scale of a group of weights, and in K types with a minimum that too, whose errors 32 products share, and
/// which make 7.5e-4. In f32 24 bits are left, and sums of up to 4096 products lose a few of them.
fn tolerance(form: GemmForm, ty: GgmlType) -> f64 {
    match (form, ty) {
        (GemmForm::Half, GgmlType::Q2_K | GgmlType::Q4_K | GgmlType::Q5_K) => 4.5e-3,
        (GemmForm::Half, _) => 2.4e-3,
        (GemmForm::Bhalf, _) => 1e-2,
        (GemmForm::F32, _) => 1e-5,
    }
}

/// Holds a row of a result against `weight` times `x`, row by row.
fn check_row(what: &str, form: GemmForm, out: &[f32], weight: &Matrix, first: usize, bias: Option<&[f32]>, x: &[f32]) {
    for (r, &found) in out.iter().enumerate() {
        let (mut sum, mut squares) = (0.0, 0.0);
        for (&w, &x) in weight.row(first + r).iter().zip(x) {
            let product = f64::from(w) * f64::from(x);
            sum += product;
            squares += product * product;
        }
        let bias = bias.map_or(0.0, |bias| f64::from(bias[first + r]));
        let allowed = tolerance(form, weight.ty) * squares.sqrt() + 1e-6 * bias.abs() + 1e-30;
        let off = (f64::from(found) - sum - bias).abs();
        assert!(
            off <= allowed,
            "{what}, row {r}: {found:e} instead of {:e}, {:.1} times too far",
            sum + bias,
            off / allowed
        );
    }
}

/// Runs a product and compares all of it.
fn check(rig: &Rig, gemm: &Gemm, x: &Rows, parts: &[Part]) -> Vec<Vec<f32>> {
    let out = run(rig, gemm, x, parts);
    for (part, out) in parts.iter().zip(&out) {
        for t in 0..x.count {
            let what =
                format!("{} {:?} [{}, {}], token {t} of {}", part.matrix.ty, x.form, part.matrix.rows, x.k, x.count);
            let row = &out[t * part.out_stride..][..part.matrix.rows];
            check_row(&what, x.form, row, &part.matrix, 0, part.bias.as_deref(), x.row(t));
        }
    }
    out
}

fn run(rig: &Rig, gemm: &Gemm, x: &Rows, parts: &[Part]) -> Vec<Vec<f32>> {
    let uploaded: Vec<_> = parts.iter().map(|part| part.matrix.upload(rig)).collect();
    let bias: Vec<_> = parts.iter().map(|part| part.bias.as_ref().map(|bias| rig.buffer(bias))).collect();
    let out: Vec<_> = parts.iter().map(|part| rig.room::<f32>(x.count * part.out_stride)).collect();
    let rows: Vec<_> = parts.iter().map(|part| part.matrix.rows).collect();
    let scratch = rig.room::<u8>(gemm.scratch_bytes(x.count, x.k, &rows));
    let calls: Vec<_> = (0..parts.len())
        .map(|i| GemmPart {
            weight: uploaded[i].planes(),
            bias: bias[i].as_ref().map_or(DevicePtr::NULL, Buffer::ptr),
            out: out[i].ptr(),
            rows: rows[i],
            out_stride: parts[i].out_stride,
        })
        .collect();
    let call = GemmCall { x: x.input(), tokens: x.count, k: x.k, parts: &calls, scratch: scratch.ptr() };
    gemm.run(&rig.stream, &call).expect("the kernels start");
    out.iter().map(|out| rig.read(out)).collect()
}

fn load(rig: &Rig, ty: GgmlType, form: GemmForm) -> Gemm {
    Gemm::load(&rig.kernels, ty, form).expect("the kernels load")
}

/// The kernels of a type one by one.
fn each_kernel(gemm: &Gemm) -> Vec<Gemm> {
    gemm.kernel_names().map(|name| gemm.only(name).expect("one of its own")).collect()
}

/// The decoders have nothing to do with the width of a wave: on the wide device some types are enough.
fn types(rig: &Rig) -> Vec<GgmlType> {
    use GgmlType::{BF16, F16, F32, IQ3_S, Q4_0, Q4_K, Q6_K, Q8_0};
    match rig.kernels.device().properties().wave_size {
        64 => vec![F32, F16, BF16, Q4_0, Q8_0, Q4_K, Q6_K, IQ3_S],
        _ => weight_types(),
    }
}

#[test]
fn every_type_on_every_tile() {
    on_each_device(|rig| {
        for ty in types(rig) {
            let k = at_least(ty, 96);
            let form = GemmForm::of(ty, k);
            let x = Rows::random(rig, form, 37, k, 3);
            for gemm in each_kernel(&load(rig, ty, form)) {
                check(rig, &gemm, &x, &[Part::new(ty, 70, k, 11)]);
            }
        }
    });
}

#[test]
fn every_type_in_f32() {
    on_each_device(|rig| {
        for ty in types(rig) {
            let k = at_least(ty, 64);
            let x = Rows::random(rig, GemmForm::F32, 18, k, 4);
            for gemm in each_kernel(&load(rig, ty, GemmForm::F32)) {
                check(rig, &gemm, &x, &[Part::new(ty, 67, k, 12)]);
            }
        }
    });
}

#[test]
fn awkward_shapes() {
    on_each_device(|rig| {
        for (ty, ks) in
            [(GgmlType::Q4_0, [32, 64, 160]), (GgmlType::Q6_K, [256, 512, 768]), (GgmlType::F16, [32, 72, 256])]
        {
            let gemm = load(rig, ty, GemmForm::Half);
            for (i, tokens) in [1, 9, 16, 17, 33, 100, 130].into_iter().enumerate() {
                let (k, rows) = (ks[i % 3], [1, 15, 64, 129, 300][i % 5]);
                let x = Rows::random(rig, GemmForm::Half, tokens, k, 5);
                check(rig, &gemm, &x, &[Part::new(ty, rows, k, 13)]);
                let kernels = each_kernel(&gemm);
                check(rig, &kernels[i % kernels.len()], &x, &[Part::new(ty, rows, k, 14)]);
            }
        }
    });
}

#[test]
fn rows_of_floats_that_are_no_whole_vectors() {
    on_each_device(|rig| {
        for ty in [GgmlType::F32, GgmlType::F16, GgmlType::BF16] {
            for k in [1, 7, 33, 50] {
                assert_eq!(GemmForm::of(ty, k), GemmForm::F32);
                let x = Rows::random(rig, GemmForm::F32, 20, k, 6);
                check(rig, &load(rig, ty, GemmForm::F32), &x, &[Part::new(ty, 19, k, 15)]);
            }
        }
    });
}

#[test]
fn parts_of_one_input_have_their_own_rows_bias_and_stride() {
    on_each_device(|rig| {
        for (ty, form) in [(GgmlType::Q8_0, GemmForm::Half), (GgmlType::Q8_0, GemmForm::F32)] {
            let x = Rows::random(rig, form, 21, 64, 7);
            let mut parts: Vec<Part> =
                [130, 16, 65, 1].iter().map(|&rows| Part::new(ty, rows, 64, rows as u64)).collect();
            parts[1].bias = None;
            parts[2].out_stride = 70;
            for gemm in each_kernel(&load(rig, ty, form)) {
                for count in 1..=4 {
                    let out = check(rig, &gemm, &x, &parts[..count]);
                    let gaps = out.get(2).map_or(0, |out| out.iter().filter(|v| v.is_nan()).count());
                    assert_eq!(gaps, if count > 2 { 21 * 5 } else { 0 }, "values between the rows were written");
                }
            }
        }
    });
}

#[test]
fn long_rows_are_split_and_add_up_to_the_same_bits_each_time() {
    on_each_device(|rig| {
        for (ty, form) in [(GgmlType::Q4_K, GemmForm::Half), (GgmlType::F32, GemmForm::F32)] {
            let k = 4096 + 256;
            let x = Rows::random(rig, form, 11, k, 8);
            let parts = [Part::new(ty, 40, k, 16), Part::new(ty, 3, k, 17)];
            let gemm = load(rig, ty, form);
            assert!(gemm.scratch_bytes(11, k, &[40, 3]) >= 2 * 11 * 43 * 4, "it is not split");
            let first = check(rig, &gemm, &x, &parts);
            for _ in 0..3 {
                assert_eq!(run(rig, &gemm, &x, &parts), first);
            }
        }
    });
}

#[test]
fn a_row_of_x_meets_no_other_row() {
    on_each_device(|rig| {
        let (ty, k) = (GgmlType::Q4_0, 96);
        for gemm in each_kernel(&load(rig, ty, GemmForm::Half)) {
            let mut noise = Noise::new(9);
            let row = noise.f32s(k, 3.0, 0.0);
            let mut values: Vec<f32> = (0..40).flat_map(|_| row.clone()).collect();
            values[5 * k + 50] = f32::NAN;
            values[6 * k + 1] = f32::INFINITY;
            values[7 * k..8 * k].fill(0.0);
            let x = Rows::new(rig, GemmForm::Half, k, values);
            let part = Part::new(ty, 50, k, 18);
            let bias = part.bias.clone().expect("it has one");
            let out = run(rig, &gemm, &x, &[part]).remove(0);
            for (t, found) in out.chunks_exact(50).enumerate() {
                match t {
                    5 | 6 => assert!(found.iter().all(|v| !v.is_finite()), "row {t} hides what x is"),
                    7 => assert_eq!(found, bias),
                    _ => assert_eq!(found, &out[..50], "row {t} differs from row 0"),
                }
            }
        }
    });
}

#[test]
fn rows_of_any_magnitude_keep_their_precision() {
    on_each_device(|rig| {
        for ty in [GgmlType::Q8_0, GgmlType::BF16] {
            let form = GemmForm::of(ty, 64);
            let mut noise = Noise::new(10);
            let mut values = Vec::new();
            for exponent in -100..100i32 {
                values.extend((0..64).map(|_| noise.normal() as f32 * (exponent as f32).exp2()));
            }
            let x = Rows::new(rig, form, 64, values);
            let mut part = Part::new(ty, 20, 64, 19);
            part.bias = None;
            check(rig, &load(rig, ty, form), &x, &[part]);
        }
    });
}

/// Weights of 1e-6 are subnormal as halves.
#[test]
fn small_weights_keep_their_precision() {
    on_each_device(|rig| {
        let values: Vec<f32> = Noise::new(11).f32s(64 * 64, 1e-4, 0.0);
        let mut blocks = vec![0; GgmlType::Q8_0.row_bytes(64 * 64).expect("whole blocks")];
        rocmforge_quant::quantize(GgmlType::Q8_0, &values, 64, None, &mut blocks).expect("finite");
        let matrix = Matrix::of_blocks(GgmlType::Q8_0, 64, 64, blocks);
        let x = Rows::random(rig, GemmForm::Half, 16, 64, 12);
        let part = Part { matrix, bias: None, out_stride: 64 };
        check(rig, &load(rig, GgmlType::Q8_0, GemmForm::Half), &x, &[part]);
    });
}

// ---- experts ---------------------------------------------------------------------------------------------------------

struct Experts {
    count: usize,
    rows: usize,
    ids: Vec<f32>,
    outs_per_x: usize,
}

impl Experts {
    /// The expert that an id stands for.
    fn of(&self, pair: usize) -> usize {
        (self.ids[pair].max(0.0) as usize).min(self.count - 1)
    }

    /// Runs the product, with the tile height of a layout for `pretended` pairs, and compares it.
    fn check(&self, rig: &Rig, ty: GgmlType, form: GemmForm, k: usize) {
        let pairs = self.ids.len();
        let layout = GroupLayout::new(pairs, self.count, form).expect("few experts");
        let group = GroupPairs::load(&rig.kernels).expect("the kernel loads");
        let (ids, groups) = (rig.buffer(&self.ids), rig.room::<u8>(layout.bytes()));
        group.run(&rig.stream, &layout, ids.ptr(), groups.ptr()).expect("the kernel starts");

        let x = Rows::random(rig, form, pairs / self.outs_per_x, k, 20);
        let part = Part::new(ty, self.count * self.rows, k, 21);
        let bias = part.bias.as_deref().expect("it has one");
        let (uploaded, bias_there) = (part.matrix.upload(rig), rig.buffer(bias));
        let out = rig.room::<f32>(pairs * self.rows);
        let parts = [GemmPart {
            weight: uploaded.planes(),
            bias: bias_there.ptr(),
            out: out.ptr(),
            rows: self.rows,
            out_stride: self.rows,
        }];
        let (outs_per_x, groups) = (self.outs_per_x, groups.ptr());
        let call = ExpertGemmCall { x: x.input(), outs_per_x, k, parts: &parts, layout, groups };
        load(rig, ty, form).run_experts(&rig.stream, &call).expect("the kernel starts");
        let out = rig.read::<f32>(&out);
        for (pair, out) in out.chunks_exact(self.rows).enumerate() {
            let what = format!("{ty} {form:?}, pair {pair} of {pairs}, expert {} of {}", self.of(pair), self.count);
            check_row(
                &what,
                form,
                out,
                &part.matrix,
                self.of(pair) * self.rows,
                Some(bias),
                x.row(pair / self.outs_per_x),
            );
        }
    }
}

fn chosen(tokens: usize, per_token: usize, experts: usize, seed: u64) -> Vec<f32> {
    let mut noise = Noise::new(seed);
    (0..tokens * per_token).map(|_| ((noise.unit() + 1.0) / 2.0 * experts as f64).floor() as f32).collect()
}

#[test]
fn experts_of_every_type() {
    on_each_device(|rig| {
        for ty in types(rig) {
            let k = at_least(ty, 32);
            let experts = Experts { count: 5, rows: 33, ids: chosen(7, 2, 5, 22), outs_per_x: 2 };
            experts.check(rig, ty, GemmForm::of(ty, k), k);
            experts.check(rig, ty, GemmForm::F32, k);
        }
    });
}

#[test]
fn experts_of_any_distribution() {
    on_each_device(|rig| {
        let all_to_one = vec![3.0; 150];
        let two_of_many: Vec<f32> = (0..90).map(|p| if p % 3 == 0 { 99.0 } else { 0.0 }).collect();
        let sorts = [(all_to_one, 4), (two_of_many, 100), (chosen(130, 4, 3, 23), 3), (chosen(100, 1, 8, 24), 8)];
        for (ids, count) in sorts {
            for outs_per_x in [1, 2] {
                let experts = Experts { count, rows: 17, ids: ids.clone(), outs_per_x };
                experts.check(rig, GgmlType::Q4_0, GemmForm::Half, 32);
                experts.check(rig, GgmlType::Q4_0, GemmForm::F32, 32);
            }
        }
    });
}

#[test]
fn ids_that_are_no_experts_do_no_harm() {
    on_each_device(|rig| {
        let ids = vec![0.0, -1.0, 7.0, 1e30, f32::NAN, f32::NEG_INFINITY, f32::INFINITY, 2.0];
        let experts = Experts { count: 3, rows: 16, ids, outs_per_x: 1 };
        experts.check(rig, GgmlType::Q8_0, GemmForm::Half, 32);
    });
}

#[test]
fn pairs_are_sorted_into_tiles() {
    on_each_device(|rig| {
        let group = GroupPairs::load(&rig.kernels).expect("the kernel loads");
        for (tokens, per_token, experts) in [(1, 1, 1), (3, 8, 128), (700, 4, 1000), (400, 2, 6), (300, 8, 2)] {
            let ids = chosen(tokens, per_token, experts, 25);
            let layout = GroupLayout::new(ids.len(), experts, GemmForm::Half).expect("few experts");
            let (there, memory) = (rig.buffer(&ids), rig.room::<u32>(layout.bytes() / 4));
            group.run(&rig.stream, &layout, there.ptr(), memory.ptr()).expect("the kernel starts");
            let words = rig.read::<u32>(&memory);
            let tiles = words[4..].chunks_exact(4).take(words[0] as usize);
            let order = &words[4 + 4 * layout.max_tiles()..];
            let mut seen = vec![false; ids.len()];
            let mut next = 0;
            for tile in tiles {
                let [expert, first, count, _] = *tile else { unreachable!("tiles are four words") };
                assert_eq!(first, next, "tiles leave nothing out");
                assert!(count >= 1 && count as usize <= layout.tile_rows());
                next += count;
                for &pair in &order[first as usize..][..count as usize] {
                    assert_eq!(ids[pair as usize], expert as f32);
                    assert!(!std::mem::replace(&mut seen[pair as usize], true), "pair {pair} comes twice");
                }
            }
            assert!(seen.iter().all(|&seen| seen));
        }
    });
}
