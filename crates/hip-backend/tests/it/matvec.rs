//! Products of a few columns, against sums in f64 over the weights as the CPU decodes them.

use rocmforge_hip_backend::driver::{Buffer, DevicePtr};
use rocmforge_hip_backend::ops::{ActivationForm, Activations, ExpertCall, Matvec, MatvecCall, MatvecPart};
use rocmforge_quant::GgmlType;

use crate::matrix::{Matrix, Uploaded, at_least, weight_types};
use crate::rig::{Noise, Rig, on_each_device, on_named_device};

/// Columns of x as the kernels get them, and as numbers.
struct Input {
    /// i8 or f32 `[columns, cols]`.
    data: Buffer,
    /// Only for the q8 form.
    scales: Buffer,
    form: ActivationForm,
    values: Vec<f64>,
    cols: usize,
}

impl Input {
    fn new(rig: &Rig, form: ActivationForm, columns: usize, cols: usize) -> Self {
        let mut noise = Noise::new(99);
        let x: Vec<f32> = (0..columns * cols).map(|_| noise.normal() as f32).collect();
        if form == ActivationForm::F32 {
            let values = x.iter().map(|&v| f64::from(v)).collect();
            return Self { data: rig.buffer(&x), scales: rig.room::<f32>(0), form, values, cols };
        }
        let (mut quants, mut scales, mut values) = (Vec::<i8>::new(), Vec::<[f32; 2]>::new(), Vec::new());
        for group in x.chunks(32) {
            let d = group.iter().fold(0.0f32, |most, v| most.max(v.abs())) / 127.0;
            let codes: Vec<i8> = group.iter().map(|v| (v / d).round() as i8).collect();
            let sum: i32 = codes.iter().map(|&q| i32::from(q)).sum();
            values.extend(codes.iter().map(|&q| f64::from(d) * f64::from(q)));
            scales.push([d, d * sum as f32]);
            quants.extend(codes);
        }
        Self { data: rig.buffer(&quants), scales: rig.buffer(&scales), form, values, cols }
    }

    fn column(&self, column: usize) -> &[f64] {
        &self.values[column * self.cols..][..self.cols]
    }

    /// From a column on.
    fn from(&self, column: usize) -> Activations {
        let first = column * self.cols;
        match self.form {
            ActivationForm::F32 => Activations::F32(self.data.ptr().add(first * 4)),
            ActivationForm::Q8 => {
                Activations::Q8 { quants: self.data.ptr().add(first), scales: self.scales.ptr().add(first / 32 * 8) }
            }
        }
    }
}

/// `Σ w x + bias`, and how far a kernel may be from it.
///
/// A unit's sum of codes is exact; codes and minimum of a unit, or single products of floats, are added by multiply-adds
/// that round once, to within 2^-24 of the sum so far. A lane does at most 448 of them (14336 floats, 32 lanes), on sums
/// of about a thirty-second of all magnitudes, and eight foldings follow: together 22 roundings of the whole. Where there
/// are minimums, code and minimum are up to twice the row's largest weight each, which is what magnitudes are counted
/// with; three times what this gives is allowed.
fn expected(weights: &[f32], x: &[f64], bias: f32) -> (f64, f64) {
    let largest = weights.iter().fold(0.0f64, |most, w| most.max(f64::from(w.abs())));
    let (mut sum, mut magnitude) = (f64::from(bias), f64::from(bias.abs()));
    for (&w, x) in weights.iter().zip(x) {
        sum += f64::from(w) * x;
        magnitude += 2.0 * largest * x.abs();
    }
    (sum, magnitude * 60.0 / f64::from(1 << 24))
}

/// The kernels for a type, in the form that decoding uses or in exact arithmetic.
fn load(rig: &Rig, ty: GgmlType, exact: bool) -> Matvec {
    let load = if exact { Matvec::load_exact } else { Matvec::load };
    load(&rig.kernels, ty).expect("the kernels load")
}

/// A matrix with a bias and room for the product.
struct Part {
    matrix: Matrix,
    uploaded: Uploaded,
    bias: Vec<f32>,
    given: Option<Buffer>,
    out: Buffer,
    columns: usize,
}

/// Values behind each row of `out`, which no kernel may touch.
const GAP: usize = 3;

