//! Norms, gates, sums and the other ops that go over rows number by number.

use rocmforge_program::{Activation, NormKind};
use rocmforge_quant::GgmlType;

use super::case::{Bench, Bounds, Case, Entry};
use super::linear::product_bounds;
use super::random::{Rng, Size};

/// Arithmetic in f32 with sums in another order.
const F32: Bounds = Bounds::all(1e-12, 2e-5);
const TOKENS: [usize; 5] = [1, 3, 8, 17, 130];
/// Around the widths of loads, of waves, of workgroups, and of what stays in registers.
const COLS: [usize; 12] = [64, 65, 96, 127, 256, 576, 1024, 2050, 4096, 8192, 16384, 20480];

pub fn norms() -> Vec<Entry> {
    let mut cases = Vec::new();
    for kind in [NormKind::Rms, NormKind::Layer] {
        for (i, cols) in COLS.into_iter().enumerate() {
            let (has_weight, has_bias) = (i % 4 != 3, i % 3 == 1);
            let size = [Size::Even, Size::Rows, Size::Outlier][i % 3];
            let norm = Norm { kind, cols, group: cols, has_weight, has_bias, size };
            cases.push(Entry::new(norm.name(), move |rng| norm.case(rng, &TOKENS)).quick(cols <= 256));
        }
        for (heads, group) in [(4, 64), (3, 80), (8, 128), (2, 256), (16, 32), (5, 96)] {
            for has_weight in [true, false] {
                let norm = Norm { kind, cols: heads * group, group, has_weight, has_bias: false, size: Size::Even };
                cases.push(Entry::new(norm.name(), move |rng| norm.case(rng, &TOKENS)).quick(group == 80));
            }
        }
    }
    cases.push(Entry::new("rows of zeros".into(), |rng| {
        let norm =
            Norm { kind: NormKind::Rms, cols: 256, group: 256, has_weight: true, has_bias: false, size: Size::Zeros };
        norm.case(rng, &TOKENS)
    }));
    cases
}

#[derive(Clone, Copy)]
struct Norm {
    kind: NormKind,
    cols: usize,
    group: usize,
    has_weight: bool,
    has_bias: bool,
    size: Size,
}

impl Norm {
    fn name(&self) -> String {
        let Self { kind, cols, group, has_weight, has_bias, size } = self;
        let weights = match (has_weight, has_bias) {
            (true, true) => "weight+bias",
            (true, false) => "weight",
            (false, true) => "bias",
            (false, false) => "plain",
        };
        format!("{kind:?} {cols}/{group} {weights} input={}", size.name())
    }

    fn case(&self, rng: &mut Rng, tokens: &[usize]) -> Case {
        let mut bench = Bench::new(rng);
        let x = bench.input(self.cols, self.size);
        let weight = self.has_weight.then(|| bench.random_vector(self.group, 1.0));
        // A bias as wide as the row, beside a weight as wide as a group.
        let bias = self.has_bias.then(|| bench.random_vector(self.cols, 0.0));
        let out = bench.b.norm(self.kind, x, self.group, 1e-6, weight, bias).expect("whole groups");
        bench.finish_rows(out, tokens, F32)
    }
}

/// A norm of a sum, both results of which are used; made by a pass of the device's.
pub fn add_norms() -> Vec<Entry> {
    let kinds = [NormKind::Rms, NormKind::Layer];
    let cases = kinds.into_iter().flat_map(|kind| COLS.map(|cols| (kind, cols)));
    let entry = |(kind, cols): (NormKind, usize)| {
        let make = move |rng: &mut Rng| {
            let mut bench = Bench::new(rng);
            let (a, b) = (bench.input(cols, Size::Even), bench.input(cols, Size::Even));
            // Positive: in a column where the norm cancels most of the sum, the digits that are left would count.
            let weight: Vec<f32> = bench.rng.normals(cols).iter().map(|x| 0.2 + x.abs()).collect();
            let weight = bench.vector(&weight);
            let sum = bench.b.add(a, b).expect("equal shapes");
            let y = bench.b.norm(kind, sum, cols, 1e-5, Some(weight), None).expect("whole rows");
            let out = bench.b.add(sum, y).expect("equal shapes");
            bench.finish_rows(out, &TOKENS, F32)
        };
        Entry::new(format!("{kind:?} {cols}"), make).quick(cols == 65)
    };
    cases.map(entry).collect()
}

const ACTIVATIONS: [Activation; 7] = [
    Activation::Silu,
    Activation::Gelu,
    Activation::GeluErf,
    Activation::Relu,
    Activation::ReluSquared,
    Activation::Sigmoid,
    Activation::SwigluClamped { alpha: 1.702, limit: 2.0 },
];

pub fn gates() -> Vec<Entry> {
    let mut cases = Vec::new();
    for (i, activation) in ACTIVATIONS.into_iter().enumerate() {
        for (j, layout) in [Layout::Alone, Layout::Both, Layout::Spread].into_iter().enumerate() {
            for k in 0..2 {
                let cols = COLS[(i + 3 * j + 5 * k) % 10];
                let name = format!("{} {layout:?} {cols}", activation_name(activation));
                let size = if k == 0 { Size::Even } else { Size::Outlier };
                let make = move |rng: &mut Rng| gate(rng, activation, layout, cols, size);
                cases.push(Entry::new(name, make).quick(k == 0 && cols <= 1024));
            }
        }
    }
    cases
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// No second operand.
    Alone,
    /// Both as wide as the result.
    Both,
    /// A gate of one column.
    Spread,
}

