//! Matrix products and tables, of every type of weights.

use rocmforge_quant::GgmlType;

use super::case::{Bench, Bound, Bounds, Case, Entry, IDS};
use super::random::{Rng, Size};

/// Types that weights can have.
pub fn types() -> impl Iterator<Item = GgmlType> {
    let no_weight = [GgmlType::I8, GgmlType::I16, GgmlType::I32, GgmlType::I64, GgmlType::F64];
    GgmlType::ALL.iter().copied().filter(move |ty| !no_weight.contains(ty))
}

/// Types that stand for the ways in which weights are read: plain, one scale, scale and minimum, nested scales, and a
/// codebook.
pub const TYPICAL: [GgmlType; 5] = [GgmlType::F16, GgmlType::Q4_0, GgmlType::Q4_K, GgmlType::Q6_K, GgmlType::IQ2_XS];

/// Bounds of products with weights of a type. Few rows meet quantized weights as groups of 8-bit numbers, whose steps
/// are 1/127 of a group's largest; many rows are 16-bit floats, and so are weights (their scales and minima alike).
pub fn product_bounds(ty: GgmlType) -> Bounds {
    let f32_sums = Bound { nmse: 1e-11, worst: 3e-5 };
    let few = if ty.is_quantized() { Bound { nmse: 1e-4, worst: 0.06 } } else { f32_sums };
    let many = match ty {
        GgmlType::F32 => f32_sums,
        GgmlType::BF16 => Bound { nmse: 1e-5, worst: 2e-2 },
        _ => Bound { nmse: 1e-6, worst: 6e-3 },
    };
    Bounds { few, many, exact: f32_sums }
}

/// Numbers of tokens at and around the sizes of tiles.
const TOKENS: [usize; 11] = [1, 2, 3, 5, 8, 9, 17, 64, 65, 130, 300];
const FEW_TOKENS: [usize; 4] = [1, 3, 8, 17];
const ROWS: [usize; 6] = [1, 3, 17, 64, 100, 257];
const COLS: [usize; 8] = [32, 64, 256, 288, 512, 2048, 2880, 4352];
/// Widths that are no multiple of a load, for types without blocks.
const ODD_COLS: [usize; 7] = [1, 7, 33, 100, 264, 1001, 2050];

/// One product.
#[derive(Clone, Copy)]
struct Product {
    ty: GgmlType,
    rows: usize,
    cols: usize,
    bias: bool,
    input: Size,
    weights: Size,
}

impl Product {
    fn name(&self) -> String {
        let Self { ty, rows, cols, bias, input, weights } = self;
        let bias = if *bias { " bias" } else { "" };
        format!("{ty} {rows}x{cols}{bias} input={} weights={}", input.name(), weights.name())
    }

    fn case(&self, rng: &mut Rng, tokens: &[usize]) -> Case {
        let mut bench = Bench::new(rng);
        let x = bench.input(self.cols, self.input);
        let weight = bench.weight(self.ty, 1, self.rows, self.cols, self.weights);
        let bias = self.bias.then(|| bench.random_vector(self.rows, 0.5));
        let out = bench.b.linear(x, weight, bias).expect("widths fit");
        bench.finish_rows(out, tokens, self.bounds())
    }

    fn bounds(&self) -> Bounds {
        // One product may be most of a sum, so that the sum has the error of one number; beside an outlier of the
        // input the other numbers of its group are coarse.
        let has_outlier = [self.input, self.weights].contains(&Size::Outlier);
        product_bounds(self.ty).times(if has_outlier { 4.0 } else { 1.0 })
    }
}

pub fn cases() -> Vec<Entry> {
    let mut cases = Vec::new();
    for (i, ty) in types().enumerate() {
        let widths: Vec<_> = COLS.into_iter().filter(|cols| cols % ty.block_elems() == 0).collect();
        // Rows and widths take turns, so that all of both come with every type, and in many pairs.
        for (j, &rows) in ROWS.iter().enumerate() {
            let cols = widths[(i + j) % widths.len()];
            let product = Product { ty, rows, cols, bias: (i + j) % 2 == 0, input: Size::Even, weights: Size::Even };
            cases.push(Entry::new(product.name(), move |rng| product.case(rng, &TOKENS)));
        }
        let sizes = [
            (Size::Rows, Size::Rows),
            (Size::Zeros, Size::Zeros),
            (Size::Outlier, Size::Even),
            (Size::Even, Size::Outlier),
        ];
        for (j, (input, weights)) in sizes.into_iter().enumerate() {
            let cols = widths[(i + j) % widths.len()].min(2048);
            let product = Product { ty, rows: 80, cols, bias: false, input, weights };
            cases.push(Entry::new(product.name(), move |rng| product.case(rng, &TOKENS)));
        }
        let small = Product { ty, rows: 70, cols: 256, bias: true, input: Size::Even, weights: Size::Even };
        let quick = TYPICAL.contains(&ty);
        cases.push(Entry::new(small.name(), move |rng| small.case(rng, &FEW_TOKENS)).quick(quick));
    }
    cases.extend(odd().into_iter().chain(large()));
    cases
}