impl Part {
    fn new(rig: &Rig, matrix: Matrix, columns: usize, with_bias: bool) -> Self {
        let mut noise = Noise::new(matrix.rows as u64);
        let bias = if with_bias { noise.f32s(matrix.rows, 2.0, 0.0) } else { vec![0.0; matrix.rows] };
        let given = with_bias.then(|| rig.buffer(&bias));
        let (uploaded, out) = (matrix.upload(rig), rig.room::<f32>(columns * (matrix.rows + GAP)));
        Self { matrix, uploaded, bias, given, out, columns }
    }

    fn arg(&self) -> MatvecPart {
        MatvecPart {
            weight: self.uploaded.planes(),
            bias: self.given.as_ref().map_or(DevicePtr::NULL, |b| b.ptr()),
            out: self.out.ptr(),
            rows: self.matrix.rows,
            out_stride: self.matrix.rows + GAP,
        }
    }

    /// Holds the product against f64 and returns it.
    fn check(&self, rig: &Rig, input: &Input, first_column: usize) -> Vec<f32> {
        let (rows, found) = (self.matrix.rows, rig.read::<f32>(&self.out));
        for column in 0..self.columns {
            let (values, gap) = found[column * (rows + GAP)..][..rows + GAP].split_at(rows);
            assert!(gap.iter().all(|v| v.is_nan()), "{}: written behind row {column}", self.matrix.ty);
            for (row, &value) in values.iter().enumerate() {
                let x = input.column(first_column + column);
                let (wanted, error) = expected(self.matrix.row(row), x, self.bias[row]);
                let off = (f64::from(value) - wanted).abs();
                let place = format!("{} [{rows}, {}], row {row}, column {column}", self.matrix.ty, self.matrix.cols);
                assert!(off <= error, "{place}: {value}, in f64 {wanted}, allowed {error:e}");
            }
        }
        found
    }
}

/// Runs a product of `columns` columns from `first` on.
fn product(rig: &Rig, matvec: &Matvec, input: &Input, first: usize, columns: usize, parts: &[Part]) {
    let parts: Vec<MatvecPart> = parts.iter().map(Part::arg).collect();
    let call = MatvecCall { x: input.from(first), cols: input.cols, columns, parts: &parts };
    matvec.run(&rig.stream, &call).expect("the kernel starts");
}

fn check_shape(rig: &Rig, matvec: &Matvec, ty: GgmlType, rows: usize, cols: usize, columns: usize) {
    let input = Input::new(rig, matvec.form(), columns, cols);
    let part = [Part::new(rig, Matrix::new(ty, rows, cols, 5), columns, rows.is_multiple_of(2))];
    product(rig, matvec, &input, 0, columns, &part);
    part[0].check(rig, &input, 0);
}

/// The width of a wave matters to how rows are shared, not to how a type is decoded: one type of each unit is enough
/// for the second width.
fn is_wanted(rig: &Rig, ty: GgmlType) -> bool {
    use GgmlType::{F16, Q4_0, Q4_K, Q6_K, Q8_0};
    rig.kernels.device().properties().wave_size == 32 || matches!(ty, F16 | Q4_0 | Q4_K | Q6_K | Q8_0)
}

fn check_type(ty: GgmlType, exact: bool) {
    on_each_device(|rig| {
        if !is_wanted(rig, ty) {
            return;
        }
        let matvec = load(rig, ty, exact);
        let row = at_least(ty, 32);
        for (rows, cols, columns) in
            [(1, row, 1), (3, row, 4), (17, at_least(ty, 288), 5), (67, 3 * row, 3), (4, at_least(ty, 14336), 8)]
        {
            check_shape(rig, &matvec, ty, rows, cols, columns);
        }
    });
}

fn check_types(exact: bool, choose: impl Fn(&str) -> bool) {
    for ty in weight_types().into_iter().filter(|ty| choose(ty.name())) {
        if !exact || ty.is_quantized() {
            check_type(ty, exact);
        }
    }
}

/// Types with super-blocks and those with codebooks, by the starts of their names.
fn is_k(name: &str) -> bool {
    name.ends_with("_K")
}
fn is_codebook(name: &str) -> bool {
    name.starts_with("IQ")
}

#[test]
fn k_types_meet_bytes() {
    check_types(false, is_k);
}

#[test]
fn codebook_types_meet_bytes() {
    check_types(false, is_codebook);
}