fn activation_name(activation: Activation) -> &'static str {
    match activation {
        Activation::Silu => "silu",
        Activation::Gelu => "gelu",
        Activation::GeluErf => "gelu_erf",
        Activation::Relu => "relu",
        Activation::ReluSquared => "relu_squared",
        Activation::Sigmoid => "sigmoid",
        Activation::SwigluClamped { .. } => "swiglu_clamped",
    }
}

fn gate(rng: &mut Rng, activation: Activation, layout: Layout, cols: usize, size: Size) -> Case {
    let mut bench = Bench::new(rng);
    let (width, size) = if layout == Layout::Spread { (1, Size::Even) } else { (cols, size) };
    let x = bench.input(width, size);
    let up = (layout != Layout::Alone).then(|| bench.input(cols, Size::Even));
    let out = bench.b.gate(x, up, activation).expect("equal shapes");
    // A gate alone decides the size of its row, so that the tails of the functions count, where digits cancel.
    bench.finish_rows(out, &TOKENS, if layout == Layout::Spread { Bounds::all(1e-9, 1e-3) } else { F32 })
}

/// Results that a matrix product reads, which are written in its form of numbers as well or instead.
pub fn forms() -> Vec<Entry> {
    let types = [GgmlType::Q4_0, GgmlType::Q6_K, GgmlType::F16, GgmlType::BF16, GgmlType::F32];
    let sources = [Source::Rms, Source::Layer, Source::AddNorm, Source::Gate, Source::Plain];
    let pairs = sources.into_iter().flat_map(|source| types.map(|ty| (source, ty)));
    let entry = |(i, (source, ty)): (usize, (Source, GgmlType))| {
        let cols = [256, 512, 2048, 8192][i % 4];
        let make = move |rng: &mut Rng| form(rng, source, ty, cols, i % 2 == 1);
        let is_quick = cols <= 512 && [GgmlType::Q4_0, GgmlType::F16].contains(&ty);
        Entry::new(format!("{source:?} to {ty} {cols}"), make).quick(is_quick)
    };
    let odd = sources.into_iter().zip([100, 65, 36, 1002, 8]).map(|(source, cols)| {
        let make = move |rng: &mut Rng| form(rng, source, GgmlType::F16, cols, true);
        Entry::new(format!("{source:?} to F16 {cols}"), make).quick(cols < 100)
    });
    pairs.enumerate().map(entry).chain(odd).collect()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Rms,
    Layer,
    AddNorm,
    Gate,
    Plain,
}

fn form(rng: &mut Rng, source: Source, ty: GgmlType, cols: usize, reads_twice: bool) -> Case {
    let mut bench = Bench::new(rng);
    let x = bench.input(cols, Size::Rows);
    let weight = bench.random_vector(cols, 1.0);
    let y = match source {
        Source::Plain => x,
        Source::Rms => bench.b.norm(NormKind::Rms, x, cols, 1e-5, Some(weight), None).expect("whole rows"),
        Source::Layer => bench.b.norm(NormKind::Layer, x, cols, 1e-5, Some(weight), None).expect("whole rows"),
        Source::AddNorm => {
            let other = bench.input(cols, Size::Even);
            let sum = bench.b.add(x, other).expect("equal shapes");
            bench.b.norm(NormKind::Rms, sum, cols, 1e-5, Some(weight), None).expect("whole rows")
        }
        Source::Gate => {
            let other = bench.input(cols, Size::Even);
            bench.b.gate(x, Some(other), Activation::Silu).expect("equal shapes")
        }
    };
    let mut linear = |x, rows, cols| {
        let weight = bench.weight(ty, 1, rows, cols, Size::Even);
        bench.b.linear(x, weight, None).expect("widths fit")
    };
    let mut out = linear(y, 256, cols);
    if reads_twice {
        // The input of the product between takes the buffer that held the form.
        let between = linear(out, 256, 256);
        let again = linear(y, 256, cols);
        out = bench.b.add(between, again).expect("equal shapes");
    }
    bench.finish_rows(out, &TOKENS, product_bounds(ty).times(4.0))
}

/// The smallest ops.
pub fn maps() -> Vec<Entry> {
    let mut cases = Vec::new();
    for (i, cols) in COLS.into_iter().enumerate() {
        let size = [Size::Even, Size::Rows][i % 2];
        let quick = cols == 65;
        let make = move |rng: &mut Rng| {
            let mut bench = Bench::new(rng);
            let (a, b) = (bench.input(cols, size), bench.input(cols, size));
            let out = bench.b.add(a, b).expect("equal shapes");
            bench.finish_rows(out, &TOKENS, Bounds::all(0.0, 0.0))
        };
        cases.push(Entry::new(format!("add {cols}"), make).quick(quick));
        let make = move |rng: &mut Rng| {
            let mut bench = Bench::new(rng);
            let x = bench.input(cols, size);
            let out = bench.b.scale(x, -0.37);
            bench.finish_rows(out, &TOKENS, Bounds::all(0.0, 0.0))
        };
        cases.push(Entry::new(format!("scale {cols}"), make).quick(quick));
        let make = move |rng: &mut Rng| {
            let mut bench = Bench::new(rng);
            let x = bench.input(cols, size);
            let out = bench.b.softcap(x, 2.5);
            bench.finish_rows(out, &TOKENS, F32)
        };
        cases.push(Entry::new(format!("softcap {cols}"), make).quick(quick));
        let make = move |rng: &mut Rng| {
            let mut bench = Bench::new(rng);
            let x = bench.input(cols, size);
            bench.finish_rows(x, &TOKENS, Bounds::all(0.0, 0.0))
        };
        cases.push(Entry::new(format!("select_rows {cols}"), make).quick(quick));
    }
    cases
}