/// Rows that are no whole loads.
fn odd() -> Vec<Entry> {
    let types = [GgmlType::F32, GgmlType::F16, GgmlType::BF16];
    let pairs = types.into_iter().flat_map(|ty| ODD_COLS.map(|cols| (ty, cols)));
    let entry = |(ty, cols)| {
        let product = Product { ty, rows: 67, cols, bias: cols % 2 == 1, input: Size::Even, weights: Size::Even };
        Entry::new(product.name(), move |rng| product.case(rng, &TOKENS)).quick(ty == GgmlType::F16 && cols < 1000)
    };
    pairs.map(entry).collect()
}

/// As wide as the widest models, and as tall as a vocabulary.
fn large() -> Vec<Entry> {
    let types = TYPICAL.into_iter().chain([GgmlType::F32, GgmlType::BF16, GgmlType::Q8_0, GgmlType::Q5_1]);
    let pairs = types.flat_map(|ty| [(ty, 33, 28_672), (ty, 40_007, 256)]);
    let entry = |(ty, rows, cols)| {
        let product = Product { ty, rows, cols, bias: false, input: Size::Even, weights: Size::Even };
        Entry::new(product.name(), move |rng| product.case(rng, &FEW_TOKENS))
    };
    pairs.map(entry).collect()
}

/// Rows of a table of each type, scaled.
pub fn embeds() -> Vec<Entry> {
    let mut cases = Vec::new();
    for (i, ty) in types().enumerate() {
        for (j, size) in [Size::Even, Size::Zeros].into_iter().enumerate() {
            let cols = ty.block_elems().max(32) * [1, 2, 3, 9][(i + j) % 4];
            let scale = [1.0, 11.3][(i + j) % 2];
            let make = move |rng: &mut Rng| {
                let mut bench = Bench::new(rng);
                let table = bench.weight(ty, 1, IDS, cols, size);
                let out = bench.b.embed(table, scale);
                // One rounding of each product.
                bench.finish_rows(out, &TOKENS, Bounds::all(1e-13, 1e-5))
            };
            cases.push(Entry::new(format!("{ty} {cols} {}", size.name()), make).quick(j == 0 && TYPICAL.contains(&ty)));
        }
    }
    cases
}

/// Several products of one input, of one type or of two, some of which are parts of larger matrices.
pub fn shared() -> Vec<Entry> {
    let mut cases = Vec::new();
    let all: Vec<_> = types().collect();
    for (i, &ty) in all.iter().enumerate() {
        let other = all[(i * 5 + 3) % all.len()];
        for (j, (count, types)) in [(3, [ty, ty]), (4, [ty, other]), (11, [ty, ty])].into_iter().enumerate() {
            let cols = [256, 512][(i + j) % 2];
            let rows = [72, 100, 129][j];
            let name = format!("{count} of {}/{} {rows}x{cols}", types[0], types[1]);
            let make = move |rng: &mut Rng| shared_case(rng, count, types, rows, cols);
            cases.push(Entry::new(name, make).quick(count == 3 && TYPICAL.contains(&ty)));
        }
    }
    cases
}

fn shared_case(rng: &mut Rng, count: usize, types: [GgmlType; 2], rows: usize, cols: usize) -> Case {
    let mut bench = Bench::new(rng);
    let x = bench.input(cols, Size::Even);
    let mut parts = Vec::new();
    for i in 0..count {
        let ty = types[i / 2 % 2];
        let weight = match i % 3 {
            1 => bench.weight_part(ty, 5, rows, cols),
            _ => bench.weight(ty, 1, rows, cols, Size::Even),
        };
        let bias = (i % 2 == 1).then(|| bench.random_vector(rows, 0.0));
        parts.push(bench.b.linear(x, weight, bias).expect("widths fit"));
    }
    let sum = parts.into_iter().reduce(|a, b| bench.b.add(a, b).expect("equal shapes")).expect("some");
    let [a, b] = types.map(product_bounds);
    bench.finish_rows(sum, &FEW_TOKENS, a.max(b))
}