#[test]
fn all_other_types_meet_what_they_are_made_for() {
    check_types(false, |name| !is_k(name) && !is_codebook(name));
}

#[test]
fn k_types_meet_floats() {
    check_types(true, is_k);
}

#[test]
fn codebook_types_meet_floats() {
    check_types(true, is_codebook);
}

#[test]
fn all_other_types_meet_floats() {
    check_types(true, |name| !is_k(name) && !is_codebook(name));
}

#[test]
fn every_number_of_columns_is_right() {
    on_each_device(|rig| {
        for (ty, cols) in [(GgmlType::Q4_0, 96), (GgmlType::Q8_0, 96), (GgmlType::Q6_K, 256), (GgmlType::F16, 40)] {
            let matvec = load(rig, ty, false);
            (1..=11).for_each(|columns| check_shape(rig, &matvec, ty, 9, cols, columns));
        }
    });
}

#[test]
fn many_rows_are_right() {
    on_each_device(|rig| {
        for (ty, cols) in [(GgmlType::Q4_K, 256), (GgmlType::Q4_0, 64), (GgmlType::F32, 32)] {
            check_shape(rig, &load(rig, ty, false), ty, 4099, cols, 2);
        }
    });
}

#[test]
fn rows_of_floats_may_have_any_length() {
    on_each_device(|rig| {
        for ty in [GgmlType::F32, GgmlType::F16, GgmlType::BF16] {
            let matvec = load(rig, ty, true);
            for (rows, cols, columns) in [(1, 1, 1), (5, 7, 3), (13, 33, 8), (3, 513, 2)] {
                check_shape(rig, &matvec, ty, rows, cols, columns);
            }
        }
    });
}

/// The bits of a column are those it has alone, whatever stands beside it.
#[test]
fn columns_do_not_depend_on_each_other() {
    on_each_device(|rig| {
        let types = [GgmlType::Q4_0, GgmlType::Q8_0, GgmlType::Q4_K, GgmlType::Q6_K, GgmlType::Q2_K, GgmlType::F16];
        for (ty, exact) in types.into_iter().flat_map(|ty| [(ty, false), (ty, true)]) {
            if !is_wanted(rig, ty) {
                continue;
            }
            let matvec = load(rig, ty, exact);
            let (rows, cols) = (21, 1536);
            let input = Input::new(rig, matvec.form(), 8, cols);
            let alone: Vec<Vec<f32>> =
                (0..8).map(|column| run_once(rig, &matvec, &input, ty, rows, column, 1)).collect();
            for columns in 2..=8 {
                let together = run_once(rig, &matvec, &input, ty, rows, 8 - columns, columns);
                for (column, found) in together.chunks(rows + GAP).enumerate() {
                    let bits = |values: &[f32]| values[..rows].iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                    assert_eq!(bits(found), bits(&alone[8 - columns + column]), "{ty}: column {column} of {columns}");
                }
            }
        }
    });
}

fn run_once(
    rig: &Rig,
    matvec: &Matvec,
    input: &Input,
    ty: GgmlType,
    rows: usize,
    first: usize,
    columns: usize,
) -> Vec<f32> {
    let part = [Part::new(rig, Matrix::new(ty, rows, input.cols, 8), columns, true)];
    product(rig, matvec, input, first, columns, &part);
    part[0].check(rig, input, first)
}

#[test]
fn several_matrices_share_a_launch() {
    on_each_device(|rig| {
        for (ty, exact) in
            [(GgmlType::Q4_0, false), (GgmlType::Q6_K, false), (GgmlType::F16, false), (GgmlType::Q4_K, true)]
        {
            let matvec = load(rig, ty, exact);
            let (columns, cols) = (3, 512);
            let input = Input::new(rig, matvec.form(), columns, cols);
            for sizes in [&[130, 5, 40, 1][..], &[1, 1], &[33, 64, 7]] {
                let part = |(i, &rows): (usize, &usize)| {
                    Part::new(rig, Matrix::new(ty, rows, cols, i as u64), columns, i % 2 == 0)
                };
                let parts: Vec<Part> = sizes.iter().enumerate().map(part).collect();
                product(rig, &matvec, &input, 0, columns, &parts);
                parts.iter().for_each(|part| drop(part.check(rig, &input, 0)));
            }
        }
    });
}

/// Products of experts: `rows` of each of five, two experts for each of three tokens.
fn check_experts(rig: &Rig, ty: GgmlType, exact: bool, rows: usize, cols: usize, shared: bool) {
    const IDS: [f32; 6] = [4.0, 0.0, 2.0, 2.0, 1.0, 4.0];
    let matvec = load(rig, ty, exact);
    let outs_per_x = if shared { 2 } else { 1 };
    let input = Input::new(rig, matvec.form(), IDS.len() / outs_per_x, cols);
    let part = Part::new(rig, Matrix::new(ty, 5 * rows, cols, 6), IDS.len(), true);
    let (ids, out) = (rig.buffer(&IDS), rig.room::<f32>(IDS.len() * rows));
    let arg = MatvecPart { rows, out: out.ptr(), out_stride: rows, ..part.arg() };
    let call = ExpertCall {
        x: input.from(0),
        ids: ids.ptr(),
        pairs: IDS.len(),
        per_token: 2,
        outs_per_x,
        experts: 5,
        cols,
        parts: &[arg],
    };
    matvec.run_experts(&rig.stream, &call).expect("the kernel starts");
    for (pair, values) in rig.read::<f32>(&out).chunks(rows).enumerate() {
        for (r, &value) in values.iter().enumerate() {
            let row = IDS[pair] as usize * rows + r;
            let (wanted, error) = expected(part.matrix.row(row), input.column(pair / outs_per_x), part.bias[row]);
            let off = (f64::from(value) - wanted).abs();
            assert!(off <= error, "{ty}: pair {pair}, row {r}: {value}, in f64 {wanted}, allowed {error:e}");
        }
    }
}

#[test]
fn experts_are_chosen_by_id() {
    on_each_device(|rig| {
        for shared in [true, false] {
            check_experts(rig, GgmlType::Q4_K, false, 19, 768, shared);
            check_experts(rig, GgmlType::Q8_0, false, 64, 96, shared);
            check_experts(rig, GgmlType::MXFP4, false, 3, 2880, shared);
            check_experts(rig, GgmlType::Q4_K, true, 19, 768, shared);
            check_experts(rig, GgmlType::BF16, false, 19, 64, shared);
            check_experts(rig, GgmlType::F32, false, 5, 37, shared);
        }
    });
}

#[test]
fn an_expert_that_is_not_there_is_the_last_one() {
    on_each_device(|rig| {
        let matvec = load(rig, GgmlType::Q4_0, false);
        let input = Input::new(rig, matvec.form(), 1, 64);
        let part = Part::new(rig, Matrix::new(GgmlType::Q4_0, 8, 64, 6), 1, false);
        let ids = rig.buffer(&[1e9f32]);
        let arg = MatvecPart { rows: 4, out_stride: 4, ..part.arg() };
        let call = ExpertCall {
            x: input.from(0),
            ids: ids.ptr(),
            pairs: 1,
            per_token: 1,
            outs_per_x: 1,
            experts: 2,
            cols: 64,
            parts: &[arg],
        };
        matvec.run_experts(&rig.stream, &call).expect("the kernel starts");
        for (row, &value) in rig.read::<f32>(&part.out)[..4].iter().enumerate() {
            let (wanted, error) = expected(part.matrix.row(4 + row), input.column(0), 0.0);
            assert!((f64::from(value) - wanted).abs() <= error);
        }
    });
}

/// Every type in each of its forms.
fn forms() -> impl Iterator<Item = (GgmlType, bool)> {
    let quantized = |&(ty, exact): &(GgmlType, bool)| ty.is_quantized() || !exact;
    weight_types().into_iter().flat_map(|ty| [(ty, false), (ty, true)]).filter(quantized)
}

#[test]
fn every_type_has_every_number_of_columns() {
    on_named_device(|rig| {
        for (ty, exact) in forms() {
            let matvec = load(rig, ty, exact);
            (1..=8).for_each(|columns| check_shape(rig, &matvec, ty, 5, at_least(ty, 288), columns));
        }
    });
}

#[test]
fn every_type_has_experts() {
    on_named_device(|rig| {
        for (i, (ty, exact)) in forms().enumerate() {
            check_experts(rig, ty, exact, 5, at_least(ty, 288), i % 2 == 0);
        }
    });
}
